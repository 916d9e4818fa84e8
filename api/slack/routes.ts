// Where Slack reaches us. Every route goes through one door: the signature over the raw body comes first, then the
// body is read, and what it asks for is kept before it is acknowledged. It is worked off afterwards.
import { z } from 'zod';
import { readSlack } from '../../commands/integrations.ts';
import {
  readCommand,
  readEvent,
  readInteraction,
  type Delivered,
} from '../../commands/slack/deliveries.ts';
import { formErrors } from '../../commands/slack/forms.ts';
import { keepDelivery } from '../../commands/slack/inbox.ts';
import { transact } from '../../commands/unit.ts';
import type { EventName } from '../../domain/event.ts';
import { parseJson, type JsonValue } from '../../domain/json.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import { parseForm, readText } from '../body.ts';
import { defineRoute, type ApiDeps, type AppContext, type Route } from '../route.ts';
import { verifySlack } from './verify.ts';

/** Slack sends whole messages back with each click. */
const BODY_BYTES_MAX = 1024 * 1024;

/** The raw body, once its signature was found to be Slack's. */
async function signedBody(context: AppContext, deps: ApiDeps): Promise<string> {
  const body = await readText(context.req, BODY_BYTES_MAX);
  const slack = await readSlack(deps.db.query, deps.vault);
  if (!slack) throw new Refusal('not_found', 'Slack is not connected: PUT /v1/integrations/slack.');
  verifySlack(
    slack.signing_secret,
    {
      timestamp: context.req.header('x-slack-request-timestamp'),
      signature: context.req.header('x-slack-signature'),
      body,
    },
    Math.floor(Date.now() / 1000),
  );
  return body;
}

/** Keeps what was delivered; only then is it acknowledged. A repeat is acknowledged and does nothing. */
async function keep(
  context: AppContext,
  deps: ApiDeps,
  { delivery, digest }: Delivered,
): Promise<void> {
  const principal = { kind: 'slack' as const, id: delivery.user };
  const call = { principal, traceId: context.get('traceId') };
  const isNew = await transact(deps, call, (unit) => keepDelivery(unit, digest, delivery));
  deps.crashPoint('slack:kept');
  if (isNew) deps.workSlack(digest);
}

function readPayload(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch {
    throw new Refusal(
      'invalid_request',
      'The payload is not JSON: Slack sends it as the form field payload.',
    );
  }
}

async function takeInteraction(context: AppContext, deps: ApiDeps): Promise<Response> {
  const body = await signedBody(context, deps);
  // Kinds of interaction we never asked for are acknowledged and mean nothing.
  const delivered = readInteraction(readPayload(parseForm(body).get('payload') ?? ''));
  if (!delivered) return context.body(null, 200);
  const errors = await formErrors(deps.db.query, delivered);
  if (errors) return context.json({ response_action: 'errors', errors }, 200);
  await keep(context, deps, delivered);
  return context.body(null, 200);
}

async function takeCommand(context: AppContext, deps: ApiDeps): Promise<Response> {
  const fields = parseForm(await signedBody(context, deps));
  const delivered = readCommand(Object.fromEntries(fields));
  if (!delivered) throw new Refusal('invalid_request', 'This is not a slash command of Slack.');
  await keep(context, deps, delivered);
  return context.body(null, 200);
}

const verification = z.object({ type: z.literal('url_verification'), challenge: z.string() });

async function takeEvent(context: AppContext, deps: ApiDeps): Promise<Response> {
  const payload = readPayload(await signedBody(context, deps));
  const asked = verification.safeParse(payload);
  if (asked.success) return context.json({ challenge: asked.data.challenge }, 200);
  const delivered = readEvent(payload);
  if (delivered) await keep(context, deps, delivered);
  return context.body(null, 200);
}

const REFUSALS: RefusalCode[] = ['bad_signature', 'stale_timestamp', 'not_found', 'too_large'];

/** What comes of a vote, wherever it was cast. */
const VOTE_EVENTS: EventName[] = [
  'vote.cast',
  'attention.exceeded',
  'vote.refused',
  'request.stage_opened',
  'request.approved',
  'request.denied',
  'request.expired',
  'permit.issued',
];

type Take = (context: AppContext, deps: ApiDeps) => Promise<Response>;
type Told = Pick<Route, 'path' | 'summary' | 'form' | 'events'>;

const slackRoute = (told: Told, take: Take): Route =>
  defineRoute({
    ...told,
    method: 'post',
    tag: 'Slack',
    allow: ['anyone'],
    answers: { 200: { description: 'Heard' } },
    refusals: REFUSALS,
    handle: ({ context }, deps) => take(context, deps),
  });

export const slackRoutes: Route[] = [
  slackRoute(
    {
      path: '/slack/interactions',
      summary: 'Where Slack sends clicks and forms; signed by Slack',
      form: z.object({ payload: z.string() }),
      events: VOTE_EVENTS,
    },
    takeInteraction,
  ),
  slackRoute(
    {
      path: '/slack/commands',
      summary: 'Where Slack sends /countersign; signed by Slack',
      form: z.object({ user_id: z.string(), text: z.string(), response_url: z.string() }),
      events: ['person.slack_unlinked'],
    },
    takeCommand,
  ),
  slackRoute(
    {
      path: '/slack/events',
      summary: 'Where Slack says that a home tab was opened or a user deactivated; signed by Slack',
      events: ['person.slack_unlinked'],
    },
    takeEvent,
  ),
];
