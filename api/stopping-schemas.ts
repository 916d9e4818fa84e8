// Shapes of orders to revoke and of the kill switch.
import { z } from 'zod';
import { REVOCATION_SCOPES } from '../db/schema/revocations.ts';
import { instant } from './schemas.ts';

const orderReason = z.string().trim().min(1).max(2000);
const orderedBy = z.object({ type: z.string(), id: z.string() });

export const revocationBody = z.strictObject({
  by: z.enum(['credential', 'task', 'agent', 'chain', 'team', 'role', 'issuer', 'target']),
  id: z.string().min(1).max(200),
  reason: orderReason,
  dry_run: z.boolean().optional(),
});
export const revocationPreview = z
  .object({ dry_run: z.literal(true), credentials: z.int(), first: z.array(z.string()) })
  .strict();
export const revocation = z
  .object({
    id: z.string(),
    by: z.enum(REVOCATION_SCOPES),
    of: z.string().nullable(),
    because: z.string(),
    reason: z.string(),
    ordered_by: orderedBy,
    created_at: instant,
    credentials: z.int().meta({ description: 'Alive when it was ordered' }),
    alive: z.int(),
    failing: z.int(),
    oldest_at: instant.nullable(),
    not_seen_gone: z.int(),
    done_at: instant.nullable(),
  })
  .meta({ id: 'Revocation' });

export const killBody = z.discriminatedUnion('scope', [
  z.strictObject({
    scope: z.enum(['agent', 'chain', 'team']),
    id: z.string().min(1).max(200),
    reason: orderReason,
    confirm: z.string().max(100).optional(),
  }),
  z.strictObject({
    scope: z.literal('everything'),
    reason: orderReason,
    confirm: z.string().max(100).optional(),
  }),
]);
export const killed = z.object({
  stop: z.string().nullable(),
  agents: z.int(),
  tasks: z.int(),
  revocation,
});
export const stop = z
  .object({
    id: z.string(),
    revocation: z.string(),
    reason: z.string(),
    ordered_by: orderedBy,
    created_at: instant,
    lifted_at: instant.nullable(),
  })
  .meta({ id: 'Stop' });
