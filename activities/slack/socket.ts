// Socket Mode: we call Slack and wait there, for installations that Slack cannot reach. Nothing is signed here, and
// nothing has to be: the connection is ours, over TLS, to an address that Slack gave to whoever holds the app token.
// What comes is kept and worked off exactly as what comes by HTTP, so several connections do nothing twice.
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket, type RawData } from 'ws';
import { faultFields, type Log } from '../../commands/log-line.ts';
import {
  readCommand,
  readEvent,
  readInteraction,
  type Delivered,
} from '../../commands/slack/deliveries.ts';
import { parseJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { callSlack, type SlackLine } from './client.ts';

/** Larger envelopes are none of Slack's. */
const ENVELOPE_BYTES_MAX = 1024 * 1024;
/** Slack pings; a connection that is silent for longer than this is dead. */
const SILENT_MS = 60_000;
const OPEN_MS = 10_000;

export interface SocketHandlers {
  /** Keeps what was delivered. Only when this is done is it acknowledged. */
  keep: (delivered: Delivered) => Promise<void>;
  /** What to say in a form that is still open, if anything is wrong with it. */
  formErrors: (delivered: Delivered) => Promise<JsonObject | null>;
  log: Log;
}

export interface SlackSocket {
  close(): Promise<void>;
}

/** Opens a connection and keeps one open until it is closed. */
export function openSlackSocket(line: SlackLine, token: string, on: SocketHandlers): SlackSocket {
  const stopping = new AbortController();
  const running = stayConnected(line, token, on, stopping.signal);
  return {
    close: async () => {
      stopping.abort();
      await running;
    },
  };
}

const PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 30_000;

async function stayConnected(
  line: SlackLine,
  token: string,
  on: SocketHandlers,
  stop: AbortSignal,
): Promise<void> {
  for (let failures = 0; !stop.aborted;) {
    try {
      const url = await nextAddress(line, token);
      await listen(url, on, stop);
      failures = 0;
    } catch (error) {
      failures += 1;
      on.log('slack_socket_lost', faultFields(error));
      const pause = Math.min(PAUSE_MS * 2 ** (failures - 1), PAUSE_MS_MAX);
      await sleep(pause, undefined, { signal: stop }).catch(() => undefined);
    }
  }
}

/** Each address takes one connection. It is Slack's, or at least where the administrator said that Slack is. */
async function nextAddress(line: SlackLine, token: string): Promise<string> {
  const { url } = await callSlack(line, 'apps.connections.open', {}, token);
  const address = new URL(typeof url === 'string' ? url : 'invalid:');
  const configured = new URL(line.slack.api_url);
  const isSlack = address.protocol === 'wss:' && address.hostname.endsWith('.slack.com');
  const isConfigured =
    address.host === configured.host &&
    address.protocol === configured.protocol.replace('http', 'ws');
  if (!isSlack && !isConfigured)
    throw new Error(`Slack named an address that is not its own: ${address.host}`);
  return address.href;
}

/** Listens until Slack asks to come again, or the connection ends; both are ordinary. */
function listen(url: string, on: SocketHandlers, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      maxPayload: ENVELOPE_BYTES_MAX,
      handshakeTimeout: OPEN_MS,
      perMessageDeflate: false,
      followRedirects: false,
    });
    const silence = setTimeout(() => socket.terminate(), SILENT_MS);
    const heard = (): void => void silence.refresh();
    const end = (): void => socket.close(1000);
    stop.addEventListener('abort', end, { once: true });
    socket.on('ping', heard);
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(silence);
      stop.removeEventListener('abort', end);
      resolve();
    });
    socket.on('message', (data) => {
      heard();
      takeMessage(socket, data, on).catch((error: unknown) => {
        // Not acknowledged: Slack sends it again.
        on.log('slack_envelope_failed', faultFields(error));
      });
    });
  });
}

async function takeMessage(socket: WebSocket, data: RawData, on: SocketHandlers): Promise<void> {
  const envelope = asObject(parseJson(asText(data)));
  if (envelope['type'] === 'disconnect') {
    socket.close(1000);
    return;
  }
  const { envelope_id: id, type, payload } = envelope;
  if (typeof id !== 'string' || payload === undefined) return;
  const delivered = READERS[typeof type === 'string' ? type : '']?.(payload) ?? null;
  const errors = delivered && (await on.formErrors(delivered));
  if (delivered && !errors) await on.keep(delivered);
  const answer = errors && { payload: { response_action: 'errors', errors } };
  socket.send(JSON.stringify({ envelope_id: id, ...answer }));
}

/** What each kind of envelope holds. Others are acknowledged and mean nothing. */
const READERS: Record<string, ((payload: JsonValue) => Delivered | null) | undefined> = {
  interactive: readInteraction,
  slash_commands: readCommand,
  events_api: readEvent,
};

const asText = (data: RawData): string =>
  (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(new Uint8Array(data))).toString('utf8');

const asObject = (value: JsonValue): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
