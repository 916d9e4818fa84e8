// The one way to something that we do for an agent under its task, be it a statement or a call: judged by policy, put
// before people where policy says so with what our side found out before, done once, and answered once.
import { and, eq, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, RequestRow, RunRow, TaskRow } from '../../db/rows.ts';
import { request } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import { holdFor } from '../approvals/hold.ts';
import { findLiveDuplicate, recordEvaluation } from '../approvals/requests.ts';
import {
  deniedBy,
  lockRunningTask,
  refuseUndelegated,
  refuseUnlessReady,
} from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import { claimKey, hold, releaseKey, settleKey, type Answer, type OnceKey } from '../once.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import type { Evaluation } from '../policy/evaluate.ts';
import { activeBundle } from '../policy/policies.ts';
import { warningsOf, withWarnings } from '../policy/warnings.ts';
import { transact, type Call, type Unit } from '../unit.ts';
import { findRun } from './runs.ts';

/** Who asks for a run, and where what comes of it goes. */
export interface Ask {
  task: string;
  agent: Id<'agent'>;
  sealTo: PublicKey;
  reason: string | null;
  callbackUrl: string | null;
}

/** How answers are written; the API brings them, so that what is stored is what is sent. */
export interface RunAnswers {
  ran: (row: RunRow) => Answer;
  held: (tx: Query | Transaction, row: RequestRow) => Promise<Answer>;
}

/** Whom a run is for, and the policy it is judged by. */
export interface Standing {
  agent: AgentRow;
  owner: TaskRow;
  bundle: PolicyBundle;
}

/** What is to be done, exactly, and what policy says of it today. */
export interface Judged extends Standing {
  action: Action;
  evaluation: Evaluation;
}

/** What is written down before anything is done. */
interface Begun {
  run: RunRow;
  /** Does it, once that is committed, and says what it came to. */
  perform: () => Promise<RunRow>;
}

/** What people are shown besides the action itself; finding it out takes something that was written down, too. */
export interface Preview {
  /** What a repeated call finds: never the id of a run that it could take for its own. */
  resource: string;
  make: () => Promise<JsonObject | Refusal>;
  end: (unit: Unit) => Promise<void>;
}

/** One thing that was asked for, of one kind. */
export interface Door<J extends Judged> {
  ask: Ask;
  judge: (unit: Unit, preview: JsonObject | null) => Promise<J>;
  /** Null where nothing can be found out, or nobody may. */
  preview: (unit: Unit, judged: J) => Promise<Preview | null>;
  begin: (unit: Unit, judged: J, evaluation: Id<'evaluation'>) => Promise<Begun>;
  /** What came of a run that was begun by somebody who was not heard of again. */
  resume: (run: RunRow) => Promise<RunRow>;
}

type Plan =
  | { kind: 'answer'; answer: Answer }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'run'; begun: Begun; warnings: string[] }
  | { kind: 'resume'; run: RunRow }
  /** People have to agree: what they are shown is found out first. */
  | { kind: 'preview'; preview: Preview };

/** Does it at once where policy plainly permits it, and opens a request where people must agree. */
export async function requestRun<J extends Judged>(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  door: Door<J>,
  answers: RunAnswers,
): Promise<Answer | Refusal> {
  const plan = await transact(deps, call, (unit) => planRun(unit, once, door, answers));
  switch (plan.kind) {
    case 'answer':
      return plan.answer;
    case 'refused':
      return plan.refusal;
    case 'preview':
      return holdWithPreview(deps, call, once, { door, answers, preview: plan.preview });
    case 'resume':
      return settleRun(deps, call, once, answers, await door.resume(plan.run));
    case 'run':
      return settleRun(
        deps,
        call,
        once,
        warning(answers, plan.warnings),
        await plan.begun.perform(),
      );
  }
}

/** The same answers, which also say what rules that are being tried out would have done. */
const warning = (answers: RunAnswers, warnings: readonly string[]): RunAnswers => ({
  ran: (row) => withWarnings(answers.ran(row), warnings),
  held: async (tx, row) => withWarnings(await answers.held(tx, row), warnings),
});

async function settleRun(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  answers: RunAnswers,
  row: RunRow,
): Promise<Answer> {
  const answer = answers.ran(row);
  // Of what is not over yet nobody knows what it came to: the same call again goes on with it, and begins no other.
  if (row.state !== 'running') await transact(deps, call, (unit) => settleKey(unit, once, answer));
  return answer;
}

async function planRun<J extends Judged>(
  unit: Unit,
  once: OnceKey | null,
  door: Door<J>,
  answers: RunAnswers,
): Promise<Plan> {
  const earlier = await claimKey(unit, once);
  if (earlier.kind === 'answered') return { kind: 'answer', answer: earlier.answer };
  const begun = earlier.kind === 'begun' ? await findRun(unit.sql, earlier.resource) : null;
  if (begun) return { kind: 'resume', run: begun };
  const judged = await door.judge(unit, null);
  const { evaluation, action } = judged;
  if (evaluation.decision === 'hold') return planHeld(unit, once, door, judged, answers);
  const recorded = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny') {
    await releaseKey(unit, once);
    return { kind: 'refused', refusal: deniedBy(recorded) };
  }
  const about = await door.begin(unit, judged, recorded.id);
  await hold(unit, once, about.run.id);
  return { kind: 'run', begun: about, warnings: warningsOf(evaluation) };
}

/** The live request for it; or what people are shown comes first; or there is nothing to show but what is asked for. */
async function planHeld<J extends Judged>(
  unit: Unit,
  once: OnceKey | null,
  door: Door<J>,
  judged: J,
  answers: RunAnswers,
): Promise<Plan> {
  const live = await liveRequest(unit, judged.owner.id, judged.action);
  const preview = live ? null : await door.preview(unit, judged);
  if (preview) {
    await hold(unit, once, preview.resource);
    return { kind: 'preview', preview };
  }
  const held = await holdFor(unit, { ...judged, ask: door.ask }, live);
  const warned = warning(answers, warningsOf(judged.evaluation));
  const answer = await warned.held(unit.sql, held);
  await settleKey(unit, once, answer);
  return { kind: 'answer', answer };
}

/** Everything that has to hold whatever is to be done; `name` is what a task that was handed on has to have. */
export async function standingFor(
  unit: Unit,
  deps: Deps,
  ask: Ask,
  name: string,
): Promise<Standing> {
  const agent = await lockActiveAgent(unit, ask.agent);
  const owner = await lockRunningTask(unit, ask.task, agent.id);
  await lockActiveChain(unit, owner.chain.slice(1));
  await refuseUnlessReady(unit, owner);
  refuseUndelegated(owner, name);
  return { agent, owner, bundle: await activeBundle(unit, deps.policies, 'share') };
}

/** The live request for the same thing under the same task, whatever its preview said at the time. */
async function liveRequest(
  unit: Unit,
  task: Id<'task'>,
  action: Action,
): Promise<RequestRow | null> {
  const wanted = actionDigest(action);
  const direct = await findLiveDuplicate(unit, task, wanted);
  if (direct) return direct;
  const rows = await unit.sql
    .select()
    .from(request)
    .where(and(eq(request.task, task), inArray(request.state, ['pending', 'approved'])));
  return rows.find((row) => actionDigest(withoutPreview(row.action)) === wanted) ?? null;
}

/** What was asked for, without what we found out about it. */
function withoutPreview(action: Action): Action {
  const { preview: _preview, ...parameters } = action.parameters;
  return { ...action, parameters };
}

interface Previewing<J extends Judged> {
  door: Door<J>;
  answers: RunAnswers;
  preview: Preview;
}

async function holdWithPreview<J extends Judged>(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  { door, answers, preview }: Previewing<J>,
): Promise<Answer | Refusal> {
  const found = await preview.make();
  return transact(deps, call, async (unit) => {
    await preview.end(unit);
    if (found instanceof Refusal) {
      await releaseKey(unit, once);
      return found;
    }
    const judged = await door.judge(unit, found);
    const { owner, action, evaluation } = judged;
    if (evaluation.decision !== 'hold') {
      await releaseKey(unit, once);
      return evaluation.decision === 'deny'
        ? deniedBy(recordEvaluation(unit, action, evaluation))
        : policyMoved();
    }
    const live = await liveRequest(unit, owner.id, withoutPreview(action));
    const held = await holdFor(unit, { ...judged, ask: door.ask }, live);
    const answer = await warning(answers, warningsOf(evaluation)).held(unit.sql, held);
    await settleKey(unit, once, answer);
    return answer;
  });
}

const policyMoved = (): Refusal =>
  new Refusal('policy_changed', 'The policy changed while this was being asked: ask again.');
