// The public keys by which agents are known. No key ever belongs to two of them, or to one twice.
import { eq, inArray, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { KeyRow } from '../../db/rows.ts';
import { agentKey } from '../../db/schema/index.ts';
import type { Party } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { newId, type Unit } from '../unit.ts';

/** How long a key is good before somebody should make another. */
const ROTATION_DAYS = 90;

export const rotationDueAfter = (at: string): string => addSeconds(at, ROTATION_DAYS * 86_400);

/** Refuses keys that some agent has, or ever had. */
export async function refuseTakenKeys(unit: Unit, keys: readonly PublicKey[]): Promise<void> {
  const prints = keys.map((key) => key.thumbprint);
  if (new Set(prints).size < prints.length)
    throw new Refusal('key_in_use', 'The same key was sent twice: send each once.');
  // Two who bring the same key at once take turns, and the second one is told.
  await unit.sql.execute(sql`select pg_advisory_xact_lock(hashtextextended('agent/keys', 0))`);
  const [used] = await unit.sql
    .select({ id: agentKey.id })
    .from(agentKey)
    .where(inArray(agentKey.thumbprint, prints));
  if (used)
    throw new Refusal('key_in_use', 'This key already belongs to an agent: make one for each.');
}

export async function storeKeys(
  unit: Unit,
  agent: Id<'agent'>,
  keys: readonly PublicKey[],
  broughtBy: Party,
): Promise<KeyRow[]> {
  if (keys.length === 0) return [];
  const rows = keys.map((key): KeyRow => ({
    id: newId('key'),
    agent,
    thumbprint: key.thumbprint,
    jwk: key.jwk,
    state: 'active',
    broughtBy,
    retireAt: null,
    createdAt: unit.at,
  }));
  await unit.sql.insert(agentKey).values(rows);
  return rows;
}

export const keysOf = (query: Query | Transaction, id: Id<'agent'>): Promise<KeyRow[]> =>
  query.select().from(agentKey).where(eq(agentKey.agent, id)).orderBy(agentKey.id);
