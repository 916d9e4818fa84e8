// Messages about requests: cards in Slack, and the call back to whoever asked.
import { ApplicationFailure } from '@temporalio/common';
import { eq, inArray } from 'drizzle-orm';
import { callbackOf } from '../commands/authzen/denials.ts';
import type { Deps } from '../commands/deps.ts';
import {
  readSlack,
  recordSlackMessage,
  slackMessagesOf,
  type SlackSettings,
} from '../commands/integrations.ts';
import { cardOf, findRequest, votesOn } from '../commands/requests.ts';
import { transact, type Call } from '../commands/unit.ts';
import type { RequestRow } from '../db/rows.ts';
import { person, request } from '../db/schema/index.ts';
import { ACCESS_ACTION, taskStatus } from '../domain/access-tuple.ts';
import { shownDigest } from '../domain/card.ts';
import { digestOf, type Digest } from '../domain/digest.ts';
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
  const votes = await votesOn(deps.db.query, row.id);
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
    names: new Map(people.map(({ id, name }) => [id, name])),
    url: requestUrl(deps.publicUrl, row.id),
  });
}

const CALLBACK_TIMEOUT_MS = 15_000;

/** Calls back whoever asked (Standard Webhooks). Thrown errors are tried again by the workflow. */
export async function callBack(deps: NoticeDeps, id: string): Promise<void> {
  const row = await findRequest(deps.db.query, id);
  if (!row || row.callbackUrl === null || row.state === 'pending') return;
  const body = await callbackBody(deps, row);
  if (body === null) return;
  const headers = deps.webhooks.headers(`msg_${row.id}`, Math.floor(Date.now() / 1000), body);
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

/** What the call back says; null where its caller does not want to hear of this end. */
async function callbackBody(deps: NoticeDeps, row: RequestRow): Promise<string | null> {
  const timestamp = row.decidedAt ?? row.createdAt;
  if (row.action.action !== ACCESS_ACTION)
    return JSON.stringify({
      type: 'request.decided',
      timestamp,
      data: { request: row.id, state: decidedState(row) },
    });
  // @spec ARAP-1.0-draft-1#callback-completion: a notice only; what it is worth, the status endpoint says.
  const status = taskStatus(row);
  const wanted = await callbackOf({ query: deps.db.query, vault: deps.vault }, row.id);
  if (wanted?.events && !wanted.events.includes(status)) return null;
  const endpoint = `${deps.publicUrl}/access/v1/requests/${row.id}`;
  return JSON.stringify({
    ...(wanted && wanted.state !== null && { state: wanted.state }),
    task: { id: row.id, status, status_endpoint: endpoint },
  });
}

/** What was decided; that it was used since then is another matter. */
const decidedState = (row: RequestRow): string =>
  row.approvedUntil === null ? row.state : 'approved';

/** Standard Webhooks: 410 means that nobody listens there any more. */
async function forgetCallback(deps: NoticeDeps, row: RequestRow): Promise<void> {
  await deps.db.query.update(request).set({ callbackUrl: null }).where(eq(request.id, row.id));
}
