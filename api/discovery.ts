// Discovery: what exists in the targets, who answers for it, and what people decided.
import { z } from 'zod';
import {
  lookForIdentities,
  readTargetLooks,
  type TargetLooked,
} from '../commands/agents/discovery.ts';
import {
  adoptIdentity,
  findFound,
  ignoreIdentity,
  readFound,
  type FoundRead,
} from '../commands/agents/found-identities.ts';
import { recordLooks, type Discovered } from '../commands/agents/record-look.ts';
import { answerOnce, askThenAnswerOnce } from '../commands/once.ts';
import { DIFFERENCES, FOUND_STATES } from '../db/schema/index.ts';
import {
  agentNameFor,
  CHANGES,
  FOUND_KINDS,
  OWNER_CLUES,
  RISKS,
  UNKNOWNS,
} from '../domain/found-identity.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { invalid } from './body.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentAgent, presentJoinToken } from './present.ts';
import { recordReading } from './reviews.ts';
import { created, defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';

const nullable = z.string().nullable();

/** @public Compared with the SDK’s own type. */
export const foundIdentity = z
  .object({
    id: z.string(),
    target: z.string(),
    kind: z.enum(FOUND_KINDS),
    name: z.string(),
    state: z.enum(FOUND_STATES),
    risks: z.array(z.enum(RISKS)),
    around: z
      .array(z.string())
      .meta({ description: 'Controls over what it may do without asking' }),
    groups: z.array(z.string()),
    permissions: z
      .array(z.string())
      .meta({ description: 'What else it may do, in the words of its target' }),
    usable_by: z
      .array(z.string())
      .meta({ description: 'From where or by whom it may be used, in the words of its target' }),
    enabled: z.boolean(),
    serves: z.enum(['issuer', 'observer', 'application']).nullable(),
    expires_at: nullable,
    comment: nullable.meta({ description: 'As the target has it, less what looks like a secret' }),
    created_at: nullable,
    secret_changed_at: nullable,
    unknown: z.array(z.enum(UNKNOWNS)).meta({ description: 'What the target did not tell' }),
    first_seen_at: z.string(),
    last_seen_at: z.string(),
    used_at: nullable,
    difference: z
      .object({ kind: z.enum(DIFFERENCES), at: z.string(), changes: z.array(z.enum(CHANGES)) })
      .meta({ description: 'What was last different about it, and at which look' }),
    guessed_owner: z
      .object({ person: z.string(), name: nullable, because: z.enum(OWNER_CLUES) })
      .nullable(),
    agent: z.object({ id: z.string(), name: nullable, state: nullable }).nullable(),
    decided_by: z.object({ type: z.string(), id: z.string() }).nullable(),
    decided_at: nullable,
    reason: nullable,
  })
  .meta({ id: 'FoundIdentity' });

/** An identity as the API tells of it. */
function presentFound({ row, guessedName, agentName, agentState }: FoundRead) {
  const { facts } = row;
  return {
    id: row.id,
    target: row.target,
    kind: row.kind,
    name: row.name,
    state: row.state,
    risks: row.risks,
    around: row.around,
    groups: facts.groups,
    permissions: facts.permissions,
    usable_by: facts.usableBy,
    enabled: facts.isEnabled,
    serves: facts.serves,
    expires_at: facts.expiresAt,
    comment: facts.comment,
    created_at: facts.createdAt,
    secret_changed_at: facts.secretChangedAt,
    unknown: facts.unknown,
    first_seen_at: row.firstSeenAt,
    last_seen_at: row.lastSeenAt,
    used_at: row.usedAt,
    difference: { kind: row.difference, at: row.differentAt, changes: row.changes },
    guessed_owner:
      row.guessedOwner && row.guessedBecause
        ? { person: row.guessedOwner, name: guessedName, because: row.guessedBecause }
        : null,
    agent: row.agent && { id: row.agent, name: agentName, state: agentState },
    decided_by: row.decidedBy && { type: row.decidedBy.type, id: row.decidedBy.id },
    decided_at: row.decidedAt,
    reason: row.reason,
  };
}

const gap = z.object({ kind: z.enum(FOUND_KINDS), code: z.string() });

/** What differed at one look. */
const differences = {
  identities: z.int(),
  found: z.int().meta({ description: 'Of these, new or in need of another decision' }),
  changed: z.int(),
  gone: z.int(),
  left_out: z.int().meta({ description: 'Identities beyond what one look takes in' }),
  gaps: z.array(gap).meta({ description: 'What the target refused to list, and why' }),
};

const discoveryShape = z.object({
  data: z.array(
    z.object({
      target: z.string(),
      code: nullable.meta({ description: 'Why the target said nothing; null where it did' }),
      ...differences,
      unmanaged: z.int(),
    }),
  ),
});

const presentDiscovered = (each: Discovered): JsonObject => ({
  target: each.target,
  code: each.code,
  identities: each.identities,
  found: each.found,
  changed: each.changed,
  gone: each.gone,
  unmanaged: each.unmanaged,
  left_out: each.leftOut,
  gaps: each.gaps.map(({ kind, code }) => ({ kind, code })),
});

/** @public Compared with the SDK’s own type. */
export const targetLook = z
  .object({
    target: z.string(),
    supported: z.boolean().meta({ description: 'Whether its kind can be asked at all' }),
    asked_at: nullable,
    code: nullable.meta({ description: 'Why it said nothing when it was last asked' }),
    answered_at: nullable,
    next_at: nullable.meta({ description: 'When it is asked again by itself' }),
    ...differences,
  })
  .meta({ id: 'TargetLook' });

const presentLook = ({ target, row, nextAt, isSupported }: TargetLooked) => ({
  target,
  supported: isSupported,
  asked_at: row?.askedAt ?? null,
  code: row?.code ?? null,
  answered_at: row?.answeredAt ?? null,
  next_at: nextAt,
  identities: row?.identities ?? 0,
  found: row?.found ?? 0,
  changed: row?.changed ?? 0,
  gone: row?.gone ?? 0,
  left_out: row?.leftOut ?? 0,
  gaps: (row?.gaps ?? []).map(({ kind, code }) => ({ kind, code })),
});

const targets = defineRoute({
  method: 'get',
  path: '/v1/discovery/targets',
  tag: 'Discovery',
  summary:
    'When each target was asked for its identities, when it last answered, and when it is next',
  allow: ['auditor'],
  answers: { 200: { description: 'The targets', schema: z.object({ data: z.array(targetLook) }) } },
  refusals: [],
  events: [],
  handle: async (_input, deps) => ok({ data: (await readTargetLooks(deps)).map(presentLook) }),
});

const look = defineRoute({
  method: 'post',
  path: '/v1/discovery',
  tag: 'Discovery',
  summary: 'Ask the targets which identities they have, and note what is new and what is gone',
  description:
    'A target that does not answer changes nothing of what is known about it: its `code` says why.',
  allow: ['admin'],
  body: z.strictObject({ target: z.string().min(1).max(63).optional() }),
  answers: { 200: { description: 'What each target came to', schema: discoveryShape } },
  refusals: ['not_found'],
  events: [
    'target.discovered',
    'target.discovery_failed',
    'identity.found',
    'identity.changed',
    'identity.gone',
  ],
  handle: ({ call, once, body }, deps) => {
    const ask = () => lookForIdentities(deps, call, body.target ?? null);
    return askThenAnswerOnce(deps, call, once, ask, async (unit, looks) =>
      ok({ data: (await recordLooks(unit, looks)).map(presentDiscovered) }),
    );
  },
});

const list = defineRoute({
  method: 'get',
  path: '/v1/discovery',
  tag: 'Discovery',
  summary: 'Identities that were found in targets, with their risks and who may own them',
  allow: ['auditor'],
  query: z.strictObject({
    ...shape.listQuery,
    target: z.string().max(63).optional(),
    state: z.enum(FOUND_STATES).optional(),
    different: z.enum(['true', 'false']).default('false').meta({
      description: 'Only those that were new, changed or gone when their target was last asked',
    }),
  }),
  answers: { 200: { description: 'A page of them', schema: shape.listOf(foundIdentity) } },
  refusals: [],
  events: [],
  handle: async ({ principal, call, query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'discovery', query.cursor);
    const { target, state, different } = query;
    const wanted = { target, state, isDifferent: different === 'true' };
    const rows = await readFound(deps.db.query, wanted, after, query.limit + 1);
    const page = pageOf(rows, query.limit, ({ row }) => row.id, deps.keys.cursors, 'discovery');
    await recordReading(deps, call, principal, 'discovery');
    return ok({ data: page.rows.map(presentFound), next_cursor: page.next });
  },
});

const show = defineRoute({
  method: 'get',
  path: '/v1/discovery/{id}',
  tag: 'Discovery',
  summary: 'One identity that was found',
  allow: ['auditor'],
  answers: { 200: { description: 'The identity', schema: foundIdentity } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const read = await findFound(deps.db.query, params['id'] ?? '');
    if (!read) throw noSuch();
    return ok(presentFound(read));
  },
});

const noSuch = (): Refusal => new Refusal('not_found', 'There is no such identity.');

const AGENT = shape.agentBody.shape;

/** What the agent that takes over is registered with; its name follows from the login if it is not said. */
export const adoptBody = z
  .strictObject({
    name: AGENT.name.optional(),
    kind: AGENT.kind.default('service'),
    owner: z.string().min(1),
    team: AGENT.team,
    purpose: AGENT.purpose,
    keys: AGENT.keys.default([]),
    join: AGENT.join,
  })
  .refine(({ keys, join }) => keys.length > 0 || join, {
    path: ['keys'],
    message: 'must hold a key, unless join is true',
  });

/** As long as a token that comes with a registration. */
const JOIN_SECONDS = 86_400;

const adopt = defineRoute({
  method: 'post',
  path: '/v1/discovery/{id}/adopt',
  tag: 'Discovery',
  summary: 'Register the agent that takes over from an identity; people then admit it',
  description:
    'The identity in the target stays as it is: move its workload to credentials of the agent, then remove it there. The next discovery says that it is gone.',
  allow: ['admin'],
  body: adoptBody,
  answers: {
    201: { description: 'The agent, waiting to be admitted', schema: shape.registeredAgent },
  },
  refusals: [
    'not_found',
    'wrong_state',
    'name_taken',
    'key_in_use',
    'weak_key',
    'private_key_sent',
    'person_unknown',
    'denied',
    'no_approver',
  ],
  events: [
    'identity.adopted',
    'agent.requested',
    'evaluation.decided',
    'request.opened',
    'agent.admitted',
    'agent.join_token_made',
  ],
  handle: async ({ call, once, params, body }, deps) => {
    const id = params['id'] ?? '';
    const read = await findFound(deps.db.query, id);
    if (!read) throw noSuch();
    const name = body.name ?? agentNameFor(read.row.name);
    if (name === null) throw invalid('Send name: that of the identity makes none for an agent.');
    const keys = await Promise.all(
      body.keys.map((key) => readPublicKey(asJsonObject(key), 'weak_key')),
    );
    return answerOnce(deps, call, once, async (unit) => {
      const registration = { ...body, name, keys };
      const joinSeconds = body.join ? JOIN_SECONDS : null;
      const made = await adoptIdentity(unit, deps, id, registration, joinSeconds);
      if (made instanceof Refusal) return made;
      const shown = await presentAgent(unit.sql, made.agent);
      return created({
        ...shown,
        ...(made.joining && { join_token: presentJoinToken(made.joining) }),
      });
    });
  },
});

const ignore = defineRoute({
  method: 'post',
  path: '/v1/discovery/{id}/ignore',
  tag: 'Discovery',
  summary: 'Leave an identity as it is, and say why; more risk than now asks again',
  allow: ['admin'],
  body: shape.failBody,
  answers: { 200: { description: 'The identity', schema: foundIdentity } },
  refusals: ['not_found', 'wrong_state'],
  events: ['identity.ignored'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const id = params['id'] ?? '';
      await ignoreIdentity(unit, id, body.reason);
      const read = await findFound(unit.sql, id);
      if (!read) throw new Error('an identity that was just decided was not found');
      return ok(presentFound(read));
    }),
});

export const discoveryRoutes = [look, list, targets, show, adopt, ignore];
