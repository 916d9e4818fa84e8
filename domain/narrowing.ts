// What an approver may take away from what was asked for, and what is then left of it. A limit only ever makes less.
import type { Action } from './action.ts';
import { fromMs, toMs } from './instant.ts';
import { canonicalJson, sameJson, type JsonObject, type JsonValue } from './json.ts';

/** What one option may still be: some of a list, or names, each up to a level. */
export type OptionLimit = string[] | Record<string, string>;

/** What an approver wants less of. What is not named stays as it was. */
export interface Limits {
  ttl_seconds?: number | undefined;
  valid_seconds?: number | undefined;
  uses?: number | undefined;
  not_before?: string | undefined;
  options?: Record<string, OptionLimit> | undefined;
}

const LIMITS = ['ttl_seconds', 'valid_seconds', 'uses', 'not_before', 'options'];

/** All that an option of this kind of access can be. The levels of `order` go from the least to the most. */
export type OptionExtent =
  | { kind: 'some_of'; of: string[] }
  | { kind: 'levels'; of: Record<string, string>; order: string[] };

/** What can be narrowed about a request besides its times, as it was when it was opened. */
export interface Narrowable {
  options: Record<string, OptionExtent>;
  /** The moment before which it has to start; null where nothing bounds it. */
  starts_before: string | null;
}

/** What there is to approve: an action, for how long the approval is good, and how often. */
export interface Terms {
  action: Action;
  valid_seconds: number;
  uses: number;
}

export type Narrowing =
  | { kind: 'narrowed'; terms: Terms }
  /** It is no narrowing: which limit, and what is wrong with it. */
  | { kind: 'refused'; limit: string; says: string };

/** An approval that is over before anybody could use it would be a denial by another name. */
const VALID_SECONDS_LEAST = 10;

/** What is left of something once limits are applied, or which limit takes nothing away. */
export function narrow(terms: Terms, narrowable: Narrowable, limits: Limits): Narrowing {
  for (const [limit, says] of mistakes(terms, narrowable, limits))
    if (says !== null) return { kind: 'refused', limit, says };
  return {
    kind: 'narrowed',
    terms: {
      action: { ...terms.action, parameters: narrowed(terms.action, narrowable, limits) },
      valid_seconds: limits.valid_seconds ?? terms.valid_seconds,
      uses: limits.uses ?? terms.uses,
    },
  };
}

type Mistake = readonly [limit: string, says: string | null];

function mistakes(terms: Terms, narrowable: Narrowable, limits: Limits): Mistake[] {
  const { parameters } = terms.action;
  return [
    ...Object.keys(limits)
      .filter((limit) => !LIMITS.includes(limit))
      .map((limit): Mistake => [limit, `is no limit; there are: ${LIMITS.join(', ')}`]),
    ['ttl_seconds', wrongNumber(limits.ttl_seconds, ttlOf(parameters), 1)],
    ['valid_seconds', wrongValidity(limits.valid_seconds, terms.valid_seconds)],
    ['uses', wrongNumber(limits.uses, terms.uses, 1)],
    ['not_before', wrongStart(limits.not_before, startOf(terms.action), narrowable.starts_before)],
    ...Object.entries(limits.options ?? {}).map(([name, limit]): Mistake => [
      `options.${name}`,
      wrongOption(extentOf(terms.action, narrowable, name), limit),
    ]),
  ];
}

const ttlOf = ({ ttl_seconds: ttl }: JsonObject): number | null =>
  typeof ttl === 'number' ? ttl : null;

/** The start that an action names; null for one that starts once it is approved. */
export function startOf({ parameters: { not_before: start } }: Action): string | null {
  return typeof start === 'string' ? start : null;
}

const wrongValidity = (wanted: number | undefined, now: number): string | null =>
  wrongNumber(wanted, now, Math.min(VALID_SECONDS_LEAST, now));

function wrongNumber(wanted: number | undefined, now: number | null, least: number): string | null {
  if (wanted === undefined) return null;
  if (now === null) return 'this action has no such member';
  if (!Number.isSafeInteger(wanted) || wanted < least) return `has to be at least ${least}`;
  return wanted > now ? `is ${now} now, and can only become less` : null;
}

function wrongStart(
  wanted: string | undefined,
  now: string | null,
  before: string | null,
): string | null {
  if (wanted === undefined) return null;
  if (now === null) return 'this action has no start that could be moved';
  const at = msOf(wanted);
  if (at === null) return 'has to be an instant (RFC 3339)';
  if (at < toMs(now)) return `is ${now} now, and can only be moved later`;
  if (before !== null && !(at < toMs(before))) return `has to be before ${before}`;
  return null;
}

function msOf(instant: string): number | null {
  try {
    return toMs(instant);
  } catch {
    return null;
  }
}

function wrongOption(extent: OptionExtent | null, limit: OptionLimit): string | null {
  if (extent === null) return 'this cannot be narrowed';
  if (extent.kind === 'some_of') {
    if (!Array.isArray(limit)) return 'has to be a list';
    const other = limit.find((each) => !extent.of.includes(each));
    if (other !== undefined) return `${other} is not among ${extent.of.join(', ')}`;
    return limit.length === 0 ? 'leaves nothing: deny it instead' : null;
  }
  if (Array.isArray(limit)) return 'has to say a level for each name';
  const wider = Object.entries(limit).find(([name, level]) => !isUpTo(extent, name, level));
  if (wider) return `${wider[0]}: ${wider[1]} is not within ${said(extent.of)}`;
  return Object.keys(limit).length === 0 ? 'leaves nothing: deny it instead' : null;
}

const said = (levels: Record<string, string>): string =>
  Object.entries(levels)
    .map(([name, level]) => `${name}: ${level}`)
    .join(', ');

function isUpTo(
  { of, order }: Extract<OptionExtent, { kind: 'levels' }>,
  name: string,
  level: string,
): boolean {
  const most = Object.hasOwn(of, name) ? of[name] : undefined;
  return most !== undefined && order.includes(level) && order.indexOf(level) <= order.indexOf(most);
}

/** What an option is now: what was asked for or left by others, and all that it can be where nobody said. */
export function extentOf(
  action: Action,
  { options }: Narrowable,
  name: string,
): OptionExtent | null {
  const extent = Object.hasOwn(options, name) ? options[name] : undefined;
  if (!extent) return null;
  const asked = members(action.parameters['options'])[name];
  if (extent.kind === 'some_of')
    return Array.isArray(asked) ? { kind: 'some_of', of: asked.map(String) } : extent;
  if (asked === undefined || Array.isArray(asked)) return extent;
  const levels = Object.entries(members(asked)).filter(([, level]) => typeof level === 'string');
  return { ...extent, of: asLevels(Object.fromEntries(levels)) };
}

/** What is no text was left out. */
const asLevels = (levels: unknown): Record<string, string> => levels as Record<string, string>;

const members = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

function narrowed(action: Action, narrowable: Narrowable, limits: Limits): JsonObject {
  const { parameters } = action;
  const { ttl_seconds: ttl, not_before: start } = limits;
  const { renew_seconds_max: renewed } = parameters;
  const options = narrowedOptions(action, narrowable, limits.options ?? {});
  return {
    ...parameters,
    ...(ttl !== undefined && { ttl_seconds: ttl }),
    // Renewing is no way around it: what was shortened lasts no longer in all.
    ...(ttl !== undefined && ttl !== ttlOf(parameters) && typeof renewed === 'number'
      ? { renew_seconds_max: Math.min(renewed, ttl) }
      : {}),
    ...(start !== undefined && { not_before: fromMs(toMs(start)) }),
    ...(options && { options }),
  };
}

/** The options with their limits; null when these take nothing away. */
function narrowedOptions(
  action: Action,
  narrowable: Narrowable,
  limits: Record<string, OptionLimit>,
): JsonObject | null {
  const less = Object.entries(limits)
    .map(([name, limit]) => [name, tidy(limit)] as const)
    .filter(([name, limit]) => {
      const extent = extentOf(action, narrowable, name);
      return extent !== null && !sameJson(limit, tidy(extent.of));
    });
  if (less.length === 0) return null;
  return { ...members(action.parameters['options']), ...Object.fromEntries(less) };
}

const tidy = (limit: OptionLimit): OptionLimit =>
  Array.isArray(limit) ? [...new Set(limit)].toSorted() : limit;

/** The tightest of both: what is left when two people each take something away. */
export function meet(narrowable: Narrowable, one: Limits, other: Limits): Limits {
  const least = (member: 'ttl_seconds' | 'valid_seconds' | 'uses'): Limits => {
    const said = [one[member], other[member]].filter((each) => each !== undefined);
    return said.length === 0 ? {} : { [member]: Math.min(...said) };
  };
  const starts = [one.not_before, other.not_before].filter((each) => each !== undefined);
  const options = meetOptions(narrowable, one.options ?? {}, other.options ?? {});
  return {
    ...least('ttl_seconds'),
    ...least('valid_seconds'),
    ...least('uses'),
    ...(starts.length > 0 && { not_before: fromMs(Math.max(...starts.map(toMs))) }),
    ...(Object.keys(options).length > 0 && { options }),
  };
}

function meetOptions(
  narrowable: Narrowable,
  one: Record<string, OptionLimit>,
  other: Record<string, OptionLimit>,
): Record<string, OptionLimit> {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return Object.fromEntries(
    names.map((name) => [name, meetOption(narrowable.options[name], one[name], other[name])]),
  );
}

function meetOption(
  extent: OptionExtent | undefined,
  one: OptionLimit | undefined,
  other: OptionLimit | undefined,
): OptionLimit {
  if (one === undefined || other === undefined) return tidy(one ?? other ?? []);
  if (Array.isArray(one) || Array.isArray(other))
    return Array.isArray(one) && Array.isArray(other)
      ? tidy(one.filter((each) => other.includes(each)))
      : [];
  const order = extent?.kind === 'levels' ? extent.order : [];
  const lower = (a: string, b: string): string => (order.indexOf(a) <= order.indexOf(b) ? a : b);
  return Object.fromEntries(
    Object.entries(one).flatMap(([name, level]) => {
      const also = Object.hasOwn(other, name) ? other[name] : undefined;
      return also === undefined ? [] : [[name, lower(level, also)]];
    }),
  );
}

/** Whether an action asks for no more than another: the same thing, for as long or shorter, from then or later. */
export function isWithin(action: Action, other: Action, narrowable: Narrowable): boolean {
  const { ttl_seconds: ttl, renew_seconds_max: renewed } = action.parameters;
  const limits: Limits = {
    ...(typeof ttl === 'number' && { ttl_seconds: ttl }),
    ...(startOf(action) !== null && { not_before: startOf(action) ?? '' }),
    options: Object.fromEntries(
      Object.keys(narrowable.options).flatMap((name) => {
        const extent = extentOf(action, narrowable, name);
        return extent ? [[name, extent.of]] : [];
      }),
    ),
  };
  const terms = { action: other, valid_seconds: 1, uses: 1 };
  const { renew_seconds_max: most } = other.parameters;
  if (typeof renewed === 'number' && !(typeof most === 'number' && renewed <= most)) return false;
  return (
    narrow(terms, narrowable, limits).kind === 'narrowed' &&
    canonicalJson(identity(action, narrowable)) === canonicalJson(identity(other, narrowable))
  );
}

/** All of an action but what can be narrowed. */
function identity({ parameters, ...rest }: Action, { options: known }: Narrowable): JsonObject {
  const {
    ttl_seconds: _ttl,
    renew_seconds_max: _renewed,
    not_before: _start,
    ...fixed
  } = parameters;
  const options = Object.entries(members(parameters['options'])).filter(
    ([name]) => !Object.hasOwn(known, name),
  );
  return { ...asMembers(rest), ...fixed, options: Object.fromEntries(options) };
}

/** An action is JSON throughout. */
const asMembers = (rest: unknown): JsonObject => rest as JsonObject;

/** Limits as JSON, for what is stored, answered and signed. */
export const limitsAsJson = (limits: Limits): JsonObject => ({
  ...(limits.ttl_seconds !== undefined && { ttl_seconds: limits.ttl_seconds }),
  ...(limits.valid_seconds !== undefined && { valid_seconds: limits.valid_seconds }),
  ...(limits.uses !== undefined && { uses: limits.uses }),
  ...(limits.not_before !== undefined && { not_before: limits.not_before }),
  ...(limits.options !== undefined && { options: limits.options }),
});

/** Limits in words, one after the other. */
export function limitsInWords(limits: Limits): string {
  const { options = {}, ...plain } = limits;
  const words = [
    ...Object.entries(plain).map(([name, value]) => `${name} ${value}`),
    ...Object.entries(options).map(
      ([name, limit]) => `${name} ${Array.isArray(limit) ? limit.join(', ') : said(limit)}`,
    ),
  ];
  return words.join('; ');
}
