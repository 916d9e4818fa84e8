// The form in which an approver leaves less of a request: what it offers, and what was filled in.
import { termsOf } from '../../commands/narrow.ts';
import { cardOf } from '../../commands/requests.ts';
import type { RequestRow } from '../../db/rows.ts';
import { shownDigest } from '../../domain/card.ts';
import { canonicalJson, parseJson, sameJson, type JsonValue } from '../../domain/json.ts';
import {
  extentOf,
  limitsAsJson,
  narrow,
  startOf,
  type Limits,
  type OptionExtent,
  type OptionLimit,
  type Terms,
} from '../../domain/narrowing.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Change, Draft, NarrowView } from '../../web/request-data.ts';
import { narrowBody } from '../request-schemas.ts';
import { field, type Visit } from './console.ts';
import { parseFields } from './forms.ts';

/** What the form offers. */
export function narrowViewOf(row: RequestRow): NarrowView {
  const { action, valid_seconds: validSeconds } = termsOf(row);
  const { ttl_seconds: ttl } = action.parameters;
  return {
    ttlSeconds: typeof ttl === 'number' ? ttl : null,
    validSeconds,
    start: startOf(action),
    options: extentsOf(row).map(({ name, extent }) => ({
      name,
      some: extent.kind === 'some_of' ? extent.of : null,
      levels: extent.kind === 'levels' ? levelsOf(extent) : [],
    })),
  };
}

function extentsOf(row: RequestRow): { name: string; extent: OptionExtent }[] {
  const { action } = termsOf(row);
  return Object.keys(row.narrowable.options).flatMap((name) => {
    const extent = extentOf(action, row.narrowable, name);
    return extent ? [{ name, extent }] : [];
  });
}

const levelsOf = ({
  of,
  order,
}: Extract<OptionExtent, { kind: 'levels' }>): [name: string, upTo: string[]][] =>
  Object.entries(of)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, most]) => [name, order.slice(0, order.indexOf(most) + 1)]);

/** A narrower approval as the first form has it, with what it would change; a refusal where it is none. */
export function draftFrom(visit: Visit, row: RequestRow): Draft | Refusal {
  if (field(visit, 'shown') !== shownDigest(cardOf(row)))
    return new Refusal(
      'shown_mismatch',
      'This changed since you opened the page: read it as it is now, and decide then.',
    );
  const limits = filledIn(visit, row);
  const before = termsOf(row);
  const narrowing = narrow(before, row.narrowable, limits);
  if (narrowing.kind === 'refused')
    return new Refusal('narrowing_refused', `${narrowing.limit} ${narrowing.says}.`);
  const changes = changesOf(before, narrowing.terms);
  if (changes.length === 0)
    return new Refusal('narrowing_refused', 'This leaves all of it: approve it as it is.');
  return { narrow: canonicalJson(limitsAsJson(limits)), changes, reason: field(visit, 'reason') };
}

/** Only what differs from how it is: an untouched field is no limit. */
function filledIn(visit: Visit, row: RequestRow): Limits {
  const terms = termsOf(row);
  const number = (name: string, now: JsonValue | undefined): number | undefined =>
    field(visit, name) === '' || Number(field(visit, name)) === now
      ? undefined
      : Number(field(visit, name));
  const start = field(visit, 'not_before');
  const options = Object.fromEntries(
    extentsOf(row).flatMap(({ name, extent }) => {
      const left = chosen(visit, name, extent);
      return sameJson(left, extent.of) ? [] : [[name, left]];
    }),
  );
  return {
    ttl_seconds: number('ttl_seconds', terms.action.parameters['ttl_seconds']),
    valid_seconds: number('valid_seconds', terms.valid_seconds),
    ...(start !== '' && start !== startOf(terms.action) && { not_before: start }),
    ...(Object.keys(options).length > 0 && { options }),
  };
}

/** Fields are numbered by what was shown, which is known to be what is there now. */
function chosen(visit: Visit, name: string, extent: OptionExtent): OptionLimit {
  if (extent.kind === 'some_of')
    return extent.of.filter((_each, index) => visit.form.has(`some.${name}.${index}`));
  const levels = levelsOf(extent).map(
    ([key], index) => [key, field(visit, `level.${name}.${index}`)] as const,
  );
  return Object.fromEntries(levels.filter(([, level]) => level !== ''));
}

const LABELS: Record<string, string> = {
  ttl_seconds: 'Lasts, in seconds',
  renew_seconds_max: 'Lasts when renewed, in seconds',
  not_before: 'Starts',
};

function changesOf(before: Terms, after: Terms): Change[] {
  const parameters = Object.entries(after.action.parameters)
    .filter(([name, value]) => !sameJson(value, before.action.parameters[name] ?? null))
    .map(([name, value]) => ({
      label: LABELS[name] ?? name,
      before: inWords(before.action.parameters[name] ?? 'all of it'),
      after: inWords(value),
    }));
  if (before.valid_seconds === after.valid_seconds) return parameters;
  return [
    ...parameters,
    {
      label: 'The approval is good, in seconds',
      before: String(before.valid_seconds),
      after: String(after.valid_seconds),
    },
  ];
}

const inWords = (value: JsonValue): string =>
  typeof value === 'string' ? value : canonicalJson(value);

/** The limits of the second form; null where it has none. */
export function limitsFrom(visit: Visit): Limits | null {
  const text = field(visit, 'narrow');
  return text === '' ? null : parseFields(narrowBody, parsed(text));
}

function parsed(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch {
    throw new Refusal('invalid_request', 'The limits are not JSON: start over.');
  }
}
