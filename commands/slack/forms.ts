// What is wrong with a form that was sent off in Slack, by field. It is told while the form is open: afterwards there
// is nowhere to tell it.
import type { Query } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { shownDigest } from '../../domain/card.ts';
import type { JsonObject } from '../../domain/json.ts';
import { isNoLimit, levelField, limitsFilledIn, offerOf } from '../../domain/narrow-form.ts';
import type { Limits } from '../../domain/narrowing.ts';
import { narrowingOf, termsOf } from '../approvals/narrow.ts';
import { cardOf, findRequest } from '../approvals/requests.ts';
import { DENIAL, NARROWING, type Delivered, type FormFields } from './deliveries.ts';
import { findDialog } from './dialogs.ts';

const REASON_MAX = 2000;

/** Null where it can be taken, or is no form at all. */
export async function formErrors(
  query: Query,
  { delivery }: Delivered,
): Promise<JsonObject | null> {
  if (delivery.kind !== 'denial' && delivery.kind !== 'narrowing') return null;
  const isDenial = delivery.kind === 'denial';
  const said = (words: string): JsonObject => ({
    [isDenial ? DENIAL.reason : NARROWING.reason]: words,
  });
  const { reason } = delivery;
  if (reason.length > REASON_MAX)
    return said(`At most ${REASON_MAX} characters: this has ${reason.length}.`);
  // Half a surrogate pair and NUL have no form in the database.
  if (/\p{Surrogate}|\0/u.test(reason))
    return said('There is a character in it that cannot be kept.');
  const dialog = await findDialog(query, delivery.dialog, delivery.user);
  const row = dialog && (await findRequest(query, dialog.request));
  const button = isDenial ? 'Deny' : 'Approve less';
  if (!row) return said(`This form is too old. Close it and press ${button} again.`);
  // Whether it comes too late, and from whom, is said and recorded where every vote is taken.
  if (delivery.kind === 'denial' || row.state !== 'pending') return null;
  // Its fields are numbered by the card from which it was opened.
  return dialog.shown === shownDigest(cardOf(row))
    ? limitErrors(row, limitsSentOff(row, delivery.fields))
    : said(`This changed since you opened the form. Close it and press ${button} again.`);
}

function limitErrors(row: RequestRow, limits: Limits): JsonObject | null {
  if (isNoLimit(limits)) return { valid_seconds: 'This leaves all of it: press Approve instead.' };
  const narrowing = narrowingOf(row, limits);
  return narrowing.kind === 'refused'
    ? { [blockOf(row, narrowing.limit)]: `This ${narrowing.says}.` }
    : null;
}

/** The field in which a limit is filled in: of an option with levels, the first. */
function blockOf(row: RequestRow, limit: string): string {
  const option = offerOf(termsOf(row), row.narrowable).options.find(
    ({ name }) => limit === `options.${name}`,
  );
  if (!option) return limit;
  return option.some ? someBlock(option.name) : levelField(option.name, 0);
}

/** The field that keeps some of a list. */
export const someBlock = (option: string): string => `some.${option}`;

/** What is chosen where nothing of a name is left. Slack takes no empty choice. */
export const NO_LEVEL = 'none';
const LEVEL = 'up-to:';

/** How a level is named in a form, so that none can be taken for "none". */
export const levelChoice = (level: string): string => `${LEVEL}${level}`;

/** The limits in a form that was opened from this card. */
export const limitsSentOff = (row: RequestRow, fields: FormFields): Limits =>
  limitsFilledIn(termsOf(row), row.narrowable, {
    text: (name) => {
      const sent = fields[name]?.[0] ?? '';
      if (sent === NO_LEVEL) return '';
      return sent.startsWith(LEVEL) ? sent.slice(LEVEL.length) : sent;
    },
    isChosen: (name) => {
      const at = name.lastIndexOf('.');
      return fields[name.slice(0, at)]?.includes(name.slice(at + 1)) ?? false;
    },
  });
