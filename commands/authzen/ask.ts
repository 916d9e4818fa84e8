// @spec AuthZEN-1.0#section-6
// Answers enforcement points. Every evaluation is recorded before its answer leaves, in one transaction for one call;
// where it cannot be recorded, or the engine errs, there is no yes (I1, I6).
import { eq } from 'drizzle-orm';
import { agent } from '../../db/schema/index.ts';
import { accessAction, type Tuple } from '../../domain/access-tuple.ts';
import type { Action } from '../../domain/action.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Deps } from '../deps.ts';
import type { Evaluation } from '../evaluate.ts';
import { refuseWithoutLog } from '../log-health.ts';
import { activeBundle } from '../policies.ts';
import type { PolicyBundle } from '../policy-bundle.ts';
import { partyOf } from '../principal.ts';
import { evaluateAction } from '../questions.ts';
import { recordEvaluation, type Judged } from '../requests.ts';
import { liveStop } from '../stop.ts';
import type { Unit } from '../unit.ts';
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
        ? await answerQuestion(unit, standing, each.tuple)
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

async function answerQuestion(unit: Unit, standing: Standing, asked: Tuple): Promise<Decision> {
  const action = actionFor(unit, standing.bundle, asked);
  const evaluation = await judgeQuestion(unit, standing, action);
  return told(unit, recordEvaluation(unit, action, evaluation));
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
