// Requests that wait for people: opened once per live action, closed by a decision, a clock or their requester.
import { randomBytes } from 'node:crypto';
import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, RequestRow, VoteRow } from '../../db/rows.ts';
import { request, vote } from '../../db/schema/index.ts';
import { actionDigest, actionRef, asJson, type Action } from '../../domain/action.ts';
import { barredBy } from '../../domain/approval.ts';
import { cardFor, type Card } from '../../domain/card.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { earliest } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { canMove, type RequestState } from '../../domain/lifecycle.ts';
import type { OptionExtent } from '../../domain/narrowing.ts';
import { expiryWith, type Question } from '../../domain/question.ts';
import { Refusal } from '../../domain/refusal.ts';
import { queueNotices } from '../channels/notices.ts';
import type { Evaluation } from '../policy/evaluate.ts';
import { recordedQuestions } from '../policy/recorded-questions.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { namesOf } from './card-names.ts';
import { refuseWithoutApprovers, whoIsInvolved } from './involved.ts';
import { effectiveAction, effectiveDigest } from './narrow.ts';

/** What a request is about, before anybody is asked. */
export interface Asked {
  action: Action;
  /** Null when the action is not about an agent. */
  agent: AgentRow | null;
  task: {
    id: Id<'task'>;
    triggeredBy: Id<'person'> | null;
    proof: string;
    deadlineAt: string;
  } | null;
  reason: string | null;
  sealTo: JsonObject | null;
  callbackUrl: string | null;
  /** People who may not be asked, whatever the route says. */
  spent?: string[];
  /** The enforcement point that carries it out; without one we do. */
  audience?: string | null;
  /** What of its options approvers can narrow; nothing where this is not said. */
  extents?: Record<string, OptionExtent> | undefined;
}

export interface Judged {
  id: Id<'evaluation'>;
  evaluation: Evaluation;
  digest: Digest;
  salt: Uint8Array;
}

/** Records what the policy said about an action. */
export function recordEvaluation(unit: Unit, action: Action, evaluation: Evaluation): Judged {
  const judged: Judged = {
    id: newId('evaluation'),
    evaluation,
    digest: actionDigest(action),
    salt: new Uint8Array(randomBytes(16)),
  };
  const task = taskOf(action);
  unit.emit('evaluation.decided', {
    subject: judged.id,
    actor_chain: action.actor_chain,
    task,
    policy_version: evaluation.policyVersion,
    control: evaluation.controls[0] ?? null,
    action_ref: actionRef(judged.salt, judged.digest),
    decision: evaluation.decision,
    detail: {
      evaluation: judged.id,
      action: action.action,
      resource: { type: action.resource.type, id: action.resource.id },
      reasons: evaluation.reasons,
      controls: evaluation.controls,
      routes: evaluation.routes.map((route) => route.name),
      observed: evaluation.observed.map(({ rule, mode, would }) => ({ rule, mode, would })),
      waived: evaluation.waived.map(({ control, rule }) => ({ control, rule })),
    },
    // As the engine was asked, so that another policy can be asked the same once everything has changed.
    private: { action_digest: judged.digest, questions: recordedQuestions(evaluation.asked) },
  });
  return judged;
}

function taskOf(action: Action): Id<'task'> | null {
  const { task } = action.context;
  return typeof task === 'string' ? (task as Id<'task'>) : null;
}

/** The live request for the same action under the same task, or under none, if there is one. */
export async function findLiveDuplicate(
  unit: Unit,
  task: Id<'task'> | null,
  digest: Digest,
): Promise<RequestRow | null> {
  // Asked twice at the same moment: the second waits here until the first has opened its request, and finds it.
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`request/${task}/${digest}`}, 0))`,
  );
  const [row] = await unit.sql
    .select()
    .from(request)
    .where(
      and(
        task === null ? isNull(request.task) : eq(request.task, task),
        eq(request.digest, digest),
        inArray(request.state, ['pending', 'approved']),
      ),
    );
  return row ?? null;
}

/**
 * Until people decide, what will be issued is sealed to the key that was sent last: an agent that lost its key
 * with its process asks again and can open what it is given. Likewise the callback goes where the last call that
 * named one wants it.
 */
export async function resealRequest(
  unit: Unit,
  row: RequestRow,
  { sealTo, callbackUrl }: Pick<Asked, 'sealTo' | 'callbackUrl'>,
): Promise<RequestRow> {
  const [resealed] = await unit.sql
    .update(request)
    .set({ sealTo, ...(callbackUrl !== null && { callbackUrl }) })
    .where(and(eq(request.id, row.id), eq(request.state, 'pending')))
    .returning();
  return resealed ?? row;
}

export async function openRequest(unit: Unit, asked: Asked, judged: Judged): Promise<RequestRow> {
  const { routes, controls } = judged.evaluation;
  const involved = {
    ...(await whoIsInvolved(unit, asked)),
    ...(asked.spent && { spent: asked.spent }),
  };
  const duties = new Map<string, JsonObject>();
  for (const route of routes)
    duties.set(route.name, await refuseWithoutApprovers(unit, route, involved));
  const expiry = Math.min(...routes.map(({ rule }) => rule.expiry_seconds)) * 1000;
  const expiresMs = Math.min(
    Date.parse(unit.at) + expiry,
    asked.task ? Date.parse(asked.task.deadlineAt) : Infinity,
  );
  const expiresAt = new Date(expiresMs).toISOString();
  const row: RequestRow = {
    id: newId('request'),
    agent: asked.agent?.id ?? null,
    task: asked.task?.id ?? null,
    requester: partyOf(unit.call.principal),
    involved,
    state: 'pending',
    action: asked.action,
    digest: judged.digest,
    salt: judged.salt,
    evaluation: judged.id,
    policyVersion: judged.evaluation.policyVersion,
    controls,
    whyHeld: judged.evaluation.says,
    routes,
    risk: judged.evaluation.risk,
    names: await namesOf(unit.sql, asked, partyOf(unit.call.principal)),
    audience: asked.audience ?? null,
    sealTo: asked.sealTo,
    callbackUrl: asked.callbackUrl,
    createdAt: unit.at,
    expiresAt,
    firstExpiresAt: expiresAt,
    narrowable: { options: asked.extents ?? {}, starts_before: asked.task?.deadlineAt ?? null },
    narrowed: null,
    questions: [],
    decidedAt: null,
    decidedBy: null,
    approvedUntil: null,
    denial: null,
    failure: null,
    credential: null,
  };
  await unit.sql.insert(request).values(row);
  await queueNotices(unit, row, 'opened', row.id);
  emitOpened(unit, row, asked, { duties, risk: judged.evaluation.risk });
  unit.wake('request', row.id, row.agent);
  return row;
}

function emitOpened(
  unit: Unit,
  row: RequestRow,
  asked: Asked,
  { duties, risk }: { duties: ReadonlyMap<string, JsonObject>; risk: string | null },
): void {
  const { action, involved } = row;
  unit.emit('request.opened', {
    ...aboutRequest(row),
    actor_chain: action.actor_chain,
    policy_version: row.policyVersion,
    detail: {
      evaluation: row.evaluation,
      action: action.action,
      resource: { type: action.resource.type, id: action.resource.id },
      controls: row.controls,
      routes: row.routes.map(({ name, rule, rule_digest }) => ({
        name,
        groups: rule.groups,
        quorum: rule.quorum,
        rule_digest,
        barred: barredBy(rule, involved),
        escalation: rule.escalation.map((step) => ({ ...step })),
        // What a rule does not say is not there either. A title is words, which a leaf has none of.
        ...(rule.seats && { seats: rule.seats }),
        ...(rule.stages && {
          stages: rule.stages.map(({ title: _title, ...stage }) => ({ ...stage })),
        }),
        ...(rule.same_person && { same_person: rule.same_person }),
        ...duties.get(name),
      })),
      requester: { type: row.requester.type, id: row.requester.id },
      owners: [...involved.owners],
      triggered_by: involved.triggeredBy,
      triggered_by_proof: asked.task?.proof ?? 'none',
      expires_at: row.expiresAt,
      risk,
      simulated: asked.agent?.kind === 'demo',
    },
    private: { action_body: asJson(action), reason: asked.reason, case_kind: 'human' },
  });
}

/** The facts that every event about a request carries. */
export const aboutRequest = (row: RequestRow) => ({
  subject: row.id,
  request: row.id,
  task: row.task,
  agent: row.agent,
  control: row.controls[0] ?? null,
  action_ref: actionRef(row.salt, row.digest),
  policy_version: row.policyVersion,
});

export const cardOf = (row: RequestRow): Card =>
  cardFor({
    request: row.id,
    action: effectiveAction(row),
    digest: effectiveDigest(row),
    routes: row.routes,
    names: row.names,
    whyHeld: row.whyHeld,
    risk: row.risk,
    expiresAt: row.expiresAt,
    ...(row.narrowed && { narrowed: { asked: row.action, by: row.narrowed.by } }),
    questions: row.questions,
  });

/** The request, locked until the transaction ends. */
export async function lockRequest(unit: Unit, id: string): Promise<RequestRow> {
  const [row] = await unit.sql
    .select()
    .from(request)
    .where(eq(request.id, asRequestId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such request.');
  return row;
}

export async function findRequest(
  query: Query | Transaction,
  id: string,
): Promise<RequestRow | null> {
  const [row] = await query
    .select()
    .from(request)
    .where(eq(request.id, asRequestId(id)));
  return row ?? null;
}

export const votesOn = (query: Query | Transaction, id: Id<'request'>): Promise<VoteRow[]> =>
  query.select().from(vote).where(eq(vote.request, id)).orderBy(vote.id);

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asRequestId = (id: string): Id<'request'> => id as Id<'request'>;

/** Moves a locked request on. The table of moves has the last word. */
export async function moveRequest(
  unit: Unit,
  row: RequestRow,
  to: RequestState,
  change: Partial<RequestRow> = {},
): Promise<RequestRow> {
  if (!canMove('request', row.state, to))
    throw new Error(`a request cannot go from ${row.state} to ${to}`);
  const open =
    row.state === 'pending' ? await lapseQuestions(unit, row, () => true, 'request_closed') : row;
  const moved = { ...open, ...change, state: to };
  await unit.sql
    .update(request)
    .set({ ...change, state: to })
    .where(eq(request.id, row.id));
  await queueNotices(unit, moved, row.state === 'pending' ? 'closed' : 'changed', to);
  unit.changed(row.id);
  unit.wake('request', row.id, row.agent);
  return moved;
}

/** When a request with these questions runs out; never later than its task. */
export const endWith = (
  { createdAt, firstExpiresAt, narrowable }: RequestRow,
  questions: readonly Question[],
): string => expiryWith(questions, { createdAt, firstExpiresAt, endsAt: narrowable.starts_before });

/** The same request with other questions, and with the end that they lead to. */
export async function withQuestions(
  unit: Unit,
  row: RequestRow,
  questions: Question[],
): Promise<RequestRow> {
  const change = { questions, expiresAt: endWith(row, questions) };
  await unit.sql.update(request).set(change).where(eq(request.id, row.id));
  await queueNotices(unit, row, 'changed', newId('notice'));
  unit.changed(row.id);
  unit.wake('request', row.id, row.agent);
  return { ...row, ...change };
}

/** Closes open questions that stay without an answer. */
export async function lapseQuestions(
  unit: Unit,
  row: RequestRow,
  isOver: (question: Question) => boolean,
  because: 'no_answer' | 'request_closed',
): Promise<RequestRow> {
  const over = row.questions.filter((each) => each.state === 'open' && isOver(each));
  if (over.length === 0) return row;
  const questions = row.questions.map((each) =>
    over.includes(each)
      ? { ...each, state: 'lapsed' as const, closed_at: earliest(unit.at, each.answer_by) }
      : each,
  );
  const lapsed = await withQuestions(unit, row, questions);
  for (const { id } of over)
    unit.emit('question.lapsed', {
      ...aboutRequest(row),
      detail: { question: id, because, expires_at: lapsed.expiresAt },
      private: {},
    });
  return lapsed;
}
