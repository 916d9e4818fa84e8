// Asking for one statement to be run: the same way through policy and people as for a credential, but what is
// approved is the text itself, and nobody is given a login.
import { and, eq, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../db/client.ts';
import type { AgentRow, CredentialRow, RequestRow, RunRow, TaskRow } from '../db/rows.ts';
import { request } from '../db/schema/index.ts';
import { actionDigest, type Action } from '../domain/action.ts';
import type { Id } from '../domain/id.ts';
import { addSeconds, earliest } from '../domain/instant.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import type { PublicKey } from '../keys/public-key.ts';
import { accessOf, type RoleDefinition } from './access/kinds.ts';
import {
  askedUnder,
  deniedBy,
  lockRunningTask,
  refuseUndelegated,
  refuseUnlessReady,
  refuseWithoutReason,
  unknownRole,
} from './credentials.ts';
import type { Deps } from './deps.ts';
import type { Evaluation } from './evaluate.ts';
import { intendLease } from './leases.ts';
import { claimKey, hold, releaseKey, settleKey, type Answer, type OnceKey } from './once.ts';
import { giveUpRun, openLogin, performRun, resolveRun } from './perform-run.ts';
import { activeBundle } from './policies.ts';
import { evaluateAction } from './questions.ts';
import {
  findLiveDuplicate,
  openRequest,
  recordEvaluation,
  resealRequest,
  type Asked,
} from './requests.ts';
import { StatementError, type Parameter, type StatementToRun } from './runner.ts';
import { endRunLease, findRun, intendRun, runLeaseSeconds } from './runs.ts';
import { effectOf } from './statement.ts';
import { lockActiveAgent, lockActiveChain } from './tasks.ts';
import { transact, type Call, type Unit } from './unit.ts';
import { warningsOf, withWarnings } from './warnings.ts';

export interface RunAsk {
  task: string;
  agent: Id<'agent'>;
  role: string;
  statement: string;
  parameters: Parameter[];
  sealTo: PublicKey;
  maxRows: number;
  maxAffectedRows: number | null;
  timeoutSeconds: number;
  reason: string | null;
  callbackUrl: string | null;
}

/** How answers are written; the API brings them, so that what is stored is what is sent. */
export interface RunAnswers {
  ran: (row: RunRow) => Answer;
  held: (tx: Query | Transaction, row: RequestRow) => Promise<Answer>;
}

type Plan =
  | { kind: 'answer'; answer: Answer }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'run'; run: RunRow; lease: CredentialRow; warnings: string[] }
  | { kind: 'resolve'; run: RunRow }
  /** People have to agree: what they are shown is made first. */
  | { kind: 'preview'; lease: CredentialRow };

/** Runs a statement at once where policy plainly permits it, and opens a request where people must agree. */
export async function requestRun(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  ask: RunAsk,
  answers: RunAnswers,
): Promise<Answer | Refusal> {
  const plan = await transact(deps, call, (unit) => planRun(unit, deps, once, ask, answers));
  switch (plan.kind) {
    case 'answer':
      return plan.answer;
    case 'refused':
      return plan.refusal;
    case 'preview':
      return holdWithPreview(deps, call, once, { ask, answers, lease: plan.lease });
    case 'resolve':
      return settleRun(deps, call, once, answers, await finished(deps, call, plan.run));
    case 'run': {
      const { run, lease, warnings } = plan;
      const warned = {
        ...answers,
        ran: (row: RunRow) => withWarnings(answers.ran(row), warnings),
      };
      const attempt = { run, lease, statement: toRun(ask, run.effect), sealKey: ask.sealTo.jwk };
      const performed = await performRun(deps, call, attempt);
      if (performed.kind === 'ended') return settleRun(deps, call, once, warned, performed.run);
      return settleRun(deps, call, once, warned, await finished(deps, call, run));
    }
  }
}

/** What a run came to that was cut short: by the target's own record, and given up where nothing of it lasts. */
async function finished(deps: Deps, call: Call, run: RunRow): Promise<RunRow> {
  const resolved = await resolveRun(deps, call, run.id);
  if (resolved.kind === 'ended') return resolved.run;
  // It may still be committed: whoever asks again is told, and the sweep over runs finds out in any case.
  if (resolved.code === 'in_progress') return run;
  return giveUpRun(deps, call, { run, code: resolved.code });
}

async function settleRun(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  answers: RunAnswers,
  row: RunRow,
): Promise<Answer> {
  const answer = answers.ran(row);
  await transact(deps, call, (unit) =>
    row.state === 'running' ? releaseKey(unit, once) : settleKey(unit, once, answer),
  );
  return answer;
}

async function planRun(
  unit: Unit,
  deps: Deps,
  once: OnceKey | null,
  ask: RunAsk,
  answers: RunAnswers,
): Promise<Plan> {
  const earlier = await claimKey(unit, once);
  if (earlier.kind === 'answered') return { kind: 'answer', answer: earlier.answer };
  const begun = earlier.kind === 'begun' ? await findRun(unit.sql, earlier.resource) : null;
  if (begun) return { kind: 'resolve', run: begun };
  const judged = await judge(unit, deps, ask, null);
  const { evaluation, action, definition } = judged;
  if (evaluation.decision === 'hold')
    return planHeld(unit, once, judged, ask, warnedHeld(answers, evaluation));
  const recorded = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny') {
    await releaseKey(unit, once);
    return { kind: 'refused', refusal: deniedBy(recorded) };
  }
  const lease = await intendLease(unit, {
    ...leaseOf(unit, judged, ask, ask.timeoutSeconds),
    control: null,
    request: null,
    permit: null,
  });
  const run = await intendRun(unit, {
    lease,
    effect: effectOf(ask.statement, definition),
    digest: actionDigest(action),
    timeoutSeconds: ask.timeoutSeconds,
  });
  await hold(unit, once, run.id);
  return { kind: 'run', run, lease, warnings: warningsOf(evaluation) };
}

/** The same answers, which also say what rules that are being tried out would have done. */
const warnedHeld = (answers: RunAnswers, evaluation: Evaluation): RunAnswers => ({
  ...answers,
  held: async (tx, row) => withWarnings(await answers.held(tx, row), warningsOf(evaluation)),
});

/** The live request for it; or what people are shown comes first; or there is nothing to show but the text. */
async function planHeld(
  unit: Unit,
  once: OnceKey | null,
  judged: JudgedRun,
  ask: RunAsk,
  answers: RunAnswers,
): Promise<Plan> {
  const { action, definition, owner } = judged;
  const live = await liveRequest(unit, owner.id, action);
  if (live) return answered(unit, once, await againHeld(unit, live, ask, answers));
  if (!EXPLAINABLE.includes(effectOf(ask.statement, definition))) {
    const opened = await openHeld(unit, judged, ask);
    return answered(unit, once, await answers.held(unit.sql, opened));
  }
  const lease = await intendLease(unit, {
    ...leaseOf(unit, judged, ask, 0),
    control: null,
    request: null,
    permit: null,
  });
  await hold(unit, once, lease.id);
  return { kind: 'preview', lease };
}

/** What a target can plan without doing it. Of a text that cannot be read nobody knows what planning would do. */
const EXPLAINABLE: readonly string[] = ['read', 'write'];

const openHeld = (unit: Unit, judged: JudgedRun, ask: RunAsk): Promise<RequestRow> => {
  const { agent, owner, action, evaluation } = judged;
  const asked: Asked = {
    action,
    agent,
    task: {
      id: owner.id,
      triggeredBy: owner.triggeredBy,
      proof: owner.triggeredByProof,
      deadlineAt: owner.deadlineAt,
    },
    reason: ask.reason,
    sealTo: ask.sealTo.jwk,
    callbackUrl: ask.callbackUrl,
  };
  return openRequest(unit, asked, recordEvaluation(unit, action, evaluation));
};

interface JudgedRun {
  agent: AgentRow;
  owner: TaskRow;
  definition: RoleDefinition;
  action: Action;
  evaluation: Evaluation;
}

/** Everything that has to hold for a statement to be run, and what policy says of it today. */
async function judge(
  unit: Unit,
  deps: Deps,
  ask: RunAsk,
  preview: JsonObject | null,
): Promise<JudgedRun> {
  const agent = await lockActiveAgent(unit, ask.agent);
  const owner = await lockRunningTask(unit, ask.task, agent.id);
  await lockActiveChain(unit, owner.chain.slice(1));
  await refuseUnlessReady(unit, owner);
  refuseUndelegated(owner, ask.role);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const definition = bundle.roles.get(ask.role);
  if (!definition) throw unknownRole(ask.role, [...bundle.roles.keys()]);
  refuseWithoutReason(ask, definition);
  const action = runAction(owner, ask, definition, preview);
  return {
    agent,
    owner,
    definition,
    action,
    evaluation: await evaluateAction(unit.sql, bundle, action),
  };
}

const leaseOf = (
  unit: Unit,
  { agent, owner, definition }: JudgedRun,
  ask: RunAsk,
  seconds: number,
) => ({
  task: owner.id,
  agent: agent.id,
  chain: owner.chain,
  confirmation: null,
  role: ask.role,
  definition,
  holder: 'service' as const,
  options: {},
  expiresAt: earliest(addSeconds(unit.at, runLeaseSeconds(seconds)), owner.deadlineAt),
  sealThumbprint: ask.sealTo.thumbprint,
});

function runAction(
  owner: TaskRow,
  ask: RunAsk,
  definition: RoleDefinition,
  preview: JsonObject | null,
): Action {
  return {
    ...askedUnder(owner, ask.reason),
    action: 'statement:run',
    resource: { type: 'role', id: ask.role },
    parameters: {
      statement: ask.statement,
      parameters: ask.parameters,
      effect: effectOf(ask.statement, definition),
      max_rows: ask.maxRows,
      max_affected_rows: ask.maxAffectedRows,
      timeout_seconds: ask.timeoutSeconds,
      ...(preview !== null && { preview }),
    },
    data_class: definition.data_class,
    destination: accessOf(definition).destination(definition),
  };
}

const toRun = (ask: RunAsk, effect: string): StatementToRun => ({
  text: ask.statement,
  parameters: ask.parameters,
  effect,
  timeoutSeconds: ask.timeoutSeconds,
  maxRows: ask.maxRows,
  maxAffectedRows: ask.maxAffectedRows,
});

/** What an approved action says is to be run: the request holds the very text that people agreed to. */
export function statementOf({ parameters }: Action): StatementToRun {
  const said = asRunParameters(parameters);
  return {
    text: said.statement,
    parameters: said.parameters,
    effect: said.effect,
    timeoutSeconds: said.timeout_seconds,
    maxRows: said.max_rows,
    maxAffectedRows: said.max_affected_rows,
  };
}

/** Written by `runAction`, and the permit is bound to the digest of it. */
const asRunParameters = (parameters: JsonObject) =>
  parameters as {
    statement: string;
    parameters: Parameter[];
    effect: string;
    timeout_seconds: number;
    max_rows: number;
    max_affected_rows: number | null;
  };

/** The live request for the same statement under the same task, whatever its preview said at the time. */
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

function withoutPreview(action: Action): Action {
  const { preview: _preview, ...parameters } = action.parameters;
  return { ...action, parameters };
}

async function againHeld(
  unit: Unit,
  live: RequestRow,
  ask: RunAsk,
  answers: RunAnswers,
): Promise<Answer> {
  const resealed = await resealRequest(unit, live, {
    sealTo: ask.sealTo.jwk,
    callbackUrl: ask.callbackUrl,
  });
  return answers.held(unit.sql, resealed);
}

async function answered(unit: Unit, once: OnceKey | null, answer: Answer): Promise<Plan> {
  await settleKey(unit, once, answer);
  return { kind: 'answer', answer };
}

interface Previewing {
  ask: RunAsk;
  answers: RunAnswers;
  lease: CredentialRow;
}

/** Has the target explain the statement, under the rights it would run with, and asks people with the answer. */
async function holdWithPreview(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  { ask, answers, lease }: Previewing,
): Promise<Answer | Refusal> {
  const preview = await explainedBy(deps, call, ask, lease);
  return transact(deps, call, async (unit) => {
    await endRunLease(unit, lease.id);
    if (preview instanceof Refusal) {
      await releaseKey(unit, once);
      return preview;
    }
    const judged = await judge(unit, deps, ask, preview);
    const { owner, action, evaluation } = judged;
    const warned = warnedHeld(answers, evaluation);
    if (evaluation.decision !== 'hold') {
      await releaseKey(unit, once);
      return evaluation.decision === 'deny'
        ? deniedBy(recordEvaluation(unit, action, evaluation))
        : policyMoved();
    }
    const live = await liveRequest(unit, owner.id, withoutPreview(action));
    const answer = live
      ? await againHeld(unit, live, ask, warned)
      : await warned.held(unit.sql, await openHeld(unit, judged, ask));
    await settleKey(unit, once, answer);
    return answer;
  });
}

const policyMoved = (): Refusal =>
  new Refusal('policy_changed', 'The policy changed while this was being asked: ask again.');

async function explainedBy(
  deps: Deps,
  call: Call,
  ask: RunAsk,
  lease: CredentialRow,
): Promise<JsonObject | Refusal> {
  const opened = await openLogin(deps, call, lease);
  if ('code' in opened) return notReachable(lease.target, opened.code);
  try {
    return await deps.runner.explain(opened.login, {
      text: ask.statement,
      parameters: ask.parameters,
    });
  } catch (error) {
    // What planning already refuses would be refused when it runs: nobody is asked about it.
    if (error instanceof StatementError) return refusedByTarget(error);
    return notReachable(lease.target, 'unreachable');
  }
}

const refusedByTarget = ({ code, said }: StatementError): Refusal =>
  new Refusal(
    'statement_failed',
    `The target does not take this statement (SQLSTATE ${code}): look at its text.`,
    { target_code: code, position: said['position'] ?? null },
  );

const notReachable = (target: string, code: string): Refusal =>
  new Refusal(
    'target_unavailable',
    `The target ${target} could not be asked what this would do (${code}): try again in a few seconds.`,
    { target_code: code },
  );
