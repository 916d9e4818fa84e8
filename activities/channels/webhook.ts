// Notices to a webhook (Standard Webhooks). What it answers is a number to us: nothing it says decides anything, and
// none of it is kept.
import { cardOf, findRequest } from '../../commands/approvals/requests.ts';
import { openWebhook, type WebhookSettings } from '../../commands/channels/channels.ts';
import { claimNotices, settleNotice, type NoticeOutcome } from '../../commands/channels/notices.ts';
import { databaseTime, transact, type Call } from '../../commands/unit.ts';
import type { ChannelRow, NoticeRow, RequestRow } from '../../db/rows.ts';
import { linesOutside } from '../../domain/card-outside.ts';
import type { JsonObject } from '../../domain/json.ts';
import { sharedSignatures } from '../../keys/webhook.ts';
import { EgressError } from '../egress.ts';
import type { NoticeDeps } from '../notices.ts';

const BATCH = 8;
const CALL_MS_MAX = 10_000;
/** A receiver may ask for this much patience and no more. */
const RETRY_AFTER_SECONDS_MAX = 86_400;

/** Sends what is due to one webhook; true if all of it was taken. */
export async function serveWebhook(deps: NoticeDeps, call: Call, to: ChannelRow): Promise<boolean> {
  const rows = await transact(deps, call, (unit) => claimNotices(unit, to.name, BATCH));
  const settings = openWebhook(deps.vault, to, await databaseTime(deps.db.query));
  const taken = await Promise.all(
    rows.map(async (row) => {
      const { outcome, code } = await tell(deps, settings, row);
      deps.crashPoint('notice:sent');
      await transact(deps, call, (unit) => settleNotice(unit, row, outcome, code));
      return outcome.kind !== 'later';
    }),
  );
  return rows.length > 0 && taken.every(Boolean);
}

interface Told {
  outcome: NoticeOutcome;
  code: string;
}

async function tell(deps: NoticeDeps, to: WebhookSettings, row: NoticeRow): Promise<Told> {
  const about = await findRequest(deps.db.query, row.request);
  // A reminder of what is decided would call people to a closed door.
  if (!about || (row.kind === 'reminded' && about.state !== 'pending'))
    return { outcome: { kind: 'dropped' }, code: 'nothing_to_tell' };
  const body = JSON.stringify(noticeBody(deps.publicUrl, row, about));
  const id = `msg_${row.id}`;
  const now = Math.floor(Date.now() / 1000);
  const own = deps.webhooks.headers(id, now, body);
  const shared = sharedSignatures(
    to.secrets.map(({ secret }) => secret),
    id,
    now,
    body,
  );
  try {
    const { status, headers } = await deps.egress(to.url, {
      method: 'POST',
      headers: {
        ...own,
        'webhook-signature': [shared, own['webhook-signature']].join(' '),
        'content-type': 'application/json',
      },
      body,
      timeoutMs: CALL_MS_MAX,
    });
    return { outcome: judge(status, headers), code: `http_${status}` };
  } catch (error) {
    const code = error instanceof EgressError ? error.code : 'unreachable';
    return { outcome: { kind: 'later', afterSeconds: 0 }, code };
  }
}

function judge(status: number, headers: Record<string, string>): NoticeOutcome {
  if (status >= 200 && status < 300) return { kind: 'delivered', message: null };
  if (status === 410) return { kind: 'gone' };
  const asked = headers['retry-after'] ?? '';
  const afterSeconds =
    (status === 429 || status === 503) && /^\d{1,9}$/.test(asked)
      ? Math.min(Number(asked), RETRY_AFTER_SECONDS_MAX)
      : 0;
  return { kind: 'later', afterSeconds };
}

/** How the request stands when it is sent, whatever it was when there was something to tell. */
function noticeBody(publicUrl: string, row: NoticeRow, about: RequestRow): JsonObject {
  const card = cardOf(about);
  const { title, digest, routes, warnings } = card;
  const { lines, isPartial } = linesOutside(card);
  return {
    type: `request.${row.kind}`,
    timestamp: row.createdAt,
    data: {
      request: about.id,
      state: about.state,
      url: `${publicUrl}/requests/${about.id}`,
      expires_at: about.expiresAt,
      decided_at: about.decidedAt,
      card: {
        title,
        lines: lines.map(({ label, text, claimed }) => ({ label, text, claimed })),
        // Where it is so, the page has what looks like a secret.
        is_partial: isPartial,
        ...{ digest, routes, warnings },
      },
    },
  };
}
