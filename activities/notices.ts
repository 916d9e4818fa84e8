// The call back to whoever asked, and questions on their way.
import { ApplicationFailure } from '@temporalio/common';
import { eq } from 'drizzle-orm';
import { noteTold } from '../commands/approvals/ask.ts';
import { findRequest } from '../commands/approvals/requests.ts';
import { callbackOf } from '../commands/authzen/denials.ts';
import type { Deps } from '../commands/deps.ts';
import { transact, type Call } from '../commands/unit.ts';
import type { RequestRow } from '../db/rows.ts';
import { request } from '../db/schema/index.ts';
import { ACCESS_ACTION, taskStatus } from '../domain/access-tuple.ts';
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
  if (row.action.action === ACCESS_ACTION) return callEnforcementPoint(deps, row);
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
  // An enforcement point of others is told in the words of its profile, which has none for this.
  if (row.action.action === ACCESS_ACTION) return;
  await post(deps, row, id, { ...message });
}

async function post(
  deps: NoticeDeps,
  row: RequestRow,
  id: string,
  message: JsonObject,
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

/** A notice and no more: what it is worth, the status endpoint says. */
// @spec ARAP-1.0-draft-1#callback-completion
async function callEnforcementPoint(deps: NoticeDeps, row: RequestRow): Promise<void> {
  const status = taskStatus(row);
  const wanted = await callbackOf({ query: deps.db.query, vault: deps.vault }, row.id);
  // Not about an end that nobody wants to hear of.
  if (wanted?.events && !wanted.events.includes(status)) return;
  const endpoint = `${deps.publicUrl}/access/v1/requests/${row.id}`;
  await post(deps, row, `msg_${row.id}`, {
    ...(wanted && wanted.state !== null && { state: wanted.state }),
    task: { id: row.id, status, status_endpoint: endpoint },
  });
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
