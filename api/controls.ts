// Controls and the question whether they are real.
import { z } from 'zod';
import { readActiveBundle } from '../commands/policy/policies.ts';
import { controlsOf, isControlInLog, readVerdict } from '../commands/record/verdicts.ts';
import { fromMs, toMs } from '../domain/instant.ts';
import { Refusal } from '../domain/refusal.ts';
import { verdictJson } from '../domain/verdict/judge.ts';
import { defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';

const control = z
  .object({ id: z.string(), route: z.string(), title: z.string() })
  .meta({ id: 'Control' });

const state = z.enum(['effective', 'deficient', 'insufficient_data']);

const layer = z
  .object({
    state,
    tests: z.array(
      z.object({
        id: z.string(),
        state,
        population: z.int(),
        exceptions: z.int(),
        threshold: z.string(),
        says: z.string(),
        cases: z.array(
          z.object({
            request: z.string().nullable(),
            events: z.array(z.string()),
            says: z.string(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'VerdictLayer' });

const verdict = z
  .object({
    control: z.string(),
    grain: z.enum(['action', 'session']),
    period: z.object({ from: z.string(), to: z.string() }),
    simulated: z.boolean(),
    interim: z.boolean(),
    log: z.object({ size: z.int(), root: z.string() }),
    rule_set: z.string(),
    verdict: z.enum(['real', 'decorative', 'insufficient_evidence']),
    layers: z.object({
      design: layer,
      operation: layer,
      deliberation: layer,
      evidence: layer,
    }),
    needed: z.array(z.string()),
  })
  .meta({ id: 'Verdict' });

const list = defineRoute({
  method: 'get',
  path: '/v1/controls',
  tag: 'Controls',
  summary: 'The controls of the active policy',
  allow: ['person', 'service'],
  answers: { 200: { description: 'Controls', schema: shape.listOf(control) } },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const bundle = await readActiveBundle(deps.db.query, deps.policies);
    const data = controlsOf(bundle).map(({ id, route, title }) => ({ id, route, title }));
    return ok({ data, next_cursor: null });
  },
});

const show = defineRoute({
  method: 'get',
  path: '/v1/controls/{id}/verdict',
  tag: 'Controls',
  summary: 'Whether a control is real, decorative, or cannot be told yet',
  allow: ['auditor'],
  query: shape.periodQuery.extend({ size: z.coerce.number().int().min(1).optional() }),
  answers: { 200: { description: 'The verdict, computed from the leaves', schema: verdict } },
  refusals: ['not_found', 'log_unavailable'],
  events: [],
  handle: async ({ params, query }, deps) => {
    const id = await knownControl(deps, params['id'] ?? '');
    const found = await readVerdict(deps.db.query, {
      control: id,
      from: canonical(query.from),
      to: canonical(query.to),
      size: query.size ?? null,
    });
    return ok(verdictJson(found));
  },
});

/** One spelling of each instant, so that the same question gets the same bytes. */
export const canonical = (instant: string | undefined): string | null =>
  instant === undefined ? null : fromMs(toMs(instant));

/** A control of today's policy, or one that the log has cases of: renaming a control hides nothing. */
export async function knownControl(deps: ApiDeps, id: string): Promise<string> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const controls = controlsOf(bundle).map((each) => each.id);
  if (!controls.includes(id) && !(await isControlInLog(deps.db.query, id)))
    throw new Refusal(
      'not_found',
      `There is no control "${id}". There are: ${controls.join(', ') || 'none'}.`,
    );
  return id;
}

export const controlRoutes = [list, show];
