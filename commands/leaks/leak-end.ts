// The end of a leak: when everything it led to was seen gone. From the report until then is its time to dead.
import { and, count, eq, isNull } from 'drizzle-orm';
import { credential, leak, leakMatch } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { secondsBetween } from '../../domain/instant.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import type { Unit } from '../unit.ts';

/** Closes the leaks that waited for this credential, and for nothing else any more. */
export async function closeLeaksOf(unit: Unit, id: Id<'credential'>): Promise<void> {
  const waiting = await unit.sql
    .select({ leak: leak.id })
    .from(leak)
    .innerJoin(leakMatch, eq(leakMatch.leak, leak.id))
    .where(and(eq(leakMatch.credential, id), isNull(leak.closedAt)))
    .orderBy(leak.id);
  for (const row of waiting) await closeLeak(unit, row.leak);
}

/** Closes a leak if nothing that it ended is alive any more. */
export async function closeLeak(unit: Unit, id: Id<'leak'>): Promise<void> {
  // Two last credentials that are seen gone at once take turns, and the second one sees the first.
  const [row] = await unit.sql.select().from(leak).where(eq(leak.id, id)).for('update');
  if (!row || row.closedAt !== null) return;
  const ended = await unit.sql
    .select({ state: credential.state, number: count() })
    .from(leakMatch)
    .leftJoin(credential, eq(credential.id, leakMatch.credential))
    .where(and(eq(leakMatch.leak, id), eq(leakMatch.outcome, 'revoked')))
    .groupBy(credential.state);
  if (ended.some(({ state }) => state !== null && isAlive(state))) return;
  const closedAt = await unit.readClock();
  const seconds = Math.max(0, secondsBetween(row.reportedAt, closedAt));
  await unit.sql.update(leak).set({ closedAt, seconds }).where(eq(leak.id, id));
  unit.emit('leak.closed', {
    subject: id,
    detail: { leak: id, credentials: ended.reduce((sum, { number }) => sum + number, 0), seconds },
    private: {},
  });
  unit.changed(id);
}

const isAlive = (state: string): boolean => ALIVE.some((each) => each === state);
