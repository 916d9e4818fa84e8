// Connections to other services. What is secret in them is sealed before it reaches a table, and never echoed.
import { eq } from 'drizzle-orm';
import type { Query } from '../db/client.ts';
import { integration } from '../db/schema/index.ts';
import type { Vault } from '../keys/vault.ts';
import { partyOf } from './principal.ts';
import type { Unit } from './unit.ts';

export interface SlackSettings {
  api_url: string;
  signing_secret: string;
  bot_token: string;
  /** Where cards go, besides the places that routes name. */
  channel: string;
  /** With it we call Slack and wait there, and Slack need not reach us (Socket Mode). */
  app_token?: string | undefined;
  /** Whether a Slack user whom nobody linked is the person with the same e-mail address. */
  match_email?: boolean | undefined;
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
