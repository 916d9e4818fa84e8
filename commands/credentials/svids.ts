// SVIDs of an agent's own identity: short-lived, and given to nobody but the agent while it is active.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import type { Id } from '../../domain/id.ts';
import { addSeconds, toMs } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey, type PublicKey } from '../../keys/public-key.ts';
import { toPem } from '../../keys/x509/pem.ts';
import { lockActiveAgent } from '../agents/tasks.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { refuseWithoutLog } from '../record/log-health.ts';
import type { Unit } from '../unit.ts';
import type { Authority } from './authorities.ts';
import { signCertificate, type SignedCertificate } from './certificates.ts';

/** Longest lives: revocation reaches those who ask, and these bounds everybody else. */
export const X509_SVID_SECONDS_MAX = 3600;
export const JWT_SVID_SECONDS_MAX = 900;

/** A key that we made because somebody cannot make their own; kept nowhere once it is handed over. */
export interface MadeKey {
  publicKey: PublicKey;
  /** PKCS #8 in PEM. */
  privatePem: string;
}

export async function makeLeafKey(): Promise<MadeKey> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { kty = '', crv = '', x = '', y = '' } = publicKey.export({ format: 'jwk' });
  return {
    publicKey: await readPublicKey({ kty, crv, x, y }, 'weak_key'),
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

/** Signs an X.509-SVID of the agent itself. */
export async function issueX509Svid(
  unit: Unit,
  authority: Authority,
  ask: { agent: Id<'agent'>; key: PublicKey; ttlSeconds: number },
): Promise<SignedCertificate> {
  const spiffeId = await spiffeIdOf(unit, ask.agent);
  return signCertificate(unit, authority, {
    agent: ask.agent,
    credential: null,
    spiffeId,
    key: ask.key,
    expiresAt: addSeconds(unit.at, ask.ttlSeconds),
  });
}

export interface JwtSvid {
  svid: string;
  spiffeId: string;
  jti: string;
  expiresAt: string;
}

/** Signs a JWT-SVID: a bearer token, so it names those it is for and ends soon (JWT-SVID §3). */
export async function issueJwtSvid(
  unit: Unit,
  { tokens, policies }: Pick<Deps, 'tokens' | 'policies'>,
  ask: { agent: Id<'agent'>; audience: string[]; ttlSeconds: number },
): Promise<JwtSvid> {
  const spiffeId = await spiffeIdOf(unit, ask.agent);
  refuseAudienceOfRole(await activeBundle(unit, policies, 'share'), ask.audience);
  const jti = randomUUID();
  const iat = Math.floor(toMs(unit.at) / 1000);
  const exp = iat + ask.ttlSeconds;
  const expiresAt = new Date(exp * 1000).toISOString();
  const svid = await tokens.sign('JWT', { sub: spiffeId, aud: ask.audience, iat, exp, jti });
  unit.emit('svid.issued', {
    subject: ask.agent,
    agent: ask.agent,
    detail: {
      kind: 'jwt',
      id: jti,
      credential: null,
      authority: null,
      key_thumbprint: null,
      expires_at: expiresAt,
    },
    private: { spiffe_id: spiffeId, audience: ask.audience },
  });
  return { svid, spiffeId, jti, expiresAt };
}

/**
 * Whom a role gives tokens for is reached by that role, with all that policy asks for it: whoever judges tokens there by
 * our keys, their audience and their subject alone would take this one for one of those.
 */
function refuseAudienceOfRole({ roles }: PolicyBundle, audience: readonly string[]): void {
  for (const [role, definition] of roles)
    if (definition.issuer === 'jwt' && audience.includes(definition.audience))
      throw new Refusal(
        'forbidden',
        `The audience ${definition.audience} is that of the role ${role}: ask for it under a task with POST /v1/tasks/{id}/credentials.`,
      );
}

/** The identity of an agent that is active, and stays so until the unit ends. */
async function spiffeIdOf(unit: Unit, id: Id<'agent'>): Promise<string> {
  await refuseWithoutLog(unit.sql);
  const row = await lockActiveAgent(unit, id);
  if (row.spiffeId === null)
    throw new Refusal('agent_not_active', 'This agent has no SPIFFE ID: it was never admitted.');
  return row.spiffeId;
}

/** What a holder of a certificate is given besides its private key. */
export const certificateMaterial = (
  { row, certificate }: SignedCertificate,
  authorities: readonly Authority[],
): JsonObject => ({
  certificate: toPem('CERTIFICATE', certificate),
  bundle: authorities.map((each) => toPem('CERTIFICATE', each.certificate)).join(''),
  spiffe_id: row.spiffeId,
  serial: row.serial,
});
