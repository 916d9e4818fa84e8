// Whether the log takes events. Where it does not, nothing sensitive happens (I6).
import { sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import { Refusal } from '../../domain/refusal.ts';

/** An event that waited this long for its index means that nobody is numbering them. */
export const PENDING_MAX_SECONDS = 30;

/** Seconds the oldest event has waited for its place in the log; 0 when none waits. */
export async function pendingAgeSeconds(query: Query | Transaction): Promise<number> {
  const [row] = await query.execute<{ age: string | null }>(
    sql`select extract(epoch from clock_timestamp() - min(at))::text as age from log_pending`,
  );
  return row?.age ? Math.max(0, Number(row.age)) : 0;
}

/** Whether what happens now will be in the log soon. */
export async function isLogTaking(query: Query | Transaction): Promise<boolean> {
  return (await pendingAgeSeconds(query)) <= PENDING_MAX_SECONDS;
}

export async function refuseWithoutLog(query: Query | Transaction): Promise<void> {
  if (!(await isLogTaking(query)))
    throw new Refusal(
      'log_unavailable',
      'The log is not taking events, so nothing is issued: try again when /readyz says sequencer ok.',
    );
}
