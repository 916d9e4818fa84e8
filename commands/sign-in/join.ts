// Join tokens: a right to bind one key to one agent, once, for a workload whose key cannot be known beforehand. It is
// as good as a key, so it goes the way of one; only its hash is kept, and a reader of the table cannot join.
import { createHash, randomBytes } from 'node:crypto';
import { and, desc, eq, gt, isNull } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { AgentRow, JoinTokenRow, KeyRow, RequestRow } from '../../db/rows.ts';
import { agent, agentKey, joinToken, request } from '../../db/schema/index.ts';
import type { Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { refuseTakenKeys, rotationDueAfter, storeKeys } from '../agents/agent-keys.ts';
import { lockAgent, registerAgent, type Registration } from '../agents/agents.ts';
import { lockChangeable } from '../agents/change-keys.ts';
import { openRequest, recordEvaluation } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

/** A token that was just made: its text is told once, here. */
interface MadeToken {
  row: JoinTokenRow;
  token: string;
}

/** 256 random bits: nothing is guessed, and a plain hash is enough to keep it by. */
const TOKEN_BYTES = 32;

export const joinTokenHash = (token: string): string =>
  createHash('sha256').update(token).digest('hex');

/** Makes a token for an agent, good once its request is approved; null where no people are asked. */
async function makeJoinToken(
  unit: Unit,
  of: { agent: Id<'agent'>; id: Id<'joinToken'>; request: Id<'request'> | null; expiresAt: string },
): Promise<MadeToken> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const madeBy = partyOf(unit.call.principal);
  const row: JoinTokenRow = {
    ...of,
    madeBy,
    tokenHash: joinTokenHash(token),
    createdAt: unit.at,
    usedAt: null,
    withdrawnAt: null,
    key: null,
  };
  await unit.sql.insert(joinToken).values(row);
  const { type, id } = madeBy;
  unit.emit('agent.join_token_made', {
    subject: of.agent,
    agent: of.agent,
    request: of.request,
    detail: { join_token: row.id, expires_at: row.expiresAt, by: { type, id } },
    private: {},
  });
  return { row, token };
}

/** Registers an agent that is given its key by whoever joins with the token, once people have admitted it. */
export async function registerJoining(
  unit: Unit,
  deps: Deps,
  registration: Omit<Registration, 'joinUntil'>,
  ttlSeconds: number,
): Promise<(MadeToken & { agent: AgentRow }) | Refusal> {
  const expiresAt = joinTokenExpiry(unit.at, ttlSeconds);
  const row = await registerAgent(unit, deps, { ...registration, joinUntil: expiresAt });
  if (row instanceof Refusal) return row;
  const of = { agent: row.id, id: newId('joinToken'), request: row.request, expiresAt };
  return { ...(await makeJoinToken(unit, of)), agent: row };
}

const joinTokenExpiry = (at: string, ttlSeconds: number): string => addSeconds(at, ttlSeconds);

/** Asks for a join token: whoever comes with it is given a key, so those who agree to keys agree to it. */
export async function askForJoinToken(
  unit: Unit,
  deps: Deps,
  id: string,
  ttlSeconds: number,
): Promise<(MadeToken & { request: RequestRow | null }) | Refusal> {
  const row = await lockChangeable(unit, id);
  const token = newId('joinToken');
  const expiresAt = joinTokenExpiry(unit.at, ttlSeconds);
  const action = tokenAction(unit, row, token, expiresAt);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny')
    return new Refusal(
      'denied',
      'Policy does not allow this agent another key, nor a way to one.',
      {
        evaluation: {
          id: judged.id,
          policy_version: evaluation.policyVersion,
          reasons: evaluation.says,
        },
      },
    );
  const asked = { action, agent: row, task: null, reason: null, sealTo: null, callbackUrl: null };
  const held = evaluation.decision === 'hold' ? await openRequest(unit, asked, judged) : null;
  const of = { agent: row.id, id: token, request: held?.id ?? null, expiresAt };
  return { ...(await makeJoinToken(unit, of)), request: held };
}

/** Tokens of an agent that could still bring a key, or could once people agree; the newest first. */
export const openJoinTokens = (
  query: Query,
  of: Id<'agent'>,
  now: string,
): Promise<JoinTokenRow[]> =>
  query
    .select()
    .from(joinToken)
    .where(
      and(
        eq(joinToken.agent, of),
        isNull(joinToken.usedAt),
        isNull(joinToken.withdrawnAt),
        gt(joinToken.expiresAt, now),
      ),
    )
    .orderBy(desc(joinToken.id));

function tokenAction(unit: Unit, row: AgentRow, token: string, expiresAt: string): Action {
  const asker = partyOf(unit.call.principal);
  return {
    subject: asker,
    actor_chain: [asker],
    action: 'agent:add_key',
    resource: { type: 'agent', id: row.id },
    // No key is named, because it is not known yet: whoever has the token brings it.
    parameters: { name: row.name, join_token: token, expires_at: expiresAt },
    data_class: null,
    destination: null,
    context: { purpose: row.purpose },
  };
}

/** Binds a key to the agent of a token. One of all who try succeeds, and its repeat is told the same. */
export async function joinAgent(
  unit: Unit,
  token: string,
  key: PublicKey,
): Promise<{ agent: AgentRow; key: KeyRow }> {
  const hash = joinTokenHash(token);
  const [known] = await unit.sql.select().from(joinToken).where(eq(joinToken.tokenHash, hash));
  if (!known) throw new Refusal('not_found', 'This join token is not one of ours: ask for one.');
  // Everybody who changes an agent locks it first, and so those who join it take turns.
  const row = await lockAgent(unit, known.agent);
  const [found] = await unit.sql.select().from(joinToken).where(eq(joinToken.id, known.id));
  if (found?.key) return { agent: row, key: await keyOfRepeat(unit, found.key, key) };
  refuseSpent(found ?? known, await unit.readClock());
  await refuseUnapproved(unit, known);
  if (row.state !== 'active' || row.retiring)
    throw new Refusal('wrong_state', `This agent is ${row.state}: it cannot be joined now.`, {
      state: row.state,
    });
  await refuseTakenKeys(unit, [key]);
  return { agent: row, key: await bindKey(unit, row, known, key) };
}

/** A lost answer is asked for again with the same key; anybody else comes too late. */
async function keyOfRepeat(unit: Unit, id: Id<'key'>, { thumbprint }: PublicKey): Promise<KeyRow> {
  const [bound] = await unit.sql.select().from(agentKey).where(eq(agentKey.id, id));
  if (bound?.thumbprint === thumbprint && bound.state === 'active') return bound;
  throw new Refusal(
    'join_token_used',
    'This join token was already used: if that was not you, revoke the key that it bound, and ask for another token.',
  );
}

function refuseSpent({ expiresAt, withdrawnAt }: JoinTokenRow, now: string): void {
  if (withdrawnAt !== null)
    throw new Refusal(
      'join_token_expired',
      'This join token was withdrawn when its agent was stopped: ask for another.',
    );
  if (!(now < expiresAt))
    throw new Refusal('join_token_expired', 'This join token is too old: ask for another.');
}

async function refuseUnapproved(unit: Unit, { request: id }: JoinTokenRow): Promise<void> {
  if (id === null) return;
  const [asked] = await unit.sql
    .select({ state: request.state })
    .from(request)
    .where(eq(request.id, id));
  if (asked?.state === 'consumed') return;
  throw new Refusal(
    'join_not_approved',
    `The request for this join token is ${asked?.state ?? 'gone'}: it is good once people have approved it.`,
    { request: id, state: asked?.state ?? 'gone' },
  );
}

async function bindKey(
  unit: Unit,
  row: AgentRow,
  token: JoinTokenRow,
  key: PublicKey,
): Promise<KeyRow> {
  const [bound] = await storeKeys(unit, row.id, [key], token.madeBy);
  if (!bound) throw new Error('a stored key was not returned');
  const [won] = await unit.sql
    .update(joinToken)
    .set({ usedAt: unit.at, key: bound.id })
    .where(and(eq(joinToken.id, token.id), isNull(joinToken.usedAt)))
    .returning();
  if (!won)
    throw new Refusal('join_token_used', 'This join token was already used: ask for another.');
  await unit.sql
    .update(agent)
    .set({ rotationDueAt: rotationDueAfter(unit.at) })
    .where(eq(agent.id, row.id));
  unit.emit('agent.joined', {
    subject: row.id,
    agent: row.id,
    actor_chain: [{ type: 'agent', id: row.id }],
    request: token.request,
    detail: { join_token: token.id, key: bound.id, thumbprint: bound.thumbprint },
    private: {},
  });
  return bound;
}
