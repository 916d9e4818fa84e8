// What callers may ask for within a role.
import type { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';

/** Of a role that is the same for everybody who is given it. */
export function noOptions(options: JsonObject): Promise<JsonObject> {
  const [first] = Object.keys(options);
  if (first !== undefined) throw refusedOption(first, 'this role takes no options');
  return Promise.resolve({});
}

/** Reads options by a schema, or refuses with what is wrong. */
export function readOptions<T>(schema: z.ZodType<T>, options: JsonObject): T {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys')
    throw refusedOption(issue.keys[0] ?? 'options', 'this role takes no such option');
  throw refusedOption(issue?.path.map(String).join('.') || 'options', issue?.message ?? 'is wrong');
}

/** The refusal of one option, by its name. */
export const refusedOption = (name: string, says: string): Refusal =>
  new Refusal('option_refused', `The option ${name}: ${says.replace(/\.$/, '')}.`, {
    option: name,
  });
