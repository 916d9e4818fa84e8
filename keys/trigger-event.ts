// A signed event by which a configured source shows what set a task off.
import { decodeProtectedHeader } from 'jose';
import { z } from 'zod';
import type { PublicKey } from './public-key.ts';
import { verifySigned } from './verify.ts';

/** The type of a signed event; its `kid` names the source. */
const TRIGGER_EVENT = 'trigger-event+jwt';

/** An event is good for minutes after it happened, and once. */
const AGE_SECONDS_MAX = 300;

/** Beyond any date that can be written. */
const SECONDS_MAX = 99_999_999_999;

const claimsShape = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.tuple([z.string()])]),
  iat: z.number(),
  nbf: z.number().default(0),
  jti: z.string().min(1).max(200),
  exp: z.int().max(SECONDS_MAX),
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
export function readTriggerEvent(
  proof: string,
  source: string,
  key: PublicKey['jwk'],
  agent: string,
): TriggerEvent | null {
  const verdict = verifySigned(proof, {
    keys: [key],
    algorithms: ['ES256'],
    types: [TRIGGER_EVENT],
    rsaBitsMin: Number.POSITIVE_INFINITY,
  });
  const { data: claims } = claimsShape.safeParse(verdict.claims);
  if (claims?.iss !== source || ![claims.aud].flat().includes(agent)) return null;
  const now = Date.now() / 1000;
  const isNow = now - claims.iat <= AGE_SECONDS_MAX && claims.iat <= now && claims.nbf <= now;
  return isNow && now < claims.exp ? claims : null;
}
