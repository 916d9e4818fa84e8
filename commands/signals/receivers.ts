// Who is told when access ends: receivers are set up by administrators, and leave when nobody listens there any more.
import { and, asc, count, desc, eq, gt, lt, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { ReceiverRow, SignalRow } from '../../db/rows.ts';
import { receiver, signalDelivery, type RECEIVER_KINDS } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { SSF_VERIFICATION, VERIFICATION, type SignalName } from '../../domain/signal.ts';
import type { Vault } from '../../keys/vault.ts';
import { partyOf } from '../principal.ts';
import { CHANNELS, newId, type Unit } from '../unit.ts';

export interface ReceiverOrder {
  kind: (typeof RECEIVER_KINDS)[number];
  url: string;
  audience: string;
  signals: SignalName[];
  wise: boolean;
  reasons: boolean;
  token: string | null;
}

/** Each change writes a row for each receiver, so there is an end to how many there are. */
const RECEIVERS_MAX = 50;

const tokenUse = (id: Id<'receiver'>): string => `receiver/${id}`;

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

export async function addReceiver(unit: Unit, order: ReceiverOrder): Promise<ReceiverRow> {
  const [known] = await unit.sql.select({ number: count() }).from(receiver);
  if ((known?.number ?? 0) >= RECEIVERS_MAX)
    throw new Refusal('wrong_state', `There are ${RECEIVERS_MAX} receivers already: remove one.`);
  const id = newId('receiver');
  const by = byWhom(unit);
  const row: ReceiverRow = {
    id,
    kind: order.kind,
    url: order.url,
    audience: order.audience,
    signals: order.signals,
    state: 'enabled',
    because: null,
    wise: order.wise,
    reasons: order.reasons,
    token: order.token === null ? null : unit.vault.seal(order.token, tokenUse(id)),
    failingSince: null,
    createdBy: by,
    createdAt: unit.at,
  };
  await unit.sql.insert(receiver).values(row);
  unit.emit('receiver.added', {
    subject: id,
    detail: {
      receiver: id,
      kind: row.kind,
      signals: row.signals,
      wise: row.wise,
      reasons: row.reasons,
      by,
    },
    private: { url: row.url },
  });
  return row;
}

/** The token to call a receiver with; null where none was given. */
export const openReceiverToken = (vault: Vault, row: ReceiverRow): string | null =>
  row.token === null ? null : vault.open(row.token, tokenUse(row.id));

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asReceiverId = (id: string): Id<'receiver'> => id as Id<'receiver'>;

export async function findReceiver(
  query: Query | Transaction,
  id: string,
): Promise<ReceiverRow | null> {
  const [row] = await query
    .select()
    .from(receiver)
    .where(eq(receiver.id, asReceiverId(id)));
  return row ?? null;
}

export const listReceivers = (
  query: Query,
  after: string | null,
  limit: number,
): Promise<ReceiverRow[]> =>
  query
    .select()
    .from(receiver)
    .where(after === null ? undefined : gt(receiver.id, asReceiverId(after)))
    .orderBy(asc(receiver.id))
    .limit(limit);

/** Newest first. */
export const listDeliveries = (
  query: Query,
  of: Id<'receiver'>,
  after: string | null,
  limit: number,
): Promise<SignalRow[]> =>
  query
    .select()
    .from(signalDelivery)
    .where(
      and(
        eq(signalDelivery.receiver, of),
        after === null ? undefined : lt(signalDelivery.id, after as SignalRow['id']),
      ),
    )
    .orderBy(desc(signalDelivery.id))
    .limit(limit);

async function lockReceiver(unit: Unit, id: string): Promise<ReceiverRow> {
  const [row] = await unit.sql
    .select()
    .from(receiver)
    .where(eq(receiver.id, asReceiverId(id)))
    .for('no key update');
  if (!row) throw new Refusal('not_found', 'There is no such receiver.');
  return row;
}

/** Moves a receiver. What a disabled one was not told by then, it is never told. */
export async function moveReceiver(
  unit: Unit,
  id: string,
  state: ReceiverRow['state'],
  because: 'asked' | 'gone' | 'failing',
): Promise<ReceiverRow> {
  const before = await lockReceiver(unit, id);
  if (before.state === state) return before;
  const change = {
    state,
    because: state === 'enabled' ? null : because,
    failingSince: null,
  };
  await unit.sql.update(receiver).set(change).where(eq(receiver.id, before.id));
  if (state === 'disabled') await giveUpOn(unit, before.id);
  if (state === 'enabled') await tellCourier(unit);
  unit.emit('receiver.changed', {
    subject: before.id,
    detail: { receiver: before.id, state, because, by: byWhom(unit) },
    private: {},
  });
  return { ...before, ...change };
}

async function giveUpOn(unit: Unit, id: Id<'receiver'>): Promise<void> {
  await unit.sql
    .update(signalDelivery)
    .set({ state: 'failed', nextTryAt: null, endedAt: unit.at })
    .where(and(eq(signalDelivery.receiver, id), eq(signalDelivery.state, 'pending')));
}

const tellCourier = async (unit: Unit): Promise<void> => {
  await unit.sql.execute(sql`select pg_notify(${CHANNELS.signal}, '')`);
};

/** Forgets a receiver, its token, and what it was not told. */
export async function removeReceiver(unit: Unit, id: string): Promise<void> {
  const row = await lockReceiver(unit, id);
  const waiting = await unit.sql
    .delete(signalDelivery)
    .where(and(eq(signalDelivery.receiver, row.id), eq(signalDelivery.state, 'pending')))
    .returning({ id: signalDelivery.id });
  await unit.sql.delete(signalDelivery).where(eq(signalDelivery.receiver, row.id));
  await unit.sql.delete(receiver).where(eq(receiver.id, row.id));
  unit.emit('receiver.removed', {
    subject: row.id,
    detail: { receiver: row.id, undelivered: waiting.length, by: byWhom(unit) },
    private: {},
  });
}

/** Sends a message that says nothing, so that its receiver can be seen to hear (SSF 1.0 §8.1.4). */
export async function testReceiver(
  unit: Unit,
  id: string,
  nonce: string | null,
): Promise<SignalRow> {
  const { id: of, kind, state } = await lockReceiver(unit, id);
  if (state !== 'enabled')
    throw new Refusal('wrong_state', `This receiver is ${state}: enable it first.`, { state });
  const row: SignalRow = {
    id: newId('signal'),
    receiver: of,
    event: null,
    signal: VERIFICATION,
    form: kind === 'ssf' ? SSF_VERIFICATION : VERIFICATION,
    subject: of,
    nonce,
    state: 'pending',
    attempts: 0,
    nextTryAt: unit.at,
    tries: [],
    createdAt: unit.at,
    endedAt: null,
  };
  await unit.sql.insert(signalDelivery).values(row);
  await tellCourier(unit);
  unit.emit('receiver.tested', {
    subject: of,
    detail: { receiver: of, delivery: row.id, by: byWhom(unit) },
    private: {},
  });
  return row;
}
