// Emergency access: declaring it, seeing every use of it, and the review that has to follow.
import { z } from 'zod';
import { collectCredential } from '../commands/approvals/collect.ts';
import { findRequest } from '../commands/approvals/requests.ts';
import { declareEmergency, type Declared } from '../commands/exceptions/break-glass.ts';
import {
  findEmergency,
  listEmergencies,
  reviewEmergency,
} from '../commands/exceptions/glass-review.ts';
import { answerOnce } from '../commands/once.ts';
import type { PersonPrincipal, Principal } from '../commands/principal.ts';
import { refuseWithoutLog } from '../commands/record/log-health.ts';
import type { BreakGlassRow } from '../db/rows.ts';
import { DISPOSITIONS } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentHeld, presentIssued } from './present.ts';
import { waitForIssue } from './requests.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

/** Long enough to say what happened: it is all that whoever reviews it has from then. */
const account = z.string().trim().min(10).max(2000);

export const declarationBody = z.strictObject({
  task: z.string().max(100),
  role: z.string().max(100),
  reason: account,
  incident: z
    .string()
    .trim()
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'Its id where incidents are kept: only the same one goes on unreviewed' }),
  ttl_seconds: z.int().min(1).optional(),
  options: z.record(z.string(), z.unknown()).optional(),
  seal_to: shape.jwk,
});

export const glassReviewBody = z.strictObject({
  findings: account,
  disposition: z.enum(DISPOSITIONS),
});

/** @public Compared with the SDK’s own type. */
export const emergency = z
  .object({
    id: z.string(),
    request: z.string(),
    agent: z.string().nullable(),
    task: z.string().nullable(),
    kit: z
      .string()
      .nullable()
      .meta({ description: 'The login that lay ready for when we are down, if it was one' }),
    role: z.string(),
    gates: z.array(z.string()),
    reviewers: z.array(z.string()),
    people: z.array(z.string()),
    incident: z.string().nullable(),
    continues: z.int(),
    state: z.enum(['declared', 'review_open', 'reviewed']),
    declared_at: shape.instant,
    opened_at: shape.instant.nullable(),
    review_due_at: shape.instant.nullable(),
    reviewed_at: shape.instant.nullable(),
    reviewed_by: z.string().nullable(),
    disposition: z.enum(DISPOSITIONS).nullable(),
    findings: z.string().nullable(),
    effects_seen: z.int().nullable(),
  })
  .meta({ id: 'Emergency' });

/** What has become of it so far. */
export const stateOf = ({
  openedAt,
  closedAt,
}: Pick<BreakGlassRow, 'openedAt' | 'closedAt'>): 'declared' | 'review_open' | 'reviewed' =>
  openedAt === null ? 'declared' : closedAt === null ? 'review_open' : 'reviewed';

const presentEmergency = (row: BreakGlassRow): JsonObject => ({
  id: row.id,
  request: row.request,
  agent: row.agent,
  task: row.task,
  kit: row.kit,
  role: row.role,
  gates: row.gates,
  reviewers: row.reviewers,
  people: row.people,
  incident: row.incident,
  continues: row.continues,
  state: stateOf(row),
  declared_at: row.createdAt,
  opened_at: row.openedAt,
  review_due_at: row.reviewDueAt,
  reviewed_at: row.closedAt,
  reviewed_by: row.closedBy,
  disposition: row.disposition,
  findings: row.findings,
  effects_seen: row.effects,
});

/** The route table lets only people through here. */
function asPerson(principal: Principal | null): PersonPrincipal {
  if (principal?.kind === 'person') return principal;
  throw new Refusal(
    'human_required',
    'Only a person who is signed in can do this: on the page of emergencies, or with their session.',
  );
}

const declare = defineRoute({
  method: 'post',
  path: '/v1/break-glass',
  tag: 'Break-glass',
  summary:
    'Declare an emergency: a role for a task past its approvers, once another person confirms',
  description:
    'Only where every route in front of the role has `break_glass`, by its people, with a fresh session, and while no earlier use waits for its review. The request it answers is confirmed as any other is decided.',
  allow: ['member'],
  body: declarationBody,
  answers: {
    202: {
      description: 'Declared; it is opened once it is confirmed',
      schema: shape.heldAction.extend({ emergency }),
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
    'binding_required',
    'seal_key_invalid',
    'break_glass_refused',
    'not_eligible',
    'stronger_auth_required',
    'review_open',
    'too_soon',
    'no_approver',
    'task_not_running',
    'agent_not_active',
    'stopped',
    'log_unavailable',
  ],
  events: ['emergency.declared', 'emergency.refused', 'evaluation.decided', 'request.opened'],
  handle: async ({ principal, call, once, body }, deps) => {
    const who = asPerson(principal);
    const declaration = {
      task: body.task,
      role: body.role,
      sealTo: await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid'),
      ttlSeconds: body.ttl_seconds ?? null,
      options: asJsonObject(body.options ?? {}),
      reason: body.reason,
      incident: body.incident ?? null,
    };
    return answerOnce(deps, call, once, async (unit) => {
      await refuseWithoutLog(unit.sql);
      const declared = await declareEmergency(unit, deps, who, declaration);
      if (declared instanceof Refusal) return declared;
      return presentHeld(unit.sql, declared.request, deps.publicUrl, withEmergency(declared));
    });
  },
});

const withEmergency = ({ row }: Declared): JsonObject => ({ emergency: presentEmergency(row) });

const list = defineRoute({
  method: 'get',
  path: '/v1/break-glass',
  tag: 'Break-glass',
  summary: 'Every use of emergency access; unreviewed=true for those whose review is open',
  allow: ['person', 'service'],
  query: z.strictObject({
    ...shape.listQuery,
    unreviewed: z.enum(['true', 'false']).optional(),
  }),
  answers: { 200: { description: 'A page of emergencies', schema: shape.listOf(emergency) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const rows = await listEmergencies(deps.db.query, {
      isUnreviewed: query.unreviewed === 'true',
      after: readCursor(deps.keys.cursors, 'break-glass', query.cursor),
      limit: query.limit + 1,
    });
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'break-glass');
    return ok({ data: page.rows.map(presentEmergency), next_cursor: page.next });
  },
});

async function foundEmergency(deps: ApiDeps, id: string | undefined): Promise<BreakGlassRow> {
  const row = await findEmergency(deps.db.query, id ?? '');
  if (!row) throw new Refusal('not_found', 'There is no such emergency.');
  return row;
}

const show = defineRoute({
  method: 'get',
  path: '/v1/break-glass/{id}',
  tag: 'Break-glass',
  summary: 'One use of emergency access, and its review',
  allow: ['person', 'service'],
  answers: { 200: { description: 'The emergency', schema: emergency } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) =>
    ok(presentEmergency(await foundEmergency(deps, params['id']))),
});

const collect = defineRoute({
  method: 'post',
  path: '/v1/break-glass/{id}/collect',
  tag: 'Break-glass',
  summary: 'Collect what was opened, once: whoever declared it; its agent collects at its request',
  allow: ['member'],
  body: shape.emptyBody,
  answers: {
    201: {
      description: 'The credential; sealed opens with the key of the declaration',
      schema: shape.issuedCredential,
    },
  },
  refusals: [
    'not_found',
    'forbidden',
    'not_approved',
    'already_collected',
    'policy_changed',
    'task_not_running',
    'approval_lapsed',
    'owner_not_ready',
    'target_unavailable',
  ],
  events: [
    'credential.collected',
    'request.consumed',
    'permit.refused',
    'permit.voided',
    'request.expired',
    'request.failed',
    'credential.revoke_intended',
  ],
  handle: async ({ principal, call, once, params }, deps) => {
    const row = await foundEmergency(deps, params['id']);
    const request = await findRequest(deps.db.query, row.request);
    if (row.agent === null || request?.requester.id !== asPerson(principal).id)
      throw new Refusal(
        'forbidden',
        'Only whoever declared it collects it: the agent collects at its request.',
      );
    await waitForIssue(deps, row.request);
    const collection = { request: row.request, agent: row.agent, action: null, sealTo: null };
    return collectCredential(deps, call, once, collection, (lease) =>
      created(presentIssued(lease)),
    );
  },
});

const review = defineRoute({
  method: 'post',
  path: '/v1/break-glass/{id}/review',
  tag: 'Break-glass',
  summary: 'Close the review of an emergency: somebody independent, with findings, once it is over',
  allow: ['member'],
  body: glassReviewBody,
  answers: { 200: { description: 'The emergency, reviewed', schema: emergency } },
  refusals: [
    'not_found',
    'self_approval',
    'not_eligible',
    'stronger_auth_required',
    'already_decided',
    'wrong_state',
  ],
  events: ['emergency.reviewed', 'emergency.refused'],
  handle: ({ principal, call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const row = await reviewEmergency(unit, asPerson(principal), params['id'] ?? '', body);
      return row instanceof Refusal ? row : ok(presentEmergency(row));
    }),
});

export const breakGlassRoutes = [declare, list, show, collect, review];
