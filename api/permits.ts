// Permits that leave the process, for enforcement points of others: shown, signed, redeemed, and answered for.
import { z } from 'zod';
import { effectiveAction } from '../commands/approvals/narrow.ts';
import {
  findingIn,
  permitsWith,
  recordReceipt,
  redemptionsOf,
} from '../commands/approvals/receipts.ts';
import {
  findForeignPermit,
  isAudience,
  noPermit,
  permitOf,
  redeemForeign,
  type ForeignPermit,
} from '../commands/approvals/redemptions.ts';
import { findRequest } from '../commands/approvals/requests.ts';
import { answerOnce } from '../commands/once.ts';
import type { Principal } from '../commands/principal.ts';
import { databaseTime } from '../commands/unit.ts';
import type { Query } from '../db/client.ts';
import type { RedemptionRow, RequestRow } from '../db/rows.ts';
import { OUTCOMES } from '../db/schema/index.ts';
import { asJson } from '../domain/action.ts';
import { actClaim } from '../domain/delegation.ts';
import type { Digest } from '../domain/digest.ts';
import type { JsonObject } from '../domain/json.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { PERMIT } from '../keys/tokens.ts';
import { asJsonObject } from './json-body.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import { digest, instant } from './schemas.ts';

const FINDINGS = ['receipt_missing', 'digest_mismatch'] as const;

/** A use of a permit, as it is shown. */
export const redemptionShape = z.object({
  id: z.string(),
  redeemed_at: instant,
  receipt_due_at: instant,
  receipt: z
    .object({
      outcome: z.enum(OUTCOMES),
      digest_run: digest,
      digest_matches: z.boolean(),
      result_digest: digest.nullable(),
      recorded_at: instant,
      is_late: z.boolean(),
    })
    .nullable(),
  finding: z.enum(FINDINGS).nullable(),
});

/** A permit, as it is shown. */
export const permitShape = z.object({
  id: z.string(),
  request: z.string(),
  audience: z.string(),
  action_digest: digest,
  state: z.enum(statesOf('permit')),
  uses: z.int(),
  uses_left: z.int(),
  expires_at: instant,
  redemptions: z.array(redemptionShape),
});

const presentRedemption = (row: RedemptionRow): JsonObject => ({
  id: row.id,
  redeemed_at: row.redeemedAt,
  receipt_due_at: row.receiptDueAt,
  receipt:
    row.recordedAt === null
      ? null
      : {
          outcome: row.outcome,
          digest_run: row.digestRun,
          digest_matches: row.digestMatches,
          result_digest: row.resultDigest,
          recorded_at: row.recordedAt,
          is_late: row.recordedAt > row.receiptDueAt,
        },
  finding: findingIn(row),
});

async function presentPermit(
  query: Query,
  { permit, request }: ForeignPermit,
): Promise<JsonObject> {
  return {
    id: permit.id,
    request: request.id,
    audience: request.audience,
    action_digest: permit.digest,
    state: permit.state,
    uses: permit.uses,
    uses_left: permit.uses - permit.used,
    expires_at: permit.expiresAt,
    redemptions: (await redemptionsOf(query, permit)).map(presentRedemption),
  };
}

/** People and automation see every permit; an agent one that it asked for, or that is for it to carry out. */
function mayRead(principal: Principal | null, request: RequestRow): boolean {
  if (principal?.kind !== 'agent') return true;
  const { agent, requester } = request;
  const own = [agent, requester.type === 'agent' ? requester.id : null];
  return isAudience(principal, request) || own.includes(principal.id);
}

const signed = defineRoute({
  method: 'get',
  path: '/v1/requests/{id}/permit',
  tag: 'Permits',
  summary:
    'The signed permit of an approved request that somebody else’s enforcement point carries out',
  description:
    'A JWT of type `permit+jwt`, for the enforcement point alone (`aud`). It says what was approved and until when; whether it may be used now is only known by redeeming it.',
  allow: ['agent', 'service'],
  answers: {
    200: {
      description: 'The permit',
      schema: z.object({
        permit: z.string(),
        action: z
          .looseObject({})
          .meta({ description: 'As it was approved, which is what may run' }),
        ...permitShape.omit({ redemptions: true }).shape,
      }),
    },
  },
  refusals: ['not_found', 'not_approved', 'approval_lapsed'],
  events: [],
  handle: async ({ principal, params }, deps) => {
    const row = await findRequest(deps.db.query, params['id'] ?? '');
    const found = row && (await permitOf(deps.db.query, row));
    if (!row || row.audience === null || !mayRead(principal, row))
      throw new Refusal(
        'not_found',
        'There is no such request for an enforcement point: only what was asked through /access/v1 has a permit.',
      );
    if (!found || row.state !== 'approved' || found.permit.state !== 'live')
      throw new Refusal(
        'not_approved',
        `This request is ${row.state}: there is a permit while it is approved.`,
        { state: row.state },
      );
    if (!((await databaseTime(deps.db.query)) < found.permit.expiresAt))
      throw new Refusal('approval_lapsed', 'The approval was not used in time: ask again.');
    const { redemptions: _none, ...shown } = await presentPermit(deps.db.query, found);
    const action = asJson(effectiveAction(row));
    return ok({ permit: await sign(deps, found), action, ...shown });
  },
});

/** RFC 8693 §4.1: on whose behalf it is, and through whom. */
function sign(deps: ApiDeps, { permit, request }: ForeignPermit): Promise<string> {
  const { subject, actor_chain: chain } = request.action;
  const act = actClaim(chain.map(({ id }) => id));
  return deps.tokens.sign(PERMIT, {
    iss: deps.installation.issuer,
    aud: request.audience ?? '',
    sub: subject.id,
    jti: permit.id,
    exp: Math.floor(Date.parse(permit.expiresAt) / 1000),
    action_digest: permit.digest,
    request: request.id,
    uses: permit.uses,
    ...(act && { act }),
  });
}

const redeem = defineRoute({
  method: 'post',
  path: '/v1/permits/{id}/redeem',
  tag: 'Permits',
  summary:
    'Redeem a permit for one use, right before it: anything but 200 means that nothing may run',
  description:
    'By the enforcement point that the permit is for, with the very action that is about to run. Today’s policy, the agent, its task, the time and the uses left are asked again at this moment. Say what came of it with `POST /v1/receipts` before `receipt_due_at`.',
  allow: ['agent', 'service'],
  body: z.strictObject({ action: z.record(z.string(), z.unknown()) }),
  answers: {
    200: {
      description: 'It may run, once',
      schema: z.object({ redemption: z.string(), uses_left: z.int(), receipt_due_at: instant }),
    },
  },
  refusals: [
    'not_found',
    'forbidden',
    'not_approved',
    'approval_lapsed',
    'not_started',
    'sensor_silent',
    'digest_mismatch',
    'policy_changed',
    'permit_used',
    'task_not_running',
    'agent_not_active',
    'stopped',
    'log_unavailable',
  ],
  events: [
    'permit.redeemed',
    'permit.refused',
    'permit.voided',
    'request.consumed',
    'request.failed',
  ],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const use = { permit: params['id'] ?? '', action: asJsonObject(body.action) };
      const used = await redeemForeign(unit, deps, use);
      if (used instanceof Refusal) return used;
      return ok({
        redemption: used.redemption,
        uses_left: used.usesLeft,
        receipt_due_at: used.receiptDueAt,
      });
    }),
});

const receipts = defineRoute({
  method: 'post',
  path: '/v1/receipts',
  tag: 'Permits',
  summary: 'Say what came of a redeemed permit: what ran, and how it ended',
  description:
    'By whoever redeemed it, once for each use; the same again is the same. A receipt of something else than what was approved is kept, and is a finding; one that is late closes the finding that it was missing.',
  allow: ['agent', 'service'],
  body: z.strictObject({
    permit: z.string().max(100),
    redemption: z.string().max(100),
    outcome: z.enum(OUTCOMES),
    digest_run: digest.meta({ description: 'Of the action as it ran' }),
    result_digest: digest.optional(),
  }),
  answers: { 201: { description: 'What is now known of this use', schema: redemptionShape } },
  refusals: ['not_found', 'receipt_conflict'],
  events: ['receipt.recorded', 'finding.raised', 'finding.closed'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const row = await recordReceipt(unit, {
        permit: body.permit,
        redemption: body.redemption,
        outcome: body.outcome,
        digestRun: asDigest(body.digest_run),
        resultDigest: body.result_digest === undefined ? null : asDigest(body.result_digest),
      });
      return row instanceof Refusal ? row : created(presentRedemption(row));
    }),
});

/** The schema took nothing but the form of a digest. */
const asDigest = (text: string): Digest => text as Digest;

const show = defineRoute({
  method: 'get',
  path: '/v1/permits/{id}',
  tag: 'Permits',
  summary: 'A permit of an enforcement point, each use of it, and what came of that',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'The permit', schema: permitShape } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params }, deps) => {
    const found = await findForeignPermit(deps.db.query, params['id'] ?? '');
    if (!found || !mayRead(principal, found.request)) throw noPermit();
    return ok(await presentPermit(deps.db.query, found));
  },
});

/** Findings are few, or something is very wrong. */
const FOUND_MAX = 200;

const found = defineRoute({
  method: 'get',
  path: '/v1/permits',
  tag: 'Permits',
  summary:
    'Permits with a use that is a finding now; finding=receipt_missing or digest_mismatch for one kind',
  allow: ['person', 'service'],
  query: z.strictObject({ finding: z.enum(FINDINGS).optional() }),
  answers: {
    200: {
      description: `Up to ${FOUND_MAX} of them`,
      schema: z.object({ data: z.array(permitShape) }),
    },
  },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const rows = await permitsWith(deps.db.query, query.finding ?? null, FOUND_MAX);
    return ok({ data: await Promise.all(rows.map((row) => presentPermit(deps.db.query, row))) });
  },
});

export const permitRoutes = [signed, redeem, receipts, show, found];
