// What authenticators are asked to sign: random, good once, and for minutes.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { and, count, eq, gt, isNull } from 'drizzle-orm';
import { passkeyChallenge } from '../../db/schema/index.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PersonPrincipal } from '../principal.ts';
import type { Unit } from '../unit.ts';

/** Enough to find the phone and unlock it. */
export const CHALLENGE_SECONDS = 120;

/** Nobody has more of these open than tabs they could decide in. */
const OPEN_MAX = 20;

type ChallengeRow = typeof passkeyChallenge.$inferSelect;
type About = Pick<ChallengeRow, 'purpose' | 'request' | 'grounds' | 'salt'>;

/** Notes what a signed-in person was asked to sign. */
export async function keepChallenge(
  unit: Unit,
  who: PersonPrincipal,
  challenge: string,
  about: About,
): Promise<string> {
  const [open] = await unit.sql
    .select({ number: count() })
    .from(passkeyChallenge)
    .where(
      and(
        eq(passkeyChallenge.person, who.id),
        isNull(passkeyChallenge.usedAt),
        gt(passkeyChallenge.expiresAt, unit.at),
      ),
    );
  if ((open?.number ?? 0) >= OPEN_MAX)
    throw new Refusal('too_soon', 'You began this too often: wait two minutes, and try once more.');
  const expiresAt = addSeconds(unit.at, CHALLENGE_SECONDS);
  await unit.sql
    .insert(passkeyChallenge)
    .values({ challenge, person: who.id, session: who.session, expiresAt, ...about });
  return expiresAt;
}

/** A challenge that means nothing but itself. */
export const randomChallenge = (): string => randomBytes(32).toString('base64url');

/** Uses a challenge up: one row, compared and set. Null for one that is not ours, was used, or is over. */
export async function takeChallenge(
  unit: Unit,
  challenge: string,
  purpose: ChallengeRow['purpose'],
): Promise<ChallengeRow | null> {
  const [taken] = await unit.sql
    .update(passkeyChallenge)
    .set({ usedAt: unit.at })
    .where(
      and(
        eq(passkeyChallenge.challenge, challenge),
        eq(passkeyChallenge.purpose, purpose),
        isNull(passkeyChallenge.usedAt),
      ),
    )
    .returning();
  return taken && unit.at < taken.expiresAt ? taken : null;
}

const RANDOM_BYTES = 18;
const EXPIRY_BYTES = 6;

/**
 * A challenge for whoever comes to sign in. Anybody can ask for as many as they like, so it is kept nowhere until it is
 * used: it says itself until when it is good, and that it is ours.
 */
export function signInChallenge(key: Uint8Array, at: string): string {
  const body = Buffer.concat([randomBytes(RANDOM_BYTES), Buffer.alloc(EXPIRY_BYTES)]);
  body.writeUIntBE(
    Math.floor(Date.parse(at) / 1000) + CHALLENGE_SECONDS,
    RANDOM_BYTES,
    EXPIRY_BYTES,
  );
  return Buffer.concat([body, markOf(key, body)]).toString('base64url');
}

const markOf = (key: Uint8Array, body: Uint8Array): Buffer =>
  createHmac('sha256', key).update('countersign/passkey/sign-in/v1').update(body).digest();

/** Uses up a challenge for signing in; false for one that is not ours, was used, or is over. */
export async function takeSignInChallenge(
  unit: Unit,
  key: Uint8Array,
  challenge: string,
): Promise<boolean> {
  const bytes = Buffer.from(challenge, 'base64url');
  const body = bytes.subarray(0, RANDOM_BYTES + EXPIRY_BYTES);
  const mark = bytes.subarray(body.length);
  const isOurs = mark.length === 32 && timingSafeEqual(mark, markOf(key, body));
  if (!isOurs || bytes.toString('base64url') !== challenge) return false;
  const expiry = body.readUIntBE(RANDOM_BYTES, EXPIRY_BYTES) * 1000;
  if (Date.parse(unit.at) >= expiry) return false;
  const used = await unit.sql
    .insert(passkeyChallenge)
    .values({
      challenge,
      purpose: 'sign_in',
      expiresAt: new Date(expiry).toISOString(),
      usedAt: unit.at,
    })
    .onConflictDoNothing()
    .returning({ challenge: passkeyChallenge.challenge });
  return used.length > 0;
}
