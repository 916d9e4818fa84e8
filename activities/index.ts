// The hands of the workflows. Each activity is a command or two, or one call to the outside.
import { Context } from '@temporalio/activity';
import { eq } from 'drizzle-orm';
import { careForAgent, nextCareAt } from '../commands/agents/agent-care.ts';
import { findAgent, finishRetirement, rejectAgent } from '../commands/agents/agents.ts';
import { discoveryWorkflow, lookWhenDue } from '../commands/agents/discovery.ts';
import { closeReview, findReview, isReviewDone } from '../commands/agents/reviews.ts';
import { closeTask, expireTask, ownTask } from '../commands/agents/tasks.ts';
import { lapseUnanswered } from '../commands/approvals/ask.ts';
import { fulfilRequest } from '../commands/approvals/fulfil.ts';
import { effectiveAction } from '../commands/approvals/narrow.ts';
import { expireRequest } from '../commands/approvals/request-ends.ts';
import { aboutRequest, findRequest, lockRequest } from '../commands/approvals/requests.ts';
import { tallyOf } from '../commands/approvals/tally.ts';
import { queueNotices } from '../commands/channels/notices.ts';
import { databaseTime, transact, type Call } from '../commands/unit.ts';
import type { RequestRow } from '../db/rows.ts';
import { agent } from '../db/schema/index.ts';
import type { Id } from '../domain/id.ts';
import { startOf } from '../domain/narrowing.ts';
import { nextLapseAt } from '../domain/question.ts';
import type { Activities, Notice, RequestView } from '../workflows/contract.ts';
import { warnOfGrants } from './grant-notices.ts';
import { tellOfKits } from './kit-notices.ts';
import { careForKits, sweepKits } from './kits.ts';
import { callBack, tellAsked, type NoticeDeps } from './notices.ts';
import { reap, sweep } from './reaper.ts';
import { announce, announceStage, refresh, remind } from './slack/cards.ts';

/** Builds the activities over what the worker was started with. */
export function createActivities(deps: NoticeDeps): Activities {
  const activities = {
    ...taskActivities(deps),
    ...requestActivities(deps),
    ...otherActivities(deps),
  };
  return withHeartbeats(activities, deps.crashPoint);
}

/** Our workflows act in their own name; the name is the id of the thing they care for. */
const asWorkflow = (id: string): Call => ({ principal: { kind: 'workflow', id }, traceId: null });

function taskActivities(
  deps: NoticeDeps,
): Pick<Activities, 'ownTask' | 'expireTask' | 'closeTask'> {
  return {
    ownTask: async (id) => {
      const row = await transact(deps, asWorkflow(id), (unit) => ownTask(unit, id as Id<'task'>));
      return row && { state: row.state, deadlineAt: row.deadlineAt };
    },
    expireTask: (id) =>
      transact(deps, asWorkflow(id), (unit) => expireTask(unit, id as Id<'task'>)),
    closeTask: (id) => transact(deps, asWorkflow(id), (unit) => closeTask(unit, id as Id<'task'>)),
  };
}

type RequestActivity =
  | 'lookAtRequest'
  | 'announceRequest'
  | 'remindApprovers'
  | 'announceStage'
  | 'escalateRequest'
  | 'tellAsked'
  | 'lapseQuestions'
  | 'expireRequest'
  | 'fulfilRequest'
  | 'closeRequest'
  | 'refreshCards'
  | 'tellRequester';

function requestActivities(deps: NoticeDeps): Pick<Activities, RequestActivity> {
  return {
    lookAtRequest: async (id) => {
      const row = await findRequest(deps.db.query, id);
      return row && { ...viewOf(row), ...(await stageOf(deps, row)) };
    },
    announceRequest: (id) => announce(deps, asWorkflow(id), id),
    remindApprovers: async (id, step) => {
      // Before Slack, which may be down for long; a repetition of this activity queues nothing again.
      await queueReminder(deps, id);
      await remind(deps, asWorkflow(id), id);
      await transact(deps, asWorkflow(id), async (unit) => {
        const row = await lockRequest(unit, id);
        // Decided while the reminder waited for Slack: nobody was reminded of anything.
        if (row.state !== 'pending') return;
        const groups = row.routes.flatMap(({ rule }) => rule.groups);
        unit.emit('request.reminded', {
          ...aboutRequest(row),
          detail: { reminder: step, groups },
          private: {},
        });
      });
    },
    announceStage: (id) => announceStage(deps, asWorkflow(id), id),
    escalateRequest: async (id, step) => {
      await transact(deps, asWorkflow(id), async (unit) => {
        const row = await lockRequest(unit, id);
        if (row.state !== 'pending') return;
        const groups = row.routes.flatMap(({ rule }) => rule.escalation[step - 1]?.groups ?? []);
        unit.emit('request.escalated', {
          ...aboutRequest(row),
          detail: { step, groups },
          private: {},
        });
        // Those who may decide from now on have not heard of it.
        await queueNotices(unit, row, 'changed', `escalation ${step}`);
      });
    },
    tellAsked: (id, question) => tellAsked(deps, asWorkflow(id), id, question),
    lapseQuestions: async (id) => {
      await transact(deps, asWorkflow(id), (unit) => lapseUnanswered(unit, id));
    },
    expireRequest: async (id) => {
      await transact(deps, asWorkflow(id), (unit) => expireRequest(unit, id));
    },
    fulfilRequest: (id) => fulfilRequest(deps, asWorkflow(id), id),
    closeRequest: async (id) => {
      await transact(deps, asWorkflow(id), async (unit) => {
        const row = await lockRequest(unit, id);
        if (row.action.action === 'agent:admit' && row.state !== 'consumed')
          await rejectAgent(unit, row, row.state);
      });
    },
    refreshCards: (id) => refresh(deps, asWorkflow(id), id),
    tellRequester: (id) => callBack(deps, id),
  };
}

async function queueReminder(deps: NoticeDeps, id: string): Promise<void> {
  const { workflowExecution, activityId } = Context.current().info;
  await transact(deps, asWorkflow(id), async (unit) => {
    const row = await lockRequest(unit, id);
    const about = `${workflowExecution?.runId ?? ''} ${activityId}`;
    if (row.state === 'pending') await queueNotices(unit, row, 'reminded', about);
  });
}

function viewOf(row: RequestRow): RequestView {
  return {
    state: row.state,
    expiresAt: row.expiresAt,
    approvedUntil: row.approvedUntil,
    notices: noticesOf(row),
    startsAt: startOf(effectiveAction(row)),
    answerBy: nextLapseAt(row.questions),
    untold: row.questions
      .filter(({ state, told }) => state === 'open' && !told)
      .map((question) => question.id),
  };
}

/** How many stages are behind a request; nothing where no route has more than one. */
async function stageOf(deps: NoticeDeps, row: RequestRow): Promise<Pick<RequestView, 'stage'>> {
  if (row.state !== 'pending' || row.routes.every(({ rule }) => rule.stages === undefined))
    return {};
  const { open } = await tallyOf(deps.db.query, row, await databaseTime(deps.db.query));
  return { stage: Object.values(open).reduce((sum, at) => sum + at, 0) };
}

/** When approvers are reminded and the circle widens, as the routes of the request say. */
function noticesOf(row: RequestRow): Notice[] {
  const from = Date.parse(row.createdAt);
  const span = Date.parse(row.firstExpiresAt) - from;
  const at = (ms: number): string => new Date(from + ms).toISOString();
  return row.routes.flatMap(({ rule }) => [
    ...rule.remind_at.map((part, index) => ({
      at: at(span * part),
      kind: 'remind' as const,
      step: index + 1,
    })),
    ...rule.escalation.map((step, index) => ({
      at: at(step.after_seconds * 1000),
      kind: 'escalate' as const,
      step: index + 1,
    })),
  ]);
}

type OtherActivity =
  | 'lookAtAgent'
  | 'noteReviewDue'
  | 'careForAgent'
  | 'finishRetirement'
  | 'reapTarget'
  | 'sweepTarget'
  | 'discoverTarget'
  | 'lookAtReview'
  | 'closeReview';

function otherActivities(deps: NoticeDeps): Pick<Activities, OtherActivity> {
  return {
    lookAtAgent: async (id) => {
      const row = await findAgent(deps.db.query, id);
      return (
        row && {
          state: row.state,
          retiring: row.retiring,
          reviewDueAt: row.reviewDueAt,
          careAt: await nextCareAt(deps.db.query, row),
        }
      );
    },
    noteReviewDue: async (id) => {
      await transact(deps, asWorkflow(id), async (unit) => {
        const [row] = await unit.sql
          .select()
          .from(agent)
          .where(eq(agent.id, id as Id<'agent'>));
        if (row)
          unit.emit('agent.review_due', {
            subject: row.id,
            agent: row.id,
            detail: { due_at: row.reviewDueAt },
            private: {},
          });
      });
    },
    careForAgent: async (id) => {
      await warnOfGrants(deps, id);
      await transact(deps, asWorkflow(id), (unit) => careForAgent(unit, id));
    },
    finishRetirement: (id) => transact(deps, asWorkflow(id), (unit) => finishRetirement(unit, id)),
    reapTarget: async (target) => {
      const call = asWorkflow(`target:${target}`);
      await careForKits(deps, call, target);
      await tellOfKits(deps, call, target);
      return reap(deps, call, target, Context.current().cancellationSignal);
    },
    discoverTarget: (target) => lookWhenDue(deps, asWorkflow(discoveryWorkflow(target)), target),
    sweepTarget: async (target) => {
      const call = asWorkflow(`target:${target}`);
      await sweepKits(deps, call, target);
      await sweep(deps, call, target);
    },
    lookAtReview: async (id) => {
      const found = await findReview(deps.db.query, id);
      if (!found) return null;
      const { review } = found;
      // When everything is decided there is nothing to wait for.
      const done = review.state === 'open' && (await isReviewDone(deps.db.query, review.id));
      return { state: review.state, dueAt: done ? review.createdAt : review.dueAt };
    },
    closeReview: async (id) => {
      const row = await transact(deps, asWorkflow(id), (unit) => closeReview(unit, id));
      return { state: row.state, dueAt: row.dueAt };
    },
  };
}

const HEARTBEAT_MS = 1_000;

/** Lets Temporal notice within seconds that a worker died in the middle of an activity. */
function withHeartbeats(activities: Activities, crashPoint: (name: string) => void): Activities {
  const beating = Object.entries(activities).map(([name, run]) => [
    name,
    async (...input: unknown[]): Promise<unknown> => {
      const context = Context.current();
      const timer = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
      try {
        crashPoint(`${name}:before`);
        const done = await asActivity(run)(...input);
        crashPoint(`${name}:after`);
        return done;
      } finally {
        clearInterval(timer);
      }
    },
  ]);
  return asActivities(Object.fromEntries(beating));
}

type AnyActivity = (...input: unknown[]) => Promise<unknown>;

/** Temporal calls each activity with exactly the arguments that the workflow typed against the port. */
const asActivity = (run: unknown): AnyActivity => run as AnyActivity;
/** The same names and functions that went in, each wrapped. */
const asActivities = (wrapped: unknown): Activities => wrapped as Activities;
