// Agents signing in, by whatever way, and how long what they then hold is good.
import { and, eq, gt, isNull, ne, or, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow } from '../../db/rows.ts';
import { agent, agentKey, usedAssertion } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { asAgentId } from '../agents/agents.ts';
import { refuseWhileStopped } from '../agents/stop.ts';
import { readActiveBundle, type PolicyCache } from '../policy/policies.ts';
import type { Unit } from '../unit.ts';

/** What an access token stands on, and dies with: a key that people admitted, or a way in that policy names. */
export type Standing = { kind: 'key'; key: Id<'key'> } | { kind: 'way_in'; wayIn: Digest };

/** How an agent proved who it is. */
export interface Proof {
  method:
    | 'private_key_jwt'
    | 'oidc'
    | 'jwt_svid'
    | 'x509_svid'
    | 'tls_client_auth'
    | 'self_signed_tls_client_auth';
  standing: Standing;
  /** What is used up by it; null where the connection itself is the proof. */
  once: { source: string; jti: string; expiresAt: string } | null;
  certificate: { serial: string; thumbprint: string } | null;
  /** What its source vouches for about the workload: digests only, as everybody may read them. */
  posture: JsonObject | null;
  /** The names by which its source knows the workload. */
  workload: JsonObject | null;
}

export interface SignIn {
  agent: AgentRow;
  proof: Proof;
  tokenId: string;
  tokenExpiresAt: string;
}

/**
 * Uses up what the agent proved itself with. One row per `jti`, so a replay finds it taken, and is told null;
 * else the moment of signing in, by the database's clock.
 */
export async function recordAgentSignIn(unit: Unit, signIn: SignIn): Promise<string | null> {
  const { agent: row, proof } = signIn;
  await refuseWhileStopped(unit.sql);
  if (proof.once && !(await useUp(unit, proof.once))) return null;
  const [used] = await unit.sql
    .update(agent)
    .set({ lastUsedAt: unit.at })
    .where(and(eq(agent.id, row.id), ne(agent.state, 'retired')))
    .returning({ admittedAt: agent.admittedAt });
  const { standing } = proof;
  unit.emit('agent.signed_in', {
    subject: row.id,
    agent: row.id,
    actor_chain: [{ type: 'agent', id: row.id }],
    posture: proof.posture,
    detail: {
      method: proof.method,
      key: standing.kind === 'key' ? standing.key : null,
      way_in: standing.kind === 'way_in' ? standing.wayIn : null,
      certificate: proof.certificate && { ...proof.certificate },
      token_id: signIn.tokenId,
      expires_at: signIn.tokenExpiresAt,
    },
    private: { workload: proof.workload },
  });
  // Who signs in within the second of being resumed does so under the new admission, which is of the next one.
  const admittedAt = used?.admittedAt ?? unit.at;
  return admittedAt > unit.at ? admittedAt : unit.at;
}

/** Uses up what is good once; false when somebody already did. */
export async function useUp(unit: Unit, once: NonNullable<Proof['once']>): Promise<boolean> {
  const [fresh] = await unit.sql
    .insert(usedAssertion)
    .values(once)
    .onConflictDoNothing()
    .returning();
  return fresh !== undefined;
}

/** What an access token says that it stands on: members of its own, next to the registered claims. */
export const standingClaims = (standing: Standing): { key: string } | { way_in: string } =>
  standing.kind === 'key' ? { key: standing.key } : { way_in: standing.wayIn };

/** Reads what `standingClaims` wrote; null for claims that name neither, or both. */
export function readStanding({ key, way_in: wayIn }: Record<string, unknown>): Standing | null {
  if (typeof key === 'string' && wayIn === undefined) return { kind: 'key', key: key as Id<'key'> };
  if (typeof wayIn === 'string' && key === undefined)
    return { kind: 'way_in', wayIn: wayIn as Digest };
  return null;
}

/**
 * The agent behind an access token: null once what it was signed in with is no longer good, or when the agent
 * was suspended since, even if it was resumed afterwards.
 */
export async function findSignedIn(
  query: Query,
  policies: PolicyCache,
  signedIn: { agent: string; standing: Standing; atSeconds: number },
): Promise<AgentRow | null> {
  const [row] = await query
    .select()
    .from(agent)
    .where(eq(agent.id, asAgentId(signedIn.agent)));
  if (!row?.admittedAt) return null;
  const isSince = signedIn.atSeconds >= Math.floor(Date.parse(row.admittedAt) / 1000);
  if (!isSince) return null;
  return (await stillStands(query, policies, row, signedIn.standing)) ? row : null;
}

async function stillStands(
  query: Query,
  policies: PolicyCache,
  row: AgentRow,
  standing: Standing,
): Promise<boolean> {
  if (standing.kind === 'key') return isActiveKey(query, row, standing.key);
  const { federation } = await readActiveBundle(query, policies);
  return federation.waysIn.some(
    ({ digest, agent }) => digest === standing.wayIn && agent === row.name,
  );
}

async function isActiveKey(
  query: Query | Transaction,
  row: AgentRow,
  key: Id<'key'>,
): Promise<boolean> {
  const [found] = await query
    .select({ id: agentKey.id })
    .from(agentKey)
    .where(
      and(
        eq(agentKey.id, key),
        eq(agentKey.agent, row.id),
        eq(agentKey.state, 'active'),
        or(isNull(agentKey.retireAt), gt(agentKey.retireAt, sql`clock_timestamp()`)),
      ),
    );
  return found !== undefined;
}
