// @spec AuthZEN-1.0#section-6
// Answers enforcement points. Every evaluation is recorded before its answer leaves, in one transaction for one call;
// where it cannot be recorded, or the engine errs, there is no yes (I1, I6).
import { eq } from 'drizzle-orm';
import { agent } from '../../db/schema/index.ts';
import { accessAction, tupleOf, type Tuple } from '../../domain/access-tuple.ts';
import type { Action } from '../../domain/action.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { liveStop } from '../agents/stop.ts';
import { recordEvaluation, type Judged } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import type { Evaluation } from '../policy/evaluate.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { partyOf } from '../principal.ts';
import { refuseWithoutLog } from '../record/log-health.ts';
import type { Unit } from '../unit.ts';
import { isUseStillGood, presentedApproval, useApproval } from './approval.ts';
import { noteDenial } from './denials.ts';
import { isOwnAction } from './judge.ts';
import { kindOf, NO_QUESTION, withRelevantContext } from './question.ts';

/** What an enforcement point is told. */
export interface Decision {
  decision: boolean;
  context: JsonObject;
}

/** How a call with several questions ends. */
export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const;
export type Semantic = (typeof SEMANTICS)[number];

/** What a call asks: a question, or what is wrong with what stands in its place. */
export type Asked = { tuple: Tuple } | { mistake: string };

/** Where a question stands: whom it is from, under which policy, and whether anything may happen at all. */
export interface Standing {
  bundle: PolicyBundle;
  isStopped: boolean;
}

/** What holds for every question of a call. Nobody is told anything that could not be recorded. */
export async function standingOf(unit: Unit, deps: Deps): Promise<Standing> {
  await refuseWithoutLog(unit.sql);
  return {
    bundle: await activeBundle(unit, deps.policies),
    isStopped: (await liveStop(unit.sql)) !== null,
  };
}

/** Answers the questions of one call, in their order, until the semantic says that it is enough. */
export async function answerQuestions(
  unit: Unit,
  deps: Deps,
  asked: readonly Asked[],
  semantic: Semantic,
): Promise<Decision[]> {
  const standing = await standingOf(unit, deps);
  await refuseAboutOthers(
    unit,
    standing.bundle,
    asked.flatMap((each) => ('tuple' in each ? each.tuple.subject : [])),
  );
  const answers: Decision[] = [];
  for (const each of asked) {
    const answer =
      'tuple' in each
        ? await answerQuestion(unit, deps, standing, each.tuple)
        : { decision: false, context: { error: { status: 400, message: each.mistake } } };
    answers.push(answer);
    if (semantic === 'deny_on_first_deny' && !answer.decision) break;
    if (semantic === 'permit_on_first_permit' && answer.decision) break;
  }
  return answers;
}

/** An agent asks about itself; about others asks whom policy names as an enforcement point, or automation. */
export async function refuseAboutOthers(
  unit: Unit,
  { enforcementPoints }: PolicyBundle,
  subjects: readonly { type: string; id: string | null }[],
): Promise<void> {
  const { principal } = unit.call;
  if (principal.kind === 'service') return;
  if (principal.kind !== 'agent') throw new Refusal('forbidden', ONLY_MACHINES);
  const isSelf = subjects.every(({ type, id }) => type === 'Agent' && id === principal.id);
  if (isSelf) return;
  const [row] = await unit.sql
    .select({ name: agent.name })
    .from(agent)
    .where(eq(agent.id, principal.id));
  if (!row || !enforcementPoints.has(row.name)) throw new Refusal('forbidden', ONLY_ITSELF);
}

const ONLY_MACHINES = 'This is for agents and the admin token.';
const ONLY_ITSELF =
  'An agent asks about itself, as {"type":"Agent","id":"agt_…"}: to ask about others, have policy name it under enforcement_points in roles.yaml.';

async function answerQuestion(
  unit: Unit,
  deps: Deps,
  standing: Standing,
  asked: Tuple,
): Promise<Decision> {
  const action = actionFor(unit, standing.bundle, asked);
  const evaluation = await judgeQuestion(unit, standing, action);
  const judged = recordEvaluation(unit, action, evaluation);
  const answer = told(unit, judged);
  const approval = presentedApproval(asked.context);
  if (evaluation.decision !== 'hold')
    return approval === null || answer.decision ? answer : withNext(answer, 'none');
  if (approval === null) return withRequest(unit, judged, action, answer);
  const used = await useApproval(unit, deps, action, approval);
  if ('until' in used)
    return {
      decision: true,
      context: {
        evaluation_id: judged.id,
        evaluated_at: unit.at,
        approval: { id: used.id, approved_until: used.until },
      },
    };
  const refused = withNext(answer, used.next, used.reason, used.says);
  return used.next === 'request' ? withRequest(unit, judged, action, refused) : refused;
}

const withNext = (
  { decision, context }: Decision,
  next: 'request' | 'none',
  reason: JsonValue = context['reason'] ?? null,
  says: string | null = null,
): Decision => ({
  decision,
  context: { ...context, next_action: next, reason, ...(says !== null && { says: [says] }) },
});

/** A no that people could turn into a yes says so, and until when it may be taken to them. */
async function withRequest(
  unit: Unit,
  { id, evaluation }: Judged,
  action: Action,
  { context }: Decision,
): Promise<Decision> {
  if (!isRequestable(action)) return { decision: false, context };
  const [title = 'Ask people'] = evaluation.says;
  const request = { expires_at: await noteDenial(unit, id, action), display: { title } };
  return { decision: false, context: { ...context, access_request: request } };
}

/** What our own doors do is asked for there. */
export const isRequestable = (action: Action): boolean => !isOwnAction(tupleOf(action).action.name);

/** Whether every yes of an answer that was given before would be given for what it was given for. */
export async function isStillTold(
  unit: Unit,
  deps: Deps,
  asked: readonly Asked[],
  decisions: readonly boolean[],
): Promise<boolean> {
  const standing = await standingOf(unit, deps);
  for (const [at, each] of asked.entries()) {
    if (decisions[at] !== true || !('tuple' in each)) continue;
    const action = actionFor(unit, standing.bundle, each.tuple);
    const { decision } = await judgeQuestion(unit, standing, action);
    if (decision === 'permit') continue;
    const approval = presentedApproval(each.tuple.context);
    if (decision === 'deny' || approval === null) return false;
    if (!(await isUseStillGood(unit, deps, standing.bundle, action, approval))) return false;
  }
  return true;
}

/** The question as the action that is judged, and that people would be asked to approve. */
export const actionFor = (unit: Unit, bundle: PolicyBundle, asked: Tuple): Action =>
  accessAction(
    partyOf(unit.call.principal),
    withRelevantContext(bundle, asked),
    kindOf(bundle, asked),
  );

/** What policy says of a question, and the kill switch before it. */
export async function judgeQuestion(
  unit: Unit,
  { bundle, isStopped }: Standing,
  action: Action,
): Promise<Evaluation> {
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  return isStopped && evaluation.decision !== 'deny'
    ? {
        ...evaluation,
        decision: 'deny',
        reasons: ['stopped'],
        says: [STOPPED],
        routes: [],
        controls: [],
      }
    : evaluation;
}

const STOPPED = 'Everything was stopped by the kill switch.';

/** An answer in the words of the standard. Whatever is not a plain permit is a no. */
function told(unit: Unit, { id, evaluation }: Judged): Decision {
  const { decision, says } = evaluation;
  const common = { evaluation_id: id, evaluated_at: unit.at };
  return decision === 'permit'
    ? { decision: true, context: common }
    : { decision: false, context: { ...common, reason: reasonOf(evaluation), says } };
}

/** A stable word for a no. */
function reasonOf({ decision, reasons }: Evaluation): string {
  if (decision === 'hold') return 'approval_required';
  const [first = ''] = reasons;
  return Object.hasOwn(NO_QUESTION, first) || first === 'stopped' ? first : 'policy_denied';
}
