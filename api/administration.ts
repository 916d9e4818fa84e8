// What administrators set up: integrations.
import { z } from 'zod';
import { configureSlack, disconnectSlack } from '../commands/integrations.ts';
import { answerOnce } from '../commands/once.ts';
import {
  configureOnCall,
  ON_CALL_KINDS,
  onCallAnswers,
  removeOnCall,
} from '../commands/people/on-call.ts';
import { invalid } from './body.ts';
import { defineRoute, noContent, ok } from './route.ts';
import { instant } from './schemas.ts';

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

const API_URLS = {
  pagerduty: 'https://api.pagerduty.com',
  opsgenie: 'https://api.opsgenie.com',
} as const;

const sourceName = /^[a-z][a-z0-9-]{0,62}$/;

const nameOfSource = (name: string | undefined): string => {
  if (name === undefined || !sourceName.test(name))
    throw invalid('The name of a source is lower-case letters, digits and dashes.');
  return name;
};

const onCallSource = defineRoute({
  method: 'put',
  path: '/v1/integrations/on-call/{name}',
  tag: 'Administration',
  summary: 'Connect a schedule of PagerDuty or Opsgenie, whose people on call routes can ask',
  description:
    'Users there are people here by their e-mail address, or by their id there where `people` says so. It is asked every minute; where it does not answer, nobody is on call.',
  allow: ['admin'],
  body: z.strictObject({
    kind: z.enum(ON_CALL_KINDS),
    api_url: z
      .url({ protocol: /^https?$/ })
      .max(500)
      .optional(),
    token: z.string().min(1).max(500),
    schedule: z.string().min(1).max(200),
    people: z.record(z.string().max(200), z.string().max(100)).optional(),
  }),
  answers: { 200: { description: 'Connected', schema: z.object({ configured: z.literal(true) }) } },
  refusals: ['person_unknown'],
  events: ['integration.changed', 'duty.looked'],
  handle: ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await configureOnCall(unit, nameOfSource(params['name']), {
        kind: body.kind,
        api_url: (body.api_url ?? API_URLS[body.kind]).replace(/\/+$/, ''),
        token: body.token,
        schedule: body.schedule,
        people: body.people ?? {},
      });
      return ok({ configured: true });
    }),
});

const noOnCallSource = defineRoute({
  method: 'delete',
  path: '/v1/integrations/on-call/{name}',
  tag: 'Administration',
  summary: 'Disconnect a schedule and forget its token; nobody is on call by it any more',
  allow: ['admin'],
  answers: { 204: { description: 'Disconnected' } },
  refusals: [],
  events: ['integration.changed', 'duty.looked'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeOnCall(unit, nameOfSource(params['name']));
      return noContent();
    }),
});

const onCallNow = defineRoute({
  method: 'get',
  path: '/v1/on-call',
  tag: 'Administration',
  summary: 'Who is on call by each source, when it was asked, and why it did not answer',
  allow: ['person', 'service'],
  answers: {
    200: {
      description: 'What each source last said',
      schema: z.object({
        data: z.array(
          z.object({
            source: z.string(),
            people: z.array(z.string()),
            unmatched: z.int().meta({ description: 'How many it named who are nobody here' }),
            looked_at: instant,
            code: z.string().nullable().meta({ description: 'Why it gave no answer' }),
          }),
        ),
      }),
    },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const rows = await onCallAnswers(deps.db.query);
    return ok({
      data: rows.map((row) => ({
        source: row.source,
        people: row.people,
        unmatched: row.unmatched,
        looked_at: row.lookedAt,
        code: row.code,
      })),
    });
  },
});

export const administrationRoutes = [slack, noSlack, onCallSource, noOnCallSource, onCallNow];
