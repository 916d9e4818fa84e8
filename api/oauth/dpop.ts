// Proof of possession (RFC 9449): whoever uses a token shows, for this very call, that they hold its key.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { noteProof } from '../../commands/sign-in/dpop-proofs.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { PROOF_ALGORITHMS, verifyProof } from '../../keys/proof.ts';
import { isUnstorable } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { OAuthError } from './error.ts';

/** A proof is made for one call, so it is young. */
const AGE_SECONDS_MAX = 60;
const SKEW_SECONDS = 30;
const JTI_LENGTH_MAX = 200;

/** Whether a call came with a proof. */
export const hasProof = (context: AppContext): boolean => context.req.header('dpop') !== undefined;

/** A proof that is good for this call, and has still to be used up. */
export interface ReadProof {
  /** Of the key that made it. */
  thumbprint: string;
  jti: string;
}

/**
 * Reads the proof of this call; `accessToken` is the one it is sent with, if any. Throws an OAuthError that says what
 * is wrong. Nothing is written yet: anybody can make proofs, and only those of known callers are remembered.
 */
export async function readProof(
  context: AppContext,
  deps: ApiDeps,
  accessToken: string | null,
): Promise<ReadProof> {
  const proof = context.req.header('dpop') ?? '';
  const { claims, thumbprint } = await verifySignature(proof);
  refuseOtherCall(context, deps, claims);
  refuseOtherToken(claims, accessToken);
  refuseOtherTime(claims);
  refuseWithoutNonce(context, deps, claims);
  const { jti } = claims;
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_LENGTH_MAX || isUnstorable(jti))
    throw refused(`it needs a jti of 1 to ${JTI_LENGTH_MAX} characters`);
  return { thumbprint, jti };
}

/** Uses a proof up; throws an OAuthError when it was used before. */
export async function useProof(deps: ApiDeps, proof: ReadProof): Promise<void> {
  const expiresAt = new Date(
    Date.now() + (AGE_SECONDS_MAX + 2 * SKEW_SECONDS) * 1000,
  ).toISOString();
  if (!(await noteProof(deps.db.query, { ...proof, expiresAt })))
    throw refused('it was already used: make one for each call');
}

const refused = (why: string): OAuthError =>
  new OAuthError('invalid_dpop_proof', `The DPoP proof is refused: ${why}.`);

async function verifySignature(proof: string): Promise<{ claims: JsonObject; thumbprint: string }> {
  const verdict = await verifyProof(proof);
  if (verdict.fault === null) return verdict;
  throw refused(
    `it must be one JWT of typ dpop+jwt, signed with ${PROOF_ALGORITHMS.join(', ')} by the public key in its header`,
  );
}

/** §4.3: the method and the address of this call, as whoever called us knows it. */
function refuseOtherCall(context: AppContext, deps: ApiDeps, { htm, htu }: JsonObject): void {
  if (htm !== context.req.method) throw refused(`htm must be ${context.req.method}`);
  const { path, url } = context.req;
  const meant = typeof htu === 'string' ? normalised(htu) : null;
  // The host of the call is one of our names: others are refused before anything else.
  const ours = [deps.publicUrl + path, deps.installation.issuer + path, url].map(normalised);
  if (meant === null || !ours.includes(meant))
    throw refused(`htu must be ${deps.publicUrl}${path}, without query and fragment`);
}

/** RFC 3986 §6.2.2 and 6.2.3; the query and the fragment do not count, and a name in it is none of ours. */
function normalised(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, host, pathname, username, password } = new URL(text);
  return username === '' && password === '' ? `${protocol}//${host}${pathname}` : null;
}

/** §4.3: the proof names the token that it is sent with. */
function refuseOtherToken({ ath }: JsonObject, accessToken: string | null): void {
  if (accessToken === null) return;
  const expected = createHash('sha256').update(accessToken).digest('base64url');
  if (ath !== expected) throw refused('ath must be the SHA-256 of the access token, as base64url');
}

/** Every comparison is written so that what is no number fails it. */
function refuseOtherTime({ iat, nbf, exp }: JsonObject): void {
  const now = Date.now() / 1000;
  const age = now - secondsOf(iat, NaN);
  if (!(age <= AGE_SECONDS_MAX + SKEW_SECONDS && age >= -SKEW_SECONDS))
    throw refused('iat must be the time of this call');
  // Nobody has to say more about its time; who does means it.
  const hasBegun = secondsOf(nbf, 0) <= now + SKEW_SECONDS;
  const lasts = now < secondsOf(exp, Number.POSITIVE_INFINITY) + SKEW_SECONDS;
  if (!hasBegun || !lasts) throw refused('it is over, or not good yet');
}

function secondsOf(claim: JsonValue | undefined, otherwise: number): number {
  if (claim === undefined) return otherwise;
  return typeof claim === 'number' ? claim : NaN;
}

const NONCE_SECONDS = 300;

/** §8: where we give nonces, a proof made in advance is of no use. */
function refuseWithoutNonce(context: AppContext, deps: ApiDeps, { nonce }: JsonObject): void {
  if (!deps.dpopNonces) return;
  const slot = Math.floor(Date.now() / 1000 / NONCE_SECONDS);
  const current = nonceOf(deps, slot);
  // On every answer, so that whoever calls again has the next one.
  context.header('DPoP-Nonce', current);
  const given = typeof nonce === 'string' ? nonce : '';
  if (!sameText(given, current) && !sameText(given, nonceOf(deps, slot - 1)))
    throw new OAuthError(
      'use_dpop_nonce',
      'Repeat the call with a proof that has the nonce sent here as DPoP-Nonce.',
    );
}

const nonceOf = ({ keys }: ApiDeps, slot: number): string =>
  createHmac('sha256', keys.cursors)
    .update(`countersign/dpop-nonce/v1/${slot}`)
    .digest('base64url');

/** Compared as bytes: a text of equal length may have more of them. */
function sameText(a: string, b: string): boolean {
  const [given, wanted] = [Buffer.from(a), Buffer.from(b)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
