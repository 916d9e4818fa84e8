// What forms have in common: a refusal is shown where it happened, with what was typed.
import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import type { JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Said } from '../../web/parts.tsx';
import { explainIssues } from '../explain.ts';
import type { Visit } from './console.ts';

/** Runs what a form asks for; a refusal, thrown or returned, comes back as a value. */
export async function attempt<T>(work: () => Promise<T | Refusal>): Promise<T | Refusal> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** Parses fields with the schema of the API, so that both take the same. */
export function parseFields<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Refusal(
    'invalid_request',
    'Some of this is not what it has to be: mend what is named here, and send it again.',
    {
      errors: explainIssues(schema, parsed.error.issues, value).map(({ pointer, detail }) => ({
        pointer,
        detail,
      })),
    },
  );
}

/** What a form made: the body is the one its own handler wrote, replayed or not. */
export const asMade = (body: unknown): { id: string } => body as { id: string };

/** A refusal as forms show it. */
export function saidBy(refusal: Refusal): Said {
  const { errors } = refusal.members;
  return { says: refusal.message, details: Array.isArray(errors) ? errors.map(detailOf) : [] };
}

function detailOf(error: JsonValue): string {
  if (typeof error !== 'object' || error === null || Array.isArray(error)) return '';
  const { pointer, detail } = error;
  const place = typeof pointer === 'string' ? pointer.slice(1) : '';
  return `${place === '' ? 'The form' : place}: ${typeof detail === 'string' ? detail : 'is wrong'}`;
}

/** A name for one filling-in of a form. */
export const newOnce = (): string => randomBytes(18).toString('base64url');

/** What was typed, to be shown again. Never a secret: no form of ours takes one. */
export const typed = (visit: Visit): Record<string, string> => Object.fromEntries(visit.form);
