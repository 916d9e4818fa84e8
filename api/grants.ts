// Standing grants: asking for one, seeing all there are, and taking one back.
import { eq } from 'drizzle-orm';
import { z } from 'zod';
import { findAgent } from '../commands/agents/agents.ts';
import { findRequest } from '../commands/approvals/requests.ts';
import { revokeGrant } from '../commands/exceptions/grant-ends.ts';
import {
  askForGrant,
  findGrant,
  listGrants,
  type GrantAsk,
} from '../commands/exceptions/grants.ts';
import { answerOnce } from '../commands/once.ts';
import { isAdmin, mayVote, type Principal } from '../commands/principal.ts';
import { refuseWithoutLog } from '../commands/record/log-health.ts';
import type { AgentRow, GrantRow } from '../db/rows.ts';
import { agent } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentHeld } from './present.ts';
import { defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

const grantBody = z.strictObject({
  agent: z
    .string()
    .optional()
    .meta({ description: 'Whose grant it is; left out by an agent, which asks for itself' }),
  role: z.string().max(100),
  uses: z.int().min(1).max(1_000),
  for_seconds: z
    .int()
    .min(60)
    .max(90 * 86_400),
  ttl_seconds: z
    .int()
    .min(1)
    .optional()
    .meta({ description: 'The longest that one credential may be asked for' }),
  purpose: z
    .string()
    .trim()
    .min(1)
    .max(2000)
    .optional()
    .meta({ description: 'The purpose that a task has to declare; left out, any' }),
  options: z
    .record(z.string(), z.unknown())
    .optional()
    .meta({ description: 'What every use asks for within the role: exactly this' }),
  reason: z.string().trim().max(2000).optional(),
});

/** @public Compared with the SDK’s own type. */
export const grant = z
  .object({
    id: z.string(),
    agent: z.string(),
    role: z.string(),
    request: z.string(),
    state: z.enum(statesOf('grant')),
    uses: z.int(),
    used: z.int(),
    purpose: z.string().nullable(),
    ttl_seconds: z.int(),
    pattern: shape.digest,
    created_at: shape.instant,
    expires_at: shape.instant,
    warned_at: shape.instant.nullable(),
    because: z.string().nullable(),
    ended_at: shape.instant.nullable(),
  })
  .meta({ id: 'Grant' });

const presentGrant = (row: GrantRow): JsonObject => ({
  id: row.id,
  agent: row.agent,
  role: row.role,
  request: row.request,
  state: row.state,
  uses: row.uses,
  used: row.used,
  purpose: row.bounds.purpose,
  ttl_seconds: row.bounds.ttl_seconds,
  pattern: row.pattern,
  created_at: row.createdAt,
  expires_at: row.expiresAt,
  warned_at: row.warnedAt,
  because: row.because,
  ended_at: row.endedAt,
});

const ask = defineRoute({
  method: 'post',
  path: '/v1/grants',
  tag: 'Grants',
  summary: 'Ask for a standing grant: more than one use, within a bound, once people agreed',
  description:
    'Always waits for people, and only where every route of the role has `standing` in routes.yaml. Once approved, credentials that it covers are issued without asking, each use an event of its own.',
  allow: ['agent', 'member'],
  body: grantBody,
  answers: {
    202: {
      description: 'The request waits for people',
      schema: shape.heldAction,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: [
    'not_found',
    'denied',
    'role_unknown',
    'reason_required',
    'ttl_too_long',
    'option_refused',
    'standing_refused',
    'no_approver',
    'agent_not_active',
    'stopped',
    'log_unavailable',
  ],
  events: ['evaluation.decided', 'request.opened'],
  handle: async ({ principal, call, once, body }, deps) => {
    const { id } = await grantee(deps, principal, body.agent);
    const order: GrantAsk = {
      agent: id,
      role: body.role,
      uses: body.uses,
      forSeconds: body.for_seconds,
      ttlSeconds: body.ttl_seconds ?? null,
      purpose: body.purpose ?? null,
      options: asJsonObject(body.options ?? {}),
      reason: body.reason ?? null,
    };
    return answerOnce(deps, call, once, async (unit) => {
      await refuseWithoutLog(unit.sql);
      const row = await askForGrant(unit, deps, order);
      return row instanceof Refusal ? row : presentHeld(unit.sql, row, deps.publicUrl);
    });
  },
});

/** Whose grant it would be: an agent asks for itself, a person for an agent that they own. */
async function grantee(
  deps: ApiDeps,
  principal: Principal | null,
  named: string | undefined,
): Promise<AgentRow> {
  const own = principal?.kind === 'agent' ? principal.id : null;
  const row = await findAgent(deps.db.query, named ?? own ?? '');
  const isTheirs =
    own === null
      ? principal !== null && row !== null && (isAdmin(principal) || principal.id === row.owner)
      : row?.id === own;
  if (row && isTheirs) return row;
  throw new Refusal(
    'not_found',
    'There is no such agent of yours: an agent asks for itself, and a person for one that they own.',
  );
}

const list = defineRoute({
  method: 'get',
  path: '/v1/grants',
  tag: 'Grants',
  summary: 'Standing grants: what may be used without asking, and what could be; state=live',
  allow: ['agent', 'person', 'service'],
  query: z.strictObject({
    ...shape.listQuery,
    state: z.enum(statesOf('grant')).optional(),
    agent: z.string().max(100).optional(),
  }),
  answers: { 200: { description: 'A page of grants', schema: shape.listOf(grant) } },
  refusals: [],
  events: [],
  handle: async ({ principal, query }, deps) => {
    const rows = await listGrants(deps.db.query, {
      ...(await whose(deps, principal, query.agent)),
      state: query.state,
      after: readCursor(deps.keys.cursors, 'grants', query.cursor),
      limit: query.limit + 1,
    });
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'grants');
    return ok({ data: page.rows.map(presentGrant), next_cursor: page.next });
  },
});

/** An agent sees what is its own. */
async function whose(
  deps: ApiDeps,
  principal: Principal | null,
  named: string | undefined,
): Promise<{ agents?: AgentRow['id'][] }> {
  if (principal?.kind === 'agent') return { agents: [principal.id] };
  if (named === undefined) return {};
  const row = await findAgent(deps.db.query, named);
  return { agents: row ? [row.id] : [] };
}

async function visibleGrant(
  deps: ApiDeps,
  principal: Principal | null,
  id: string | undefined,
): Promise<GrantRow> {
  const row = await findGrant(deps.db.query, id ?? '');
  if (!row || (principal?.kind === 'agent' && principal.id !== row.agent))
    throw new Refusal('not_found', 'There is no such grant.');
  return row;
}

const show = defineRoute({
  method: 'get',
  path: '/v1/grants/{id}',
  tag: 'Grants',
  summary: 'One standing grant',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'The grant', schema: grant } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params }, deps) =>
    ok(presentGrant(await visibleGrant(deps, principal, params['id']))),
});

const revoke = defineRoute({
  method: 'post',
  path: '/v1/grants/{id}/revoke',
  tag: 'Grants',
  summary: 'Take a standing grant back, and with it every credential that came from it',
  allow: ['agent', 'member', 'service'],
  body: shape.reasonBody,
  answers: { 200: { description: 'The grant, over', schema: grant } },
  refusals: ['not_found', 'forbidden'],
  events: ['grant.ended', 'credential.revoke_intended'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const row = await visibleGrant(deps, principal, params['id']);
    await refuseUnlessTheirs(deps, principal, row);
    return answerOnce(deps, call, once, async (unit) =>
      ok(presentGrant(await revokeGrant(unit, row.id, body.reason ?? null))),
    );
  },
});

/** The agent, whoever answers for it, whoever could have agreed to it, and administrators. */
export async function refuseUnlessTheirs(
  deps: ApiDeps,
  principal: Principal | null,
  row: GrantRow,
): Promise<void> {
  if (principal === null || principal.kind === 'agent' || isAdmin(principal)) return;
  const [holder] = await deps.db.query.select().from(agent).where(eq(agent.id, row.agent));
  if (holder?.owner === principal.id) return;
  const request = await findRequest(deps.db.query, row.request);
  const groups = request?.routes.flatMap(({ rule }) => rule.groups) ?? [];
  const isApprover =
    principal.kind === 'person' &&
    mayVote(principal.roles) &&
    principal.groups.some((group) => groups.includes(group));
  if (!isApprover)
    throw new Refusal(
      'forbidden',
      'A grant is taken back by its agent, by who owns that, by who could agree to it, or by an administrator.',
    );
}

export const grantRoutes = [ask, list, show, revoke];
