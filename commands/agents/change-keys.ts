// Changing the keys of an agent that was admitted. People agreed to the keys it came with: whoever could add another
// without them could sign in as the agent, so a new key goes the way its admission went.
import { eq } from 'drizzle-orm';
import type { AgentRow, KeyRow, RequestRow } from '../../db/rows.ts';
import { agent, agentKey } from '../../db/schema/index.ts';
import { actionDigest, type Action, type Party } from '../../domain/action.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey, type PublicKey } from '../../keys/public-key.ts';
import { findLiveDuplicate, openRequest, recordEvaluation } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { keysOf, refuseTakenKeys, rotationDueAfter, storeKeys } from './agent-keys.ts';
import { lockAgent } from './agents.ts';

export type KeyAnswer = { key: KeyRow } | { request: RequestRow };

/** Asks for a key beside the others, so that an agent can move to it without a gap. */
export async function askForKey(
  unit: Unit,
  deps: Deps,
  id: string,
  key: PublicKey,
): Promise<KeyAnswer | Refusal> {
  const row = await lockChangeable(unit, id);
  await refuseTakenKeys(unit, [key]);
  const action = keyAction(unit, row, key);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  if (evaluation.decision === 'hold') {
    const live = await findLiveDuplicate(unit, null, actionDigest(action));
    if (live) return { request: live };
  }
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny')
    return new Refusal('denied', 'Policy allows this agent no other key: reasons says why.', {
      evaluation: {
        id: judged.id,
        policy_version: evaluation.policyVersion,
        reasons: evaluation.says,
      },
    });
  if (evaluation.decision === 'permit')
    return { key: await addKey(unit, row, key, partyOf(unit.call.principal)) };
  const asked = { action, agent: row, task: null, reason: null, sealTo: null, callbackUrl: null };
  return { request: await openRequest(unit, asked, judged) };
}

function keyAction(unit: Unit, row: AgentRow, key: PublicKey): Action {
  const asker = partyOf(unit.call.principal);
  return {
    subject: asker,
    actor_chain: [asker],
    action: 'agent:add_key',
    resource: { type: 'agent', id: row.id },
    // The key itself, so that what is added is what was approved.
    parameters: { name: row.name, thumbprint: key.thumbprint, jwk: { ...key.jwk } },
    data_class: null,
    destination: null,
    context: { purpose: row.purpose },
  };
}

/** Adds the key that an approved request names, or lets its join token be used; refuses if that can no longer be. */
export async function addApprovedKey(unit: Unit, request: RequestRow): Promise<Refusal | null> {
  try {
    const row = await lockChangeable(unit, request.action.resource.id);
    const { jwk, join_token: token } = request.action.parameters;
    // The key of a join token comes with whoever joins: approving it is all there is to do.
    if (token !== undefined) return null;
    const key = await readPublicKey(asObject(jwk), 'weak_key');
    await refuseTakenKeys(unit, [key]);
    await addKey(unit, row, key, request.requester);
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** What was put into the action was an object, and reading it as a key checks what is in it. */
const asObject = (jwk: unknown): JsonObject => jwk as JsonObject;

async function addKey(
  unit: Unit,
  row: AgentRow,
  key: PublicKey,
  broughtBy: Party,
): Promise<KeyRow> {
  const [added] = await storeKeys(unit, row.id, [key], broughtBy);
  if (!added) throw new Error('a stored key was not returned');
  await unit.sql
    .update(agent)
    .set({ rotationDueAt: rotationDueAfter(unit.at) })
    .where(eq(agent.id, row.id));
  emitKeyChange(unit, 'agent.key_added', row, added);
  return added;
}

/** An agent whose keys may be changed, held as it is until the transaction ends. */
export async function lockChangeable(unit: Unit, id: string): Promise<AgentRow> {
  const row = await lockAgent(unit, id);
  if (row.state !== 'active' && row.state !== 'suspended')
    throw new Refusal(
      'wrong_state',
      `This agent is ${row.state}: keys are changed while it is active or suspended.`,
      { state: row.state },
    );
  return row;
}

/** Takes a key away. The last one stays: an agent without keys is one to suspend. */
export async function revokeKey(unit: Unit, id: string, keyId: string): Promise<KeyRow> {
  const row = await lockAgent(unit, id);
  const keys = await keysOf(unit.sql, row.id);
  const key = keys.find((each) => each.id === keyId);
  if (!key)
    throw new Refusal(
      'not_found',
      'This agent has no such key: GET /v1/agents/{id} lists those it has.',
    );
  if (key.state === 'revoked') return key;
  if (!keys.some((each) => each.state === 'active' && each.retireAt === null && each.id !== keyId))
    throw new Refusal(
      'wrong_state',
      'This is the last key: add another first, or suspend the agent.',
    );
  await unit.sql.update(agentKey).set({ state: 'revoked' }).where(eq(agentKey.id, key.id));
  emitKeyChange(unit, 'agent.key_revoked', row, key);
  return { ...key, state: 'revoked' };
}

/** Says that a key was given to an agent, or taken from it. */
export function emitKeyChange(
  unit: Unit,
  name: 'agent.key_added' | 'agent.key_revoked',
  row: AgentRow,
  key: KeyRow,
): void {
  unit.emit(name, {
    subject: row.id,
    agent: row.id,
    detail: { key: key.id, thumbprint: key.thumbprint },
    private: {},
  });
}
