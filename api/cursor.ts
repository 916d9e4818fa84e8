// List cursors: opaque, signed, and good for one list only, so that nobody can walk somewhere else with them.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { invalid } from './body.ts';

const macOf = (key: Uint8Array, list: string, after: string): Buffer =>
  createHmac('sha256', key).update(`${list}\n${after}`).digest().subarray(0, 16);

/** A cursor that goes on after something. */
export const makeCursor = (key: Uint8Array, list: string, after: string): string =>
  Buffer.concat([macOf(key, list, after), Buffer.from(after, 'utf8')]).toString('base64url');

/** What to go on after, or null at the beginning. */
export function readCursor(
  key: Uint8Array,
  list: string,
  cursor: string | undefined,
): string | null {
  if (cursor === undefined) return null;
  const bytes = Buffer.from(cursor, 'base64url');
  const after = bytes.subarray(16).toString('utf8');
  if (bytes.length < 17 || !timingSafeEqual(bytes.subarray(0, 16), macOf(key, list, after)))
    throw invalid('This cursor is not one of ours: begin without one.');
  return after;
}

/** A page of rows that were read one beyond its end, and the cursor that goes on from it. */
export function pageOf<T>(
  rows: readonly T[],
  limit: number,
  place: (row: T) => string,
  key: Uint8Array,
  list: string,
): { rows: T[]; next: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last ? makeCursor(key, list, place(last)) : null;
  return { rows: page, next };
}
