// What administrators set up: integrations.
import { z } from 'zod';
import { configureSlack, disconnectSlack } from '../commands/integrations.ts';
import { answerOnce } from '../commands/once.ts';
import { defineRoute, noContent, ok } from './route.ts';
import * as shape from './schemas.ts';

const slack = defineRoute({
  method: 'put',
  path: '/v1/integrations/slack',
  tag: 'Administration',
  summary: 'Connect Slack; the secrets are sealed and never given out again',
  allow: ['admin'],
  body: shape.slackBody,
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
