// The state in which nothing new starts: set by the kill switch for everything, lifted only by people.
import { isNull, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import { stop } from '../../db/schema/index.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Unit } from '../unit.ts';

export type StopRow = typeof stop.$inferSelect;

/** The stop that is in force, if there is one. */
export async function liveStop(query: Query | Transaction): Promise<StopRow | null> {
  const [row] = await query.select().from(stop).where(isNull(stop.liftedAt));
  return row ?? null;
}

/** Refuses whatever would start something while everything is stopped. */
export async function refuseWhileStopped(query: Query | Transaction): Promise<void> {
  if (await liveStop(query))
    throw new Refusal(
      'stopped',
      'Everything was stopped by the kill switch, so nothing new starts: ask an administrator to have the stop lifted.',
    );
}

/**
 * The same for what brings an agent to life: whoever throws the switch meanwhile is waited for, or waits and then
 * finds the agent. Everything else an agent does holds its row, which the switch takes.
 */
export async function holdOffStop(unit: Unit): Promise<void> {
  await unit.sql.execute(sql`select pg_advisory_xact_lock_shared(hashtextextended('stop', 0))`);
  await refuseWhileStopped(unit.sql);
}

/** Waits until nobody is bringing an agent to life any more, and keeps it so until the transaction ends. */
export const takeStop = (unit: Unit): Promise<unknown> =>
  unit.sql.execute(sql`select pg_advisory_xact_lock(hashtextextended('stop', 0))`);
