// What is wrong with a form that was sent off in Slack, by field. It is told while the form is open: afterwards there
// is nowhere to tell it.
import type { Query } from '../../db/client.ts';
import type { JsonObject } from '../../domain/json.ts';
import { findRequest } from '../requests.ts';
import { DENIAL, type Delivered } from './deliveries.ts';
import { findDialog } from './dialogs.ts';

const REASON_MAX = 2000;

/** Null where it can be taken, or is no form at all. */
export async function formErrors(
  query: Query,
  { delivery }: Delivered,
): Promise<JsonObject | null> {
  if (delivery.kind !== 'denial') return null;
  const { reason } = delivery;
  const said = (words: string): JsonObject => ({ [DENIAL.reason]: words });
  if (reason.length > REASON_MAX)
    return said(`At most ${REASON_MAX} characters: this has ${reason.length}.`);
  // Half a surrogate pair and NUL have no form in the database.
  if (/\p{Surrogate}|\0/u.test(reason))
    return said('There is a character in it that cannot be kept.');
  const dialog = await findDialog(query, delivery.dialog, delivery.user);
  const row = dialog && (await findRequest(query, dialog.request));
  // Whether it comes too late, and from whom, is said and recorded where every vote is taken.
  return row ? null : said('This form is too old. Close it and press Deny again.');
}
