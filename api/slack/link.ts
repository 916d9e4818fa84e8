// Saying which Slack user is yours, and taking that back. Only the person themselves, signed in, does either here.
import { z } from 'zod';
import { answerOnce } from '../../commands/once.ts';
import type { PersonPrincipal, Principal } from '../../commands/principal.ts';
import { linkSlack, unlinkSlack } from '../../commands/slack/links.ts';
import type { PersonRow } from '../../db/rows.ts';
import { SLACK_BINDINGS } from '../../db/schema/index.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { defineRoute, noContent, ok } from '../route.ts';

const slackUser = z
  .object({ slack_user_id: z.string().nullable(), binding: z.enum(SLACK_BINDINGS).nullable() })
  .meta({ id: 'SlackUser' });

const present = (row: PersonRow): JsonObject => ({
  slack_user_id: row.slackUserId,
  binding: row.slackBinding,
});

/** The route lets nobody else in. */
function asPerson(principal: Principal | null): PersonPrincipal {
  if (principal?.kind !== 'person')
    throw new Refusal('forbidden', 'This is for people who are signed in.');
  return principal;
}

const link = defineRoute({
  method: 'put',
  path: '/v1/session/slack',
  tag: 'Slack',
  summary: 'Say that a Slack user is you, with the token that /countersign link gave them',
  allow: ['member'],
  body: z.strictObject({ token: z.string().min(1).max(200) }),
  answers: { 200: { description: 'Whose Slack user is yours now', schema: slackUser } },
  refusals: [
    'not_found',
    'link_used',
    'link_expired',
    'forbidden',
    'slack_user_taken',
    'slack_user_differs',
  ],
  events: ['person.slack_linked'],
  handle: ({ call, once, principal, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      ok(present(await linkSlack(unit, asPerson(principal), body.token))),
    ),
});

const unlink = defineRoute({
  method: 'delete',
  path: '/v1/session/slack',
  tag: 'Slack',
  summary: 'Take back which Slack user you are; nothing it says counts as yours any more',
  allow: ['member'],
  answers: { 204: { description: 'Unlinked' } },
  refusals: ['not_found'],
  events: ['person.slack_unlinked'],
  handle: ({ call, once, principal }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await unlinkSlack(unit, asPerson(principal).id, 'asked');
      return noContent();
    }),
});

export const slackLinkRoutes = [link, unlink];
