// What administrators set up: integrations and policy.
import { z } from 'zod';
import { configureSlack, disconnectSlack } from '../commands/integrations.ts';
import { answerOnce } from '../commands/once.ts';
import { readActiveBundle } from '../commands/policies.ts';
import { parsePolicyBundle } from '../commands/policy-bundle.ts';
import { runPolicyTests } from '../commands/policy-tests.ts';
import { PolicyError } from '../commands/policy-yaml.ts';
import { proposePolicy } from '../commands/propose-policy.ts';
import { databaseTime } from '../commands/unit.ts';
import { Refusal } from '../domain/refusal.ts';
import { presentRequest } from './present.ts';
import { accepted, defineRoute, noContent, ok } from './route.ts';
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
    const bundle = readBundle(body.files);
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

/** Parses a bundle and runs its own tests; every problem is listed, with its file and line. */
function readBundle(files: Record<string, string>) {
  try {
    const bundle = parsePolicyBundle(files);
    const problems = runPolicyTests(bundle);
    if (problems.length > 0) throw new PolicyError(problems);
    return bundle;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new Refusal('policy_invalid', 'The policy has mistakes.', {
      errors: error.problems.map(({ file, line, message }) => ({
        pointer: line === null ? `/files/${file}` : `/files/${file}#${line}`,
        detail: message,
      })),
    });
  }
}

export const administrationRoutes = [slack, noSlack, active, propose];
