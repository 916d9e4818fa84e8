// The registry of agents and what can be done about one.
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { retireKey } from '../commands/agents/agent-care.ts';
import {
  asAgentId,
  beginRetirement,
  findAgent,
  killAgent,
  registerAgent,
  resumeAgent,
  suspendAgent,
} from '../commands/agents/agents.ts';
import { askForKey, revokeKey } from '../commands/agents/change-keys.ts';
import { askForOwner } from '../commands/agents/owners.ts';
import { waitUntil } from '../commands/changes.ts';
import { answerOnce, settleWaited, type Answer } from '../commands/once.ts';
import type { Principal } from '../commands/principal.ts';
import { registerJoining } from '../commands/sign-in/join.ts';
import type { Unit } from '../commands/unit.ts';
import type { AgentRow } from '../db/rows.ts';
import { agent } from '../db/schema/index.ts';
import type { EventName } from '../domain/event.ts';
import type { JsonObject } from '../domain/json.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { Refusal, type RefusalCode } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { invalid } from './body.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentAgent, presentHeld, presentJoinToken, presentKey } from './present.ts';
import { created, defineRoute, ok, type ApiDeps, type Route } from './route.ts';
import * as shape from './schemas.ts';

const register = defineRoute({
  method: 'post',
  path: '/v1/agents',
  tag: 'Agents',
  summary: 'Register an agent with its public keys; people then admit it',
  allow: ['admin', 'member'],
  body: shape.agentBody,
  answers: {
    201: {
      description: 'The agent, waiting to be admitted; with join, the token that it joins with',
      schema: shape.registeredAgent,
    },
  },
  refusals: [
    'name_taken',
    'key_in_use',
    'weak_key',
    'private_key_sent',
    'person_unknown',
    'parent_unknown',
    'denied',
    'stopped',
    'no_approver',
  ],
  events: [
    'agent.requested',
    'evaluation.decided',
    'request.opened',
    'agent.admitted',
    'agent.join_token_made',
  ],
  handle: async ({ call, once, body }, deps) => {
    if (body.owner === undefined && body.parent === undefined)
      throw invalid('Send owner: only a sub-agent, which names its parent, may do without.');
    const keys = await Promise.all(
      body.keys.map((key) => readPublicKey(asJsonObject(key), 'weak_key')),
    );
    return answerOnce(deps, call, once, async (unit) => {
      if (body.join) {
        const made = await registerJoining(unit, deps, { ...body, keys }, JOIN_SECONDS_MAX);
        if (made instanceof Refusal) return made;
        const shown = await presentAgent(unit.sql, made.agent);
        return created({ ...shown, join_token: presentJoinToken(made) });
      }
      const row = await registerAgent(unit, deps, { ...body, keys, joinUntil: null });
      return row instanceof Refusal ? row : created(await presentAgent(unit.sql, row));
    });
  },
});

/** People take their time to admit an agent, and its token waits for them. */
const JOIN_SECONDS_MAX = 86_400;

const list = defineRoute({
  method: 'get',
  path: '/v1/agents',
  tag: 'Agents',
  summary: 'List agents',
  allow: ['person', 'service'],
  query: z.strictObject({
    ...shape.listQuery,
    name: z.string().max(63).optional(),
    state: z.enum(statesOf('agent')).optional(),
  }),
  answers: { 200: { description: 'A page of agents', schema: shape.listOf(shape.agent) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'agents', query.cursor);
    const rows = await deps.db.query
      .select()
      .from(agent)
      .where(
        and(
          after === null ? undefined : gt(agent.id, asAgentId(after)),
          query.name === undefined ? undefined : eq(agent.name, query.name),
          query.state ? eq(agent.state, query.state) : undefined,
        ),
      )
      .orderBy(asc(agent.id))
      .limit(query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'agents');
    const data = await Promise.all(page.rows.map((row) => presentAgent(deps.db.query, row)));
    return ok({ data, next_cursor: page.next });
  },
});

const show = defineRoute({
  method: 'get',
  path: '/v1/agents/{id}',
  tag: 'Agents',
  summary: 'One agent',
  allow: ['person', 'service', 'agent'],
  answers: { 200: { description: 'The agent', schema: shape.agent } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params }, deps) => {
    const row = await findAgent(deps.db.query, params['id'] ?? '');
    if (!row || !maySee(principal, row)) throw new Refusal('not_found', 'There is no such agent.');
    return ok(await presentAgent(deps.db.query, row));
  },
});

const maySee = (principal: Principal | null, row: AgentRow): boolean =>
  principal?.kind !== 'agent' || principal.id === row.id;

/** How long a call that stops an agent waits until nothing of it is alive, before it answers as things stand. */
const STOP_WAIT_SECONDS = 15;

type Step = (unit: Unit, id: string, reason: string | null) => Promise<AgentRow>;

function lifecycleRoute(
  verb: string,
  summary: string,
  step: Step,
  events: readonly EventName[],
  refusals: readonly RefusalCode[],
): Route {
  return defineRoute({
    method: 'post',
    path: `/v1/agents/{id}/${verb}`,
    tag: 'Agents',
    summary,
    allow: ['admin'],
    body: shape.reasonBody,
    answers: { 200: { description: 'The agent as it is now', schema: shape.agent } },
    refusals: ['not_found', ...refusals],
    events,
    handle: async ({ call, once, params, body }, deps) => {
      const id = params['id'] ?? '';
      const answer = await answerOnce(deps, call, once, async (unit) =>
        ok(await presentAgent(unit.sql, await step(unit, id, body.reason ?? null))),
      );
      if (answer instanceof Refusal || answer.replayed || verb === 'resume') return answer;
      return settleWaited(deps, call, once, answer, await whenGone(deps, id, answer));
    },
  });
}

/** Stopping is answered when what the agent held is seen gone, or as it stands when that takes too long. */
async function whenGone(deps: ApiDeps, id: string, answer: Answer): Promise<Answer> {
  const read = async (): Promise<JsonObject | null> => {
    const row = await findAgent(deps.db.query, id);
    return row && presentAgent(deps.db.query, row);
  };
  const isGone = (seen: JsonObject | null): boolean => seen?.['alive'] === 0;
  const seen = await waitUntil(deps.changes, id, STOP_WAIT_SECONDS, read, isGone);
  return seen ? { ...answer, body: seen } : answer;
}

const suspend = lifecycleRoute(
  'suspend',
  'Stop an agent: nothing new, and everything it holds is revoked before this answers',
  suspendAgent,
  ['agent.suspended', 'credential.revoke_intended', 'svid.revoked'],
  ['wrong_state'],
);
const resume = lifecycleRoute(
  'resume',
  'Let a suspended agent ask again; what was revoked stays revoked',
  resumeAgent,
  ['agent.resumed'],
  ['wrong_state', 'stopped'],
);
const kill = lifecycleRoute(
  'kill',
  'Stop an agent and end all its tasks',
  killAgent,
  [
    'agent.suspended',
    'agent.rejected',
    'request.cancelled',
    'request.failed',
    'task.ending',
    'credential.revoke_intended',
    'svid.revoked',
  ],
  ['wrong_state'],
);
const retire = lifecycleRoute(
  'retire',
  'Retire an agent for good, once nothing of it is alive',
  beginRetirement,
  ['agent.suspended', 'task.ending', 'credential.revoke_intended', 'svid.revoked', 'agent.retired'],
  ['wrong_state'],
);

const addAgentKey = defineRoute({
  method: 'post',
  path: '/v1/agents/{id}/keys',
  tag: 'Agents',
  summary: 'Ask for another public key beside those that people admitted',
  allow: ['admin'],
  body: shape.keyBody,
  answers: {
    201: { description: 'The key, where policy plainly permits it', schema: shape.key },
    202: {
      description: 'Held: the request waits for people',
      schema: shape.heldAction,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: [
    'not_found',
    'key_in_use',
    'weak_key',
    'private_key_sent',
    'wrong_state',
    'denied',
    'no_approver',
  ],
  events: ['evaluation.decided', 'request.opened', 'agent.key_added'],
  handle: async ({ call, once, params, body }, deps) => {
    const key = await readPublicKey(asJsonObject(body.key), 'weak_key');
    return answerOnce(deps, call, once, async (unit) => {
      const asked = await askForKey(unit, deps, params['id'] ?? '', key);
      if (asked instanceof Refusal) return asked;
      if ('key' in asked) return created(presentKey(asked.key));
      return presentHeld(unit.sql, asked.request, deps.publicUrl);
    });
  },
});

const removeAgentKey = defineRoute({
  method: 'delete',
  path: '/v1/agents/{id}/keys/{key}',
  tag: 'Agents',
  summary: 'Take a key away; the last one stays',
  allow: ['admin'],
  answers: { 200: { description: 'The key', schema: shape.key } },
  refusals: ['not_found', 'wrong_state'],
  events: ['agent.key_revoked'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      ok(presentKey(await revokeKey(unit, params['id'] ?? '', params['key'] ?? ''))),
    ),
});

const retireAgentKey = defineRoute({
  method: 'post',
  path: '/v1/agents/{id}/keys/{key}/retire',
  tag: 'Agents',
  summary: 'Let a key go after an overlap in which its agent moves to another; the last one stays',
  allow: ['admin'],
  body: shape.retireKeyBody,
  answers: { 200: { description: 'The key', schema: shape.key } },
  refusals: ['not_found', 'wrong_state'],
  events: ['agent.key_retiring', 'agent.key_revoked'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const { id = '', key = '' } = params;
      return ok(presentKey(await retireKey(unit, id, key, body.after_seconds)));
    }),
});

const changeAgentOwner = defineRoute({
  method: 'post',
  path: '/v1/agents/{id}/owner',
  tag: 'Agents',
  summary: 'Ask that somebody else answers for an agent; people agree to that',
  allow: ['admin'],
  body: shape.ownerBody,
  answers: {
    200: { description: 'The agent, where policy plainly permits it', schema: shape.agent },
    202: {
      description: 'Held: the request waits for people',
      schema: shape.heldAction,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: ['not_found', 'person_unknown', 'wrong_state', 'denied', 'no_approver'],
  events: ['evaluation.decided', 'request.opened', 'agent.owner_changed'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const { owner, reason = null } = body;
      const asked = await askForOwner(unit, deps, params['id'] ?? '', { owner, reason });
      if (asked instanceof Refusal) return asked;
      if ('agent' in asked) return ok(await presentAgent(unit.sql, asked.agent));
      return presentHeld(unit.sql, asked.request, deps.publicUrl);
    }),
});

export const agentRoutes = [
  register,
  list,
  show,
  suspend,
  resume,
  kill,
  retire,
  addAgentKey,
  removeAgentKey,
  retireAgentKey,
  changeAgentOwner,
];
