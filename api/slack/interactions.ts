// A click in Slack. The signature says that Slack sent it; who clicked is somebody here only if an administrator
// bound their Slack user; and what the click means is decided where every other vote is.
import { eq } from 'drizzle-orm';
import { z } from 'zod';
import { decide } from '../../commands/decide.ts';
import { cardClicked, claimInteraction, readSlack } from '../../commands/integrations.ts';
import type { Principal } from '../../commands/principal.ts';
import { transact, type Call } from '../../commands/unit.ts';
import { person } from '../../db/schema/index.ts';
import { parseJson } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { parseForm, readText } from '../body.ts';
import { defineRoute, type ApiDeps, type AppContext } from '../route.ts';
import { verifySlack } from './verify.ts';

/** Slack sends whole messages back with each click. */
const BODY_BYTES_MAX = 1024 * 1024;

const blockActions = z.object({
  type: z.literal('block_actions'),
  user: z.object({ id: z.string() }),
  response_url: z.string().optional(),
  container: z.object({ message_ts: z.string(), channel_id: z.string() }),
  actions: z
    .array(z.object({ action_id: z.string(), value: z.string().optional() }))
    .min(1)
    .max(10),
});

type BlockActions = z.infer<typeof blockActions>;

async function handleInteraction(context: AppContext, deps: ApiDeps): Promise<Response> {
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
  const payload = parseForm(body).get('payload') ?? '';
  const parsed = blockActions.safeParse(readPayload(payload));
  // Kinds of interaction we never asked for are acknowledged and mean nothing.
  if (parsed.success) await handleClick(parsed.data, body, context, deps);
  return context.body(null, 200);
}

function readPayload(payload: string): unknown {
  try {
    return parseJson(payload);
  } catch {
    throw new Refusal('invalid_request', 'The payload is not JSON.');
  }
}

async function handleClick(
  click: BlockActions,
  body: string,
  context: AppContext,
  deps: ApiDeps,
): Promise<void> {
  const [action] = click.actions;
  const decision = action?.action_id;
  if (decision !== 'approve' && decision !== 'deny') return;
  const call: Call = {
    principal: await whoClicked(click.user.id, deps),
    traceId: context.get('traceId'),
  };
  const refusal = await transact(deps, call, async (unit) => {
    if (!(await claimInteraction(unit, body))) return null;
    const { channel_id: channel, message_ts: ts } = click.container;
    const clicked = await cardClicked(unit.sql, channel, ts);
    const outcome = await decide(unit, {
      request: action?.value ?? '',
      decision,
      // The card of the message that was clicked, whatever the button claims to be about.
      shown: clicked?.request === action?.value ? (clicked?.shown ?? '') : '',
      reason: null,
      disposition: 'stop',
      channel: 'slack',
      narrow: null,
    });
    return outcome instanceof Refusal ? outcome : null;
  }).catch((error: unknown) => {
    if (error instanceof Refusal) return error;
    throw error;
  });
  if (refusal && click.response_url !== undefined)
    void deps.replyInSlack(click.response_url, `Nothing changed: ${refusal.message}`);
}

/**
 * The person an administrator bound to this Slack user; else a stranger, who can decide nothing. Whether that person
 * still may is asked where every vote is.
 */
async function whoClicked(slackUser: string, deps: ApiDeps): Promise<Principal> {
  const [row] = await deps.db.query.select().from(person).where(eq(person.slackUserId, slackUser));
  if (!row) return { kind: 'slack', id: slackUser };
  return {
    kind: 'person',
    id: row.id,
    name: row.name,
    roles: row.roles,
    groups: row.groups,
    session: null,
    strength: 'session',
  };
}

const interactions = defineRoute({
  method: 'post',
  path: '/slack/interactions',
  tag: 'Slack',
  summary: 'Where Slack sends clicks; signed by Slack',
  allow: ['anyone'],
  form: z.object({ payload: z.string() }),
  answers: { 200: { description: 'Heard' } },
  refusals: ['bad_signature', 'stale_timestamp', 'not_found', 'too_large'],
  events: [
    'vote.cast',
    'vote.refused',
    'request.stage_opened',
    'request.approved',
    'request.denied',
    'request.expired',
    'permit.issued',
  ],
  handle: ({ context }, deps) => handleInteraction(context, deps),
});

export const slackRoutes = [interactions];
