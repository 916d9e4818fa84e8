// One idempotency key, one effect, one answer (I8). The key's row commits with the effect it stands for.
import { and, eq, isNotNull, isNull, lt } from 'drizzle-orm';
import type { Query } from '../db/client.ts';
import { idempotency } from '../db/schema/index.ts';
import { digestOf, type Digest } from '../domain/digest.ts';
import { addMs, addSeconds } from '../domain/instant.ts';
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
  if (!once || (await isFirst(unit, once))) return { kind: 'none' };
  const { resource, lockedUntil, answer } = await lockClaim(unit, once);
  if (answer) return { kind: 'answered', answer };
  const now = await unit.readClock();
  if (resource === null || (lockedUntil !== null && lockedUntil > now))
    throw new Refusal(
      'idempotency_in_progress',
      'The first call with this Idempotency-Key is still being worked on: repeat it in a few seconds.',
    );
  await hold(unit, once, resource);
  return { kind: 'begun', resource };
}

async function isFirst(unit: Unit, once: OnceKey): Promise<boolean> {
  const { principal, route, key, fingerprint } = once;
  const claimed = await unit.sql
    .insert(idempotency)
    .values({ principal, route, key, fingerprint, createdAt: unit.at })
    .onConflictDoNothing()
    .returning({ key: idempotency.key });
  return claimed.length > 0;
}

interface Claim {
  resource: string | null;
  lockedUntil: string | null;
  answer: Answer | null;
}

/** Who has a key, for the rest of this transaction, and what their call was answered if it was. */
async function lockClaim(unit: Unit, once: OnceKey): Promise<Claim> {
  const [row] = await unit.sql.select().from(idempotency).where(rowOf(once)).for('update');
  if (!row) throw new Error('the idempotency key vanished while it was being read');
  if (row.fingerprint !== once.fingerprint)
    throw new Refusal(
      'idempotency_mismatch',
      'This Idempotency-Key was used for a call with another body: use a new key for a new call.',
    );
  const { resource, lockedUntil, status, reply } = row;
  if (status === null || reply === null) return { resource, lockedUntil, answer: null };
  const kept = asKept(JSON.parse(unit.vault.open(reply, useOf(once))));
  return { resource, lockedUntil, answer: { status, ...kept, replayed: true } };
}

/** Only what `settleKey` sealed opens under this use. */
const asKept = (kept: unknown) => kept as Required<Pick<Answer, 'body' | 'headers'>>;

/** Notes what a longer call is making, so that a retry after a crash goes on with it. */
export async function hold(unit: Unit, once: OnceKey | null, resource: string): Promise<void> {
  if (!once) return;
  const lockedUntil = addMs(unit.at, TAKEOVER_MS);
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

/**
 * The answer of a call that waited to see what came of its effect: what the first such call was told is what its key
 * stands for. A repeat asks how things stand now, and is a replay where it is told the same.
 */
export async function settleWaited(
  deps: UnitDeps,
  call: Call,
  once: OnceKey | null,
  first: Answer,
  now: Answer,
): Promise<Answer> {
  if (first.replayed)
    return {
      ...now,
      replayed:
        first.status === now.status && JSON.stringify(first.body) === JSON.stringify(now.body),
    };
  await transact(deps, call, (unit) => settleKey(unit, once, now));
  return now;
}

/** Lets a key go whose call came to nothing, so that the same call can be tried again. */
export async function releaseKey(unit: Unit, once: OnceKey | null): Promise<void> {
  // A retry may have taken over from a slow call, and have been answered: that answer stays.
  if (once) await unit.sql.delete(idempotency).where(and(rowOf(once), isNull(idempotency.status)));
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
    return settled(unit, once, await work(unit));
  });
}

/** Whether a key has its answer already: what has changed outside since is then not asked again. */
export async function isAnswered(query: Query, once: OnceKey | null): Promise<boolean> {
  if (!once) return false;
  const rows = await query
    .select({ key: idempotency.key })
    .from(idempotency)
    .where(and(rowOf(once), isNotNull(idempotency.status)));
  return rows.length > 0;
}

/** What a call holds while what it needs is made elsewhere. */
const ELSEWHERE = 'elsewhere';

/** As `answerOnce`, for what first asks others, outside of any transaction: for a repeated call they are not asked again. */
export async function askThenAnswerOnce<T>(
  deps: UnitDeps,
  call: Call,
  once: OnceKey | null,
  ask: () => Promise<T>,
  work: (unit: Unit, told: T) => Promise<Answer | Refusal>,
): Promise<Answer | Refusal> {
  if (!once) {
    const told = await ask();
    return transact(deps, call, (unit) => work(unit, told));
  }
  const earlier = await transact(deps, call, async (unit) => {
    const found = await claimKey(unit, once);
    if (found.kind === 'none') await hold(unit, once, ELSEWHERE);
    return found;
  });
  if (earlier.kind === 'answered') return earlier.answer;
  try {
    const told = await ask();
    return await transact(deps, call, async (unit) => {
      // Who took so long that a retry took over finds what that came to.
      const answer = (await isFirst(unit, once)) ? null : (await lockClaim(unit, once)).answer;
      return answer ?? settled(unit, once, await work(unit, told));
    });
  } catch (error) {
    await transact(deps, call, (unit) => releaseKey(unit, once));
    throw error;
  }
}

async function settled(
  unit: Unit,
  once: OnceKey | null,
  outcome: Answer | Refusal,
): Promise<Answer | Refusal> {
  if (outcome instanceof Refusal) await releaseKey(unit, once);
  else await settleKey(unit, once, outcome);
  return outcome;
}

/** Forgets keys older than a day. */
export async function forgetOldKeys(unit: Unit): Promise<void> {
  const before = addSeconds(unit.at, -24 * 3600);
  await unit.sql.delete(idempotency).where(lt(idempotency.createdAt, before));
}

const useOf = (once: OnceKey): string => `idempotency/${once.principal}/${once.route}/${once.key}`;

const rowOf = (once: OnceKey) =>
  and(
    eq(idempotency.principal, once.principal),
    eq(idempotency.route, once.route),
    eq(idempotency.key, once.key),
  );
