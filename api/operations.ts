// What operators and their tools ask.
import { z } from 'zod';
import { defineRoute, ok } from './route.ts';

const text = (body: string, type: string): Response =>
  new Response(body, { headers: { 'content-type': type } });

const livez = defineRoute({
  method: 'get',
  path: '/livez',
  tag: 'Operations',
  summary: 'The process answers',
  allow: ['anyone'],
  answers: { 200: { description: 'Alive', contentType: 'text/plain' } },
  refusals: [],
  events: [],
  handle: () => Promise.resolve(text('ok\n', 'text/plain; charset=utf-8')),
});

const checks = z.object({ checks: z.record(z.string(), z.string()) });

const readyz = defineRoute({
  method: 'get',
  path: '/readyz',
  tag: 'Operations',
  summary: 'Everything that issuing and revoking need is there',
  allow: ['anyone'],
  answers: {
    200: { description: 'Ready', schema: checks },
    503: { description: 'Not ready; the check that is not ok says why', schema: checks },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const found = await deps.readiness();
    const ready = Object.values(found).every((state) => state === 'ok');
    return { ...ok({ checks: found }, { 'cache-control': 'no-store' }), status: ready ? 200 : 503 };
  },
});

const metrics = defineRoute({
  method: 'get',
  path: '/metrics',
  tag: 'Operations',
  summary: 'Prometheus metrics',
  allow: ['anyone'],
  answers: { 200: { description: 'Metrics', contentType: 'text/plain' } },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) =>
    text(await deps.metrics(), 'text/plain; version=0.0.4; charset=utf-8'),
});

const version = defineRoute({
  method: 'get',
  path: '/version',
  tag: 'Operations',
  summary: 'Which build this is, and under which names it signs',
  allow: ['anyone'],
  answers: {
    200: {
      description: 'The version',
      schema: z.object({
        version: z.string(),
        issuer: z.string(),
        trust_domain: z.string(),
        log_origin: z.string(),
        webhook_key: z.string(),
      }),
    },
  },
  refusals: [],
  events: [],
  handle: (_incoming, deps) =>
    Promise.resolve(
      ok({
        version: deps.version,
        issuer: deps.installation.issuer,
        trust_domain: deps.installation.trustDomain,
        log_origin: deps.installation.logOrigin,
        webhook_key: deps.keys.webhooks.publicKey,
      }),
    ),
});

export const operationRoutes = [livez, readyz, metrics, version];
