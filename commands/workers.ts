// Workers, as the database last heard of them.
import { lt } from 'drizzle-orm';
import type { Query, Transaction } from '../db/client.ts';
import { worker } from '../db/schema/index.ts';
import { addSeconds } from '../domain/instant.ts';
import type { Unit } from './unit.ts';

/** Without a worker nothing would be revoked, so nothing is issued either. */
export const WORKER_SILENCE_MAX_SECONDS = 60;

export async function isWorkerAlive(query: Query | Transaction, now: string): Promise<boolean> {
  const since = addSeconds(now, -WORKER_SILENCE_MAX_SECONDS);
  const rows = await query.select().from(worker);
  return rows.some((row) => row.seenAt > since);
}

export async function recordHeartbeat(unit: Unit, id: string): Promise<void> {
  await unit.sql
    .insert(worker)
    .values({ id, seenAt: unit.at })
    .onConflictDoUpdate({ target: worker.id, set: { seenAt: unit.at } });
  const old = addSeconds(unit.at, -3600);
  await unit.sql.delete(worker).where(lt(worker.seenAt, old));
}
