// Whether claims are those that a way in names: whole values of the same type, and nothing that merely resembles them.
import type { JsonObject, JsonValue } from './json.ts';

export type ClaimCondition = string | number | boolean;

/** The value a condition is about: a claim by its name, or with `/` in front by its JSON pointer (RFC 6901). */
export function claimAt(claims: JsonObject, name: string): JsonValue | undefined {
  if (!name.startsWith('/')) return memberOf(claims, name);
  let value: JsonValue | undefined = claims;
  for (const part of name.slice(1).split('/'))
    value = memberOf(value, part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return value;
}

/** Only of objects, and only what they have themselves: lists are no place for one claim. */
const memberOf = (value: JsonValue | undefined, name: string): JsonValue | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? value[name]
    : undefined;

/** Whether a token's subject is the one meant. */
export const matchesSubject = (
  subject: string,
  wanted: { whole: string } | { prefix: string },
): boolean =>
  'whole' in wanted
    ? subject === wanted.whole
    : subject.length > wanted.prefix.length && subject.startsWith(wanted.prefix);

/** Whether every condition holds. Text is not a number, and a list that contains the value is not the value. */
export const matchesClaims = (
  claims: JsonObject,
  wanted: Readonly<Record<string, ClaimCondition>>,
): boolean => Object.entries(wanted).every(([name, value]) => claimAt(claims, name) === value);

/** A digest as sources state it, in one spelling; null for anything else. */
export function artifactDigest(value: JsonValue | undefined): string | null {
  if (typeof value !== 'string') return null;
  const found = /^(?:sha256:)?([0-9a-f]{64})$|^(?:sha1:)?([0-9a-f]{40})$/.exec(value);
  if (found?.[1] !== undefined) return `sha256:${found[1]}`;
  return found?.[2] === undefined ? null : `sha1:${found[2]}`;
}
