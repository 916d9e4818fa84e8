// Orders to revoke many credentials at once: marked in one transaction, followed until the last is seen gone.
import { and, asc, count, eq, inArray, isNull, min, sql, type SQL } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { RevocationRow } from '../../db/rows.ts';
import {
  agent,
  credential,
  revocation,
  revocationLease,
  task,
  type RevocationScope,
  type RevokeCause,
} from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { credentialsOfChain } from '../agents/chains.ts';
import { revokeWhere } from '../agents/tasks.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

export interface RevocationOrder {
  by: RevocationScope;
  /** The one thing of that kind; null for everything. */
  of: string | null;
  because: Extract<RevokeCause, 'revoked' | 'kill'>;
  reason: string;
}

type Place = Pick<RevocationOrder, 'by' | 'of'>;

/** What an order is about. Ids that reach a query are only ever compared: another text finds nothing. */
function isUnder(query: Query | Transaction, { by, of }: Place): SQL | undefined {
  const name = of ?? '';
  switch (by) {
    case 'credential':
      return eq(credential.id, name as Id<'credential'>);
    case 'task':
      return eq(credential.task, name as Id<'task'>);
    case 'agent':
      return eq(credential.agent, name as Id<'agent'>);
    case 'chain':
      return credentialsOfChain(name as Id<'agent'>);
    case 'team':
      return inArray(
        credential.agent,
        query.select({ id: agent.id }).from(agent).where(eq(agent.team, name)),
      );
    case 'role':
      return eq(credential.role, name);
    case 'issuer':
      return eq(credential.issuer, name);
    case 'target':
      return eq(credential.target, name);
    case 'everything':
      return undefined;
  }
}

const aliveUnder = (query: Query | Transaction, place: Place): SQL | undefined =>
  and(isUnder(query, place), inArray(credential.state, [...ALIVE]));

/** A mistyped name revokes nothing, and in an emergency that has to be said. */
async function refuseUnknown(query: Query | Transaction, place: Place): Promise<void> {
  if (place.by === 'everything' || (await isKnown(query, place))) return;
  throw new Refusal(
    'not_found',
    `There is no ${place.by} of that name here, so nothing was revoked: check it and try again.`,
  );
}

async function isKnown(query: Query | Transaction, place: Place): Promise<boolean> {
  const name = place.of ?? '';
  switch (place.by) {
    case 'agent':
    case 'chain':
      return (await query.$count(agent, eq(agent.id, name as Id<'agent'>))) > 0;
    case 'team':
      return (await query.$count(agent, eq(agent.team, name))) > 0;
    case 'task':
      return (await query.$count(task, eq(task.id, name as Id<'task'>))) > 0;
    default:
      return (await query.$count(credential, isUnder(query, place))) > 0;
  }
}

/** What an order would end, as things stand: how many, and the first of them. */
export async function previewRevocation(
  query: Query | Transaction,
  place: Place,
): Promise<{ credentials: number; first: Id<'credential'>[] }> {
  await refuseUnknown(query, place);
  const first = await query
    .select({ id: credential.id })
    .from(credential)
    .where(aliveUnder(query, place))
    .orderBy(asc(credential.id))
    .limit(PREVIEWED);
  return {
    credentials: await query.$count(credential, aliveUnder(query, place)),
    first: first.map(({ id }) => id),
  };
}

/** Credentials that a preview names. */
const PREVIEWED = 100;

/** Sets everything under an order on its way out, and keeps what it found alive. */
export async function orderRevocation(unit: Unit, order: RevocationOrder): Promise<RevocationRow> {
  await refuseUnknown(unit.sql, order);
  const { by, of, because, reason } = order;
  await revokeWhere(unit, isUnder(unit.sql, order), because, reason);
  const orderedBy = partyOf(unit.call.principal);
  const row: RevocationRow = {
    id: newId('revocation'),
    by,
    of,
    because,
    reason,
    orderedBy,
    createdAt: await unit.readClock(),
    credentials: await unit.sql.$count(credential, aliveUnder(unit.sql, order)),
    doneAt: null,
  };
  await unit.sql.insert(revocation).values(row);
  await unit.sql.insert(revocationLease).select(
    unit.sql
      .select({
        revocation: sql<Id<'revocation'>>`${row.id}::text`.as('revocation'),
        credential: credential.id,
      })
      .from(credential)
      .where(aliveUnder(unit.sql, order)),
  );
  unit.emit('revocation.ordered', {
    subject: row.id,
    detail: {
      revocation: row.id,
      scope: by,
      because,
      credentials: row.credentials,
      by: { type: orderedBy.type, id: orderedBy.id },
    },
    private: { of, reason },
  });
  return row.credentials === 0 ? finish(unit, row) : row;
}

/** Ends the orders whose last credential was among these. */
export async function settleRevocations(
  unit: Unit,
  closed: readonly Id<'credential'>[],
): Promise<void> {
  // Held one after the other: of two who close the last two, the second sees that nothing is left.
  const open = await unit.sql
    .select()
    .from(revocation)
    .where(
      and(
        isNull(revocation.doneAt),
        inArray(
          revocation.id,
          unit.sql
            .select({ id: revocationLease.revocation })
            .from(revocationLease)
            .where(inArray(revocationLease.credential, [...closed])),
        ),
      ),
    )
    .orderBy(asc(revocation.id))
    .for('update');
  for (const row of open) {
    const { alive } = await progressOf(unit.sql, row.id);
    if (alive === 0) await finish(unit, row);
    else unit.changed(row.id);
  }
}

async function finish(unit: Unit, row: RevocationRow): Promise<RevocationRow> {
  const doneAt = unit.at;
  await unit.sql.update(revocation).set({ doneAt }).where(eq(revocation.id, row.id));
  const { notSeenGone } = await progressOf(unit.sql, row.id);
  unit.emit('revocation.done', {
    subject: row.id,
    detail: {
      revocation: row.id,
      credentials: row.credentials,
      not_seen_gone: notSeenGone,
      seconds: (Date.parse(doneAt) - Date.parse(row.createdAt)) / 1000,
    },
    private: {},
  });
  unit.changed(row.id);
  return { ...row, doneAt };
}

export interface RevocationProgress {
  alive: number;
  failing: number;
  /** When the oldest of what is alive was issued or asked for. */
  oldestAt: string | null;
  /** Over, and nobody saw it gone: given up by force, or in a target that cannot be asked. */
  notSeenGone: number;
}

/** How far an order has come. */
export async function progressOf(
  query: Query | Transaction,
  id: Id<'revocation'>,
): Promise<RevocationProgress> {
  const rows = await query
    .select({
      state: credential.state,
      seenGone: credential.seenGone,
      number: count(),
      oldest: min(credential.createdAt),
    })
    .from(revocationLease)
    .innerJoin(credential, eq(revocationLease.credential, credential.id))
    .where(eq(revocationLease.revocation, id))
    .groupBy(credential.state, credential.seenGone);
  const alive = rows.filter(({ state }) => ALIVE.includes(state));
  const sum = (some: typeof rows): number => some.reduce((total, { number }) => total + number, 0);
  return {
    alive: sum(alive),
    failing: sum(rows.filter(({ state }) => state === 'revoke_failed')),
    oldestAt: alive.flatMap(({ oldest }) => oldest ?? []).toSorted()[0] ?? null,
    notSeenGone: sum(rows.filter(({ seenGone }) => seenGone === false)),
  };
}

export async function findRevocation(
  query: Query | Transaction,
  id: string,
): Promise<RevocationRow | null> {
  const [row] = await query
    .select()
    .from(revocation)
    .where(eq(revocation.id, id as Id<'revocation'>));
  return row ?? null;
}
