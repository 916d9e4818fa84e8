// Renewing a lease. Its row moves before its target does: whatever a crash leaves, nothing lives longer than its row says.
import { and, eq, lte } from 'drizzle-orm';
import type { CredentialRow, GrantRow, RequestRow, TaskRow } from '../../db/rows.ts';
import { credential, permit } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest, latest } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { accessOf, type RoleDefinition } from '../access/kinds.ts';
import { aboutCredential, lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import { effectiveAction } from '../approvals/narrow.ts';
import { standingUnder } from '../approvals/permits.ts';
import { findRequest, recordEvaluation } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { findGrant } from '../exceptions/grants.ts';
import { claimKey, hold, releaseKey, settleKey, type Answer, type OnceKey } from '../once.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { transact, type Call, type Unit } from '../unit.ts';
import { credentialAction, deniedBy, lockRunningTask, refuseUnlessReady } from './credentials.ts';
import { leaseToIssue, makeCredential, whyNotMade, type Made } from './issue.ts';
import { TargetError } from './issuer.ts';
import { ISSUE_SECONDS, lockLease } from './leases.ts';
import { keepStatusPlace } from './token-status.ts';

export interface RenewalAsk {
  credential: CredentialRow;
  agent: Id<'agent'>;
  ttlSeconds: number | null;
  /** The key that the credential was sealed to; needed where renewing makes it anew. */
  sealTo: PublicKey | null;
}

type Answering = (row: CredentialRow) => Answer;

type Plan =
  | { kind: 'answer'; answer: Answer }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'renew'; lease: CredentialRow; until: string; isFresh: boolean };

/** Lets a live credential end later, as far as its role, its task, its approval and today's policy allow. */
export async function renewCredential(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  ask: RenewalAsk,
  answer: Answering,
): Promise<Answer | Refusal> {
  const plan = await transact(deps, call, (unit) => planRenewal(unit, deps, once, ask, answer));
  if (plan.kind === 'answer') return plan.answer;
  if (plan.kind === 'refused') return plan.refusal;
  deps.crashPoint('renew:intended');
  let made: Partial<Made>;
  try {
    made = await renewAtTarget(deps, plan, ask);
  } catch (error) {
    await transact(deps, call, (unit) => failRenewal(unit, once, plan.lease, error));
    return whyNotMade(plan.lease, error);
  }
  deps.crashPoint('renew:made');
  const settled = await transact(deps, call, async (unit) => {
    const row = await finishRenewal(unit, plan, made);
    if (!row) return null;
    const settling = answer(row);
    await settleKey(unit, once, settling);
    return settling;
  });
  return settled ?? over('It was ended while it was being renewed');
}

async function renewAtTarget(
  deps: Deps,
  { lease, until, isFresh }: Plan & { kind: 'renew' },
  ask: RenewalAsk,
): Promise<Partial<Made>> {
  // Fenced by the target's clock, as issuing is.
  const fenced = { ...lease, expiresAt: until, issueBy: lease.renewBy ?? lease.issueBy };
  if (isFresh && ask.sealTo) return makeCredential(deps, fenced, ask.sealTo.jwk);
  const order = await leaseToIssue(deps, fenced);
  const issuer = deps.issuers[order.definition.issuer];
  if (!issuer.renew) throw new TargetError('not_renewable');
  await issuer.renew(order);
  return {};
}

async function planRenewal(
  unit: Unit,
  deps: Deps,
  once: OnceKey | null,
  ask: RenewalAsk,
  answer: Answering,
): Promise<Plan> {
  const earlier = await claimKey(unit, once);
  if (earlier.kind === 'answered') return { kind: 'answer', answer: earlier.answer };
  const agent = await lockActiveAgent(unit, ask.agent);
  const owner = await lockRunningTask(unit, ask.credential.task, agent.id);
  await lockActiveChain(unit, owner.chain.slice(1));
  await refuseUnlessReady(unit, owner);
  const row = await lockLease(unit, ask.credential.id);
  const now = await unit.readClock();
  refuseUnlessLive(row, now, earlier.kind === 'begun');
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const definition = definitionOf(bundle, row);
  const isFresh = waysOf(definition) === 'fresh';
  refuseOtherKey(row, ask, isFresh);
  const until = await wantedEnd(unit, { row, owner, definition, ask, now });
  if (until <= heldUntil(row)) {
    const settled = answer(row);
    await settleKey(unit, once, settled);
    return { kind: 'answer', answer: settled };
  }
  const refusal = await judge(unit, deps, bundle, { owner, row, definition, until });
  if (refusal) {
    await releaseKey(unit, once);
    return { kind: 'refused', refusal };
  }
  await hold(unit, once, row.id);
  return {
    kind: 'renew',
    lease: await intendRenewal(unit, row, longestSeconds(bundle, definition), until),
    until,
    isFresh,
  };
}

/** What a renewal can gain on: after one that failed, the target is behind the row. */
const heldUntil = (row: CredentialRow): string => row.heldUntil ?? row.expiresAt;

const over = (what: string): Refusal =>
  new Refusal('wrong_state', `${what}: ask for a new credential.`);

function refuseUnlessLive(row: CredentialRow, now: string, isRepeated: boolean): void {
  // It was made for one statement or one call, and nobody was ever given it: nor is what would be made anew.
  if (row.holder !== 'agent')
    throw new Refusal(
      'not_renewable',
      'This is ours, for one run, and is given to nobody: there is nothing to renew.',
    );
  if (row.state !== 'active' || !(now < row.expiresAt))
    throw over(`This credential is ${row.state === 'active' ? 'over' : row.state}`);
  if (row.renewBy !== null && now < row.renewBy && !isRepeated)
    throw new Refusal(
      'wrong_state',
      'This credential is just being renewed: try again in a few seconds.',
    );
}

/** The role as policy defines it now, if that is still the role that was given. */
function definitionOf(bundle: PolicyBundle, row: CredentialRow): RoleDefinition {
  const definition = bundle.roles.get(row.role);
  if (definition?.issuer === row.issuer && accessOf(definition).target(definition) === row.target)
    return definition;
  throw new Refusal(
    'policy_changed',
    'The policy no longer defines this role as it was given: ask for a new credential.',
  );
}

function waysOf(definition: RoleDefinition): 'extended' | 'fresh' {
  const { renewal } = accessOf(definition);
  if (renewal) return renewal;
  throw new Refusal(
    'not_renewable',
    'What this role gives cannot be renewed: ask for a new credential before it ends.',
  );
}

/** What is made anew goes to whoever got it first, and to nobody else. */
function refuseOtherKey(row: CredentialRow, { sealTo }: RenewalAsk, isFresh: boolean): void {
  if (sealTo === null ? isFresh : sealTo.thumbprint !== row.sealThumbprint)
    throw new Refusal(
      'seal_key_invalid',
      'Send as seal_to the key that this credential was sealed to: a renewal never goes to another.',
    );
}

interface End {
  row: CredentialRow;
  owner: TaskRow;
  definition: RoleDefinition;
  ask: RenewalAsk;
  now: string;
}

/** When it would end: as late as was asked, and no later than anything that it hangs off (I3). */
async function wantedEnd(unit: Unit, { row, owner, definition, ask, now }: End): Promise<string> {
  const ttl = ask.ttlSeconds ?? definition.ttl_seconds_default;
  if (ttl > definition.ttl_seconds_max)
    throw new Refusal(
      'ttl_too_long',
      `The role ${row.role} lasts at most ${definition.ttl_seconds_max} seconds at a time: ask for that or less.`,
      { ttl_seconds_max: definition.ttl_seconds_max },
    );
  const role = definition.renew_seconds_max ?? definition.ttl_seconds_max;
  const last = earliest(
    addSeconds(row.createdAt, role),
    owner.deadlineAt,
    ...(await boundsOfApproval(unit, row)),
  );
  if (last <= heldUntil(row))
    throw new Refusal(
      'renewal_capped',
      'This credential already lasts as long as its role, its task and its approval let it: ask for a new one.',
      { renewable_until: last },
    );
  return earliest(addSeconds(now, ttl), last);
}

/** What people agreed to: how long, counted from when it was given, and until when. */
async function boundsOfApproval(unit: Unit, row: CredentialRow): Promise<string[]> {
  if (row.grant !== null) return boundsOfGrant(unit, row, row.grant);
  if (row.request === null) return [];
  const approved = await findRequest(unit.sql, row.request);
  const [held] = await unit.sql.select().from(permit).where(eq(permit.request, row.request));
  if (!approved || !held) throw new Error(`the credential ${row.id} has lost its approval`);
  const { ttl_seconds: ttl, renew_seconds_max: most } = effectiveAction(approved).parameters;
  return [held.expiresAt, addSeconds(row.createdAt, Number(most ?? ttl))];
}

/** The end of the grant it came from, and how long one credential of it may last. */
async function boundsOfGrant(unit: Unit, row: CredentialRow, id: Id<'grant'>): Promise<string[]> {
  const { grant, request } = await approvedGrant(unit, id);
  const { ttl_seconds: ttl, renew_seconds_max: most } = effectiveAction(request).parameters;
  return [grant.expiresAt, addSeconds(row.createdAt, Number(most ?? ttl))];
}

async function approvedGrant(
  unit: Unit,
  id: Id<'grant'>,
): Promise<{ grant: GrantRow; request: RequestRow }> {
  const grant = await findGrant(unit.sql, id);
  const request = grant && (await findRequest(unit.sql, grant.request));
  if (!request) throw new Error(`the grant ${id} has lost its approval`);
  return { grant, request };
}

interface Renewing {
  owner: TaskRow;
  row: CredentialRow;
  definition: RoleDefinition;
  until: string;
}

/** Today's policy on what was given, for as long as it would then have lasted in all. */
async function judge(
  unit: Unit,
  deps: Deps,
  bundle: PolicyBundle,
  { owner, row, definition, until }: Renewing,
): Promise<Refusal | null> {
  if (row.grant !== null) {
    const { grant, request } = await approvedGrant(unit, row.grant);
    const isOpen = grant.state === 'live' || grant.state === 'spent';
    const standing = isOpen ? await standingUnder(unit, deps, bundle, request) : 'changed';
    if (standing === 'unseen') return unseen();
    return standing === 'good' ? null : changed();
  }
  if (row.request !== null) {
    const approved = await findRequest(unit.sql, row.request);
    const standing = approved && (await standingUnder(unit, deps, bundle, approved));
    if (standing === 'unseen') return unseen();
    return standing === 'good' ? null : changed();
  }
  const lasted = Date.parse(until) - Date.parse(row.createdAt);
  const { options, confirmation } = row;
  const action = credentialAction(
    owner,
    { role: row.role, reason: null },
    { definition, ttlSeconds: Math.ceil(lasted / 1000), options, start: null, confirmation },
  );
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny') return deniedBy(judged);
  return evaluation.decision === 'hold' ? changed() : null;
}

const changed = (): Refusal =>
  new Refusal(
    'policy_changed',
    'The policy changed since this was given, so it is not renewed: ask for a new credential.',
  );

const unseen = (): Refusal =>
  new Refusal(
    'sensor_silent',
    'Nobody independent sees its target now, so it is not renewed: try again once its observer is alive.',
  );

const longestSeconds = (bundle: PolicyBundle, definition: RoleDefinition): number =>
  accessOf(definition).longestSeconds(
    definition,
    bundle.targets.get(accessOf(definition).target(definition)) ?? null,
  );

async function intendRenewal(
  unit: Unit,
  before: CredentialRow,
  longest: number,
  until: string,
): Promise<CredentialRow> {
  // What was said once is never taken back.
  const expiresAt = latest(before.expiresAt, until);
  const renewBy = addSeconds(unit.at, ISSUE_SECONDS);
  const change = {
    expiresAt,
    renewBy,
    diesAt: latest(before.diesAt, expiresAt, addSeconds(renewBy, longest)),
  };
  await unit.sql.update(credential).set(change).where(eq(credential.id, before.id));
  await keepStatusPlace(unit, before.id, expiresAt);
  unit.emit('credential.renew_intended', {
    ...aboutCredential(before),
    detail: { credential: before.id, expires_at: expiresAt, replaces: before.expiresAt },
    private: {},
  });
  unit.changed(before.id);
  return { ...before, ...change };
}

/** Null when the lease was ended meanwhile: what its target moved is ended with it. */
async function finishRenewal(
  unit: Unit,
  { lease, until, isFresh }: Plan & { kind: 'renew' },
  made: Partial<Made>,
): Promise<CredentialRow | null> {
  const [row] = await unit.sql
    .update(credential)
    .set({ ...made, renewBy: null, heldUntil: until })
    .where(and(eq(credential.id, lease.id), eq(credential.state, 'active')))
    .returning();
  if (!row) return null;
  unit.emit('credential.renewed', {
    ...aboutCredential(row),
    detail: { credential: row.id, expires_at: row.expiresAt, fresh: isFresh },
    private: {},
  });
  unit.changed(row.id);
  return row;
}

/** The row stays as it is: it says no less than the target, where the login then ends when it would have. */
async function failRenewal(
  unit: Unit,
  once: OnceKey | null,
  lease: CredentialRow,
  error: unknown,
): Promise<void> {
  await releaseKey(unit, once);
  await unit.sql.update(credential).set({ renewBy: null }).where(eq(credential.id, lease.id));
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreachable';
  emitFailed(unit, lease, code);
}

function emitFailed(unit: Unit, lease: CredentialRow, code: string): void {
  unit.emit('credential.renew_failed', {
    ...aboutCredential(lease),
    detail: { credential: lease.id, code },
    private: {},
  });
}

/** Says of renewals that were never heard of again that they were not finished. */
export async function closeInterruptedRenewals(unit: Unit, target: string): Promise<void> {
  const rows = await unit.sql
    .update(credential)
    .set({ renewBy: null })
    .where(and(eq(credential.target, target), lte(credential.renewBy, unit.at)))
    .returning();
  for (const row of rows) emitFailed(unit, row, 'interrupted');
}
