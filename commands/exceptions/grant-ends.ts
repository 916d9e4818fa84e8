// How standing grants end: by the clock, by anybody who may stop them, or because what they rested on is gone. What
// came from a grant never outlives it.
import { and, asc, eq, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { GrantRow } from '../../db/rows.ts';
import { credential, standingGrant } from '../../db/schema/index.ts';
import { warnAt } from '../../domain/grant.ts';
import type { Id } from '../../domain/id.ts';
import { canMove, type GrantState } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { revokeWhere } from '../agents/tasks.ts';
import { standingUnder } from '../approvals/permits.ts';
import { aboutRequest, findRequest, votesOn } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { asGrantId } from './grants.ts';

/** Grants that still matter: live ones, and spent ones whose credentials may be alive. */
const OPEN = ['live', 'spent'] as const;

type Because = 'time' | 'revoked' | 'agent_suspended' | 'owner_changed' | 'policy_changed';

/** Takes a grant back, and with it everything that came from it. Repeating it changes nothing. */
export async function revokeGrant(
  unit: Unit,
  id: string,
  reason: string | null,
): Promise<GrantRow> {
  const row = await lockGrant(unit, id);
  if (!canMove('grant', row.state, 'revoked')) return row;
  return endGrant(unit, row, 'revoked', 'revoked', reason);
}

/** Voids what an agent may use without asking: it stopped, or somebody else answers for it. */
export async function voidGrantsOf(
  unit: Unit,
  agent: Id<'agent'>,
  because: 'agent_suspended' | 'owner_changed',
): Promise<void> {
  for (const row of await lockOpen(unit, eq(standingGrant.agent, agent)))
    await endGrant(unit, row, 'voided', because, null);
}

/** Voids grants that people agreed to under rules which another policy no longer has. */
export async function voidGrantsUnder(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  bundle: PolicyBundle,
): Promise<void> {
  for (const row of await lockOpen(unit, undefined)) {
    const request = await findRequest(unit.sql, row.request);
    // While nobody sees its target it is not used, and it is good again once somebody does.
    if (request && (await standingUnder(unit, deps, bundle, request)) !== 'changed') continue;
    await endGrant(unit, row, 'voided', 'policy_changed', null);
  }
}

/** Does for the grants of an agent what is due by now. Repeating it changes nothing. */
export async function careForGrants(unit: Unit, agent: Id<'agent'>): Promise<void> {
  for (const row of await lockOpen(unit, eq(standingGrant.agent, agent))) {
    if (!(unit.at < row.expiresAt)) await endGrant(unit, row, 'expired', 'time', null);
    else if (isWarningDue(row, unit.at)) await noteWarned(unit, row);
  }
}

/** Grants of an agent whose approvers have to be told now that they are about to end. */
export const grantsToWarn = async (
  query: Query | Transaction,
  agent: Id<'agent'>,
  now: string,
): Promise<GrantRow[]> =>
  (await openGrantsOf(query, agent)).filter((row) => isWarningDue(row, now));

const isWarningDue = (row: GrantRow, now: string): boolean =>
  row.state === 'live' && row.warnedAt === null && warnAt(row) <= now && now < row.expiresAt;

/** When something is next due for the grants of an agent. */
export async function grantTimesOf(query: Query, agent: Id<'agent'>): Promise<string[]> {
  return (await openGrantsOf(query, agent)).map((row) =>
    row.state === 'live' && row.warnedAt === null ? warnAt(row) : row.expiresAt,
  );
}

const openGrantsOf = (query: Query | Transaction, agent: Id<'agent'>): Promise<GrantRow[]> =>
  query
    .select()
    .from(standingGrant)
    .where(and(eq(standingGrant.agent, agent), inArray(standingGrant.state, [...OPEN])));

async function lockOpen(unit: Unit, which: ReturnType<typeof eq> | undefined): Promise<GrantRow[]> {
  const rows = await unit.sql
    .select()
    .from(standingGrant)
    .where(and(which, inArray(standingGrant.state, [...OPEN])))
    .orderBy(asc(standingGrant.id))
    .for('update');
  await unit.readClock();
  return rows;
}

async function lockGrant(unit: Unit, id: string): Promise<GrantRow> {
  const [row] = await unit.sql
    .select()
    .from(standingGrant)
    .where(eq(standingGrant.id, asGrantId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such grant.');
  await unit.readClock();
  return row;
}

async function endGrant(
  unit: Unit,
  row: GrantRow,
  state: GrantState,
  because: Because,
  reason: string | null,
): Promise<GrantRow> {
  if (!canMove('grant', row.state, state))
    throw new Error(`a grant cannot go from ${row.state} to ${state}`);
  const change = { state, because, endedAt: unit.at };
  await unit.sql.update(standingGrant).set(change).where(eq(standingGrant.id, row.id));
  // By the clock, its credentials end when it does: none was given for longer.
  const revoked =
    because === 'time'
      ? []
      : await revokeWhere(unit, eq(credential.grant, row.id), 'approval_ended', reason);
  const request = await findRequest(unit.sql, row.request);
  if (!request) throw new Error(`the grant ${row.id} has lost its approval`);
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('grant.ended', {
    ...aboutRequest(request),
    subject: row.id,
    cause: because,
    detail: {
      grant: row.id,
      state,
      because,
      used: row.used,
      credentials: revoked.length,
      by: { type, id },
    },
    private: { reason },
  });
  unit.wake('agent', row.agent, row.agent);
  unit.changed(row.id);
  return { ...row, ...change };
}

async function noteWarned(unit: Unit, row: GrantRow): Promise<void> {
  await unit.sql
    .update(standingGrant)
    .set({ warnedAt: unit.at })
    .where(eq(standingGrant.id, row.id));
  const request = await findRequest(unit.sql, row.request);
  if (!request) throw new Error(`the grant ${row.id} has lost its approval`);
  const votes = await votesOn(unit.sql, request.id);
  unit.emit('grant.expiring', {
    ...aboutRequest(request),
    subject: row.id,
    detail: {
      grant: row.id,
      expires_at: row.expiresAt,
      uses_left: row.uses - row.used,
      approvers: votes.filter(({ decision }) => decision === 'approve').map(({ person }) => person),
    },
    private: {},
  });
}
