// Where secrets were put, as the agents that hold them say: what sensors on a host should watch.
import { asc, count, eq, inArray } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { CredentialRow, PlacementRow } from '../../db/rows.ts';
import { placement } from '../../db/schema/index.ts';
import { isFinal } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { aboutCredential } from '../agents/tasks.ts';
import { newId, type Unit } from '../unit.ts';
import { lockLease } from './leases.ts';

export interface PlacementOrder {
  kind: PlacementRow['kind'];
  path: string;
  host: string | null;
}

/** A secret in more places than this is no secret. */
const PLACEMENTS_MAX = 50;

/** Notes where a live credential was put. */
export async function placeCredential(
  unit: Unit,
  id: CredentialRow['id'],
  order: PlacementOrder,
): Promise<PlacementRow> {
  const lease = await lockLease(unit, id);
  if (isFinal('credential', lease.state))
    throw new Refusal(
      'wrong_state',
      `This credential is ${lease.state}: places are told while it is active.`,
      { state: lease.state },
    );
  const [known] = await unit.sql
    .select({ number: count() })
    .from(placement)
    .where(eq(placement.credential, lease.id));
  if ((known?.number ?? 0) >= PLACEMENTS_MAX)
    throw new Refusal('wrong_state', `This credential is in ${PLACEMENTS_MAX} places already.`);
  const row: PlacementRow = { id: newId('placement'), credential: lease.id, ...order, at: unit.at };
  await unit.sql.insert(placement).values(row);
  unit.emit('credential.delivered', {
    ...aboutCredential(lease),
    detail: { credential: lease.id, delivery: row.id, kind: row.kind },
    private: { path: row.path, host: row.host },
  });
  return row;
}

/** Where each of these was put, the first place first. */
export const placementsAmong = (
  query: Query,
  ids: readonly CredentialRow['id'][],
): Promise<PlacementRow[]> =>
  query
    .select()
    .from(placement)
    .where(inArray(placement.credential, [...ids]))
    .orderBy(asc(placement.id));

export const placementsOf = (query: Query, id: CredentialRow['id']): Promise<PlacementRow[]> =>
  query.select().from(placement).where(eq(placement.credential, id)).orderBy(asc(placement.id));
