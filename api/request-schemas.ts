// What approvers send and ask.
import { z } from 'zod';
import { ADDRESSEES } from '../domain/question.ts';

const instant = z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' });

/** When something shall begin. */
export const startAt = z.iso
  .datetime({ offset: true })
  .meta({ description: 'Issued from then on, once people agree; only for what waits for people' });

export const question = z.object({
  id: z.string(),
  by: z.string(),
  to: z.enum(ADDRESSEES),
  text: z.string(),
  state: z.enum(['open', 'answered', 'lapsed']),
  asked_at: instant,
  answer_by: instant,
  answer: z
    .object({ by: z.object({ type: z.string(), id: z.string() }), text: z.string(), at: instant })
    .nullable(),
});

const optionLimit = z.union([
  z.array(z.string().max(700)).max(500),
  z.record(z.string().max(100), z.string().max(40)),
]);

/** What an approver leaves less of. Whether it is less is for the request to say. */
export const narrowBody = z
  .strictObject({
    ttl_seconds: z.int().min(1).optional(),
    valid_seconds: z.int().min(1).optional(),
    uses: z.int().min(1).optional(),
    not_before: z.string().max(40).optional(),
    options: z.record(z.string().max(100), optionLimit).optional(),
  })
  .refine((limits) => Object.keys(limits).length > 0, 'says nothing that there should be less of')
  .meta({ description: 'Approves less than was asked for; what is not named stays as it is' });

export const askBody = z.strictObject({
  to: z.enum(ADDRESSEES).meta({ description: 'Who is asked' }),
  text: z.string().trim().min(1).max(1000),
});

export const answerBody = z.strictObject({ text: z.string().trim().min(1).max(2000) });
