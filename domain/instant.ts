// Instants as RFC 3339 text and as milliseconds. The only file here that names Date, and only to convert:
// what time it is now is always an argument.

/** RFC 3339 §5.6; without an offset the same text would mean another instant in another zone. */
const INSTANT =
  /^(\d{4})-(\d{2})-(\d{2})T(?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** Milliseconds since 1970 of an RFC 3339 instant; throws on anything else. */
export function toMs(instant: string): number {
  const [, year, month, day] = INSTANT.exec(instant) ?? [];
  const ms = Date.parse(instant);
  // Date.parse alone reads the 31st of a shorter month as a day of the next one.
  const isThere = Number(day) <= new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (!isThere || Number.isNaN(ms)) throw new RangeError(`"${instant}" is no instant`);
  return ms;
}

/** RFC 3339 in UTC with milliseconds: the one form in which we write instants. */
export const fromMs = (ms: number): string => new Date(ms).toISOString();

export const addMs = (instant: string, ms: number): string => fromMs(toMs(instant) + ms);

export const addSeconds = (instant: string, seconds: number): string =>
  addMs(instant, seconds * 1000);

export const secondsBetween = (from: string, to: string): number => (toMs(to) - toMs(from)) / 1000;

/** The first of these, all in the form in which we write instants: it sorts as time does. */
export const earliest = (...instants: readonly string[]): string => instants.toSorted()[0] ?? '';

export const latest = (...instants: readonly string[]): string => instants.toSorted().at(-1) ?? '';
