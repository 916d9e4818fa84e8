// Which messages in Slack show which card, and what each of them says now.
import { and, asc, eq, lt, ne, or, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { SlackMessageRow } from '../../db/rows.ts';
import { request, slackMessage, slackPosting, vote } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { Unit } from '../unit.ts';

/** Everything we said in Slack about a request, in the order in which it was said. */
export const slackMessagesOf = (query: Query, id: Id<'request'>): Promise<SlackMessageRow[]> =>
  query.select().from(slackMessage).where(eq(slackMessage.request, id)).orderBy(slackMessage.at);

/** Notes that a card is about to be put up; since when somebody was at it before, who did not say that they did. */
export async function beginPosting(
  unit: Unit,
  id: Id<'request'>,
  recipient: string,
): Promise<string | null> {
  const [begun] = await unit.sql
    .insert(slackPosting)
    .values({ request: id, recipient, at: unit.at })
    .onConflictDoNothing()
    .returning();
  if (begun) return null;
  const [earlier] = await unit.sql
    .select()
    .from(slackPosting)
    .where(and(eq(slackPosting.request, id), eq(slackPosting.recipient, recipient)));
  return earlier?.at ?? null;
}

/** Remembers which card a message shows and what it says now. */
export async function recordSlackMessage(unit: Unit, row: SlackMessageRow): Promise<void> {
  await unit.sql
    .insert(slackMessage)
    .values(row)
    .onConflictDoUpdate({
      target: [slackMessage.request, slackMessage.recipient, slackMessage.purpose],
      set: row,
    });
  await unit.sql
    .delete(slackPosting)
    .where(and(eq(slackPosting.request, row.request), eq(slackPosting.recipient, row.recipient)));
}

export interface ClickedCard {
  request: Id<'request'>;
  shown: Digest;
  /** Whether the message shows all that would run and offers to decide on it. */
  decidable: boolean;
}

/** The card a click was made on, or null if we know of no such message. */
export async function cardClicked(
  query: Pick<Query, 'select'>,
  channel: string,
  ts: string,
): Promise<ClickedCard | null> {
  const [row] = await query
    .select()
    .from(slackMessage)
    .where(
      and(
        eq(slackMessage.ts, ts),
        eq(slackMessage.channel, channel),
        eq(slackMessage.purpose, 'card'),
      ),
    );
  return row ? { request: row.request, shown: row.shown, decidable: row.decidable } : null;
}

/** A card that is this much behind was left so by whoever should have changed it. */
const BEHIND_SECONDS = 15;
const BEHIND_MAX = 50;

/** Requests of which some message does not say what became of them, and nobody seems to be at it. */
export async function requestsBehind(query: Query, now: string): Promise<Id<'request'>[]> {
  const before = addSeconds(now, -BEHIND_SECONDS);
  const votes = sql<number>`(select count(*) from ${vote} where ${vote.request} = ${slackMessage.request} and ${vote.at} < ${before})`;
  const rows = await query
    .selectDistinct({ id: slackMessage.request })
    .from(slackMessage)
    .innerJoin(request, eq(request.id, slackMessage.request))
    .where(
      and(
        lt(slackMessage.at, before),
        or(
          and(eq(slackMessage.isFinal, false), ne(request.state, slackMessage.says)),
          and(eq(slackMessage.purpose, 'card'), sql`${votes} > ${slackMessage.threaded}`),
        ),
      ),
    )
    .orderBy(asc(slackMessage.request))
    .limit(BEHIND_MAX);
  return rows.map(({ id }) => id);
}
