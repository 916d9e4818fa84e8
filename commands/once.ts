// One idempotency key, one effect, one answer (I8). The key's row commits with the effect it stands for.
import { and, eq, lt } from 'drizzle-orm';
import { idempotency } from '../db/schema/index.ts';
import { digestOf, type Digest } from '../domain/digest.ts';
import type { JsonValue } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { transact, type Call, type Unit, type UnitDeps } from './unit.ts';

export interface OnceKey {
  principal: string;
  route: string;
  key: string;
  fingerprint: Digest;
}

export interface Answer {
  status: number;
  body: JsonValue;
  headers?: Record<string, string>;
  replayed?: boolean;
}

/** How long a call that takes several transactions may go unheard of before a retry takes it over. */
const TAKEOVER_MS = 10_000;

export const fingerprintOf = (body: JsonValue): Digest => digestOf('countersign/call/v1', body);

export type Earlier =
  | { kind: 'none' }
  | { kind: 'answered'; answer: Answer }
  /** Begun by a call that did not finish; the resource is what it was making. */
  | { kind: 'begun'; resource: string };

/** Claims a key in this transaction, or says what the call that already has it came to. */
export async function claimKey(unit: Unit, once: OnceKey | null): Promise<Earlier> {
  if (!once) return { kind: 'none' };
  const { principal, route, key, fingerprint } = once;
  const [claimed] = await unit.sql
    .insert(idempotency)
    .values({ principal, route, key, fingerprint, createdAt: unit.at })
    .onConflictDoNothing()
    .returning({ key: idempotency.key });
  if (claimed) return { kind: 'none' };
  const [row] = await unit.sql.select().from(idempotency).where(rowOf(once)).for('update');
  if (!row) throw new Error('the idempotency key vanished while it was being read');
  if (row.fingerprint !== fingerprint)
    throw new Refusal(
      'idempotency_mismatch',
      'This Idempotency-Key was used for a call with another body: use a new key for a new call.',
    );
  if (row.status !== null && row.reply !== null) {
    const kept = asKept(JSON.parse(unit.vault.open(row.reply, useOf(once))));
    return { kind: 'answered', answer: { status: row.status, ...kept, replayed: true } };
  }
  const now = await unit.readClock();
  if (row.resource === null || (row.lockedUntil !== null && row.lockedUntil > now))
    throw new Refusal(
      'idempotency_in_progress',
      'The first call with this Idempotency-Key is still being worked on: repeat it in a few seconds.',
    );
  await hold(unit, once, row.resource);
  return { kind: 'begun', resource: row.resource };
}

/** Only what `settleKey` sealed opens under this use. */
const asKept = (kept: unknown) => kept as Required<Pick<Answer, 'body' | 'headers'>>;

/** Notes what a longer call is making, so that a retry after a crash goes on with it. */
export async function hold(unit: Unit, once: OnceKey | null, resource: string): Promise<void> {
  if (!once) return;
  const lockedUntil = new Date(Date.parse(unit.at) + TAKEOVER_MS).toISOString();
  await unit.sql.update(idempotency).set({ resource, lockedUntil }).where(rowOf(once));
}

/** Stores the answer in the transaction of the effect. */
export async function settleKey(unit: Unit, once: OnceKey | null, answer: Answer): Promise<void> {
  if (!once) return;
  await unit.sql
    .update(idempotency)
    .set({
      status: answer.status,
      // As it was sent, not in canonical form: a replay is the same bytes.
      reply: unit.vault.seal(
        JSON.stringify({ body: answer.body, headers: answer.headers ?? {} }),
        useOf(once),
      ),
      lockedUntil: null,
    })
    .where(rowOf(once));
}

/** Lets a key go whose call came to nothing, so that the same call can be tried again. */
export async function releaseKey(unit: Unit, once: OnceKey | null): Promise<void> {
  if (once) await unit.sql.delete(idempotency).where(rowOf(once));
}

/** Runs a command that is one transaction: the effect, its events and its stored answer commit together. */
export async function answerOnce(
  deps: UnitDeps,
  call: Call,
  once: OnceKey | null,
  work: (unit: Unit) => Promise<Answer | Refusal>,
): Promise<Answer | Refusal> {
  return transact(deps, call, async (unit) => {
    const earlier = await claimKey(unit, once);
    if (earlier.kind === 'answered') return earlier.answer;
    const outcome = await work(unit);
    if (outcome instanceof Refusal) await releaseKey(unit, once);
    else await settleKey(unit, once, outcome);
    return outcome;
  });
}

/** Forgets keys older than a day. */
export async function forgetOldKeys(unit: Unit): Promise<void> {
  const before = new Date(Date.parse(unit.at) - 24 * 3_600_000).toISOString();
  await unit.sql.delete(idempotency).where(lt(idempotency.createdAt, before));
}

const useOf = (once: OnceKey): string => `idempotency/${once.principal}/${once.route}/${once.key}`;

const rowOf = (once: OnceKey) =>
  and(
    eq(idempotency.principal, once.principal),
    eq(idempotency.route, once.route),
    eq(idempotency.key, once.key),
  );
