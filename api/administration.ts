// What administrators set up: integrations.
import { z } from 'zod';
import { configureSlack, disconnectSlack } from '../commands/integrations.ts';
import { answerOnce } from '../commands/once.ts';
import { defineRoute, noContent, ok } from './route.ts';

const slackBody = z.strictObject({
  api_url: z.url().default('https://slack.com/api'),
  signing_secret: z.string().min(8).max(200),
  bot_token: z.string().min(8).max(300),
  channel: z.string().min(1).max(100),
  app_token: z.string().min(8).max(300).optional(),
  match_email: z.boolean().default(false),
});

const slack = defineRoute({
  method: 'put',
  path: '/v1/integrations/slack',
  tag: 'Administration',
  summary: 'Connect Slack; the secrets are sealed and never given out again',
  allow: ['admin'],
  body: slackBody,
  answers: { 200: { description: 'Connected', schema: z.object({ configured: z.literal(true) }) } },
  refusals: [],
  events: ['integration.changed'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await configureSlack(unit, body);
      return ok({ configured: true });
    }),
});

const noSlack = defineRoute({
  method: 'delete',
  path: '/v1/integrations/slack',
  tag: 'Administration',
  summary: 'Disconnect Slack and forget its secrets',
  allow: ['admin'],
  answers: { 204: { description: 'Disconnected' } },
  refusals: [],
  events: ['integration.changed'],
  handle: ({ call, once }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await disconnectSlack(unit);
      return noContent();
    }),
});

export const administrationRoutes = [slack, noSlack];
