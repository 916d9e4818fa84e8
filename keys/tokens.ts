// Our own tokens: ES256, one `typ` per kind, one key id per key.
import { randomUUID } from 'node:crypto';
import type { JWK, JWTPayload } from 'jose';
import type { SigningRing } from './ring.ts';
import type { StoredKey } from './signer.ts';
import { verifyToken } from './verify.ts';

export interface TokenKeys {
  /** Signs claims as a token of this type. What has no end tells of an event, and gives nobody anything (RFC 8417). */
  sign(type: string, claims: JWTPayload & ({ exp: number } | { events: object })): Promise<string>;
  /** The claims of one of our tokens of this type for this audience, or null. */
  verify(
    token: string,
    type: string,
    issuer: string,
    audience: string | null,
  ): Promise<JWTPayload | null>;
  /** Public keys as last read, newest first. */
  readonly jwks: { keys: JWK[] };
  /** Reads the keys again if that is due. */
  refresh(): Promise<void>;
  /** Reads the keys again now: they were changed here, and the notice may still be on its way. */
  reload(): Promise<void>;
}

/** RFC 9068: the type of an access token. */
export const ACCESS_TOKEN = 'at+jwt';
/** The type of a token that says to a cloud who a workload is, as its own documents show it. */
export const WORKLOAD_IDENTITY = 'JWT';
/** The type of a permit: it is no access token, and opens nothing. */
export const PERMIT = 'permit+jwt';
/** The type of a token status list. */
export const STATUS_LIST = 'statuslist+jwt';

/** The active key signs; every published one verifies. */
export function openTokenKeys(ring: SigningRing): TokenKeys {
  return {
    get jwks() {
      return { keys: ring.published().map(verificationKey) };
    },
    refresh: () => ring.refresh(),
    reload: () => {
      ring.invalidate();
      return ring.refresh();
    },
    sign: async (type, claims) => {
      const signer = await ring.signer();
      const header = { alg: signer.algorithm, typ: type, kid: signer.kid };
      const iat = Math.floor(Date.now() / 1000);
      const text = `${encode(header)}.${encode({ iat, ...claims, jti: claims.jti ?? randomUUID() })}`;
      const signature = await signer.sign(Buffer.from(text, 'ascii'));
      return `${text}.${Buffer.from(signature).toString('base64url')}`;
    },
    verify: async (token, type, issuer, audience) => {
      await ring.refresh();
      const judge = () =>
        verifyToken(token, {
          ...OWN_RULES,
          ...{ issuer, audience, types: [type], now: new Date() },
          keys: ring.published().map(verificationKey),
        });
      const verdict = judge();
      if (verdict.fault !== 'key_unknown') return verdict.claims;
      // Another replica may have begun to sign with a key that is new here.
      await ring.renew();
      return judge().claims;
    },
  };
}

/** Our tokens end on the second: who signs and who verifies read the same clock, or nearly. */
const OWN_RULES = {
  algorithms: ['ES256'],
  rsaBitsMin: 3072,
  graceSeconds: 0,
  required: ['iat', 'jti'],
} as const;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const verificationKey = ({ kid, jwk, algorithm }: StoredKey) => ({
  ...jwk,
  kid,
  alg: algorithm,
  use: 'sig',
});
