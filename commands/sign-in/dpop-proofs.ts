// DPoP proofs are good once for each key (RFC 9449 §11.1).
import type { Query, Transaction } from '../../db/client.ts';
import { dpopProof } from '../../db/schema/index.ts';

/** Notes a proof; false when this key made one of the same id before. */
export async function noteProof(
  query: Query | Transaction,
  proof: { thumbprint: string; jti: string; expiresAt: string },
): Promise<boolean> {
  const [fresh] = await query.insert(dpopProof).values(proof).onConflictDoNothing().returning();
  return fresh !== undefined;
}
