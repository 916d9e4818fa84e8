// Receivers of signals: who is told when access ends, and what came of telling them.
import { z } from 'zod';
import { answerOnce, askThenAnswerOnce } from '../commands/once.ts';
import {
  addReceiver,
  findReceiver,
  listDeliveries,
  listReceivers,
  moveReceiver,
  removeReceiver,
  testReceiver,
} from '../commands/signals/receivers.ts';
import type { ReceiverRow, SignalRow } from '../db/rows.ts';
import { RECEIVER_KINDS, RECEIVER_STATES } from '../db/schema/signals.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { SIGNALS } from '../domain/signal.ts';
import { pageOf, readCursor } from './cursor.ts';
import { accepted, created, defineRoute, noContent, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

const receiverBody = z
  .strictObject({
    kind: z.enum(RECEIVER_KINDS),
    url: z.url().max(2000),
    audience: z.string().min(1).max(500).optional(),
    signals: z.array(z.enum(SIGNALS)).min(1).max(SIGNALS.length).optional(),
    wise: z.boolean().default(false),
    reasons: z.boolean().default(false),
    token: z
      .string()
      .regex(/^[\x21-\x7e]{8,4096}$/)
      .optional(),
  })
  .refine(({ kind, token }) => token === undefined || kind === 'ssf', {
    path: ['token'],
    message: 'a webhook carries a signature, no token',
  });

/** @public Compared with the SDK’s own type. */
export const receiver = z
  .object({
    id: z.string(),
    kind: z.enum(RECEIVER_KINDS),
    url: z.string(),
    audience: z.string(),
    signals: z.array(z.enum(SIGNALS)),
    state: z.enum(RECEIVER_STATES),
    because: z.enum(['asked', 'gone', 'failing']).nullable(),
    wise: z.boolean(),
    reasons: z.boolean(),
    has_token: z.boolean(),
    failing_since: z.string().nullable(),
    created_at: z.string(),
  })
  .meta({ id: 'Receiver' });

/** @public Compared with the SDK’s own type. */
export const signalDelivery = z
  .object({
    id: z.string(),
    event: z.string().nullable(),
    signal: z.string(),
    form: z.string().meta({ description: 'The event type of a SET, or the type of a webhook' }),
    state: z.enum(['pending', 'delivered', 'failed']),
    attempts: z.int(),
    next_try_at: z.string().nullable(),
    tries: z.array(
      z.object({
        at: z.string(),
        status: z.int().nullable(),
        code: z.string(),
        ms: z.int(),
      }),
    ),
    created_at: z.string(),
    ended_at: z.string().nullable(),
  })
  .meta({ id: 'SignalDelivery' });

const presentReceiver = (row: ReceiverRow): JsonObject => ({
  id: row.id,
  kind: row.kind,
  url: row.url,
  audience: row.audience,
  signals: row.signals,
  state: row.state,
  because: row.because,
  wise: row.wise,
  reasons: row.reasons,
  has_token: row.token !== null,
  failing_since: row.failingSince,
  created_at: row.createdAt,
});

const presentDelivery = (row: SignalRow): JsonObject => ({
  id: row.id,
  event: row.event,
  signal: row.signal,
  form: row.form,
  state: row.state,
  attempts: row.attempts,
  next_try_at: row.nextTryAt,
  tries: row.tries.map(({ at, status, code, ms }) => ({ at, status, code, ms })),
  created_at: row.createdAt,
  ended_at: row.endedAt,
});

const add = defineRoute({
  method: 'post',
  path: '/v1/receivers',
  tag: 'Signals',
  summary: 'Tell somebody whenever access ends: as signed security events (SSF) or webhooks',
  description:
    '`ssf` gets CAEP events as RFC 8935 pushes, signed with the keys of `/.well-known/jwks.json`; `webhook` gets Standard Webhooks, signed with `webhook_key` of `/version`. Each is sent at least once, under a stable id, and tried again for days. The token is sealed and never given out again. Without `reasons` no text that a person wrote is sent.',
  allow: ['admin'],
  body: receiverBody,
  answers: { 201: { description: 'The receiver', schema: receiver } },
  refusals: ['callback_refused', 'wrong_state'],
  events: ['receiver.added'],
  handle: ({ call, once, body }, deps) => {
    const check = () => deps.checkCallback(body.url);
    return askThenAnswerOnce(deps, call, once, check, async (unit) =>
      created(
        presentReceiver(
          await addReceiver(unit, {
            kind: body.kind,
            url: body.url,
            audience: body.audience ?? new URL(body.url).origin,
            signals: [...new Set(body.signals ?? SIGNALS)],
            wise: body.wise,
            reasons: body.reasons,
            token: body.token ?? null,
          }),
        ),
      ),
    );
  },
});

const list = defineRoute({
  method: 'get',
  path: '/v1/receivers',
  tag: 'Signals',
  summary: 'List receivers',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of receivers', schema: shape.listOf(receiver) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'receivers', query.cursor);
    const rows = await listReceivers(deps.db.query, after, query.limit + 1);
    const page = pageOf(rows, query.limit, ({ id }) => id, deps.keys.cursors, 'receivers');
    return ok({ data: page.rows.map(presentReceiver), next_cursor: page.next });
  },
});

async function knownReceiver(deps: ApiDeps, id: string | undefined): Promise<ReceiverRow> {
  const row = await findReceiver(deps.db.query, id ?? '');
  if (!row) throw new Refusal('not_found', 'There is no such receiver.');
  return row;
}

const show = defineRoute({
  method: 'get',
  path: '/v1/receivers/{id}',
  tag: 'Signals',
  summary: 'One receiver',
  allow: ['auditor'],
  answers: { 200: { description: 'The receiver', schema: receiver } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => ok(presentReceiver(await knownReceiver(deps, params['id']))),
});

const change = defineRoute({
  method: 'patch',
  path: '/v1/receivers/{id}',
  tag: 'Signals',
  summary: 'Enable, pause or disable a receiver; what a paused one misses waits for it',
  allow: ['admin'],
  body: z.strictObject({ state: z.enum(RECEIVER_STATES) }),
  answers: { 200: { description: 'The receiver', schema: receiver } },
  refusals: ['not_found'],
  events: ['receiver.changed'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      ok(presentReceiver(await moveReceiver(unit, params['id'] ?? '', body.state, 'asked'))),
    ),
});

const remove = defineRoute({
  method: 'delete',
  path: '/v1/receivers/{id}',
  tag: 'Signals',
  summary: 'Remove a receiver, its token and what it was not told',
  allow: ['admin'],
  answers: { 204: { description: 'Removed' } },
  refusals: ['not_found'],
  events: ['receiver.removed'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeReceiver(unit, params['id'] ?? '');
      return noContent();
    }),
});

const verify = defineRoute({
  method: 'post',
  path: '/v1/receivers/{id}/verify',
  tag: 'Signals',
  summary: 'Send a receiver a message that changes nothing, to see that it is heard',
  allow: ['admin'],
  body: z.strictObject({ state: z.string().max(500).optional() }),
  answers: { 202: { description: 'On its way', schema: signalDelivery } },
  refusals: ['not_found', 'wrong_state'],
  events: ['receiver.tested'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      accepted(presentDelivery(await testReceiver(unit, params['id'] ?? '', body.state ?? null))),
    ),
});

const deliveries = defineRoute({
  method: 'get',
  path: '/v1/receivers/{id}/deliveries',
  tag: 'Signals',
  summary: 'What a receiver was told, newest first, with every attempt',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of deliveries', schema: shape.listOf(signalDelivery) } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params, query }, deps) => {
    const { id } = await knownReceiver(deps, params['id']);
    const name = `deliveries/${id}`;
    const after = readCursor(deps.keys.cursors, name, query.cursor);
    const rows = await listDeliveries(deps.db.query, id, after, query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, name);
    return ok({ data: page.rows.map(presentDelivery), next_cursor: page.next });
  },
});

const configuration = defineRoute({
  method: 'get',
  path: '/.well-known/ssf-configuration',
  tag: 'Signals',
  summary: 'How signals of this service are read (OpenID SSF 1.0)',
  allow: ['anyone'],
  answers: {
    200: {
      description: 'The transmitter’s configuration; streams are set up by an administrator',
      schema: z.object({
        spec_version: z.literal('1_0'),
        issuer: z.string(),
        jwks_uri: z.string(),
        delivery_methods_supported: z.array(z.string()),
        critical_subject_members: z.array(z.string()),
        default_subjects: z.literal('ALL'),
      }),
    },
  },
  refusals: [],
  events: [],
  handle: (_incoming, deps) =>
    Promise.resolve(
      ok({
        spec_version: '1_0',
        issuer: deps.installation.issuer,
        jwks_uri: `${deps.publicUrl}/.well-known/jwks.json`,
        delivery_methods_supported: ['urn:ietf:rfc:8935'],
        // Whoever overlooks the session in a subject would end everything the agent has.
        critical_subject_members: ['session'],
        default_subjects: 'ALL',
      }),
    ),
});

export const receiverRoutes = [add, list, show, change, remove, verify, deliveries, configuration];
