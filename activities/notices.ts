// The call back to whoever asked, and questions on their way.
import { ApplicationFailure } from '@temporalio/common';
import { eq } from 'drizzle-orm';
import { noteTold } from '../commands/ask.ts';
import type { Deps } from '../commands/deps.ts';
import { findRequest } from '../commands/requests.ts';
import { transact, type Call } from '../commands/unit.ts';
import type { RequestRow } from '../db/rows.ts';
import { request } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import type { WebhookSigner } from '../keys/webhook.ts';
import { EgressError, type Egress } from './egress.ts';
import { tellQuestion } from './slack/cards.ts';

export interface NoticeDeps extends Deps {
  egress: Egress;
  webhooks: WebhookSigner;
  publicUrl: string;
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
  else await tellQuestion(deps, call, row, asked);
  await transact(deps, call, (unit) => noteTold(unit, id, question));
}

/** What was decided; that it was used since then is another matter. */
const decidedState = (row: RequestRow): string =>
  row.approvedUntil === null ? row.state : 'approved';

/** Standard Webhooks: 410 means that nobody listens there any more. */
async function forgetCallback(deps: NoticeDeps, row: RequestRow): Promise<void> {
  await deps.db.query.update(request).set({ callbackUrl: null }).where(eq(request.id, row.id));
}
