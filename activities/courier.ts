// Carries signals to their receivers. Each receiver is served on its own, so that a slow one keeps nobody waiting; what
// it answers is read no further than needed, and none of it is kept.
import { eq } from 'drizzle-orm';
import type { Deps } from '../commands/deps.ts';
import { readLeaf } from '../commands/record/leaf.ts';
import {
  claimDue,
  receiversDue,
  settleDelivery,
  type DeliveryOutcome,
} from '../commands/signals/deliveries.ts';
import { openReceiverToken } from '../commands/signals/receivers.ts';
import { databaseTime, transact, type Call } from '../commands/unit.ts';
import type { ReceiverRow, SignalRow } from '../db/rows.ts';
import {
  agent,
  credential,
  event,
  eventPrivate,
  type DeliveryAttempt,
} from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import {
  SECURITY_EVENT_TOKEN,
  setClaims,
  SSF_VERIFICATION,
  webhookBody,
  type Telling,
} from '../domain/signal.ts';
import type { WebhookSigner } from '../keys/webhook.ts';
import { EgressError, type Egress } from './egress.ts';

export interface CourierDeps extends Deps {
  egress: Egress;
  webhooks: WebhookSigner;
}

interface Message {
  body: string;
  headers: Record<string, string>;
}

export interface Courier {
  /** Begins to serve every receiver for whom something is due and who is not being served. */
  look(): Promise<void>;
  /** Waits for the calls that are under way. */
  close(): Promise<void>;
}

/** Half an hour of one receiver's silence must not hold a worker's connections. */
const CALL_MS_MAX = 10_000;
/** Messages taken at once, and sent side by side. */
const BATCH = 8;

/** Opens a courier; one per worker, and several workers share the work. */
export function openCourier(
  deps: CourierDeps,
  call: Call,
  failed: (error: unknown) => void,
): Courier {
  const busy = new Map<string, Promise<void>>();
  let closing = false;
  const serve = async (row: ReceiverRow): Promise<void> => {
    while (!closing && (await serveOnce(deps, call, row))) continue;
  };
  return {
    look: async () => {
      const now = await databaseTime(deps.db.query);
      for (const row of await receiversDue(deps.db.query, now, [...busy.keys()])) {
        const work = serve(row)
          .catch(failed)
          .finally(() => busy.delete(row.id));
        busy.set(row.id, work);
      }
    },
    close: async () => {
      closing = true;
      await Promise.all(busy.values());
    },
  };
}

/** One batch; true if all of it was taken, so that it is worth asking for more at once. */
async function serveOnce(deps: CourierDeps, call: Call, to: ReceiverRow): Promise<boolean> {
  const rows = await transact(deps, call, (unit) => claimDue(unit, to.id, BATCH));
  const taken = await Promise.all(
    rows.map(async (row) => {
      const started = Date.now();
      const sent = await send(deps, to, row);
      deps.crashPoint('signal:sent');
      const attempt: DeliveryAttempt = {
        at: new Date(started).toISOString(),
        status: sent.status,
        code: sent.code,
        ms: Date.now() - started,
      };
      await transact(deps, call, (unit) => settleDelivery(unit, row, attempt, sent.outcome));
      return sent.outcome.kind !== 'later';
    }),
  );
  return rows.length > 0 && taken.every(Boolean);
}

interface Sent {
  outcome: DeliveryOutcome;
  status: number | null;
  code: string;
}

async function send(deps: CourierDeps, to: ReceiverRow, row: SignalRow): Promise<Sent> {
  const message = await messageFor(deps, to, row);
  if (!message) return { outcome: { kind: 'refused' }, status: null, code: 'event_gone' };
  try {
    const answer = await deps.egress(to.url, {
      method: 'POST',
      headers: message.headers,
      body: message.body,
      timeoutMs: CALL_MS_MAX,
    });
    return judge(to, answer.status, answer.headers, answer.body);
  } catch (error) {
    const code = error instanceof EgressError ? error.code : 'unreachable';
    return { outcome: { kind: 'later', afterSeconds: 0 }, status: null, code };
  }
}

/** RFC 8935 §2.3: why a receiver will not have a SET. A code that is not one of these is not passed on. */
const SET_ERRORS = [
  'invalid_request',
  'invalid_key',
  'invalid_issuer',
  'invalid_audience',
  'authentication_failed',
  'access_denied',
];
/** A receiver may ask for this much patience and no more. */
const RETRY_AFTER_SECONDS_MAX = 86_400;

function judge(
  to: ReceiverRow,
  status: number,
  headers: Record<string, string>,
  body: string,
): Sent {
  const code = `http_${status}`;
  if (status >= 200 && status < 300) return { outcome: { kind: 'delivered' }, status, code };
  if (status === 410) return { outcome: { kind: 'gone' }, status, code };
  const refusal = status === 400 && to.kind === 'ssf' ? setError(body) : null;
  if (refusal !== null) return { outcome: { kind: 'refused' }, status, code: refusal };
  const asked = headers['retry-after'] ?? '';
  const afterSeconds =
    (status === 429 || status === 503) && /^\d{1,9}$/.test(asked)
      ? Math.min(Number(asked), RETRY_AFTER_SECONDS_MAX)
      : 0;
  return { outcome: { kind: 'later', afterSeconds }, status, code };
}

/** The error of a 400 that is an answer to a SET; any other 400 may come from something in between. */
function setError(body: string): string | null {
  try {
    const parsed: unknown = JSON.parse(body);
    const err = typeof parsed === 'object' && parsed && 'err' in parsed ? parsed.err : null;
    if (typeof err !== 'string') return null;
    return SET_ERRORS.includes(err) ? `set_${err}` : 'set_refused';
  } catch {
    return null;
  }
}

async function messageFor(
  deps: CourierDeps,
  to: ReceiverRow,
  row: SignalRow,
): Promise<Message | null> {
  const telling = row.event === null ? null : await readTelling(deps, to, row);
  if (row.event !== null && !telling) return null;
  return to.kind === 'ssf'
    ? tokenMessage(deps, to, row, telling)
    : webhookMessage(deps, row, telling);
}

async function readTelling(
  deps: CourierDeps,
  to: ReceiverRow,
  row: SignalRow,
): Promise<Telling | null> {
  const { query } = deps.db;
  if (row.event === null) return null;
  const [found] = await query.select().from(event).where(eq(event.id, row.event));
  if (!found) return null;
  const told = readLeaf(found.leaf);
  const { agent: holder, detail } = told.data;
  const [named] =
    holder === null ? [] : await query.select().from(agent).where(eq(agent.id, holder));
  const lease = detail['credential'];
  const [held] =
    typeof lease === 'string'
      ? await query
          .select({ issuer: credential.issuer })
          .from(credential)
          .where(eq(credential.id, lease as typeof credential.$inferSelect.id))
      : [];
  return {
    event: told,
    form: row.form,
    spiffeId: named?.spiffeId ?? null,
    issuedBy: held?.issuer ?? null,
    reason: to.reasons ? await reasonOf(deps, row.event) : null,
  };
}

async function reasonOf(deps: CourierDeps, id: typeof event.$inferSelect.id) {
  const rows = await deps.db.query.select().from(eventPrivate).where(eq(eventPrivate.event, id));
  const value = rows.find(({ field }) => field === 'reason')?.value;
  return typeof value === 'string' ? value : null;
}

/** RFC 8935 §2.1. The same message has the same `jti` however often it is sent. */
async function tokenMessage(
  deps: CourierDeps,
  to: ReceiverRow,
  row: SignalRow,
  telling: Telling | null,
): Promise<Message> {
  const claims = telling ? setClaims(telling) : verificationClaims(to, row);
  const body = await deps.tokens.sign(SECURITY_EVENT_TOKEN, {
    ...claims,
    iss: deps.installation.issuer,
    aud: to.audience,
    jti: row.id,
    iat: Math.floor(Date.parse(row.createdAt) / 1000),
    events: asEvents(claims['events']),
  });
  const token = openReceiverToken(deps.vault, to);
  return {
    body,
    headers: {
      'content-type': 'application/secevent+jwt',
      accept: 'application/json',
      ...(token !== null && { authorization: `Bearer ${token}` }),
    },
  };
}

/** Both makers of claims write `events` as an object of one event. */
const asEvents = (events: unknown): JsonObject => events as JsonObject;

/** SSF 1.0 §8.1.4: the subject of a verification is the stream itself. */
const verificationClaims = (to: ReceiverRow, row: SignalRow): JsonObject => ({
  sub_id: { format: 'opaque', id: to.id },
  events: { [SSF_VERIFICATION]: row.nonce === null ? {} : { state: row.nonce } },
});

function webhookMessage(deps: CourierDeps, row: SignalRow, telling: Telling | null): Message {
  const body = JSON.stringify(
    telling
      ? webhookBody(telling)
      : {
          type: row.form,
          timestamp: row.createdAt,
          data: { receiver: row.receiver, state: row.nonce },
        },
  );
  const now = Math.floor(Date.now() / 1000);
  return {
    body,
    headers: {
      'content-type': 'application/json',
      ...deps.webhooks.headers(`msg_${row.id}`, now, body),
    },
  };
}
