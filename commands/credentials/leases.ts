// Leases: written before their target is touched, active only once the outcome is known, over only when seen gone.
import { and, eq } from 'drizzle-orm';
import type { CredentialRow } from '../../db/rows.ts';
import { credential } from '../../db/schema/index.ts';
import type { Party } from '../../domain/action.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, latest, secondsBetween } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { accessOf, type RoleDefinition, type TargetDefinition } from '../access/kinds.ts';
import { aboutCredential, partiesOf, revokeWhere, targetWorkflow } from '../agents/tasks.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import type { Made } from './issue.ts';
import { takeStatusPlace } from './token-status.ts';

/** How long a target may take to make a login before it must refuse to. */
export const ISSUE_SECONDS = 30;

/**
 * The reaper of a target looks at least this often, so only a lease that ends sooner has to wake it:
 * a signal for every credential would cost more than the credential.
 */
const REAPER_LOOK_SECONDS = 20;

export interface LeaseInput {
  task: Id<'task'>;
  agent: Id<'agent'>;
  /** Whoever acts first, then each agent on whose behalf. */
  chain: Id<'agent'>[];
  confirmation: Confirmation | null;
  role: string;
  definition: RoleDefinition;
  /** Where it leads, as the policy has it now; null where that is our own, or makes no difference. */
  targetDefinition?: TargetDefinition | null;
  holder: CredentialRow['holder'];
  options: JsonObject;
  control: string | null;
  /** What policy said, where that was all it took; a request says it itself. */
  evaluation?: Id<'evaluation'> | null;
  request: Id<'request'> | null;
  permit: Id<'permit'> | null;
  /** The standing grant that it is given under, if that is what allows it. */
  grant?: Id<'grant'> | null;
  expiresAt: string;
  sealThumbprint: string;
}

/** Writes a lease that is about to be issued. The caller holds its task in place. */
export async function intendLease(unit: Unit, input: LeaseInput): Promise<CredentialRow> {
  const access = accessOf(input.definition);
  const leadsTo = input.targetDefinition ?? null;
  const issueBy = addSeconds(unit.at, ISSUE_SECONDS);
  const row: CredentialRow = {
    id: newId('credential'),
    task: input.task,
    agent: input.agent,
    chain: input.chain,
    confirmation: input.confirmation,
    role: input.role,
    issuer: input.definition.issuer,
    target: access.target(input.definition),
    options: input.options,
    revocable: access.revocable(input.definition, leadsTo),
    control: input.control,
    holder: input.holder,
    state: 'pending',
    permit: input.permit,
    request: input.request,
    grant: input.grant ?? null,
    issueAttempt: 1,
    issueBy,
    createdAt: unit.at,
    issuedAt: null,
    expiresAt: input.expiresAt,
    heldUntil: null,
    // Should this process die while it is made, that is how long it could be out there.
    diesAt: latest(
      input.expiresAt,
      addSeconds(issueBy, access.longestSeconds(input.definition, leadsTo)),
    ),
    handles: null,
    lastUsedAt: null,
    sealed: null,
    sealThumbprint: input.sealThumbprint,
    collectedAt: null,
    claimedAt: null,
    because: null,
    attempts: 0,
    nextTryAt: null,
    lastError: null,
    endedAt: null,
    fingerprints: [],
    leak: null,
    leakedAt: null,
    seenGone: null,
    renewBy: null,
  };
  await unit.sql.insert(credential).values(row);
  if (input.definition.issuer === 'jwt')
    await takeStatusPlace(unit, {
      jti: row.id,
      credential: row.id,
      agents: row.chain,
      standing: null,
      task: row.task,
      expiresAt: row.expiresAt,
    });
  emitIntended(unit, row, input.evaluation ?? null);
  if (row.expiresAt < addSeconds(unit.at, REAPER_LOOK_SECONDS))
    unit.wake('target', targetWorkflow(row.target));
  return row;
}

/** Who is behind a lease that was asked for on behalf of others: whoever acts now, and the whole chain. */
function actingFor(unit: Unit, { chain }: CredentialRow): { actor_chain?: Party[] } {
  if (chain.length < 2) return {};
  const { principal } = unit.call;
  const now = principal.kind === 'agent' ? [] : [partyOf(principal)];
  return { actor_chain: [...now, ...partiesOf(chain)] };
}

function emitIntended(
  unit: Unit,
  row: CredentialRow,
  evaluation: Id<'evaluation'> | null = null,
): void {
  unit.emit('credential.intended', {
    ...aboutCredential(row),
    ...actingFor(unit, row),
    detail: {
      credential: row.id,
      evaluation,
      role: row.role,
      issuer: row.issuer,
      target: row.target,
      permit: row.permit,
      expires_at: row.expiresAt,
      issue_by: row.issueBy,
      attempt: row.issueAttempt,
    },
    private: {},
  });
}

/**
 * Takes over a pending lease whose issuer was not heard of again. The earlier attempt can no longer make it
 * active; the login, if it was made, gets new material.
 */
export async function retakeLease(unit: Unit, id: Id<'credential'>): Promise<CredentialRow | null> {
  const before = await lockLease(unit, id);
  if (before.state !== 'pending') return null;
  const change = {
    issueAttempt: before.issueAttempt + 1,
    ...bounds(before, addSeconds(await unit.readClock(), ISSUE_SECONDS)),
  };
  await unit.sql.update(credential).set(change).where(eq(credential.id, id));
  const row = { ...before, ...change };
  emitIntended(unit, row);
  return row;
}

/** Made so much later, what a lost attempt made can live on for so much longer. */
const bounds = (
  before: CredentialRow,
  issueBy: string,
): Pick<CredentialRow, 'issueBy' | 'diesAt'> => ({
  issueBy,
  diesAt: latest(before.diesAt, addSeconds(before.diesAt, secondsBetween(before.issueBy, issueBy))),
});

/**
 * Takes the material of an active lease away, so that it can be made anew for another key. Until that is done
 * nobody holds any: the login at the target has a password that no one was ever given.
 */
export async function reissueLease(
  unit: Unit,
  before: CredentialRow,
  sealThumbprint: string,
): Promise<CredentialRow> {
  const change = {
    sealed: null,
    sealThumbprint,
    issueAttempt: before.issueAttempt + 1,
    ...bounds(before, addSeconds(unit.at, ISSUE_SECONDS)),
  };
  await unit.sql.update(credential).set(change).where(eq(credential.id, before.id));
  const row = { ...before, ...change };
  emitIntended(unit, row);
  return row;
}

export async function lockLease(unit: Unit, id: string): Promise<CredentialRow> {
  const [row] = await unit.sql
    .select()
    .from(credential)
    .where(eq(credential.id, asCredentialId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such credential.');
  return row;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asCredentialId = (id: string): Id<'credential'> => id as Id<'credential'>;

/** Compare and set: pending, by this attempt, becomes active. Null means the lease was lost meanwhile. */
export async function activateLease(
  unit: Unit,
  lease: CredentialRow,
  made: Made,
): Promise<CredentialRow | null> {
  const [row] = await unit.sql
    .update(credential)
    .set({ state: 'active', issuedAt: unit.at, heldUntil: lease.expiresAt, ...made })
    .where(
      and(
        eq(credential.id, lease.id),
        eq(credential.state, 'pending'),
        eq(credential.issueAttempt, lease.issueAttempt),
      ),
    )
    .returning();
  if (!row) return null;
  unit.emit('credential.issued', {
    ...aboutCredential(row),
    ...actingFor(unit, row),
    detail: {
      credential: row.id,
      role: row.role,
      issuer: row.issuer,
      target: row.target,
      permit: row.permit,
      expires_at: row.expiresAt,
      seal_thumbprint: row.sealThumbprint,
    },
    private: {},
  });
  // Of what we run ourselves, the receipt says what came of it.
  if (row.permit !== null && row.holder === 'agent')
    unit.emit('receipt.recorded', {
      ...aboutCredential(row),
      detail: { permit: row.permit, digest_matches: true, outcome: 'issued', effect: row.id },
      private: { result_digest: null },
    });
  unit.changed(row.request ?? row.id);
  return row;
}

/**
 * Gives a lease up whose issuing failed: its login may exist or not, so the reaper goes and looks. Where the target
 * said no to the only attempt there was, nothing is left that could live on for as long as the target would let it.
 */
export async function abandonLease(
  unit: Unit,
  lease: CredentialRow,
  isNothingMade = false,
): Promise<void> {
  if (isNothingMade && lease.issueAttempt === 1)
    await unit.sql
      .update(credential)
      .set({ diesAt: unit.at })
      .where(
        and(
          eq(credential.id, lease.id),
          eq(credential.state, 'pending'),
          eq(credential.issueAttempt, 1),
        ),
      );
  await revokeWhere(
    unit,
    and(
      eq(credential.id, lease.id),
      eq(credential.state, 'pending'),
      eq(credential.issueAttempt, lease.issueAttempt),
    ),
    'issue_abandoned',
    null,
  );
}
