// Calls to the APIs that issuers speak to: addresses from the policy, answers that are read with distrust.
import { TargetError } from '../../commands/credentials/issuer.ts';
import type { FoundKind, Gap } from '../../domain/found-identity.ts';
import type { JsonObject } from '../../domain/json.ts';
import { EgressError, type Egress, type OutgoingMessage, type Sent } from '../egress.ts';

/** One answer is waited for this long; a lease has thirty seconds to be made in. */
const TIMEOUT_MS = 8_000;

/** Calls an address that the policy configures. Throws a TargetError where no answer comes. */
export async function callTarget(
  egress: Egress,
  url: string,
  message: Pick<OutgoingMessage, 'method'> & Partial<OutgoingMessage>,
): Promise<Sent> {
  try {
    return await egress(url, {
      headers: {},
      body: '',
      timeoutMs: TIMEOUT_MS,
      ...message,
      trusted: true,
    });
  } catch (cause) {
    throw new TargetError(cause instanceof EgressError ? cause.code : 'unreachable', { cause });
  }
}

/** The members of an answer's JSON object; none where it is something else. */
export function membersOf({ body }: Sent): JsonObject {
  try {
    const parsed: unknown = JSON.parse(body);
    return isObject(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/** What JSON.parse gave and is an object can only be a JSON object. */
export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A member that must be there as text. */
export function textOf(members: JsonObject, name: string): string {
  const value = members[name];
  if (typeof value !== 'string' || value === '') throw new TargetError('bad_answer');
  return value;
}

/** A word of another service as a code of ours: short, and of an alphabet that can carry no secret far. */
export const codeOf = (word: string): string =>
  /^[A-Za-z][A-Za-z0-9_.-]{0,60}$/.test(word)
    ? word
        .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
        .replaceAll(/[.-]/g, '_')
        .toLowerCase()
    : 'refused';

/** A refusal by the other side. What it answers with a number below 500 it did not do. */
export const refusedWith = (code: string, { status }: Sent): TargetError =>
  new TargetError(code, { nothingMade: status >= 400 && status < 500 });

/** When the other side wants to be asked again (RFC 9110 §10.2.3), if it says so. */
export function retryAt({ headers }: Sent, now: number): string | null {
  const said = headers['retry-after'];
  if (said === undefined) return null;
  const at = /^\d{1,6}$/.test(said) ? now + Number(said) * 1000 : Date.parse(said);
  return Number.isNaN(at) ? null : new Date(at).toISOString();
}

/** Calls in flight at once: enough to be quick, few enough not to be taken for an attack. */
const AT_ONCE = 8;

/** Does one thing for each of many, a few at a time; the answers keep their order. */
export async function forEach<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const answers: R[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE)
    answers.push(...(await Promise.all(items.slice(start, start + AT_ONCE).map(work))));
  return answers;
}

/** No look at a target takes longer, so that whoever asks next finds nobody in the way. */
const LOOK_MS_MAX = 240_000;

/** Says so, by throwing, once a look that begins now has taken too long. */
export function lookClock(now: () => number): () => void {
  const until = now() + LOOK_MS_MAX;
  return () => {
    if (now() > until) throw new TargetError('too_slow');
  };
}

/** What came of listing one kind of thing: nothing and the reason, where the other side refused. */
export type Listed<T> = { items: T[]; refused: null } | { items: []; refused: string };

/** A refusal is an answer too; anything else that goes wrong is not. */
export const listing = <T>(asked: Promise<T[]>): Promise<Listed<T>> =>
  asked.then(
    (items): Listed<T> => ({ items, refused: null }),
    (error: unknown): Listed<T> => {
      if (error instanceof TargetError && error.nothingMade)
        return { items: [], refused: error.code };
      throw error;
    },
  );

/** The gaps in what was listed; where that is all, the other side said nothing. */
export function gapsIn(listed: readonly (readonly [FoundKind, Listed<unknown>])[]): Gap[] {
  const gaps = listed.flatMap(([kind, { refused }]) =>
    refused === null ? [] : [{ kind, code: refused }],
  );
  const [first] = gaps;
  if (first && gaps.length === listed.length) throw new TargetError(first.code);
  return gaps;
}
