// The cards of a request in Slack: put up where its approvers are, kept true on every one of them, and ended.
import { and, eq, inArray, sql } from 'drizzle-orm';
import { cardOf, findRequest } from '../../commands/approvals/requests.ts';
import { countVotes } from '../../commands/approvals/tally.ts';
import { readSlack } from '../../commands/integrations.ts';
import {
  beginPosting,
  recordSlackMessage,
  requestsBehind,
  slackMessagesOf,
} from '../../commands/slack/messages.ts';
import {
  cardRecipients,
  isForSlack,
  outcomeRecipients,
  slackUsersOf,
} from '../../commands/slack/recipients.ts';
import { databaseTime, transact, type Call } from '../../commands/unit.ts';
import type { RequestRow, SlackMessageRow, VoteRow } from '../../db/rows.ts';
import { person, slackMessage } from '../../db/schema/index.ts';
import { shownDigest, visible } from '../../domain/card.ts';
import { digestOf, type Digest } from '../../domain/digest.ts';
import type { Question } from '../../domain/question.ts';
import { progressInWords } from '../../domain/seats.ts';
import type { NoticeDeps } from '../notices.ts';
import { mayDecideHere, slackFace, stateLine, type FaceSource } from './card.ts';
import {
  escapeMarkup,
  isFinal,
  plainSection,
  postMessage,
  updateMessage,
  type SlackFace,
  type SlackLine,
} from './client.ts';
import { findPosted } from './posted.ts';

/** A request and the way to tell of it; null where it is none of Slack's business. */
interface Telling {
  deps: NoticeDeps;
  call: Call;
  line: SlackLine;
  row: RequestRow;
}

async function tellingOf(deps: NoticeDeps, call: Call, id: string): Promise<Telling | null> {
  const row = await findRequest(deps.db.query, id);
  if (!row || !isForSlack(row)) return null;
  const slack = await readSlack(deps.db.query, deps.vault);
  return slack && { deps, call, line: { egress: deps.egress, slack }, row };
}

/** Puts a card wherever one belongs and is not yet. */
export async function announce(deps: NoticeDeps, call: Call, id: string): Promise<void> {
  const telling = await tellingOf(deps, call, id);
  if (telling) await putUp(telling);
}

async function putUp(telling: Telling): Promise<void> {
  const { deps, line, row } = telling;
  const now = await databaseTime(deps.db.query);
  const there = await slackMessagesOf(deps.db.query, row.id);
  const known = there.filter(({ purpose }) => purpose === 'card').map((each) => each.recipient);
  const wanted = await cardRecipients(deps.db.query, row, line.slack.channel, now);
  const { face } = await faceOf(deps, row);
  await each(
    wanted.filter((recipient) => !known.includes(recipient)),
    async (recipient) => {
      const since = await transact(deps, telling.call, (unit) =>
        beginPosting(unit, row.id, recipient),
      );
      const about = `${row.id} ${recipient}`;
      // Whoever was at it before may have been ended between the two: then the card is there already.
      const posted = since === null ? null : await findPosted(line, recipient, about, since);
      const post = posted ?? (await postMessage(line, { to: recipient, face, about }));
      deps.crashPoint('announce:posted');
      // What was found again says what was true then.
      if (posted) await updateMessage(line, posted, face);
      await record(telling, {
        ...{ recipient, purpose: 'card', ...post, threaded: 0 },
        face: faceDigest(face),
        ...shownOf(row),
        ...saidOf(row),
      });
    },
  );
}

/** Which card a message shows, and whether a click on it can count. */
const shownOf = (row: RequestRow): Pick<SlackMessageRow, 'shown' | 'decidable'> => ({
  shown: shownDigest(cardOf(row)),
  decidable: mayDecideHere(row, cardOf(row)),
});

/** Does something for each of several recipients: one who cannot be reached keeps nobody else waiting. */
async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const failures: Error[] = [];
  for (const one of all)
    await work(one).catch((error: unknown) => {
      if (!(error instanceof Error)) throw error;
      failures.push(error);
    });
  // What can be mended by trying again is thrown first: then it is tried again.
  const [failure] = failures.toSorted((a, b) => Number(isFinal(a)) - Number(isFinal(b)));
  if (failure) throw failure;
}

const OPEN_STATES = ['pending', 'approved'];

/** What a message tells once it shows this row. */
const saidOf = (row: RequestRow): Pick<SlackMessageRow, 'says' | 'isFinal'> => ({
  says: row.state,
  isFinal: !OPEN_STATES.includes(row.state),
});

async function record(
  { deps, call, row }: Telling,
  said: Omit<SlackMessageRow, 'request' | 'at'>,
): Promise<void> {
  await transact(deps, call, (unit) =>
    recordSlackMessage(unit, { ...said, request: row.id, at: unit.at }),
  );
}

/** Says it again under every card, where it comes to the bottom; and puts cards before those who joined since. */
export const remind = (deps: NoticeDeps, call: Call, id: string): Promise<void> =>
  sayAgain(deps, call, id, () => Promise.resolve('Still waiting'));

/** Tells the people of a stage that it is their turn, and puts cards before them. */
export const announceStage = (deps: NoticeDeps, call: Call, id: string): Promise<void> =>
  sayAgain(deps, call, id, async (row) => {
    const now = await databaseTime(deps.db.query);
    const { stages } = (await countVotes(deps.db.query, row, now)).tally;
    const turns = row.routes
      .filter(({ rule }) => rule.stages !== undefined)
      .map(({ name }) => {
        const asked = (stages[name] ?? []).find(({ isComplete }) => !isComplete);
        const groups = [...new Set(asked?.seats.flatMap((seat) => seat.groups) ?? [])];
        return `${groups.join(', ')} (${progressInWords(stages[name] ?? [])})`;
      });
    return `Now it is the turn of ${turns.join('; ')}`;
  });

async function sayAgain(
  deps: NoticeDeps,
  call: Call,
  id: string,
  write: (row: RequestRow) => Promise<string>,
): Promise<void> {
  const telling = await tellingOf(deps, call, id);
  if (!telling || telling.row.state !== 'pending') return;
  const { line, row } = telling;
  const before = await slackMessagesOf(deps.db.query, row.id);
  await putUp(telling);
  const text = `${await write(row)}: ${cardOf(row).title}. Open it: ${requestUrl(deps, row)}`;
  const face = { text: escapeMarkup(text), blocks: [plainSection(text)] };
  await each(
    before.filter(({ purpose, isFinal }) => purpose === 'card' && !isFinal),
    async ({ channel, ts }) => {
      await postMessage(line, { to: channel, face, thread: ts, broadcast: true });
    },
  );
}

/** Tells whoever is asked something about a request: alone if they have a Slack user, and under the cards. */
export async function tellQuestion(
  deps: NoticeDeps,
  call: Call,
  row: RequestRow,
  { by, to }: Question,
): Promise<void> {
  const telling = await tellingOf(deps, call, row.id);
  if (!telling) return;
  const { line } = telling;
  const whom = to === 'owner' ? row.names.owner : row.names.triggeredBy;
  const text = `${visible(by.name)} asks ${visible(whom ?? to)}: ${cardOf(row).title}. Answer here: ${requestUrl(deps, row)}`;
  const face = { text: escapeMarkup(text), blocks: [plainSection(text)] };
  const { owners, triggeredBy } = row.involved;
  const users = await slackUsersOf(deps.db.query, to === 'owner' ? owners : [triggeredBy]);
  await each(users, async (user) => {
    await postMessage(line, { to: user, face });
  });
  const messages = await slackMessagesOf(deps.db.query, row.id);
  await each(
    messages.filter(({ purpose, isFinal }) => purpose === 'card' && !isFinal),
    async ({ channel, ts }) => {
      await postMessage(line, { to: channel, face, thread: ts, broadcast: users.length === 0 });
    },
  );
}

/** Brings every message to what is true now. One that already says so is left alone. */
export async function refresh(deps: NoticeDeps, call: Call, id: string): Promise<void> {
  const telling = await tellingOf(deps, call, id);
  if (!telling) return;
  const { row } = telling;
  const source = await faceOf(deps, row);
  const messages = await slackMessagesOf(deps.db.query, row.id);
  await each(
    messages.filter(({ purpose }) => purpose === 'card'),
    async (message) => {
      if (!message.isFinal) await bringUpToDate(telling, message, source.face);
      await tellVotes(telling, message, source.votes, source.names);
    },
  );
  // A stage that opened has approvers who have no card yet.
  if (row.state === 'pending') await putUp(telling);
  else await tellOutcome(telling, messages, stateLine(source));
}

async function bringUpToDate(
  telling: Telling,
  message: SlackMessageRow,
  face: SlackFace,
): Promise<void> {
  const said = saidOf(telling.row);
  const isSame = message.face === faceDigest(face);
  if (isSame && message.says === said.says) return;
  const { channel, ts } = message;
  let lost = false;
  if (!isSame)
    await updateMessage(telling.line, { channel, ts }, face).catch((error: unknown) => {
      // Deleted, or in a channel that is gone: nobody reads it, and nothing can change it.
      if (!isFinal(error)) throw error;
      lost = true;
    });
  const { deps } = telling;
  // Of the row only this: how many votes its thread tells of is counted elsewhere.
  await deps.db.query
    .update(slackMessage)
    .set({
      face: faceDigest(face),
      ...shownOf(telling.row),
      ...said,
      isFinal: said.isFinal || lost,
    })
    .where(and(eq(slackMessage.ts, ts), eq(slackMessage.channel, channel)));
}

/** An entry in the thread for each vote, once: it is counted first, and counted back if Slack did not take it. */
async function tellVotes(
  { deps, line }: Telling,
  message: SlackMessageRow,
  votes: readonly VoteRow[],
  names: ReadonlyMap<string, string>,
): Promise<void> {
  for (let told = message.threaded; told < votes.length; told += 1) {
    const cast = votes[told];
    if (!cast || !(await countThreaded(deps, message, told, 1))) return;
    const who = names.get(cast.person) ?? cast.person;
    const did = cast.decision === 'approve' ? 'approved' : 'denied';
    const reason = cast.reason === null ? '' : `: ${cast.reason}`;
    const text = `${who} ${did} (${cast.channel})${reason}`;
    const face = { text: escapeMarkup(text), blocks: [plainSection(text)] };
    try {
      await postMessage(line, { to: message.channel, face, thread: message.ts });
    } catch (error) {
      if (isFinal(error)) return;
      await countThreaded(deps, message, told + 1, -1);
      throw error;
    }
  }
}

async function countThreaded(
  deps: NoticeDeps,
  message: SlackMessageRow,
  from: number,
  by: 1 | -1,
): Promise<boolean> {
  const rows = await deps.db.query
    .update(slackMessage)
    .set({ threaded: sql`${slackMessage.threaded} + ${by}` })
    .where(
      and(
        eq(slackMessage.request, message.request),
        eq(slackMessage.recipient, message.recipient),
        eq(slackMessage.purpose, message.purpose),
        eq(slackMessage.threaded, from),
      ),
    )
    .returning({ ts: slackMessage.ts });
  return rows.length > 0;
}

/** Whoever asked, set it off or answers for the agent is told once what became of it, and again if that changes. */
async function tellOutcome(
  telling: Telling,
  messages: readonly SlackMessageRow[],
  outcome: string,
): Promise<void> {
  const { deps, line, row } = telling;
  const text = `${cardOf(row).title}. ${outcome}. ${requestUrl(deps, row)}`;
  const face = { text: escapeMarkup(text), blocks: [plainSection(text)] };
  const told = new Map(
    messages.filter(({ purpose }) => purpose === 'outcome').map((each) => [each.recipient, each]),
  );
  await each(await outcomeRecipients(deps.db.query, row), async (recipient) => {
    const before = told.get(recipient);
    if (before) {
      if (!before.isFinal) await bringUpToDate(telling, before, face);
      return;
    }
    const post = await postMessage(line, { to: recipient, face });
    await record(telling, {
      ...{ recipient, purpose: 'outcome', ...post, threaded: 0, decidable: false },
      shown: shownDigest(cardOf(row)),
      face: faceDigest(face),
      ...saidOf(row),
    });
  });
}

/** Requests of which a message is behind are brought up to date, in case whoever should have done it could not. */
export async function refreshBehind(
  deps: NoticeDeps,
  call: Call,
  failed: (error: unknown) => void,
): Promise<void> {
  const now = await databaseTime(deps.db.query);
  for (const id of await requestsBehind(deps.db.query, now))
    await refresh(deps, call, id).catch(failed);
}

const requestUrl = ({ publicUrl }: NoticeDeps, { id }: RequestRow): string =>
  `${publicUrl}/requests/${id}`;

const faceDigest = (face: SlackFace): Digest =>
  digestOf('countersign/slack-face/v1', { text: face.text, blocks: face.blocks });

async function faceOf(
  deps: NoticeDeps,
  row: RequestRow,
): Promise<FaceSource & { face: SlackFace }> {
  const { query } = deps.db;
  const { votes, tally } = await countVotes(query, row, await databaseTime(query));
  const people = await query
    .select({ id: person.id, name: person.name })
    .from(person)
    .where(
      inArray(
        person.id,
        votes.map((vote) => vote.person),
      ),
    );
  const source = {
    ...{ row, votes, tally, card: cardOf(row), url: requestUrl(deps, row) },
    names: new Map(people.map(({ id, name }) => [id, name])),
  };
  return { ...source, face: slackFace(source) };
}
