// Shapes of the statement door.
import { z } from 'zod';
import { statesOf } from '../domain/lifecycle.ts';
import { STATEMENT_EFFECTS } from '../domain/sql-effect.ts';
import { digest, instant, jwk, warnings } from './schemas.ts';

export const runBody = z.strictObject({
  task: z.string().max(100),
  role: z.string().max(100),
  statement: z.string().min(1).max(60_000),
  parameters: z
    .array(z.union([z.string().max(60_000), z.number(), z.boolean(), z.null()]))
    .max(200)
    .default([]),
  seal_to: jwk,
  max_rows: z.int().min(0).max(10_000).default(1_000),
  max_affected_rows: z
    .int()
    .min(0)
    .optional()
    .meta({ description: 'A statement that changes more is rolled back; people see this number' }),
  timeout_seconds: z.int().min(1).max(60).default(10),
  reason: z.string().trim().max(2000).optional(),
  callback: z.strictObject({ url: z.string().max(2000) }).optional(),
});

export const run = z
  .object({
    id: z.string(),
    task: z.string(),
    role: z.string(),
    effect: z.enum(STATEMENT_EFFECTS).meta({ description: 'What its text says it does' }),
    state: z.enum(statesOf('run')),
    outcome: z.enum(['committed', 'read']).nullable(),
    code: z.string().nullable().meta({ description: 'Why it failed: an SQLSTATE, or ours' }),
    rows: z.int().nullable(),
    result_digest: digest.nullable(),
    digest,
    request: z.string().nullable(),
    credential: z.string(),
    created_at: instant,
    finished_at: instant.nullable(),
  })
  .meta({ id: 'Run' });

export const ranRun = run.extend({
  sealed: z
    .string()
    .nullable()
    .meta({ description: 'JWE compact to seal_to: the rows, or what the target said' }),
  warnings,
});
