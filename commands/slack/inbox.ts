// What Slack delivered, kept before it is acknowledged and worked off afterwards: by whoever took it, or, if that one
// died in between, by any worker.
import { and, asc, eq, isNull, lt, lte, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { slackDialog, slackInbox, slackLink, slackPosting } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { Unit } from '../unit.ts';
import type { SlackDelivery } from './deliveries.ts';

/** Whoever took a delivery has this long to work it off before another does. */
const CLAIM_SECONDS = 20;
/** After so many attempts it is left alone: its user has long tried again, or given up. */
const ATTEMPTS_MAX = 5;

const useOf = (digest: Digest): string => `slack_inbox/${digest}`;

/** Keeps a delivery; false if it was here before. */
export async function keepDelivery(
  unit: Unit,
  digest: Digest,
  delivery: SlackDelivery,
): Promise<boolean> {
  const [fresh] = await unit.sql
    .insert(slackInbox)
    .values({
      digest,
      sealed: unit.vault.seal(JSON.stringify(delivery), useOf(digest)),
      at: unit.at,
      attempts: 0,
      nextTryAt: addSeconds(unit.at, CLAIM_SECONDS),
    })
    .onConflictDoNothing()
    .returning();
  return fresh !== undefined;
}

/** Takes a delivery to work it off; null if that is done, or given up. */
export async function takeDelivery(unit: Unit, digest: Digest): Promise<SlackDelivery | null> {
  const [row] = await unit.sql
    .update(slackInbox)
    .set({
      attempts: sql`${slackInbox.attempts} + 1`,
      nextTryAt: addSeconds(unit.at, CLAIM_SECONDS),
    })
    .where(
      and(
        eq(slackInbox.digest, digest),
        isNull(slackInbox.workedAt),
        lt(slackInbox.attempts, ATTEMPTS_MAX),
      ),
    )
    .returning();
  return row ? asDelivery(JSON.parse(unit.vault.open(row.sealed, useOf(digest)))) : null;
}

/** Sealed by `keepDelivery`, and the seal says it was not changed since. */
const asDelivery = (opened: unknown): SlackDelivery => opened as SlackDelivery;

/** Marks a delivery as worked off, in the transaction of what it did; false if that was done before. */
export async function finishDelivery(unit: Unit, digest: Digest): Promise<boolean> {
  const [row] = await unit.sql
    .update(slackInbox)
    .set({ workedAt: unit.at })
    .where(and(eq(slackInbox.digest, digest), isNull(slackInbox.workedAt)))
    .returning({ digest: slackInbox.digest });
  return row !== undefined;
}

const DUE_MAX = 50;

/** Deliveries that whoever took them did not work off. */
export async function deliveriesDue(query: Query, now: string): Promise<Digest[]> {
  const rows = await query
    .select({ digest: slackInbox.digest })
    .from(slackInbox)
    .where(
      and(
        isNull(slackInbox.workedAt),
        lte(slackInbox.nextTryAt, now),
        lt(slackInbox.attempts, ATTEMPTS_MAX),
      ),
    )
    .orderBy(asc(slackInbox.at))
    .limit(DUE_MAX);
  return rows.map(({ digest }) => digest);
}

/** Kept for longer than Slack repeats anything, and than a signature is taken. */
const KEPT_SECONDS = 3_600;
const DIALOG_SECONDS = 86_400;

/** Forgets what was delivered, opened and offered long ago. */
export async function forgetSlack(unit: Unit): Promise<void> {
  const before = (seconds: number): string => addSeconds(unit.at, -seconds);
  await unit.sql.delete(slackInbox).where(lt(slackInbox.at, before(KEPT_SECONDS)));
  await unit.sql.delete(slackPosting).where(lt(slackPosting.at, before(DIALOG_SECONDS)));
  await unit.sql.delete(slackDialog).where(lt(slackDialog.createdAt, before(DIALOG_SECONDS)));
  await unit.sql.delete(slackLink).where(lt(slackLink.expiresAt, before(DIALOG_SECONDS)));
}
