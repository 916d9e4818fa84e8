// Agents signing in with a key, and how long what they then hold is good.
import { and, eq, gt, isNull, ne, or, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../db/client.ts';
import type { AgentRow, KeyRow } from '../db/rows.ts';
import { agent, agentKey, usedAssertion } from '../db/schema/index.ts';
import type { Id } from '../domain/id.ts';
import { asAgentId } from './agents.ts';
import { refuseWhileStopped } from './stop.ts';
import type { Unit } from './unit.ts';

export interface SignIn {
  agent: AgentRow;
  key: KeyRow;
  /** The `jti` of the client assertion, good once. */
  assertion: string;
  assertionExpiresAt: string;
  tokenId: string;
  tokenExpiresAt: string;
}

/**
 * Uses up a client assertion. One row per `jti`, so a replay finds it taken, and is told null; else the
 * moment of signing in, by the database's clock.
 */
export async function recordAgentSignIn(unit: Unit, signIn: SignIn): Promise<string | null> {
  const { agent: row, key } = signIn;
  await refuseWhileStopped(unit.sql);
  const [fresh] = await unit.sql
    .insert(usedAssertion)
    .values({ agent: row.id, jti: signIn.assertion, expiresAt: signIn.assertionExpiresAt })
    .onConflictDoNothing()
    .returning();
  if (!fresh) return null;
  await unit.sql
    .update(agent)
    .set({ lastUsedAt: unit.at })
    .where(and(eq(agent.id, row.id), ne(agent.state, 'retired')));
  unit.emit('agent.signed_in', {
    subject: row.id,
    agent: row.id,
    actor_chain: [{ type: 'agent', id: row.id }],
    detail: {
      method: 'private_key_jwt',
      key: key.id,
      token_id: signIn.tokenId,
      expires_at: signIn.tokenExpiresAt,
    },
    private: {},
  });
  return unit.at;
}

/**
 * The agent behind an access token: null once the key that it was signed in with is revoked, or when the agent
 * was suspended since, even if it was resumed afterwards.
 */
export async function findSignedIn(
  query: Query | Transaction,
  signedIn: { agent: string; key: string; atSeconds: number },
): Promise<AgentRow | null> {
  const [found] = await query
    .select({ agent })
    .from(agent)
    .innerJoin(agentKey, eq(agentKey.agent, agent.id))
    .where(
      and(
        eq(agent.id, asAgentId(signedIn.agent)),
        eq(agentKey.id, signedIn.key as Id<'key'>),
        eq(agentKey.state, 'active'),
        or(isNull(agentKey.retireAt), gt(agentKey.retireAt, sql`clock_timestamp()`)),
      ),
    );
  const admittedAt = found?.agent.admittedAt;
  if (!found || !admittedAt) return null;
  const isSince = signedIn.atSeconds >= Math.floor(Date.parse(admittedAt) / 1000);
  return isSince ? found.agent : null;
}
