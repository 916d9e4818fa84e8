// The ways besides Slack on which approvers are told: set up by administrators, and left when nobody listens there. What is
// secret in them is sealed before it reaches a table.
import { randomBytes } from 'node:crypto';
import { asc, eq, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { ChannelRow } from '../../db/rows.ts';
import { channel, notice } from '../../db/schema/index.ts';
import { addSeconds } from '../../domain/instant.ts';
import { EMAIL, webhookChannel } from '../../domain/notice.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Vault } from '../../keys/vault.ts';
import { partyOf } from '../principal.ts';
import { CHANNELS, type Unit } from '../unit.ts';

/** A secret that a webhook is signed with, and until when. */
interface WebhookSecret {
  secret: string;
  /** Null for the one that holds now. */
  until: string | null;
}

export interface WebhookSettings {
  url: string;
  /** The newest first. */
  secrets: WebhookSecret[];
}

export interface EmailSettings {
  host: string;
  port: number;
  /** `none` only to this machine itself. */
  tls: 'starttls' | 'implicit' | 'none';
  user?: string | undefined;
  password?: string | undefined;
  /** The address mails come from. */
  from: string;
  /** Authorities, in PEM, that may vouch for the server instead of the public ones. */
  authorities?: string | undefined;
}

const useOf = (name: string): string => `channel/${name}`;
const CHANNELS_MAX = 50;

/** How long the secret before the last still signs, so that a receiver can be changed without a gap. */
const OVERLAP_SECONDS = 86_400;

const opened = (vault: Vault, { name, sealed }: ChannelRow): unknown =>
  JSON.parse(vault.open(sealed, useOf(name)));

/** Sealed by `configureWebhook` under this name, and the seal says it was not changed since. */
const asWebhook = (settings: unknown): WebhookSettings => settings as WebhookSettings;
/** Sealed by `configureEmail`, likewise. */
const asEmail = (settings: unknown): EmailSettings => settings as EmailSettings;

/** How to call a webhook, with the secrets that sign at this moment. */
export function openWebhook(vault: Vault, row: ChannelRow, now: string): WebhookSettings {
  const { url, secrets } = asWebhook(opened(vault, row));
  return { url, secrets: secrets.filter(({ until }) => until === null || now < until) };
}

/** How to reach the mail server. */
export const openEmail = (vault: Vault, row: ChannelRow): EmailSettings =>
  asEmail(opened(vault, row));

export async function findChannel(
  query: Pick<Query | Transaction, 'select'>,
  name: string,
): Promise<ChannelRow | null> {
  const [row] = await query.select().from(channel).where(eq(channel.name, name));
  return row ?? null;
}

async function lockChannel(unit: Unit, name: string): Promise<ChannelRow | null> {
  const [row] = await unit.sql.select().from(channel).where(eq(channel.name, name)).for('update');
  return row ?? null;
}

/** Sets a webhook up, or changes it. Answers the secret only where it is new. */
export async function configureWebhook(
  unit: Unit,
  name: string,
  { url, rotate }: { url: string; rotate: boolean },
): Promise<{ row: ChannelRow; secret: string | null }> {
  const before = await lockChannel(unit, webhookChannel(name));
  const secrets = before ? openWebhook(unit.vault, before, unit.at).secrets : [];
  const isNew = rotate || secrets.length === 0;
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const until = addSeconds(unit.at, OVERLAP_SECONDS);
  const settings: WebhookSettings = {
    url,
    secrets: isNew
      ? [{ secret, until: null }, ...secrets.slice(0, 1).map((each) => ({ ...each, until }))]
      : secrets,
  };
  const row = await setUp(unit, webhookChannel(name), settings);
  return { row, secret: isNew ? secret : null };
}

export const configureEmail = (unit: Unit, settings: EmailSettings): Promise<ChannelRow> =>
  setUp(unit, EMAIL, settings);

/** Setting up a way again enables it: whoever does so has looked after it. */
async function setUp(
  unit: Unit,
  name: string,
  settings: WebhookSettings | EmailSettings,
): Promise<ChannelRow> {
  const [known] = await unit.sql.select({ number: sql<number>`count(*)::int` }).from(channel);
  if ((known?.number ?? 0) >= CHANNELS_MAX && !(await lockChannel(unit, name)))
    throw new Refusal('wrong_state', `There are ${CHANNELS_MAX} channels already: remove one.`);
  const row: ChannelRow = {
    name,
    sealed: unit.vault.seal(JSON.stringify(settings), useOf(name)),
    state: 'enabled',
    because: null,
    failingSince: null,
    lastCode: null,
    setBy: byWhom(unit),
    setAt: unit.at,
  };
  await unit.sql.insert(channel).values(row).onConflictDoUpdate({ target: channel.name, set: row });
  emitChanged(unit, name);
  await wakeCourier(unit);
  return row;
}

/** Forgets a way, its secrets, and what was still to be told there. */
export async function removeChannel(unit: Unit, name: string): Promise<void> {
  const [gone] = await unit.sql.delete(channel).where(eq(channel.name, name)).returning();
  if (!gone) return;
  await dropWaiting(unit, name);
  emitChanged(unit, name);
}

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

function emitChanged(unit: Unit, name: string): void {
  unit.emit('integration.changed', {
    subject: name,
    detail: { integration: name, by: byWhom(unit) },
    private: {},
  });
}

/** Nothing goes out on this way any more until somebody sets it up again; that it is so is an event. */
export async function disableChannel(
  unit: Unit,
  name: string,
  because: 'gone' | 'failing',
): Promise<void> {
  const row = await lockChannel(unit, name);
  if (row?.state !== 'enabled') return;
  await unit.sql
    .update(channel)
    .set({ state: 'disabled', because, failingSince: null })
    .where(eq(channel.name, name));
  await dropWaiting(unit, name);
  unit.emit('channel.disabled', { subject: name, detail: { channel: name, because }, private: {} });
}

async function dropWaiting(unit: Unit, name: string): Promise<void> {
  await unit.sql
    .update(notice)
    .set({ state: 'failed', nextTryAt: null, endedAt: unit.at })
    .where(sql`${notice.channel} = ${name} and ${notice.state} = 'pending'`);
}

/** Wakes whoever sends; with the commit of what there is to send. */
export async function wakeCourier(unit: Unit): Promise<void> {
  await unit.sql.execute(sql`select pg_notify(${CHANNELS.notice}, '')`);
}

export interface ChannelStanding {
  row: ChannelRow;
  /** How many notices wait to be sent. */
  waiting: number;
}

/** Every way and how it stands. */
export async function channelStandings(query: Query): Promise<ChannelStanding[]> {
  const rows = await query.select().from(channel).orderBy(asc(channel.name));
  const counts = await query
    .select({ name: notice.channel, waiting: sql<number>`count(*)::int` })
    .from(notice)
    .where(eq(notice.state, 'pending'))
    .groupBy(notice.channel);
  return rows.map((row) => ({
    row,
    waiting: counts.find(({ name }) => name === row.name)?.waiting ?? 0,
  }));
}
