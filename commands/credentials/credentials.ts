// Asking for a credential, and giving one back.
import { and, eq } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, TaskRow, CredentialRow, RequestRow } from '../../db/rows.ts';
import { credential, request, task } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest, fromMs, toMs } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { accessOf, targetOf, type RoleDefinition } from '../access/kinds.ts';
import {
  asTaskId,
  lockActiveAgent,
  lockActiveChain,
  partiesOf,
  revokeWhere,
} from '../agents/tasks.ts';
import { holdFor } from '../approvals/hold.ts';
import { findLiveDuplicate, recordEvaluation, type Judged } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { useGrant, type Used } from '../exceptions/grant-use.ts';
import { claimKey, hold, releaseKey, settleKey, type Answer, type OnceKey } from '../once.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { warningsOf, withWarnings } from '../policy/warnings.ts';
import { refuseWithoutLog } from '../record/log-health.ts';
import { transact, type Call, type Unit } from '../unit.ts';
import { isWorkerAlive } from '../workers.ts';
import { issueLease } from './issue.ts';
import { asCredentialId, intendLease, lockLease, retakeLease } from './leases.ts';

export interface CredentialAsk {
  task: string;
  agent: Id<'agent'>;
  role: string;
  sealTo: PublicKey;
  ttlSeconds: number | null;
  reason: string | null;
  /** From when on it is wanted; null for at once. */
  notBefore: string | null;
  callbackUrl: string | null;
  /** The thumbprint of the key that a token shall be bound to, where it is not the one it is sealed to. */
  dpopThumbprint: string | null;
  /** The thumbprint of the certificate that the caller came with. */
  certificate: string | null;
  options: JsonObject;
}

/** How answers are written; the API brings them, so that what is stored is what is sent. */
export interface CredentialAnswers {
  issued: (row: CredentialRow) => Answer;
  held: (tx: Query | Transaction, row: RequestRow) => Promise<Answer>;
}

type Plan =
  | { kind: 'answer'; answer: Answer }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'issue'; lease: CredentialRow; warnings: string[] };

/** Issues at once where policy plainly permits, opens a request where people must agree. */
export async function requestCredential(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  ask: CredentialAsk,
  answers: CredentialAnswers,
): Promise<Answer | Refusal> {
  const plan = await transact(deps, call, (unit) => planCredential(unit, deps, once, ask, answers));
  if (plan.kind === 'answer') return plan.answer;
  if (plan.kind === 'refused') return plan.refusal;
  return issueLease(deps, call, {
    lease: plan.lease,
    sealTo: ask.sealTo.jwk,
    once,
    answer: (row) => withWarnings(answers.issued(row), plan.warnings),
  });
}

async function planCredential(
  unit: Unit,
  deps: Deps,
  once: OnceKey | null,
  ask: CredentialAsk,
  answers: CredentialAnswers,
): Promise<Plan> {
  const earlier = await claimKey(unit, once);
  if (earlier.kind === 'answered') return { kind: 'answer', answer: earlier.answer };
  const agent = await lockActiveAgent(unit, ask.agent);
  const owner = await lockRunningTask(unit, ask.task, agent.id);
  // Nothing is done for an agent that was stopped, however far down the chain it was handed on.
  await lockActiveChain(unit, owner.chain.slice(1));
  if (earlier.kind === 'begun') {
    const resumed = await resume(unit, once, asCredentialId(earlier.resource), answers);
    if (resumed) return resumed;
  }
  await refuseUnlessReady(unit, owner);
  refuseUndelegated(owner, ask.role);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const definition = bundle.roles.get(ask.role);
  if (!definition) throw unknownRole(ask.role, [...bundle.roles.keys()]);
  const options = await accessOf(definition).readOptions(definition, ask.options);
  const start = checkedStart(ask, owner, unit.at);
  const wanted = wishOf(ask, definition, options, start);
  const action = credentialAction(owner, ask, wanted);
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  const asking: Asking = { agent, owner, ask, wanted, bundle };
  if (evaluation.decision === 'hold') {
    const used = await useGrant(unit, deps, bundle, { agent, owner, action, evaluation });
    if (used) return planIssue(unit, once, asking, { id: used.evaluation, evaluation }, used);
    const live = await findLiveDuplicate(unit, owner.id, actionDigest(action));
    const extents = accessOf(definition).extents?.(definition, wanted.options) ?? {};
    const held = await holdFor(unit, { agent, owner, ask, action, evaluation, extents }, live);
    const answer = await answers.held(unit.sql, held);
    return settled(unit, once, withWarnings(answer, warningsOf(evaluation)));
  }
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny') {
    await releaseKey(unit, once);
    return { kind: 'refused', refusal: deniedBy(judged) };
  }
  if (wanted.start !== null)
    throw new Refusal(
      'start_refused',
      `Nobody has to agree to the role ${ask.role}: ask for it, without not_before, when you need it.`,
    );
  return planIssue(unit, once, asking, judged, null);
}

/** Something asked for, once everything about it is known. */
interface Asking {
  agent: AgentRow;
  owner: TaskRow;
  ask: CredentialAsk;
  wanted: Wanted;
  bundle: PolicyBundle;
}

/** Writes the lease of what policy plainly permits, or of what a standing grant covers. */
async function planIssue(
  unit: Unit,
  once: OnceKey | null,
  { agent, owner, ask, wanted, bundle }: Asking,
  { id: evaluated, evaluation }: Pick<Judged, 'id' | 'evaluation'>,
  used: Used | null,
): Promise<Plan> {
  const { definition, ttlSeconds, options, confirmation } = wanted;
  const until = earliest(addSeconds(unit.at, ttlSeconds), owner.deadlineAt);
  const lease = await intendLease(unit, {
    task: owner.id,
    agent: agent.id,
    chain: owner.chain,
    confirmation,
    role: ask.role,
    definition,
    targetDefinition: bundle.targets.get(targetOf(definition)) ?? null,
    holder: 'agent',
    options,
    control: used ? (evaluation.controls[0] ?? null) : null,
    evaluation: evaluated,
    request: null,
    permit: used?.permit ?? null,
    grant: used?.grant.id ?? null,
    // What came from a grant never outlives it (I3).
    expiresAt: used ? earliest(until, used.grant.expiresAt) : until,
    sealThumbprint: ask.sealTo.thumbprint,
  });
  await hold(unit, once, lease.id);
  return { kind: 'issue', lease, warnings: warningsOf(evaluation) };
}

export const deniedBy = ({ id, evaluation }: Judged): Refusal =>
  new Refusal(
    'denied',
    'Policy does not allow this: evaluation.reasons says why. Asking again changes nothing, a change of the policy would.',
    {
      evaluation: { id, policy_version: evaluation.policyVersion, reasons: evaluation.says },
    },
  );

async function settled(unit: Unit, once: OnceKey | null, answer: Answer): Promise<Plan> {
  await settleKey(unit, once, answer);
  return { kind: 'answer', answer };
}

/**
 * Goes on with what a call with the same key had begun before it was lost. Null when that was given up: its lease
 * never became a credential, so the call starts afresh.
 */
async function resume(
  unit: Unit,
  once: OnceKey | null,
  id: Id<'credential'>,
  answers: CredentialAnswers,
): Promise<Plan | null> {
  const lease = await retakeLease(unit, id);
  if (lease) return { kind: 'issue', lease, warnings: [] };
  const row = await lockLease(unit, id);
  return row.state === 'active' && row.sealed !== null
    ? settled(unit, once, answers.issued(row))
    : null;
}

/** The task, held in its state until the transaction ends: its end waits, and then sees our lease. */
export async function lockRunningTask(
  unit: Unit,
  id: string,
  agent: Id<'agent'>,
): Promise<TaskRow> {
  const [row] = await unit.sql
    .select()
    .from(task)
    .where(eq(task.id, asTaskId(id)))
    .for('share');
  // Another agent's task is no business of this one: it is told the same as if there were none.
  if (!row || row.agent !== agent) throw new Refusal('not_found', 'There is no such task.');
  const now = await unit.readClock();
  if (row.state !== 'running' || !(now < row.deadlineAt))
    throw new Refusal('task_not_running', `This task is ${taskIs(row)}: start a new one.`);
  return row;
}

const taskIs = (row: TaskRow): string =>
  row.state === 'running' ? 'past its deadline' : row.state;

/** Nothing is issued that could not be revoked, or not be recorded. */
export async function refuseUnlessReady(unit: Unit, owner: TaskRow): Promise<void> {
  await refuseWithoutLog(unit.sql);
  if (owner.ownedAt === null)
    throw new Refusal(
      'owner_not_ready',
      'The workflow that will end this task is still starting: try again in a second.',
    );
  if (!(await isWorkerAlive(unit.sql, unit.at)))
    throw new Refusal(
      'owner_not_ready',
      'No worker is running, so nothing could be revoked and nothing is issued: try again shortly.',
    );
}

export const unknownRole = (role: string, known: string[]): Refusal =>
  new Refusal('role_unknown', `There is no role "${role}". There are: ${known.join(', ')}.`);

/** What a role is given only for a reason is used only for one, whichever way it is asked for. */
export function refuseWithoutReason(
  ask: { role: string; reason: string | null },
  definition: RoleDefinition,
): void {
  if (definition.reason === 'required' && (ask.reason ?? '').trim() === '')
    throw new Refusal(
      'reason_required',
      `The role ${ask.role} is given only with a reason: say in reason what it is for.`,
    );
}

/** What is asked for, within what the role allows. */
export function wishOf(
  ask: Wish,
  definition: RoleDefinition,
  options: JsonObject,
  start: string | null = null,
): Wanted {
  return {
    definition,
    ttlSeconds: checkedTtl(ask, definition),
    options,
    start,
    confirmation: confirmationFor(ask, definition),
  };
}

type Wish = Pick<CredentialAsk, 'role' | 'reason' | 'ttlSeconds' | 'sealTo'> &
  Partial<Pick<CredentialAsk, 'dpopThumbprint' | 'certificate'>>;

function checkedTtl(ask: Wish, definition: RoleDefinition): number {
  refuseWithoutReason(ask, definition);
  const ttl = ask.ttlSeconds ?? definition.ttl_seconds_default;
  if (ttl > definition.ttl_seconds_max)
    throw new Refusal(
      'ttl_too_long',
      `The role ${ask.role} lasts at most ${definition.ttl_seconds_max} seconds: ask for that or less.`,
      { ttl_seconds_max: definition.ttl_seconds_max },
    );
  return ttl;
}

/** A start further away than this is another piece of work. */
const START_DAYS_MAX = 30;

/** When it shall begin: after now, while its task still runs. */
function checkedStart(ask: CredentialAsk, owner: TaskRow, now: string): string | null {
  if (ask.notBefore === null) return null;
  const start = fromMs(toMs(ask.notBefore));
  const last = earliest(addSeconds(now, START_DAYS_MAX * 86_400), owner.deadlineAt);
  if (start > now && start < last) return start;
  throw new Refusal(
    'start_refused',
    start > now
      ? `The start has to be before ${last}: the task ends then, or it is ${START_DAYS_MAX} days away.`
      : 'The start is over: leave out not_before to begin once people agree.',
    { not_before: start },
  );
}

/** What a role is asked for with, once read. */
interface Wanted {
  definition: RoleDefinition;
  ttlSeconds: number;
  options: JsonObject;
  /** From when on; null for at once. */
  start: string | null;
  confirmation: Confirmation | null;
}

/** Whoever delegated a task said which roles may be asked for under it. */
export function refuseUndelegated({ roles }: TaskRow, role: string): void {
  if (roles !== null && !roles.includes(role))
    throw new Refusal(
      'delegation_refused',
      `This task was delegated with ${roles.length === 0 ? 'no role' : `the roles ${roles.join(', ')}`} and no other.`,
    );
}

/** What the token is bound to: part of what is approved, so that nobody else can be given it. */
function confirmationFor(
  { role, sealTo, dpopThumbprint = null, certificate = null }: Wish,
  definition: RoleDefinition,
): Confirmation | null {
  const isToken = definition.issuer === 'jwt';
  if (!isToken && dpopThumbprint !== null)
    throw new Refusal(
      'invalid_request',
      `The role ${role} gives no token, so nothing can be bound to a key: leave out dpop_jkt.`,
    );
  if (!isToken) return null;
  switch (definition.binding) {
    case 'mtls':
      if (certificate === null)
        throw new Refusal(
          'binding_required',
          `The role ${role} is bound to a certificate: ask for it over TLS with yours.`,
        );
      return { 'x5t#S256': certificate };
    case 'dpop':
      return { jkt: dpopThumbprint ?? sealTo.thumbprint };
    case 'none':
      return dpopThumbprint === null ? null : { jkt: dpopThumbprint };
  }
}

/** What an agent does by asking for a role, as policy is asked about it. */
export function credentialAction(
  owner: TaskRow,
  ask: Pick<CredentialAsk, 'role' | 'reason'>,
  { definition, ttlSeconds, options, start, confirmation }: Wanted,
): Action {
  return {
    ...askedUnder(owner, ask.reason),
    action: 'credential:request',
    resource: { type: 'role', id: ask.role },
    parameters: {
      ttl_seconds: ttlSeconds,
      ...(definition.renew_seconds_max !== undefined && {
        renew_seconds_max: definition.renew_seconds_max,
      }),
      ...(start !== null && { not_before: start }),
      ...(Object.keys(options).length > 0 && { options }),
      ...(confirmation && { confirmation: { ...confirmation } }),
    },
    data_class: definition.data_class,
    destination: accessOf(definition).destination(definition),
  };
}

/** Who asks for something under a task, on whose behalf, and what for. */
export function askedUnder(
  owner: TaskRow,
  reason: string | null,
): Pick<Action, 'subject' | 'actor_chain' | 'context'> {
  const actorChain = partiesOf(owner.chain);
  return {
    // On whose behalf it is: the last of the chain, which is the agent itself where nothing was delegated.
    subject: actorChain.at(-1) ?? { type: 'agent', id: owner.agent },
    actor_chain: actorChain,
    context: {
      task: owner.id,
      ...(owner.parent !== null && { parent: owner.parent }),
      purpose: owner.purpose,
      triggered_by: owner.triggeredBy,
      triggered_by_proof: owner.triggeredByProof,
      reason,
    },
  };
}

/** Links a request to the lease that carries it out. */
export async function linkCredential(
  unit: Unit,
  id: Id<'request'>,
  lease: Id<'credential'>,
): Promise<void> {
  await unit.sql.update(request).set({ credential: lease }).where(eq(request.id, id));
}

/** Gives a credential up before its time. Repeating it changes nothing. */
export async function revokeCredential(
  unit: Unit,
  id: string,
  because: 'revoked' | 'review',
  reason: string | null,
): Promise<CredentialRow> {
  await lockLease(unit, id);
  await revokeWhere(unit, and(eq(credential.id, asCredentialId(id))), because, reason);
  return lockLease(unit, id);
}

export async function findCredential(
  query: Query | Transaction,
  id: string,
): Promise<CredentialRow | null> {
  const [row] = await query
    .select()
    .from(credential)
    .where(eq(credential.id, asCredentialId(id)));
  return row ?? null;
}
