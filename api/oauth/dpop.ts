// Proof of possession (RFC 9449): whoever uses a token shows, for this very call, that they hold its key.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify, type JWTPayload } from 'jose';
import { noteProof } from '../../commands/dpop-proofs.ts';
import { isUnstorable } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { OAuthError } from './error.ts';

/** What proofs may be signed with: one curve each, and nothing that could be weak. */
export const PROOF_ALGORITHMS = ['ES256', 'ES384', 'EdDSA'];

/** A proof is made for one call, so it is young. */
const AGE_SECONDS_MAX = 60;
const SKEW_SECONDS = 30;
const JTI_LENGTH_MAX = 200;

/** Whether a call came with a proof. */
export const hasProof = (context: AppContext): boolean => context.req.header('dpop') !== undefined;

/**
 * The thumbprint of the key that made the proof of this call; `accessToken` is the one it is sent with, if any.
 * Throws an OAuthError that says what is wrong. A proof is used up by this.
 */
export async function checkProof(
  context: AppContext,
  deps: ApiDeps,
  accessToken: string | null,
): Promise<string> {
  const proof = context.req.header('dpop') ?? '';
  const { payload, thumbprint } = await verifySignature(proof);
  refuseOtherCall(context, deps, payload);
  refuseOtherToken(payload, accessToken);
  refuseOtherTime(payload);
  refuseWithoutNonce(context, deps, payload);
  const { jti } = payload;
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_LENGTH_MAX || isUnstorable(jti))
    throw refused(`it needs a jti of 1 to ${JTI_LENGTH_MAX} characters`);
  const expiresAt = new Date(
    Date.now() + (AGE_SECONDS_MAX + 2 * SKEW_SECONDS) * 1000,
  ).toISOString();
  if (!(await noteProof(deps.db.query, { thumbprint, jti, expiresAt })))
    throw refused('it was already used: make one for each call');
  return thumbprint;
}

const refused = (why: string): OAuthError =>
  new OAuthError('invalid_dpop_proof', `The DPoP proof is refused: ${why}.`);

async function verifySignature(
  proof: string,
): Promise<{ payload: JWTPayload; thumbprint: string }> {
  try {
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: PROOF_ALGORITHMS,
      clockTolerance: SKEW_SECONDS,
    });
    // EmbeddedJWK takes a public key and nothing else, so there is one.
    return { payload, thumbprint: await calculateJwkThumbprint(protectedHeader.jwk ?? {}) };
  } catch {
    throw refused(
      `it must be one JWT of typ dpop+jwt, signed with ${PROOF_ALGORITHMS.join(', ')} by the public key in its header`,
    );
  }
}

/** §4.3: the method and the address of this call, as whoever called us knows it. */
function refuseOtherCall(context: AppContext, deps: ApiDeps, { htm, htu }: JWTPayload): void {
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
function refuseOtherToken({ ath }: JWTPayload, accessToken: string | null): void {
  if (accessToken === null) return;
  const expected = createHash('sha256').update(accessToken).digest('base64url');
  if (ath !== expected) throw refused('ath must be the SHA-256 of the access token, as base64url');
}

function refuseOtherTime({ iat }: JWTPayload): void {
  const age = Date.now() / 1000 - (typeof iat === 'number' ? iat : NaN);
  if (!(age <= AGE_SECONDS_MAX + SKEW_SECONDS && age >= -SKEW_SECONDS))
    throw refused('iat must be the time of this call');
}

const NONCE_SECONDS = 300;

/** §8: where we give nonces, a proof made in advance is of no use. */
function refuseWithoutNonce(context: AppContext, deps: ApiDeps, { nonce }: JWTPayload): void {
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

const sameText = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
