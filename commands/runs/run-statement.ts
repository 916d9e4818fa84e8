// Asking for one statement to be run: the same way through policy and people as for a credential, but what is
// approved is the text itself, and nobody is given a login.
import type { CredentialRow, RunRow, TaskRow } from '../../db/rows.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { accessOf, type RoleDefinition } from '../access/kinds.ts';
import { askedUnder, refuseWithoutReason, unknownRole } from '../credentials/credentials.ts';
import { intendLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { evaluateAction } from '../policy/questions.ts';
import type { Call, Unit } from '../unit.ts';
import { openLogin } from './own-login.ts';
import { giveUpRun, performRun, resolveRun } from './perform-run.ts';
import { standingFor, type Ask, type Door, type Judged, type Preview } from './run-door.ts';
import { StatementError, type Parameter, type StatementToRun } from './runner.ts';
import { endRunLease, intendRun, ofLease, runLeaseSeconds } from './runs.ts';
import { effectOf } from './statement.ts';

export interface StatementAsk extends Ask {
  role: string;
  statement: string;
  parameters: Parameter[];
  maxRows: number;
  maxAffectedRows: number | null;
  timeoutSeconds: number;
}

interface JudgedStatement extends Judged {
  definition: RoleDefinition;
  statement: StatementToRun;
}

/** A statement that was asked for. */
export const statementDoor = (
  deps: Deps,
  call: Call,
  ask: StatementAsk,
): Door<JudgedStatement> => ({
  ask,
  judge: (unit, preview) => judge(unit, deps, ask, preview),
  preview: (unit, judged) => planned(unit, deps, call, ask, judged),
  begin: async (unit, judged, evaluation) => {
    const { statement, action } = judged;
    const { timeoutSeconds } = statement;
    const lease = await intendLogin(unit, judged, ask, timeoutSeconds, evaluation);
    const digest = actionDigest(action);
    const about = ofLease(lease, statement.effect);
    const run = await intendRun(unit, { ...about, digest, timeoutSeconds });
    const attempt = { run, lease, statement, sealKey: ask.sealTo.jwk };
    return {
      run,
      perform: async () => {
        const performed = await performRun(deps, call, attempt);
        return performed.kind === 'ended' ? performed.run : finished(deps, call, run);
      },
    };
  },
  resume: (run) => finished(deps, call, run),
});

/** What a run came to that was cut short: by the target's own record, and given up where nothing of it lasts. */
async function finished(deps: Deps, call: Call, run: RunRow): Promise<RunRow> {
  const resolved = await resolveRun(deps, call, run.id);
  if (resolved.kind === 'ended') return resolved.run;
  // It may still be committed: whoever asks again is told, and the sweep over runs finds out in any case.
  if (resolved.code === 'in_progress') return run;
  return giveUpRun(deps, call, { run, code: resolved.code });
}

/** Everything that has to hold for a statement to be run, and what policy says of it today. */
async function judge(
  unit: Unit,
  deps: Deps,
  ask: StatementAsk,
  preview: JsonObject | null,
): Promise<JudgedStatement> {
  const standing = await standingFor(unit, deps, ask, ask.role);
  const { owner, bundle } = standing;
  const definition = bundle.roles.get(ask.role);
  if (!definition) throw unknownRole(ask.role, [...bundle.roles.keys()]);
  refuseWithoutReason(ask, definition);
  const statement = toRun(ask, effectOf(ask.statement, definition));
  const action = runAction(owner, ask, { definition, statement, preview });
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  return { ...standing, definition, statement, action, evaluation };
}

const intendLogin = (
  unit: Unit,
  { agent, owner, definition }: JudgedStatement,
  ask: StatementAsk,
  seconds: number,
  evaluation: Id<'evaluation'> | null,
): Promise<CredentialRow> =>
  intendLease(unit, {
    task: owner.id,
    agent: agent.id,
    chain: owner.chain,
    confirmation: null,
    role: ask.role,
    definition,
    holder: 'service',
    options: {},
    control: null,
    evaluation,
    request: null,
    permit: null,
    expiresAt: earliest(addSeconds(unit.at, runLeaseSeconds(seconds)), owner.deadlineAt),
    sealThumbprint: ask.sealTo.thumbprint,
  });

interface Wanted {
  definition: RoleDefinition;
  statement: StatementToRun;
  preview: JsonObject | null;
}

function runAction(
  owner: TaskRow,
  ask: StatementAsk,
  { definition, statement, preview }: Wanted,
): Action {
  return {
    ...askedUnder(owner, ask.reason),
    action: 'statement:run',
    resource: { type: 'role', id: ask.role },
    parameters: {
      statement: statement.text,
      parameters: [...statement.parameters],
      effect: statement.effect,
      max_rows: statement.maxRows,
      max_affected_rows: statement.maxAffectedRows,
      timeout_seconds: statement.timeoutSeconds,
      ...(preview !== null && { preview }),
    },
    data_class: definition.data_class,
    destination: accessOf(definition).destination(definition),
  };
}

const toRun = (ask: StatementAsk, effect: string): StatementToRun => ({
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

/** What a target can plan without doing it. Of a text that cannot be read nobody knows what planning would do. */
const EXPLAINABLE: readonly string[] = ['read', 'write'];

/** Has the target explain the statement, under the rights it would run with. */
async function planned(
  unit: Unit,
  deps: Deps,
  call: Call,
  ask: StatementAsk,
  judged: JudgedStatement,
): Promise<Preview | null> {
  if (!EXPLAINABLE.includes(judged.statement.effect)) return null;
  const lease = await intendLogin(unit, judged, ask, 0, null);
  return {
    resource: lease.id,
    make: () => explainedBy(deps, call, judged.statement, lease),
    end: (later) => endRunLease(later, lease.id),
  };
}

async function explainedBy(
  deps: Deps,
  call: Call,
  { text, parameters }: StatementToRun,
  lease: CredentialRow,
): Promise<JsonObject | Refusal> {
  const opened = await openLogin(deps, call, lease);
  if ('code' in opened) return notReachable(lease.target, opened.code);
  try {
    return await deps.runner.explain(opened.login, { text, parameters });
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

/** Nothing can be found out now. */
export const notReachable = (target: string, code: string): Refusal =>
  new Refusal(
    'target_unavailable',
    `The target ${target} could not be asked what this would do (${code}): try again in a few seconds.`,
    { target_code: code },
  );
