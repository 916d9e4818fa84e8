// Ways besides Slack on which approvers are told: webhooks, and e-mail. What is secret in them is given out once, or never.
import { z } from 'zod';
import {
  channelStandings,
  configureEmail,
  configureWebhook,
  removeChannel,
  type ChannelStanding,
} from '../commands/channels/channels.ts';
import { answerOnce, askThenAnswerOnce } from '../commands/once.ts';
import { CHANNEL_STATES } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import { EMAIL, webhookChannel, webhookName } from '../domain/notice.ts';
import { invalid } from './body.ts';
import { defineRoute, noContent, ok } from './route.ts';

const namePattern = /^[a-z][a-z0-9-]{0,62}$/;

function nameOf(name: string | undefined): string {
  if (name === undefined || !namePattern.test(name))
    throw invalid('The name of a webhook is lower-case letters, digits and dashes.');
  return name;
}

const webhookShape = z
  .object({
    name: z.string(),
    url: z.string(),
    state: z.enum(CHANNEL_STATES),
    secret: z.string().nullable().meta({
      description: 'Only where it is new: it is never given out again',
    }),
  })
  .meta({ id: 'ApproverWebhook' });

const webhook = defineRoute({
  method: 'put',
  path: '/v1/integrations/webhooks/{name}',
  tag: 'Administration',
  summary: 'Tell an address of requests whose routes name this webhook; also to enable it again',
  description:
    'Standard Webhooks: `webhook-signature` has a `v1` by the secret that is answered here, once, and a `v1a` by `webhook_key` of `/version`. With `rotate` there is a new secret, and the last one signs along for a day. Nothing that is answered decides anything.',
  allow: ['admin'],
  body: z.strictObject({ url: z.url().max(2000), rotate: z.boolean().default(false) }),
  answers: { 200: { description: 'The webhook', schema: webhookShape } },
  refusals: ['callback_refused', 'wrong_state'],
  events: ['integration.changed'],
  handle: ({ call, once, params, body }, deps) => {
    const name = nameOf(params['name']);
    const check = () => deps.checkCallback(body.url);
    return askThenAnswerOnce(deps, call, once, check, async (unit) => {
      const { row, secret } = await configureWebhook(unit, name, body);
      return ok({ name, url: body.url, state: row.state, secret });
    });
  },
});

const noWebhook = defineRoute({
  method: 'delete',
  path: '/v1/integrations/webhooks/{name}',
  tag: 'Administration',
  summary: 'Forget a webhook, its secrets, and what it was still to be told',
  allow: ['admin'],
  answers: { 204: { description: 'Forgotten' } },
  refusals: [],
  events: ['integration.changed'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeChannel(unit, webhookChannel(nameOf(params['name'])));
      return noContent();
    }),
});

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);

/** An address and nothing else: no name, no comment, no second one. */
const address = z.email().max(254);

const emailBody = z
  .strictObject({
    host: z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/, 'a host name or an address'),
    port: z.int().min(1).max(65_535).default(587),
    tls: z.enum(['starttls', 'implicit', 'none']).default('starttls'),
    user: z.string().min(1).max(300).optional(),
    password: z.string().min(1).max(500).optional(),
    from: address,
    authorities: z.string().max(50_000).optional(),
  })
  .refine(({ tls, host }) => tls !== 'none' || isLoopback(host), {
    path: ['tls'],
    message: 'only a server on this machine is reached without TLS',
  })
  .refine(({ user, password }) => (user === undefined) === (password === undefined), {
    path: ['password'],
    message: 'a user and a password go together',
  });

const email = defineRoute({
  method: 'put',
  path: '/v1/integrations/email',
  tag: 'Administration',
  summary:
    'Send mail to the approvers of routes that say so; the password is sealed, never given out',
  allow: ['admin'],
  body: emailBody,
  answers: { 200: { description: 'Connected', schema: z.object({ configured: z.literal(true) }) } },
  refusals: ['wrong_state'],
  events: ['integration.changed'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await configureEmail(unit, body);
      return ok({ configured: true });
    }),
});

const noEmail = defineRoute({
  method: 'delete',
  path: '/v1/integrations/email',
  tag: 'Administration',
  summary: 'Send no mail any more, and forget the password',
  allow: ['admin'],
  answers: { 204: { description: 'Forgotten' } },
  refusals: [],
  events: ['integration.changed'],
  handle: ({ call, once }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeChannel(unit, EMAIL);
      return noContent();
    }),
});

const standing = z
  .object({
    name: z.string(),
    kind: z.enum(['webhook', 'email']),
    state: z.enum(CHANNEL_STATES),
    because: z.enum(['gone', 'failing']).nullable(),
    failing_since: z.string().nullable(),
    last_code: z.string().nullable().meta({ description: 'What came of the last attempt' }),
    waiting: z.int().meta({ description: 'How many notices wait to be sent' }),
    set_at: z.string(),
  })
  .meta({ id: 'ChannelStanding' });

const present = ({ row, waiting }: ChannelStanding): JsonObject => ({
  name: webhookName(row.name) ?? row.name,
  kind: webhookName(row.name) === null ? 'email' : 'webhook',
  state: row.state,
  because: row.because,
  failing_since: row.failingSince,
  last_code: row.lastCode,
  waiting,
  set_at: row.setAt,
});

const list = defineRoute({
  method: 'get',
  path: '/v1/integrations/channels',
  tag: 'Administration',
  summary:
    'How each webhook and e-mail stand: whether they take what they are told, and since when not',
  allow: ['auditor'],
  answers: {
    200: { description: 'Every channel', schema: z.object({ data: z.array(standing) }) },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) =>
    ok({ data: (await channelStandings(deps.db.query)).map(present) }),
});

export const channelRoutes = [webhook, noWebhook, email, noEmail, list];
