// What votes look like, and how far they bring a route.
import { z } from 'zod';
import { CHANNELS } from '../domain/approval.ts';
import { narrowBody } from './request-schemas.ts';

export const voteBody = z.strictObject({
  decision: z.enum(['approve', 'deny']),
  shown: z.string().max(100),
  reason: z.string().trim().max(2000).optional(),
  disposition: z.enum(['revise', 'stop']).optional(),
  narrow: narrowBody.optional(),
  in_stead_of: z.string().max(100).optional().meta({
    description:
      'For whom you vote, where you stand in for somebody who is away. Left out, you vote for yourself if you may, and else for whoever you stand in for',
  }),
});

export const castVote = z.object({
  id: z.string(),
  person: z.string(),
  decision: z.enum(['approve', 'deny']),
  channel: z.enum(CHANNELS),
  at: z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' }),
  in_stead_of: z
    .string()
    .nullable()
    .meta({ description: 'Who was away and had them vote; null for a vote of their own' }),
});

export const routeStages = z
  .array(
    z.object({
      title: z.string().nullable(),
      state: z.enum(['open', 'waiting', 'complete']),
      quorum: z.int(),
      approvals: z.int(),
      seats: z.array(
        z.object({ groups: z.array(z.string()), quorum: z.int(), approvals: z.int() }),
      ),
    }),
  )
  .meta({
    description:
      'Who has to agree, one stage after the other; a route that names none has one. Quorum and approvals of the route are the sums',
  });
