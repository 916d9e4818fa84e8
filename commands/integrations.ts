// Connections to other services. What is secret in them is sealed before it reaches a table, and never echoed.
import { eq } from 'drizzle-orm';
import type { Query } from '../db/client.ts';
import type { SlackMessageRow } from '../db/rows.ts';
import { integration, slackInteraction, slackMessage } from '../db/schema/index.ts';
import { digestOf, type Digest } from '../domain/digest.ts';
import type { Id } from '../domain/id.ts';
import type { Vault } from '../keys/vault.ts';
import { partyOf } from './principal.ts';
import type { Unit } from './unit.ts';

export interface SlackSettings {
  api_url: string;
  signing_secret: string;
  bot_token: string;
  channel: string;
}

const SLACK = 'slack';
const useOf = (name: string): string => `integration/${name}`;

export async function configureSlack(unit: Unit, settings: SlackSettings): Promise<void> {
  const row = {
    name: SLACK,
    sealed: unit.vault.seal(JSON.stringify(settings), useOf(SLACK)),
    updatedAt: unit.at,
  };
  await unit.sql
    .insert(integration)
    .values(row)
    .onConflictDoUpdate({ target: integration.name, set: row });
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('integration.changed', {
    subject: SLACK,
    detail: { integration: SLACK, by: { type, id } },
    private: {},
  });
}

/** Forgets a connection and its secrets. */
export async function disconnectSlack(unit: Unit): Promise<void> {
  const [gone] = await unit.sql.delete(integration).where(eq(integration.name, SLACK)).returning();
  if (!gone) return;
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('integration.changed', {
    subject: SLACK,
    detail: { integration: SLACK, by: { type, id } },
    private: {},
  });
}

export async function readSlack(query: Query, vault: Vault): Promise<SlackSettings | null> {
  const [row] = await query.select().from(integration).where(eq(integration.name, SLACK));
  return row ? asSettings(JSON.parse(vault.open(row.sealed, useOf(SLACK)))) : null;
}

/** Sealed by `configureSlack`, and the seal says it was not changed since. */
const asSettings = (opened: unknown): SlackSettings => opened as SlackSettings;

/** Claims an interaction by the digest of its body: Slack repeats what it thinks was not heard. */
export async function claimInteraction(unit: Unit, body: string): Promise<boolean> {
  const [fresh] = await unit.sql
    .insert(slackInteraction)
    .values({ digest: digestOf('countersign/slack-interaction/v1', body), at: unit.at })
    .onConflictDoNothing()
    .returning();
  return fresh !== undefined;
}

export const slackMessagesOf = (query: Query, id: Id<'request'>): Promise<SlackMessageRow[]> =>
  query.select().from(slackMessage).where(eq(slackMessage.request, id));

/** Remembers which card a message shows and what it says now. */
export async function recordSlackMessage(unit: Unit, row: SlackMessageRow): Promise<void> {
  await unit.sql
    .insert(slackMessage)
    .values(row)
    .onConflictDoUpdate({
      target: [slackMessage.request, slackMessage.channel],
      set: row,
    });
}

/** The card a click was made on, or null if we never posted that message or it offers no decision. */
export async function cardClicked(
  query: Pick<Query, 'select'>,
  channel: string,
  ts: string,
): Promise<{ request: Id<'request'>; shown: Digest } | null> {
  const rows = await query.select().from(slackMessage).where(eq(slackMessage.ts, ts));
  const row = rows.find((each) => each.channel === channel);
  return row?.decidable ? { request: row.request, shown: row.shown } : null;
}
