// Leases: written before their target is touched, active only once the outcome is known, over only when seen gone.
import { and, asc, eq, inArray, lte, or, sql } from 'drizzle-orm';
import type { CredentialRow } from '../db/rows.ts';
import { credential, task } from '../db/schema/index.ts';
import type { Party } from '../domain/action.ts';
import type { Confirmation } from '../domain/delegation.ts';
import type { Id } from '../domain/id.ts';
import type { JsonObject } from '../domain/json.ts';
import { ALIVE } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { accessOf, type RoleDefinition } from './access/kinds.ts';
import type { Made } from './issue.ts';
import { closeLeaksOf } from './leak-end.ts';
import { partyOf } from './principal.ts';
import { aboutCredential, partiesOf, revokeWhere, targetWorkflow } from './tasks.ts';
import { takeStatusPlace } from './token-status.ts';
import { newId, type Unit } from './unit.ts';

/** How long a target may take to make a login before it must refuse to. */
const ISSUE_SECONDS = 30;

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
  holder: CredentialRow['holder'];
  options: JsonObject;
  control: string | null;
  request: Id<'request'> | null;
  permit: Id<'permit'> | null;
  expiresAt: string;
  sealThumbprint: string;
}

const latest = (...times: string[]): string => times.toSorted().at(-1) ?? '';

const later = (at: string, seconds: number): string =>
  new Date(Date.parse(at) + seconds * 1000).toISOString();

/** Writes a lease that is about to be issued. The caller holds its task in place. */
export async function intendLease(unit: Unit, input: LeaseInput): Promise<CredentialRow> {
  const access = accessOf(input.definition);
  const issueBy = later(unit.at, ISSUE_SECONDS);
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
    revocable: access.revocable(input.definition),
    control: input.control,
    holder: input.holder,
    state: 'pending',
    permit: input.permit,
    request: input.request,
    issueAttempt: 1,
    issueBy,
    createdAt: unit.at,
    issuedAt: null,
    expiresAt: input.expiresAt,
    // Should this process die while it is made, that is how long it could be out there.
    diesAt: latest(input.expiresAt, later(issueBy, access.longestSeconds(input.definition))),
    handles: null,
    lastUsedAt: null,
    sealed: null,
    sealThumbprint: input.sealThumbprint,
    collectedAt: null,
    because: null,
    attempts: 0,
    nextTryAt: null,
    lastError: null,
    endedAt: null,
    fingerprints: [],
    leak: null,
    leakedAt: null,
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
  emitIntended(unit, row);
  if (row.expiresAt < later(unit.at, REAPER_LOOK_SECONDS))
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

function emitIntended(unit: Unit, row: CredentialRow): void {
  unit.emit('credential.intended', {
    ...aboutCredential(row),
    ...actingFor(unit, row),
    detail: {
      credential: row.id,
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
    issueBy: later(await unit.readClock(), ISSUE_SECONDS),
  };
  await unit.sql.update(credential).set(change).where(eq(credential.id, id));
  const row = { ...before, ...change };
  emitIntended(unit, row);
  return row;
}

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
    issueBy: later(unit.at, ISSUE_SECONDS),
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
    .set({ state: 'active', issuedAt: unit.at, ...made })
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
      private: {},
    });
  unit.changed(row.request ?? row.id);
  return row;
}

/** Gives a lease up whose issuing failed: its login may exist or not, so the reaper goes and looks. */
export async function abandonLease(unit: Unit, lease: CredentialRow): Promise<void> {
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

/** Leases of a target that the reaper has something to do about, oldest first. */
export async function dueLeases(
  unit: Unit,
  target: string,
  limit: number,
): Promise<CredentialRow[]> {
  return unit.sql
    .select()
    .from(credential)
    .where(
      and(
        eq(credential.target, target),
        or(
          and(
            inArray(credential.state, ['revoking', 'revoke_failed']),
            lte(credential.nextTryAt, unit.at),
          ),
          and(eq(credential.state, 'active'), lte(credential.expiresAt, unit.at)),
          and(eq(credential.state, 'pending'), lte(credential.issueBy, unit.at)),
        ),
      ),
    )
    .orderBy(asc(credential.expiresAt), asc(credential.id))
    .limit(limit);
}

/** Marks what ran out, so that every lease that is being ended says so before its target is touched. */
export async function beginReaping(unit: Unit, due: readonly CredentialRow[]): Promise<void> {
  const ids = (state: CredentialRow['state']): Id<'credential'>[] =>
    due.filter((row) => row.state === state).map((row) => row.id);
  const stillDue = (state: 'active' | 'pending') =>
    and(
      inArray(credential.id, ids(state)),
      lte(state === 'active' ? credential.expiresAt : credential.issueBy, unit.at),
    );
  if (ids('active').length > 0) await revokeWhere(unit, stillDue('active'), 'ttl', null);
  if (ids('pending').length > 0)
    await revokeWhere(unit, stillDue('pending'), 'issue_abandoned', null);
}

const FINAL_STATE = { ttl: 'expired', issue_abandoned: 'abandoned' } as const;

/**
 * Closes a lease that was just seen gone in its target, or whose target cannot be asked and never forgets: that is
 * said, and not taken for the same.
 */
export async function closeLease(
  unit: Unit,
  id: Id<'credential'>,
  { sessionsEnded, seenGone }: { sessionsEnded: number; seenGone: boolean },
): Promise<void> {
  const row = await lockLease(unit, id);
  if (row.state !== 'revoking' && row.state !== 'revoke_failed') return;
  const because = row.because ?? 'revoked';
  const state =
    because === 'ttl' || because === 'issue_abandoned' ? FINAL_STATE[because] : 'revoked';
  const attempts = row.attempts + 1;
  await unit.sql
    .update(credential)
    .set({
      state,
      attempts,
      endedAt: unit.at,
      nextTryAt: null,
      lastError: null,
      sealed: null,
      handles: null,
    })
    .where(eq(credential.id, id));
  const about = { ...aboutCredential(row), cause: because };
  if (state === 'abandoned')
    unit.emit('credential.abandoned', {
      ...about,
      detail: { credential: id, seen_gone: seenGone },
      private: {},
    });
  else
    unit.emit('credential.revoked', {
      ...about,
      detail: {
        credential: id,
        because,
        seen_gone: seenGone,
        sessions_ended: sessionsEnded,
        attempts,
      },
      private: {},
    });
  unit.changed(id);
  if (row.leak !== null) await closeLeaksOf(unit, id);
  await wakeOwners(unit, row);
}

async function wakeOwners(unit: Unit, row: CredentialRow): Promise<void> {
  const [owner] = await unit.sql
    .select({ state: task.state })
    .from(task)
    .where(eq(task.id, row.task));
  if (owner?.state === 'ending') unit.wake('task', row.task, row.agent);
  unit.wake('agent', row.agent, row.agent);
  unit.changed(row.agent);
}

/** Backoff between attempts to revoke: from two seconds, doubling, never more than five minutes. */
const retryDelaySeconds = (attempts: number): number => Math.min(300, 2 ** Math.min(attempts, 9));

/** Notes a revocation that did not work. It stays visible and is tried again, for ever. */
export async function failLease(
  unit: Unit,
  id: Id<'credential'>,
  code: string,
  tryAt: string | null = null,
): Promise<void> {
  const row = await lockLease(unit, id);
  if (row.state !== 'revoking' && row.state !== 'revoke_failed') return;
  const attempts = row.attempts + 1;
  const nextTryAt = latest(later(unit.at, retryDelaySeconds(attempts)), tryAt ?? unit.at);
  await unit.sql
    .update(credential)
    .set({ state: 'revoke_failed', attempts, nextTryAt, lastError: code })
    .where(eq(credential.id, id));
  unit.emit('credential.revoke_failed', {
    ...aboutCredential(row),
    cause: row.because,
    detail: { credential: id, attempts, next_try_at: nextTryAt, code },
    private: {},
  });
  unit.changed(id);
}

/** When the reaper of a target next has something to do, or null. */
export async function nextDueAt(unit: Unit, target: string): Promise<string | null> {
  const rows = await unit.sql.execute<{ at: string | null }>(sql`
    select min(case
      when state in ('revoking', 'revoke_failed') then next_try_at
      when state = 'active' then expires_at
      else issue_by end)::text as at
    from credential where target = ${target} and ${inArray(credential.state, [...ALIVE])}`);
  const at = rows[0]?.at ?? null;
  return at === null ? null : new Date(at).toISOString();
}

/** Which of these logins, found in a target, no lease accounts for. */
export async function orphansAmong(
  unit: Unit,
  target: string,
  found: readonly Id<'credential'>[],
): Promise<Id<'credential'>[]> {
  if (found.length === 0) return [];
  const rows = await unit.sql
    .select({ id: credential.id })
    .from(credential)
    .where(
      and(
        eq(credential.target, target),
        inArray(credential.id, [...found]),
        inArray(credential.state, [...ALIVE]),
      ),
    );
  const known = new Set<string>(rows.map((row) => row.id));
  return found.filter((id) => !known.has(id));
}
