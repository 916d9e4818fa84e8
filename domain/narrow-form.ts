// The form in which an approver leaves less of a request, wherever it is filled in: what it offers, and which limits come
// of it. Fields are numbered by what was shown, so a form is only good for the card it was opened from.
import { sameJson, type JsonValue } from './json.ts';
import {
  extentOf,
  startOf,
  type Limits,
  type Narrowable,
  type OptionExtent,
  type OptionLimit,
  type Terms,
} from './narrowing.ts';

/** What an approver can leave less of, as it is now. */
export interface NarrowOffer {
  ttlSeconds: number | null;
  validSeconds: number;
  uses: number;
  start: string | null;
  options: OfferedOption[];
}

/** One option: some of a list, or for each name the levels up to which it may go, from the least to the most. */
export interface OfferedOption {
  name: string;
  some: string[] | null;
  levels: [name: string, upTo: string[]][];
}

/** What was filled in. A field that is not there is empty. */
export interface FilledIn {
  text(name: string): string;
  isChosen(name: string): boolean;
}

/** The name of the field that keeps one of a list. */
export const someField = (option: string, index: number): string => `some.${option}.${index}`;

/** The name of the field with the level of one name. */
export const levelField = (option: string, index: number): string => `level.${option}.${index}`;

/** What the form offers. */
export function offerOf(terms: Terms, narrowable: Narrowable): NarrowOffer {
  const { ttl_seconds: ttl } = terms.action.parameters;
  return {
    ttlSeconds: typeof ttl === 'number' ? ttl : null,
    validSeconds: terms.valid_seconds,
    uses: terms.uses,
    start: startOf(terms.action),
    options: extentsOf(terms, narrowable).map(({ name, extent }) => ({
      name,
      some: extent.kind === 'some_of' ? extent.of : null,
      levels: extent.kind === 'levels' ? levelsOf(extent) : [],
    })),
  };
}

function extentsOf(
  { action }: Terms,
  narrowable: Narrowable,
): { name: string; extent: OptionExtent }[] {
  return Object.keys(narrowable.options).flatMap((name) => {
    const extent = extentOf(action, narrowable, name);
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

/** Only what differs from how it is: an untouched field is no limit. */
export function limitsFilledIn(terms: Terms, narrowable: Narrowable, form: FilledIn): Limits {
  const number = (name: string, now: JsonValue | undefined): number | undefined =>
    form.text(name) === '' || Number(form.text(name)) === now ? undefined : Number(form.text(name));
  const start = form.text('not_before');
  const options = Object.fromEntries(
    extentsOf(terms, narrowable).flatMap(({ name, extent }) => {
      const left = chosen(form, name, extent);
      return sameJson(left, extent.of) ? [] : [[name, left]];
    }),
  );
  return {
    ttl_seconds: number('ttl_seconds', terms.action.parameters['ttl_seconds']),
    valid_seconds: number('valid_seconds', terms.valid_seconds),
    uses: number('uses', terms.uses),
    ...(start !== '' && start !== startOf(terms.action) && { not_before: start }),
    ...(Object.keys(options).length > 0 && { options }),
  };
}

function chosen(form: FilledIn, name: string, extent: OptionExtent): OptionLimit {
  if (extent.kind === 'some_of')
    return extent.of.filter((_each, index) => form.isChosen(someField(name, index)));
  const levels = levelsOf(extent).map(
    ([key], index) => [key, form.text(levelField(name, index))] as const,
  );
  return Object.fromEntries(levels.filter(([, level]) => level !== ''));
}

/** Whether limits take nothing away. */
export const isNoLimit = (limits: Limits): boolean =>
  Object.values(limits).every((each) => each === undefined);
