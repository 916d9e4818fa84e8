// The call back to whoever asked.
import { ApplicationFailure } from '@temporalio/common';
import { eq } from 'drizzle-orm';
import type { Deps } from '../commands/deps.ts';
import { findRequest } from '../commands/requests.ts';
import type { RequestRow } from '../db/rows.ts';
import { request } from '../db/schema/index.ts';
import type { WebhookSigner } from '../keys/webhook.ts';
import { EgressError, type Egress } from './egress.ts';

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
  const timestamp = row.decidedAt ?? row.createdAt;
  const body = JSON.stringify({
    type: 'request.decided',
    timestamp,
    data: { request: row.id, state: decidedState(row) },
  });
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

/** What was decided; that it was used since then is another matter. */
const decidedState = (row: RequestRow): string =>
  row.approvedUntil === null ? row.state : 'approved';

/** Standard Webhooks: 410 means that nobody listens there any more. */
async function forgetCallback(deps: NoticeDeps, row: RequestRow): Promise<void> {
  await deps.db.query.update(request).set({ callbackUrl: null }).where(eq(request.id, row.id));
}
