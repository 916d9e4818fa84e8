// What time brings about for an agent: keys whose overlap is over, and a new key that is due and due again.
import { eq } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { AgentRow, KeyRow } from '../../db/rows.ts';
import { agent, agentKey } from '../../db/schema/index.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { noteLateReviews, reviewTimesOf } from '../exceptions/glass-review.ts';
import { careForGrants, grantTimesOf } from '../exceptions/grant-ends.ts';
import type { Unit } from '../unit.ts';
import { keysOf } from './agent-keys.ts';
import { findAgent, lockAgent } from './agents.ts';
import { emitKeyChange } from './change-keys.ts';

/** Once a new key is due, somebody is told again this often. */
const REMIND_DAYS = 7;

const daysAfter = (at: string, days: number): string => addSeconds(at, days * 86_400);

/** When somebody is next told that a new key is due. */
function rotationNoticeAt({ state, rotationDueAt, rotationNotedAt }: AgentRow): string | null {
  if (rotationDueAt === null || (state !== 'active' && state !== 'suspended')) return null;
  const noted = rotationNotedAt !== null && rotationNotedAt >= rotationDueAt;
  return noted ? daysAfter(rotationNotedAt, REMIND_DAYS) : rotationDueAt;
}

const retirementsOf = (keys: readonly KeyRow[]): string[] =>
  keys.flatMap(({ state, retireAt }) => (state === 'active' && retireAt !== null ? retireAt : []));

/** When there is next something to do for an agent, or null. */
export async function nextCareAt(query: Query, row: AgentRow): Promise<string | null> {
  const notice = rotationNoticeAt(row);
  const times = [
    ...retirementsOf(await keysOf(query, row.id)),
    ...(notice === null ? [] : [notice]),
    ...(await grantTimesOf(query, row.id)),
    ...(await reviewTimesOf(query, row.id)),
  ];
  return times.toSorted()[0] ?? null;
}

/** Does for an agent what is due by now. Repeating it changes nothing. */
export async function careForAgent(unit: Unit, id: string): Promise<void> {
  if (!(await findAgent(unit.sql, id))) return;
  const row = await lockAgent(unit, id);
  const now = await unit.readClock();
  for (const key of await keysOf(unit.sql, row.id))
    if (key.state === 'active' && key.retireAt !== null && key.retireAt <= now) {
      await unit.sql.update(agentKey).set({ state: 'revoked' }).where(eq(agentKey.id, key.id));
      emitKeyChange(unit, 'agent.key_revoked', row, key);
    }
  await careForGrants(unit, row.id);
  await noteLateReviews(unit, row.id);
  const notice = rotationNoticeAt(row);
  if (notice === null || notice > now) return;
  await unit.sql.update(agent).set({ rotationNotedAt: now }).where(eq(agent.id, row.id));
  unit.emit('agent.rotation_due', {
    subject: row.id,
    agent: row.id,
    detail: { due_at: row.rotationDueAt },
    private: {},
  });
  unit.changed(row.id);
}

/**
 * Lets a key go after an overlap, in which its holder moves to another. When that is over it is no key any more,
 * whether or not a worker has noted it.
 */
export async function retireKey(
  unit: Unit,
  id: string,
  keyId: string,
  afterSeconds: number,
): Promise<KeyRow> {
  const row = await lockAgent(unit, id);
  await unit.readClock();
  const keys = await keysOf(unit.sql, row.id);
  const key = keys.find((each) => each.id === keyId);
  if (!key)
    throw new Refusal(
      'not_found',
      'This agent has no such key: GET /v1/agents/{id} lists those it has.',
    );
  if (key.state === 'revoked') return key;
  if (!keys.some((each) => each.id !== keyId && staysKey(each)))
    throw new Refusal(
      'wrong_state',
      'This is the last key that stays: add another first, or suspend the agent.',
    );
  const wanted = addSeconds(unit.at, afterSeconds);
  // An end that was said is never put off.
  const retireAt = key.retireAt !== null && key.retireAt < wanted ? key.retireAt : wanted;
  await unit.sql.update(agentKey).set({ retireAt }).where(eq(agentKey.id, key.id));
  unit.emit('agent.key_retiring', {
    subject: row.id,
    agent: row.id,
    detail: { key: key.id, thumbprint: key.thumbprint, retire_at: retireAt },
    private: {},
  });
  unit.wake('agent', row.id, row.id);
  return { ...key, retireAt };
}

const staysKey = ({ state, retireAt }: KeyRow): boolean => state === 'active' && retireAt === null;
