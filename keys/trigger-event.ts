// A signed event by which a configured source shows what set a task off.
import { decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import { z } from 'zod';
import type { PublicKey } from './public-key.ts';

/** The type of a signed event; its `kid` names the source. */
const TRIGGER_EVENT = 'trigger-event+jwt';

/** An event is good for minutes after it happened, and once. */
const AGE_SECONDS_MAX = 300;

const claimsShape = z.object({
  jti: z.string().min(1).max(200),
  exp: z.int(),
  event: z.strictObject({
    type: z.string().min(1).max(200),
    id: z.string().min(1).max(500),
  }),
  human: z.string().max(100).optional(),
});
export type TriggerEvent = z.infer<typeof claimsShape>;

/** The source that a proof names, if it is a signed event at all. */
export function namedSource(proof: string): string | null {
  try {
    const { typ, kid } = decodeProtectedHeader(proof);
    return typ === TRIGGER_EVENT && typeof kid === 'string' ? kid : null;
  } catch {
    return null;
  }
}

/** The claims of an event that this source signed for this agent a moment ago, or null. */
export async function readTriggerEvent(
  proof: string,
  source: string,
  key: PublicKey['jwk'],
  agent: string,
): Promise<TriggerEvent | null> {
  try {
    const { payload } = await jwtVerify(proof, await importJWK(key, 'ES256'), {
      algorithms: ['ES256'],
      typ: TRIGGER_EVENT,
      issuer: source,
      audience: agent,
      maxTokenAge: AGE_SECONDS_MAX,
      requiredClaims: ['iss', 'aud', 'iat', 'exp', 'jti'],
    });
    const claims = claimsShape.safeParse(payload);
    return claims.success ? claims.data : null;
  } catch {
    return null;
  }
}
