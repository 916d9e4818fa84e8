// Proofs of possession (RFC 9449 §4.2): signed by the key that they bring along, and by no key that is weak.
import { calculateJwkThumbprint } from 'jose';
import type { JsonObject } from '../domain/json.ts';
import { KEY_IN_HEADER, verifySigned, type TokenFault } from './verify.ts';

/** What proofs may be signed with: one curve each. */
export const PROOF_ALGORITHMS = ['ES256', 'ES384', 'EdDSA'] as const;

export type ProofVerdict =
  | { claims: JsonObject; thumbprint: string; fault: null }
  | { claims: null; thumbprint: null; fault: TokenFault };

/** Judges a proof but for the call it is made for, and says by which key it was made (RFC 7638). */
export async function verifyProof(proof: string): Promise<ProofVerdict> {
  const verdict = verifySigned(proof, {
    keys: KEY_IN_HEADER,
    algorithms: PROOF_ALGORITHMS,
    types: ['dpop+jwt'],
    rsaBitsMin: Number.POSITIVE_INFINITY,
  });
  if (verdict.fault !== null) return { claims: null, thumbprint: null, fault: verdict.fault };
  const { claims, jwk } = verdict;
  return { claims, thumbprint: await calculateJwkThumbprint(jwk), fault: null };
}
