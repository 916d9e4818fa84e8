// Taking back access tokens of our own before they expire (RFC 7009).
import { eq } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import { revokedToken } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';

/** Revokes a token. Repeating it changes nothing. */
export async function revokeToken(
  unit: Unit,
  token: { jti: string; agent: Id<'agent'>; expiresAt: string },
): Promise<void> {
  const [row] = await unit.sql
    .insert(revokedToken)
    .values({ jti: token.jti, expiresAt: token.expiresAt })
    .onConflictDoNothing()
    .returning();
  if (!row) return;
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('token.revoked', {
    subject: token.agent,
    agent: token.agent,
    detail: { token_id: token.jti, by: { type, id }, expires_at: token.expiresAt },
    private: {},
  });
}

/** Whether a token was taken back. */
export async function isRevoked(query: Query | Transaction, jti: string): Promise<boolean> {
  const [row] = await query.select().from(revokedToken).where(eq(revokedToken.jti, jti));
  return row !== undefined;
}
