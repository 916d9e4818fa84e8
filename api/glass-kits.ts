// Glass that can be broken while we are down: preparing a login, bringing a key, taking half of its password, trying it.
import { z } from 'zod';
import {
  askForKit,
  bringKey,
  collectShare,
  findKit,
  listKits,
} from '../commands/exceptions/glass-kits.ts';
import { endKit, recordKitCheck } from '../commands/exceptions/kit-care.ts';
import { lookAtKit } from '../commands/exceptions/kit-check.ts';
import { answerOnce } from '../commands/once.ts';
import type { PersonPrincipal, Principal } from '../commands/principal.ts';
import { refuseWithoutLog } from '../commands/record/log-health.ts';
import type { GlassKitRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentHeld } from './present.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

/** A kit for less than this is no preparation. */
const SECONDS_MIN = 60;
const SECONDS_MAX = 90 * 86_400;

export const kitBody = z.strictObject({
  target: z.string().max(100),
  role: z.string().max(100),
  holders: z
    .tuple([z.string().max(100), z.string().max(100)])
    .meta({ description: 'The two people who hold one half each' }),
  expires_in: z.int().min(SECONDS_MIN).max(SECONDS_MAX),
  reason: z.string().trim().min(10).max(2000),
});

export const keyBody = z.strictObject({ seal_to: shape.jwk });

/** @public Compared with the SDK’s own type. */
export const kit = z
  .object({
    id: z.string(),
    request: z.string(),
    role: z.string(),
    target: z.string(),
    gates: z.array(z.string()),
    state: z.enum(statesOf('glassKit')),
    holders: z.array(
      z.object({
        person: z.string(),
        has_key: z.boolean(),
        collected_at: shape.instant.nullable(),
      }),
    ),
    created_at: shape.instant,
    expires_at: shape.instant,
    made_at: shape.instant.nullable(),
    checked_at: shape.instant.nullable(),
    checked: z.string().nullable(),
    first_seen_at: shape.instant.nullable(),
    last_seen_at: shape.instant.nullable(),
    effects_seen: z.int(),
    because: z.string().nullable(),
    failure: z.string().nullable(),
    ended_at: shape.instant.nullable(),
  })
  .meta({ id: 'BreakGlassKit' });

const presentKit = (row: GlassKitRow): JsonObject => ({
  id: row.id,
  request: row.request,
  role: row.role,
  target: row.target,
  gates: row.gates,
  state: row.state,
  holders: row.seats.map((seat) => ({
    person: seat.person,
    has_key: seat.key !== null,
    collected_at: seat.collected_at,
  })),
  created_at: row.createdAt,
  expires_at: row.expiresAt,
  made_at: row.madeAt,
  checked_at: row.checkedAt,
  checked: row.checked,
  first_seen_at: row.firstSeenAt,
  last_seen_at: row.lastSeenAt,
  effects_seen: row.effects,
  because: row.because,
  failure: row.failure,
  ended_at: row.endedAt,
});

/** The route table lets only people through here. */
function asPerson(principal: Principal | null): PersonPrincipal {
  if (principal?.kind === 'person') return principal;
  throw new Refusal('human_required', 'Only a signed-in person can do this.');
}

const prepare = defineRoute({
  method: 'post',
  path: '/v1/break-glass/kits',
  tag: 'Break-glass',
  summary: 'Prepare a login for when this service is down, its password split between two people',
  description:
    'Only where every route in front of the role has `break_glass.offline`, and always asked of the people of those routes, none of whom holds a half. Once approved, both holders bring a key, and then the login is made at the target.',
  allow: ['member'],
  body: kitBody,
  answers: {
    202: {
      description: 'Asked; the kit is there once it is approved',
      schema: shape.heldAction,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: [
    'denied',
    'role_unknown',
    'break_glass_refused',
    'not_eligible',
    'review_open',
    'no_approver',
    'log_unavailable',
  ],
  events: ['evaluation.decided', 'request.opened'],
  handle: async ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await refuseWithoutLog(unit.sql);
      const { target, role, holders, expires_in: expiresIn, reason } = body;
      const asked = await askForKit(unit, deps, { target, role, holders, expiresIn, reason });
      return asked instanceof Refusal ? asked : presentHeld(unit.sql, asked, deps.publicUrl);
    }),
});

const list = defineRoute({
  method: 'get',
  path: '/v1/break-glass/kits',
  tag: 'Break-glass',
  summary: 'Logins that lie ready for when this service is down; live=true for those not over',
  allow: ['person', 'service'],
  query: z.strictObject({ ...shape.listQuery, live: z.enum(['true', 'false']).optional() }),
  answers: { 200: { description: 'A page of kits', schema: shape.listOf(kit) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const rows = await listKits(deps.db.query, {
      isLive: query.live === 'true',
      after: readCursor(deps.keys.cursors, 'break-glass-kits', query.cursor),
      limit: query.limit + 1,
    });
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'break-glass-kits');
    return ok({ data: page.rows.map(presentKit), next_cursor: page.next });
  },
});

async function foundKit(deps: ApiDeps, id: string | undefined): Promise<GlassKitRow> {
  const row = await findKit(deps.db.query, id ?? '');
  if (!row) throw new Refusal('not_found', 'There is no such kit.');
  return row;
}

const show = defineRoute({
  method: 'get',
  path: '/v1/break-glass/kits/{id}',
  tag: 'Break-glass',
  summary: 'One login that lies ready: who holds it, until when, and how it was last found',
  allow: ['person', 'service'],
  answers: { 200: { description: 'The kit', schema: kit } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => ok(presentKit(await foundKit(deps, params['id']))),
});

const key = defineRoute({
  method: 'post',
  path: '/v1/break-glass/kits/{id}/key',
  tag: 'Break-glass',
  summary: 'Bring the key that your half is sealed to: a holder of the kit, with a fresh session',
  allow: ['member'],
  body: keyBody,
  answers: { 200: { description: 'The kit', schema: kit } },
  refusals: ['not_found', 'forbidden', 'stronger_auth_required', 'seal_key_invalid', 'wrong_state'],
  events: ['emergency.kit_keyed'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const who = asPerson(principal);
    const sealTo = await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid');
    return answerOnce(deps, call, once, async (unit) =>
      ok(presentKit(await bringKey(unit, who, params['id'] ?? '', sealTo))),
    );
  },
});

const share = defineRoute({
  method: 'post',
  path: '/v1/break-glass/kits/{id}/share',
  tag: 'Break-glass',
  summary: 'Collect your half, once: a holder of the kit, with a fresh session',
  allow: ['member'],
  body: shape.emptyBody,
  answers: {
    201: {
      description: 'Your half; sealed opens with the key that you brought',
      schema: z.object({ kit, seat: z.int(), sealed: z.string() }).meta({ id: 'BreakGlassShare' }),
    },
  },
  refusals: [
    'not_found',
    'forbidden',
    'stronger_auth_required',
    'not_eligible',
    'already_collected',
    'wrong_state',
  ],
  events: ['emergency.share_collected'],
  handle: ({ principal, call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const half = await collectShare(unit, asPerson(principal), params['id'] ?? '');
      return created({ kit: presentKit(half.kit), seat: half.seat, sealed: half.sealed });
    }),
});

const check = defineRoute({
  method: 'post',
  path: '/v1/break-glass/kits/{id}/check',
  tag: 'Break-glass',
  summary: 'Look whether the login is still there as it was made; one that is not is ended',
  allow: ['member', 'service'],
  body: shape.emptyBody,
  answers: { 200: { description: 'The kit, with what was found', schema: kit } },
  refusals: ['not_found', 'wrong_state'],
  events: ['emergency.kit_checked', 'emergency.kit_end_intended'],
  handle: async ({ call, once, params }, deps) => {
    const { id } = await foundKit(deps, params['id']);
    const found = await lookAtKit(deps, id);
    return answerOnce(deps, call, once, async (unit) =>
      ok(presentKit(await recordKitCheck(unit, id, found))),
    );
  },
});

const end = defineRoute({
  method: 'post',
  path: '/v1/break-glass/kits/{id}/end',
  tag: 'Break-glass',
  summary: 'End a kit: one of its holders, an approver of its gates, or an administrator',
  allow: ['member'],
  body: shape.emptyBody,
  answers: { 200: { description: 'The kit, ending', schema: kit } },
  refusals: ['not_found', 'forbidden'],
  events: ['emergency.kit_end_intended'],
  handle: ({ principal, call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      ok(presentKit(await endKit(unit, asPerson(principal), params['id'] ?? ''))),
    ),
});

export const glassKitRoutes = [prepare, list, show, key, share, check, end];
