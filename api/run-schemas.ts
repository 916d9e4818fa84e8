// Shapes of the door through which we do something for an agent: a statement, or a call.
import { z } from 'zod';
import { CALL_EFFECTS } from '../domain/http-call.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { STATEMENT_EFFECTS } from '../domain/sql-effect.ts';
import { digest, instant, jwk, warnings } from './schemas.ts';

const ofStatement = {
  role: z.string().max(100),
  statement: z.string().min(1).max(60_000),
  parameters: z
    .array(z.union([z.string().max(60_000), z.number(), z.boolean(), z.null()]))
    .max(200),
  max_rows: z.int().min(0).max(10_000).meta({ description: '1000 if it is not said' }),
  max_affected_rows: z
    .int()
    .min(0)
    .meta({ description: 'A statement that changes more is rolled back; people see this number' }),
  timeout_seconds: z.int().min(1).max(60).meta({ description: '10 if it is not said' }),
};

const values = z.record(z.string().max(100), z.union([z.string(), z.number(), z.boolean()]));

const ofCall = {
  upstream: z.string().max(100).meta({ description: 'An API of upstreams.yaml' }),
  call: z.string().max(100).meta({ description: 'One of its calls, by name' }),
  params: values.meta({ description: 'What stands in the path; we percent-encode it' }),
  query: values,
  headers: values.meta({ description: 'Only those that the policy lets callers add' }),
  body: z.unknown().meta({ description: 'JSON, sent in canonical form (RFC 8785)' }),
};

export const STATEMENT_MEMBERS = Object.keys(ofStatement);
export const CALL_MEMBERS = Object.keys(ofCall);

export const runBody = z.strictObject({
  task: z.string().max(100),
  ...z.object(ofStatement).partial().shape,
  ...z.object(ofCall).partial().shape,
  seal_to: jwk,
  reason: z.string().trim().max(2000).optional(),
  callback: z.strictObject({ url: z.string().max(2000) }).optional(),
});

export const run = z
  .object({
    id: z.string(),
    task: z.string(),
    role: z.string().nullable().meta({ description: 'Of a statement' }),
    upstream: z.string().nullable().meta({ description: 'Of a call' }),
    call: z.string().nullable(),
    effect: z
      .enum([...new Set([...STATEMENT_EFFECTS, ...CALL_EFFECTS])])
      .meta({ description: 'What its text says it does, or the policy says of the call' }),
    state: z.enum(statesOf('run')),
    outcome: z.enum(['committed', 'read', 'answered']).nullable(),
    code: z.string().nullable().meta({ description: 'Why it failed: an SQLSTATE, or ours' }),
    rows: z.int().nullable(),
    sends: z.int().meta({ description: 'How often a call went out, or may have' }),
    status: z.int().nullable().meta({ description: 'What a call was answered with' }),
    bytes: z.int().nullable(),
    is_cut: z.boolean().nullable().meta({ description: 'There was more of the answer' }),
    is_masked: z.boolean().nullable().meta({ description: 'Our secret stood in the answer' }),
    result_digest: digest.nullable(),
    digest,
    request: z.string().nullable(),
    credential: z.string().nullable(),
    created_at: instant,
    finished_at: instant.nullable(),
  })
  .meta({ id: 'Run' });

export const ranRun = run.extend({
  sealed: z.string().nullable().meta({
    description: 'JWE compact to seal_to: the rows, the answer, or what the target said',
  }),
  warnings,
});
