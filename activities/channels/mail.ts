// Notices by e-mail: whoever decides is found when there is something to tell, each gets their own mail, and nobody gets
// more than a few in a short time.
import { eq } from 'drizzle-orm';
import { createTransport } from 'nodemailer';
import { cardOf, findRequest, votesOn } from '../../commands/approvals/requests.ts';
import { openEmail, type EmailSettings } from '../../commands/channels/channels.ts';
import {
  claimNotices,
  EVERYBODY,
  insertNotices,
  mailsAbout,
  mailsSince,
  postponeNotice,
  settleNotice,
  type NoticeOutcome,
} from '../../commands/channels/notices.ts';
import { approversReachedBy } from '../../commands/channels/reachable.ts';
import { databaseTime, transact, type Call, type Unit } from '../../commands/unit.ts';
import type { ChannelRow, NoticeRow, PersonRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import { addSeconds } from '../../domain/instant.ts';
import { EMAIL } from '../../domain/notice.ts';
import type { NoticeDeps } from '../notices.ts';
import { envelopeOf, mailAbout, mailDigest, type MailText, type Told } from './mail-text.ts';

const BATCH = 200;
/** So many mails to one person in so long; what comes on top is in one mail, and waits for the next after that. */
const MAILS_MAX = 5;
const WINDOW_SECONDS = 300;
const SMTP_MS_MAX = 15_000;

interface Post {
  deps: NoticeDeps;
  call: Call;
  settings: EmailSettings;
}

/** Sends what is due by e-mail; true if all of it was taken. */
export async function serveMail(deps: NoticeDeps, call: Call, to: ChannelRow): Promise<boolean> {
  const rows = await transact(deps, call, (unit) => claimNotices(unit, EMAIL, BATCH));
  const post: Post = { deps, call, settings: openEmail(deps.vault, to) };
  for (const row of rows.filter(({ person: whom }) => whom === EVERYBODY))
    await transact(deps, call, async (unit) => {
      await addressNotice(unit, deps, row);
      await settleNotice(unit, row, { kind: 'dropped' }, 'addressed');
    });
  const people = new Set(rows.map((row) => row.person).filter((whom) => whom !== EVERYBODY));
  const taken: boolean[] = [];
  for (const whom of people) {
    const theirs = rows.filter((row) => row.person === whom);
    taken.push(await tellPerson(post, whom, theirs));
  }
  return rows.length > 0 && taken.every(Boolean);
}

/** Turns "whoever decides" into those who do now, and have something to hear. */
async function addressNotice(unit: Unit, deps: NoticeDeps, row: NoticeRow): Promise<void> {
  const { query } = deps.db;
  const about = await findRequest(query, row.request);
  if (!about) return;
  const known = await mailsAbout(query, about.id);
  const mailed = new Set(known.map((each) => each.person));
  const as = (kind: NoticeRow['kind'], people: readonly string[]): Promise<void> =>
    insertNotices(
      unit,
      people.map((each) => ({
        ...{ request: about.id, channel: EMAIL, person: each, kind },
        about: kind === 'opened' ? about.id : row.about,
      })),
    );
  if (about.state !== 'pending') {
    // Those who were never told of it need not hear that it is over.
    if (row.kind === 'closed') await as('closed', [...mailed]);
    return;
  }
  const routes = about.routes.filter(({ rule }) => rule.email !== undefined);
  const now = await databaseTime(query);
  const deciders = await approversReachedBy(query, 'email', about, routes, now);
  const heard = (await votesOn(query, about.id)).map((each) => each.person);
  const ids = deciders.map(({ id }) => id).filter((id) => !heard.includes(id));
  await as(
    'opened',
    ids.filter((id) => !mailed.has(id)),
  );
  if (row.kind === 'reminded')
    await as(
      'reminded',
      ids.filter((id) => mailed.has(id)),
    );
}

/** What is due to one person: a mail each, or one for all where that would be too many; false if it has to wait. */
async function tellPerson(post: Post, whom: string, rows: readonly NoticeRow[]): Promise<boolean> {
  const { deps } = post;
  const who = await findPerson(deps, whom);
  const told = who ? await toTell(post, rows) : [];
  const over = rows.filter((row) => !told.some(({ notice }) => notice.id === row.id));
  for (const row of over) await settle(post, row, { kind: 'dropped' }, 'nothing_to_tell');
  if (!who || told.length === 0) return true;
  const now = await databaseTime(deps.db.query);
  const sent = await mailsSince(deps.db.query, whom, addSeconds(now, -WINDOW_SECONDS));
  const room = MAILS_MAX - sent.length;
  // What is on top of that comes in one mail once there is room again.
  if (room <= 0) {
    const until = addSeconds(sent[0] ?? now, WINDOW_SECONDS);
    for (const { notice } of told)
      await transact(deps, post.call, (unit) => postponeNotice(unit, notice, until));
    return true;
  }
  if (told.length > room) return sendDigest(post, who, told);
  const taken: boolean[] = [];
  for (const each of told) taken.push(await sendOne(post, who, each));
  return taken.every(Boolean);
}

interface ToTell {
  notice: NoticeRow;
  told: Told;
}

async function toTell({ deps }: Post, rows: readonly NoticeRow[]): Promise<ToTell[]> {
  const found = await Promise.all(
    rows.map(async (notice): Promise<ToTell[]> => {
      const about = await findRequest(deps.db.query, notice.request);
      // A call to decide what is decided would lead to a closed door.
      if (!about || (notice.kind !== 'closed' && about.state !== 'pending')) return [];
      const url = `${deps.publicUrl}/requests/${about.id}`;
      return [
        { notice, told: { kind: notice.kind, state: about.state, card: cardOf(about), url } },
      ];
    }),
  );
  return found.flat();
}

async function findPerson({ db }: NoticeDeps, id: string): Promise<PersonRow | null> {
  const [row] = await db.query
    .select()
    .from(person)
    .where(eq(person.id, asPersonId(id)));
  return row?.state === 'active' && row.email !== null ? row : null;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPersonId = (id: string): PersonRow['id'] => id as PersonRow['id'];

async function sendOne(post: Post, who: PersonRow, { notice, told }: ToTell): Promise<boolean> {
  const host = new URL(post.deps.publicUrl).hostname;
  // The first mail has the name that the others refer to; a repetition of a mail has its name.
  const first = `<${notice.request}.${who.id}@${host}>`;
  const message = notice.kind === 'opened' ? first : `<${notice.id}@${host}>`;
  const references = message === first ? null : first;
  const result = await send(post, who, mailAbout(told), { message, references });
  await settle(post, notice, result.outcome, result.code);
  return result.outcome.kind !== 'later';
}

async function sendDigest(post: Post, who: PersonRow, all: readonly ToTell[]): Promise<boolean> {
  const host = new URL(post.deps.publicUrl).hostname;
  const message = `<${all[0]?.notice.id ?? ''}@${host}>`;
  const mail = mailDigest(
    all.map(({ told }) => told),
    `${post.deps.publicUrl}/`,
  );
  const { outcome, code } = await send(post, who, mail, { message, references: null });
  for (const { notice } of all) await settle(post, notice, outcome, code);
  return outcome.kind !== 'later';
}

const settle = (
  { deps, call }: Post,
  row: NoticeRow,
  outcome: NoticeOutcome,
  code: string,
): Promise<void> => transact(deps, call, (unit) => settleNotice(unit, row, outcome, code));

async function send(
  { deps, settings }: Post,
  { email }: PersonRow,
  mail: MailText,
  { message, references }: { message: string; references: string | null },
): Promise<{ outcome: NoticeOutcome; code: string }> {
  const transport = openTransport(settings, new URL(deps.publicUrl).hostname);
  try {
    await transport.sendMail(
      envelopeOf(mail, { from: settings.from, to: email ?? '', message, references }),
    );
    deps.crashPoint('notice:sent');
    return { outcome: { kind: 'delivered', message }, code: 'smtp_250' };
  } catch (error) {
    return judge(error);
  } finally {
    transport.close();
  }
}

const openTransport = (settings: EmailSettings, name: string) =>
  createTransport({
    host: settings.host,
    port: settings.port,
    name,
    secure: settings.tls === 'implicit',
    requireTLS: settings.tls === 'starttls',
    ignoreTLS: settings.tls === 'none',
    tls: {
      minVersion: 'TLSv1.2',
      ...(settings.authorities !== undefined && { ca: settings.authorities }),
    },
    ...(settings.user !== undefined && {
      auth: { user: settings.user, pass: settings.password ?? '' },
    }),
    connectionTimeout: SMTP_MS_MAX,
    greetingTimeout: SMTP_MS_MAX,
    socketTimeout: SMTP_MS_MAX,
    disableFileAccess: true,
    disableUrlAccess: true,
  });

/** The stages at which a no is about this mail, and not about us. */
const ABOUT_THE_MAIL = ['EENVELOPE', 'EMESSAGE'];

/** What the server said becomes a word of ours: its own text may quote what it was sent. */
function judge(error: unknown): { outcome: NoticeOutcome; code: string } {
  const { responseCode, code } = asMailError(error);
  const said =
    responseCode === undefined ? (code ?? 'unreachable').toLowerCase() : `smtp_${responseCode}`;
  const isFinal =
    responseCode !== undefined && responseCode >= 500 && ABOUT_THE_MAIL.includes(code ?? '');
  return {
    outcome: isFinal ? { kind: 'refused' } : { kind: 'later', afterSeconds: 0 },
    code: /^[a-z0-9_]{1,40}$/.test(said) ? said : 'unreachable',
  };
}

function asMailError(error: unknown): { responseCode?: number; code?: string } {
  if (!(error instanceof Error)) return {};
  return {
    ...('responseCode' in error &&
      typeof error.responseCode === 'number' && { responseCode: error.responseCode }),
    ...('code' in error && typeof error.code === 'string' && { code: error.code }),
  };
}
