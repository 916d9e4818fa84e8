// @spec ARAP-1.0-draft-1#access-request-submission
// Takes a denial to people: as one request like any other, for exactly the question that was denied.
import { and, eq, inArray, sql } from 'drizzle-orm';
import type { AccessDenialRow, AgentRow, RequestRow } from '../../db/rows.ts';
import { agent, request } from '../../db/schema/index.ts';
import {
  ACCESS_ACTION,
  accessAction,
  isSameQuestion,
  type Tuple,
  type Wish,
} from '../../domain/access-tuple.ts';
import { asJson, type Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { canonicalJson } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { refuseWhileStopped } from '../agents/stop.ts';
import { openRequest, recordEvaluation, resealRequest } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { isRequestable, judgeQuestion, refuseAboutOthers, standingOf } from './ask.ts';
import { linkDenial, lockDenial, type CallbackWish } from './denials.ts';
import { kindOf, withRelevantContext } from './question.ts';

/** A denial and what is wanted about it. */
export interface Submission {
  tuple: Tuple;
  /** As the denial was told: its evaluation, and when it is over. */
  denial: { evaluation: string; expiresAt: string };
  wish: Wish;
  callback: { url: string; about: CallbackWish } | null;
}

/** The request that waits for people, or why there is none. */
export async function requestAccess(
  unit: Unit,
  deps: Deps,
  submission: Submission,
): Promise<RequestRow | Refusal> {
  const { tuple, wish, callback } = submission;
  const standing = await standingOf(unit, deps);
  await refuseWhileStopped(unit.sql);
  const { bundle } = standing;
  await refuseAboutOthers(unit, bundle, [tuple.subject]);
  const by = partyOf(unit.call.principal);
  const action = accessAction(by, withRelevantContext(bundle, tuple), kindOf(bundle, tuple), wish);
  const denial = await boundDenial(unit, submission, action);
  const live = await liveRequest(unit, action);
  const evaluation = await judgeQuestion(unit, standing, action);
  const judged = live ? null : recordEvaluation(unit, action, evaluation);
  if (evaluation.decision !== 'hold' || !isRequestable(action))
    // The evaluation of a no is kept: a returned refusal is an outcome.
    return new Refusal(
      'not_requestable',
      evaluation.decision === 'permit'
        ? 'This is permitted by now: evaluate it again.'
        : 'Nobody can approve this: policy denies it, or it is asked for elsewhere.',
    );
  const row =
    live ??
    (judged &&
      (await openRequest(
        unit,
        {
          action,
          agent: await agentAskedAbout(unit, tuple),
          task: null,
          reason: wish.justification,
          sealTo: null,
          callbackUrl: callback?.url ?? null,
          // Whoever asked carries it out: by asking again with the approval, or by redeeming its permit.
          audience: by.id,
        },
        judged,
      )));
  if (!row) throw new Error('an evaluation was neither recorded nor needed');
  await linkDenial(unit, denial, row.id, callback?.about ?? null);
  unit.emit('access.requested', {
    subject: row.id,
    request: row.id,
    detail: { evaluation: denial.id, folded: live !== null },
    private: {},
  });
  return live && callback
    ? resealRequest(unit, live, { sealTo: live.sealTo, callbackUrl: callback.url })
    : row;
}

/** The denial that this is about: told to this caller, still fresh, and of this very question. */
async function boundDenial(
  unit: Unit,
  { denial: said }: Submission,
  action: Action,
): Promise<AccessDenialRow> {
  const denial = await lockDenial(unit, said.evaluation);
  if (!denial)
    throw new Refusal(
      'invalid_denial_binding',
      'There is no such denial for this caller that could be taken to people: evaluate again.',
    );
  // Our own record counts, and the echo only has to agree with it.
  if (!((await unit.readClock()) < denial.expiresAt))
    throw new Refusal('expired_denial', 'This denial is too old: evaluate again.');
  if (Date.parse(said.expiresAt) !== Date.parse(denial.expiresAt))
    throw new Refusal(
      'invalid_denial_binding',
      'expires_at is not what this denial said: send it as it came, or evaluate again.',
    );
  if (!isSameQuestion(denial.action, action))
    throw new Refusal(
      'invalid_denial_binding',
      'What was denied is another subject, action, resource or context: send those of the denial, or evaluate again.',
    );
  return denial;
}

/** The live request of this caller for the same question, however it is justified. */
async function liveRequest(unit: Unit, action: Action): Promise<RequestRow | null> {
  const { subject, parameters } = asJson(action);
  const question = canonicalJson({ subject: subject ?? null, parameters: parameters ?? null });
  // Asked twice at the same moment: the second waits here until the first has opened its request, and finds it.
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`access/${question}`}, 0))`,
  );
  const [row] = await unit.sql
    .select()
    .from(request)
    .where(
      and(
        inArray(request.state, ['pending', 'approved']),
        sql`${request.action} ->> 'action' = ${ACCESS_ACTION}`,
        sql`${request.action} -> 'subject' = ${JSON.stringify(subject)}::jsonb`,
        sql`${request.action} -> 'parameters' = ${JSON.stringify(parameters)}::jsonb`,
      ),
    );
  return row ?? null;
}

/** The agent of ours that would get it, so that whoever stands behind it does not decide. */
async function agentAskedAbout(unit: Unit, tuple: Tuple): Promise<AgentRow | null> {
  if (tuple.subject.type !== 'Agent') return null;
  const [row] = await unit.sql
    .select()
    .from(agent)
    .where(eq(agent.id, tuple.subject.id as Id<'agent'>));
  return row ?? null;
}

/** A request that came from a denial, for whoever took it to people. */
export const isAccessRequest = ({ action }: RequestRow): boolean => action.action === ACCESS_ACTION;
