// Messages about requests: cards in Slack, and the call back to whoever asked.
import { ApplicationFailure } from '@temporalio/common';
import { eq, inArray } from 'drizzle-orm';
import { noteTold } from '../commands/ask.ts';
import type { Deps } from '../commands/deps.ts';
import {
  readSlack,
  recordSlackMessage,
  slackMessagesOf,
  type SlackSettings,
} from '../commands/integrations.ts';
import { cardOf, findRequest } from '../commands/requests.ts';
import { countVotes } from '../commands/tally.ts';
import { databaseTime, transact, type Call } from '../commands/unit.ts';
import type { RequestRow } from '../db/rows.ts';
import { person, request } from '../db/schema/index.ts';
import { shownDigest, visible } from '../domain/card.ts';
import { digestOf, type Digest } from '../domain/digest.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Question } from '../domain/question.ts';
import type { WebhookSigner } from '../keys/webhook.ts';
import { EgressError, type Egress } from './egress.ts';
import { mayDecideHere, slackFace, type SlackFace } from './slack/card.ts';
import { postCard, updateCard } from './slack/client.ts';

export interface NoticeDeps extends Deps {
  egress: Egress;
  webhooks: WebhookSigner;
  publicUrl: string;
}

const requestUrl = (publicUrl: string, id: string): string => `${publicUrl}/requests/${id}`;

/** Puts a card where approvers are, unless it is there already. */
export async function announce(deps: NoticeDeps, call: Call, id: string): Promise<void> {
  const row = await findRequest(deps.db.query, id);
  const slack = row && (await slackFor(deps, row));
  if (!row || !slack) return;
  if ((await slackMessagesOf(deps.db.query, row.id)).length > 0) return;
  const face = await faceOf(deps, row);
  const post = await postCard(deps.egress, slack, face);
  deps.crashPoint('announce:posted');
  await transact(deps, call, (unit) =>
    recordSlackMessage(unit, {
      request: row.id,
      channel: post.channel,
      ts: post.ts,
      shown: shownDigest(cardOf(row)),
      decidable: mayDecideHere(row, cardOf(row)),
      face: faceDigest(face),
    }),
  );
}

async function slackFor(deps: NoticeDeps, row: RequestRow): Promise<SlackSettings | null> {
  const wanted = row.routes.some(({ rule }) => rule.channels.includes('slack'));
  return wanted ? readSlack(deps.db.query, deps.vault) : null;
}

/** Says it again, in the thread of nobody in particular: a new card, so that it is at the bottom. */
export async function remind(deps: NoticeDeps, id: string): Promise<void> {
  const row = await findRequest(deps.db.query, id);
  const slack = row?.state === 'pending' ? await slackFor(deps, row) : null;
  if (!row || !slack) return;
  const text = `Still waiting: ${cardOf(row).title}. Open it: ${requestUrl(deps.publicUrl, row.id)}`;
  const blocks = [{ type: 'section', text: { type: 'plain_text', text, emoji: false } }];
  await postCard(deps.egress, slack, { text, blocks });
}

/** Brings every card to what is true now. A card that already says so is left alone. */
export async function refresh(deps: NoticeDeps, call: Call, id: string): Promise<void> {
  const row = await findRequest(deps.db.query, id);
  const slack = row && (await readSlack(deps.db.query, deps.vault));
  if (!row || !slack) return;
  const face = await faceOf(deps, row);
  for (const message of await slackMessagesOf(deps.db.query, row.id)) {
    if (message.face === faceDigest(face)) continue;
    await updateCard(deps.egress, slack, { channel: message.channel, ts: message.ts }, face);
    await transact(deps, call, (unit) =>
      recordSlackMessage(unit, { ...message, face: faceDigest(face) }),
    );
  }
}

const faceDigest = (face: SlackFace): Digest =>
  digestOf('countersign/slack-face/v1', { text: face.text, blocks: face.blocks });

async function faceOf(deps: NoticeDeps, row: RequestRow): Promise<SlackFace> {
  const { votes, tally } = await countVotes(deps.db.query, row, await databaseTime(deps.db.query));
  const people = await deps.db.query
    .select({ id: person.id, name: person.name })
    .from(person)
    .where(
      inArray(
        person.id,
        votes.map((vote) => vote.person),
      ),
    );
  return slackFace({
    row,
    card: cardOf(row),
    votes,
    tally,
    names: new Map(people.map(({ id, name }) => [id, name])),
    url: requestUrl(deps.publicUrl, row.id),
  });
}

const CALLBACK_TIMEOUT_MS = 15_000;

/** Calls back whoever asked (Standard Webhooks). Thrown errors are tried again by the workflow. */
export async function callBack(deps: NoticeDeps, id: string): Promise<void> {
  const row = await findRequest(deps.db.query, id);
  if (!row || row.callbackUrl === null || row.state === 'pending') return;
  await callRequester(deps, row, {
    id: `msg_${row.id}`,
    type: 'request.decided',
    timestamp: row.decidedAt ?? row.createdAt,
    data: { request: row.id, state: decidedState(row) },
  });
}

interface Callback {
  id: string;
  type: 'request.decided' | 'request.asked';
  timestamp: string;
  data: JsonObject;
}

async function callRequester(
  deps: NoticeDeps,
  row: RequestRow,
  { id, ...message }: Callback,
): Promise<void> {
  if (row.callbackUrl === null) return;
  const body = JSON.stringify(message);
  const headers = deps.webhooks.headers(id, Math.floor(Date.now() / 1000), body);
  try {
    const { status } = await deps.egress(row.callbackUrl, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body,
      timeoutMs: CALLBACK_TIMEOUT_MS,
    });
    if (status === 410) await forgetCallback(deps, row);
    else if (!(status >= 200 && status < 300))
      throw ApplicationFailure.retryable(`the callback answered ${status}`, 'callback');
  } catch (error) {
    if (
      error instanceof EgressError &&
      error.code !== 'unreachable' &&
      error.code !== 'not_resolved'
    )
      throw ApplicationFailure.nonRetryable(error.message, error.code);
    throw error;
  }
}

/** Tells whoever was asked something about a request: the agent by its callback, people where the cards are. */
export async function tellAsked(
  deps: NoticeDeps,
  call: Call,
  id: string,
  question: string,
): Promise<void> {
  const row = await findRequest(deps.db.query, id);
  const asked = row?.questions.find((each) => each.id === question);
  if (!row || asked?.state !== 'open' || asked.told) return;
  if (asked.to === 'agent')
    await callRequester(deps, row, {
      id: `msg_${asked.id}`,
      type: 'request.asked',
      timestamp: asked.asked_at,
      data: { request: row.id, question: asked.id },
    });
  else await tellPeopleAsked(deps, row, asked);
  await transact(deps, call, (unit) => noteTold(unit, id, question));
}

async function tellPeopleAsked(
  deps: NoticeDeps,
  row: RequestRow,
  { by, to }: Question,
): Promise<void> {
  const slack = await slackFor(deps, row);
  if (!slack) return;
  const whom = to === 'owner' ? row.names.owner : row.names.triggeredBy;
  const text = `${visible(by.name)} asks ${visible(whom ?? to)}: ${cardOf(row).title}. Answer here: ${requestUrl(deps.publicUrl, row.id)}`;
  const blocks = [{ type: 'section', text: { type: 'plain_text', text, emoji: false } }];
  await postCard(deps.egress, slack, { text, blocks });
}

/** What was decided; that it was used since then is another matter. */
const decidedState = (row: RequestRow): string =>
  row.approvedUntil === null ? row.state : 'approved';

/** Standard Webhooks: 410 means that nobody listens there any more. */
async function forgetCallback(deps: NoticeDeps, row: RequestRow): Promise<void> {
  await deps.db.query.update(request).set({ callbackUrl: null }).where(eq(request.id, row.id));
}
