// The cases of tests.yaml: who asks for what, and what the policy has to say.
import { z } from 'zod';
import { STATEMENT_EFFECTS } from '../../domain/sql-effect.ts';
import { policyName } from '../access/kind.ts';

const attributes = z.record(z.string(), z.string()).default({});

const properties = z.record(z.string(), z.json()).default({});
const named = z.strictObject({ type: z.string(), id: z.string(), properties });

/** What an enforcement point would ask, with nobody known but whom the bundle declares. */
const access = z.strictObject({
  subject: named,
  action: z.strictObject({ name: z.string(), properties }),
  resource: named,
  context: properties,
});

/** The schema of tests.yaml. */
export const testsFile = z.array(
  z
    .strictObject({
      name: z.string(),
      action: z.string().default(''),
      /** Instead of an action of ours. */
      access: access.optional(),
      resource: z.string().default(''),
      agent: attributes,
      /** Of `token:exchange`: the agent that is asked about. */
      other: attributes,
      /** Of a statement to run. */
      effect: z.enum(STATEMENT_EFFECTS).default('read'),
      /** Of an upstream, whose effect upstreams.yaml says. */
      call: z.string().default(''),
      params: attributes,
      query: attributes,
      /** What the engine is told besides, over what a case is told by default. */
      context: z
        .record(z.string(), z.union([z.string(), z.number().int(), z.boolean()]))
        .default({}),
      /** Whether the observer of a target sees; each does, unless told. */
      sensors: z.record(policyName, z.enum(['alive', 'silent'])).default({}),
      expect: z.enum(['permit', 'hold', 'deny']),
      routes: z.array(policyName).default([]),
      /** Where said: the controls that are asked, those that are waived, the risk that is shown, words that people are told. */
      controls: z.array(z.string()).optional(),
      risk: z.string().optional(),
      waived: z.array(z.string()).optional(),
      says: z.string().optional(),
      /** Where said: the rules that would have held or denied this, were they not just observing or warning. */
      observed: z.array(z.string()).optional(),
    })
    .refine(({ action, access: asked }) => (action === '') !== (asked === undefined), {
      message: 'say either action or access',
    }),
);

export type PolicyTest = z.infer<typeof testsFile>[number];
