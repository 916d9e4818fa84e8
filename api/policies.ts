// The policy: which one is active, which ones were, what another one would have said, and proposing it.
import { z } from 'zod';
import { answerOnce } from '../commands/once.ts';
import { parsePolicyBundle, type PolicyBundle } from '../commands/policy/bundle.ts';
import { readActiveBundle, readStoredPolicy } from '../commands/policy/policies.ts';
import { proposePolicy } from '../commands/policy/propose-policy.ts';
import { SIMULATED_MAX, simulatePolicy } from '../commands/policy/simulate-policy.ts';
import { runPolicyTests } from '../commands/policy/tests.ts';
import { PolicyError } from '../commands/policy/yaml.ts';
import { eventOf, readEvents } from '../commands/record/events.ts';
import { databaseTime } from '../commands/unit.ts';
import { eventType } from '../domain/event.ts';
import { Refusal } from '../domain/refusal.ts';
import { SIMULATED_KINDS } from '../domain/simulation.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentRequest } from './present.ts';
import { accepted, defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';

const storedPolicy = z.object({ version: z.string(), files: z.record(z.string(), z.string()) });

/** @public Compared with the SDK’s own type. */
export const policyActivation = z
  .object({
    version: z.string(),
    replaces: z.string().nullable(),
    activated_at: shape.instant,
    by: z.object({ type: z.string(), id: z.string() }),
    request: z.string().nullable(),
    active: z.boolean(),
  })
  .meta({ id: 'PolicyActivation' });

const side = z.object({
  decision: z.enum(['permit', 'hold', 'deny']),
  reasons: z.array(z.string()),
  routes: z.array(z.string()),
  controls: z.array(z.string()),
  waived: z.array(z.string()),
});

/** @public Compared with the SDK’s own type. */
export const simulation = z
  .object({
    version: z.string(),
    against: z.string(),
    looked_at: z.int(),
    as_recorded: z.int(),
    as_now: z.int(),
    not_replayable: z.int(),
    ended: z.enum(['all', 'limit', 'time']),
    lose_a_gate: z.int(),
    changes: z.array(
      z.object({
        kind: z.enum(SIMULATED_KINDS),
        before: side,
        after: side,
        lost_routes: z.array(z.string()),
        count: z.int(),
        examples: z.array(
          z.object({
            evaluation: z.string(),
            at: shape.instant,
            agent: z.string().nullable(),
            action: z.string(),
            resource: z.object({ type: z.string(), id: z.string() }),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'Simulation' });

const active = defineRoute({
  method: 'get',
  path: '/v1/policies/active',
  tag: 'Administration',
  summary: 'The active policy, file by file',
  allow: ['person', 'service'],
  answers: {
    200: {
      description: 'The bundle',
      schema: z.object({ version: z.string(), files: z.record(z.string(), z.string()) }),
    },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const { version, files } = await readActiveBundle(deps.db.query, deps.policies);
    return ok({ version, files });
  },
});

const propose = defineRoute({
  method: 'post',
  path: '/v1/policies',
  tag: 'Administration',
  summary: 'Propose a policy; people then activate it',
  allow: ['admin'],
  body: shape.policyBody,
  answers: {
    200: { description: 'It is the active one already', schema: z.object({ version: z.string() }) },
    202: {
      description: 'Held: the request waits for people',
      schema: z.object({ version: z.string(), request: shape.request }),
    },
  },
  refusals: ['policy_invalid', 'denied', 'no_approver', 'wrong_state'],
  events: ['evaluation.decided', 'request.opened', 'policy.activated', 'request.superseded'],
  handle: async ({ call, once, body }, deps) => {
    const bundle = readBundle(body.files, true);
    return answerOnce(deps, call, once, async (unit) => {
      const proposed = await proposePolicy(unit, deps, bundle);
      if (proposed instanceof Refusal) return proposed;
      if (proposed.request === null) return ok({ version: bundle.version });
      const now = await databaseTime(unit.sql);
      const request = await presentRequest(unit.sql, proposed.request, deps.publicUrl, now);
      return accepted({ version: bundle.version, request });
    });
  },
});

/** Parses a bundle and, where it is to be proposed, runs its own tests; every problem is listed, with its file and line. */
function readBundle(files: Record<string, string>, isTested: boolean): PolicyBundle {
  try {
    const bundle = parsePolicyBundle(files);
    const problems = isTested ? runPolicyTests(bundle) : [];
    if (problems.length > 0) throw new PolicyError(problems);
    return bundle;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new Refusal(
      'policy_invalid',
      'The policy has mistakes: each is named in errors, and countersign policy check finds them offline.',
      {
        errors: error.problems.map(({ file, line, message }) => ({
          pointer: line === null ? `/files/${file}` : `/files/${file}#${line}`,
          detail: message,
        })),
      },
    );
  }
}

const history = defineRoute({
  method: 'get',
  path: '/v1/policies',
  tag: 'Administration',
  summary: 'Every activation of a policy, newest first: when, by whom, and the request it took',
  allow: ['person', 'service'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'Activations', schema: shape.listOf(policyActivation) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'policies', query.cursor);
    const { version } = await readActiveBundle(deps.db.query, deps.policies);
    const type = eventType('policy.activated');
    const found = await readEvents(
      deps.db.query,
      { type, after, newestFirst: true, limit: query.limit + 1 },
      false,
    );
    const page = pageOf(found, query.limit, (row) => row.id, deps.keys.cursors, 'policies');
    // A version may have been active before: only its last activation holds now.
    const newest = after === null ? page.rows[0]?.id : undefined;
    const data = page.rows.map((row) => {
      const { id } = row;
      const { subject, time, data: facts } = eventOf('policy.activated', row);
      return {
        version: subject,
        replaces: facts.detail.replaces,
        activated_at: time,
        by: { type: facts.detail.by.type, id: facts.detail.by.id },
        request: facts.request,
        active: id === newest && subject === version,
      };
    });
    return ok({ data, next_cursor: page.next });
  },
});

const stored = defineRoute({
  method: 'get',
  path: '/v1/policies/{version}',
  tag: 'Administration',
  summary: 'A policy that was proposed or active at some time, file by file',
  allow: ['person', 'service'],
  answers: { 200: { description: 'The bundle', schema: storedPolicy } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const found = await readStoredPolicy(deps.db.query, params['version'] ?? '');
    if (!found) throw new Refusal('not_found', 'There is no policy of this version.');
    return ok({ version: found.version, files: found.files });
  },
});

const simulate = defineRoute({
  method: 'post',
  path: '/v1/policies/simulate',
  tag: 'Administration',
  summary: 'What a policy would have said to the last real actions; nothing changes',
  description:
    'Recorded evaluations, newest first, are put to this policy and to the active one: with what was known of everybody when they were recorded (`as_recorded`), or as things are now where that was not kept (`as_now`). It stops at `last` or when its time is up, and says so in `ended`. `lose_a_gate` counts the actions that people would no longer be asked about, or fewer of them.',
  allow: ['auditor'],
  body: z.strictObject({
    files: shape.policyBody.shape.files,
    last: z.int().min(1).max(SIMULATED_MAX).default(1_000),
  }),
  answers: { 200: { description: 'What would come out otherwise', schema: simulation } },
  refusals: ['policy_invalid'],
  events: [],
  handle: async ({ body }, deps) => {
    const simulated = await simulatePolicy(deps, readBundle(body.files, false), body.last);
    if (simulated instanceof Refusal) return simulated;
    return ok(asJsonObject({ ...simulated }));
  },
});

// `active` is no version: it comes first.
export const policyRoutes = [active, history, propose, simulate, stored];
