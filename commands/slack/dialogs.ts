// Forms that were opened in Slack. What a form brings back was in the hands of its user: it names a row of ours, and
// the row says about which card it was opened, and for whom.
import { createHash, randomBytes } from 'node:crypto';
import { eq } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { SlackDialogRow } from '../../db/rows.ts';
import { slackDialog } from '../../db/schema/index.ts';
import type { Unit } from '../unit.ts';

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** Remembers a form; what it answers goes into the form. */
export async function openDialog(
  unit: Unit,
  about: Omit<SlackDialogRow, 'tokenHash' | 'createdAt'>,
): Promise<string> {
  const token = randomBytes(24).toString('base64url');
  await unit.sql
    .insert(slackDialog)
    .values({ ...about, tokenHash: hashOf(token), createdAt: unit.at });
  return token;
}

/** The form with this token, if it was opened for this user. */
export async function findDialog(
  query: Pick<Query, 'select'>,
  token: string,
  slackUser: string,
): Promise<SlackDialogRow | null> {
  const [row] = await query
    .select()
    .from(slackDialog)
    .where(eq(slackDialog.tokenHash, hashOf(token)));
  return row?.slackUser === slackUser ? row : null;
}
