// Attention is measured, never enforced: whoever decides more than a route plans for is told so, and so is the record.
import { sql } from 'drizzle-orm';
import type { RequestRow } from '../../db/rows.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { Unit } from '../unit.ts';
import { overBudgetNow } from './attention.ts';
import { aboutRequest } from './requests.ts';

const DAY_SECONDS = 86_400;

/** When the day began that a budget is about. */
export const dayBefore = (now: string): string => addSeconds(now, -DAY_SECONDS);

/** Says on record that somebody’s vote, just cast, was the first above the budget of a route. Refuses nobody. */
export async function noteBudget(unit: Unit, row: RequestRow, who: Id<'person'>): Promise<void> {
  if (!row.routes.some(({ rule }) => rule.attention_budget !== undefined)) return;
  // Two votes of one person at the same moment: one of them is the one that crossed it.
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`attention/${who}`}, 0))`,
  );
  for (const over of await overBudgetNow(unit.sql, row, who, dayBefore(unit.at)))
    if (over.votes === over.budget + 1)
      unit.emit('attention.exceeded', {
        ...aboutRequest(row),
        detail: { person: who, route: over.route, votes: over.votes, budget: over.budget },
        private: {},
      });
}
