// The form in which an approver leaves less of a request: what it offers, and what was filled in.
import { termsOf } from '../../commands/approvals/narrow.ts';
import { cardOf } from '../../commands/approvals/requests.ts';
import type { RequestRow } from '../../db/rows.ts';
import { shownDigest } from '../../domain/card.ts';
import { canonicalJson, parseJson, sameJson, type JsonValue } from '../../domain/json.ts';
import {
  limitsFilledIn,
  offerOf,
  type FilledIn,
  type NarrowOffer,
} from '../../domain/narrow-form.ts';
import { limitsAsJson, narrow, type Limits, type Terms } from '../../domain/narrowing.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Change, Draft } from '../../web/request-data.ts';
import { narrowBody } from '../request-schemas.ts';
import { field, type Visit } from './console.ts';
import { parseFields } from './forms.ts';

/** What the form offers. */
export const narrowViewOf = (row: RequestRow): NarrowOffer => offerOf(termsOf(row), row.narrowable);

/** A narrower approval as the first form has it, with what it would change; a refusal where it is none. */
export function draftFrom(visit: Visit, row: RequestRow): Draft | Refusal {
  if (field(visit, 'shown') !== shownDigest(cardOf(row)))
    return new Refusal(
      'shown_mismatch',
      'This changed since you opened the page: read it as it is now, and decide then.',
    );
  const before = termsOf(row);
  const limits = limitsFilledIn(before, row.narrowable, filledIn(visit));
  const narrowing = narrow(before, row.narrowable, limits);
  if (narrowing.kind === 'refused')
    return new Refusal('narrowing_refused', `${narrowing.limit} ${narrowing.says}.`);
  const changes = changesOf(before, narrowing.terms);
  if (changes.length === 0)
    return new Refusal('narrowing_refused', 'This leaves all of it: approve it as it is.');
  return { narrow: canonicalJson(limitsAsJson(limits)), changes, reason: field(visit, 'reason') };
}

/** The fields of a form of the console. */
const filledIn = (visit: Visit): FilledIn => ({
  text: (name) => field(visit, name),
  isChosen: (name) => visit.form.has(name),
});

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
  const times = [
    ['The approval is good, in seconds', before.valid_seconds, after.valid_seconds],
    ['Uses', before.uses, after.uses],
  ] as const;
  return [
    ...parameters,
    ...times
      .filter(([, was, is]) => was !== is)
      .map(([label, was, is]) => ({ label, before: String(was), after: String(is) })),
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
