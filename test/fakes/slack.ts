// A Slack to stand in for the real one, in tests and in the demo: it checks what Slack checks (tokens, Block Kit's
// limits, rate limits) and signs what Slack signs, so that what works here is not refused there.
import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonObject, JsonValue } from '../../domain/json.ts';

export interface SlackMessage {
  channel: string;
  ts: string;
  text: string;
  blocks: JsonObject[];
  /** How often it was updated. */
  edits: number;
}

export interface FakeSlack {
  /** Where the Web API is: what `api_url` is set to. */
  apiUrl: string;
  signingSecret: string;
  botToken: string;
  channel: string;
  messages: SlackMessage[];
  /** Ephemeral replies by the response URL they came through. */
  replies: string[];
  /** The body of every call, as it came, taken or not. */
  received: string[];
  /** Calls that were refused, with Slack's error. */
  refused: { method: string; error: string }[];
  /** Clicks a button of a message as a user, and answers the service's status. */
  click(message: SlackMessage, actionId: string, user: string): Promise<number>;
  /** The signed request a click would send, for tests that send it otherwise. */
  signed(body: string, timestamp?: number): Record<string, string>;
  clickBody(message: SlackMessage, actionId: string, user: string): string;
  /** Waits for a message that fits. */
  messageWith(fits: (message: SlackMessage) => boolean, ms?: number): Promise<SlackMessage>;
  /** The next calls are answered 429 with this many seconds to wait. */
  slowDown(calls: number, seconds: number): void;
  close(): Promise<void>;
}

export interface FakeSlackOptions {
  /** Where the service takes interactions. */
  interactionsUrl: string;
}

/** Slack gives an app three seconds to answer an interaction. */
const ACK_MS = 3_000;
/** Messages a channel takes at once before the limit of one a second bites. */
const BURST = 8;

export async function startFakeSlack(options: FakeSlackOptions): Promise<FakeSlack> {
  const state = {
    messages: [] as SlackMessage[],
    replies: [] as string[],
    received: [] as string[],
    refused: [] as { method: string; error: string }[],
    uses: new Map<string, number>(),
    slow: { calls: 0, seconds: 0 },
    counter: 0,
    bucket: { tokens: BURST, at: Date.now() },
  };
  const botToken = `xoxb-${randomBytes(12).toString('hex')}`;
  const signingSecret = randomBytes(16).toString('hex');
  const channel = 'C0APPROVALS';
  const server = createServer((request, response) => {
    void handle(request, response, state, botToken, channel);
  });
  const origin = await listen(server);
  const signed = (
    body: string,
    timestamp = Math.floor(Date.now() / 1000),
  ): Record<string, string> => ({
    'content-type': 'application/x-www-form-urlencoded',
    'x-slack-request-timestamp': String(timestamp),
    'x-slack-signature': `v0=${createHmac('sha256', signingSecret).update(`v0:${timestamp}:${body}`).digest('hex')}`,
  });
  const clickBody = (message: SlackMessage, actionId: string, user: string): string => {
    state.counter += 1;
    return interactionBody(message, actionId, user, `${origin}/reply/${state.counter}`);
  };
  return {
    apiUrl: `${origin}/api`,
    signingSecret,
    botToken,
    channel,
    messages: state.messages,
    replies: state.replies,
    received: state.received,
    refused: state.refused,
    signed,
    clickBody,
    click: async (message, actionId, user) => {
      const body = clickBody(message, actionId, user);
      const response = await fetch(options.interactionsUrl, {
        method: 'POST',
        headers: signed(body),
        body,
        signal: AbortSignal.timeout(ACK_MS),
      });
      return response.status;
    },
    messageWith: (fits, ms = 15_000) => waitForMessage(state.messages, fits, ms),
    slowDown: (calls, seconds) => Object.assign(state.slow, { calls, seconds }),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

type State = {
  messages: SlackMessage[];
  replies: string[];
  received: string[];
  refused: { method: string; error: string }[];
  uses: Map<string, number>;
  slow: { calls: number; seconds: number };
  counter: number;
  /** Messages that may still be posted at once; Slack allows about one a second and short bursts. */
  bucket: { tokens: number; at: number };
};

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}

async function waitForMessage(
  messages: readonly SlackMessage[],
  fits: (message: SlackMessage) => boolean,
  ms: number,
): Promise<SlackMessage> {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = messages.find(fits);
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`Slack was sent no such message in ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  state: State,
  token: string,
  channel: string,
): Promise<void> {
  const path = request.url ?? '';
  const body = await read(request);
  state.received.push(body);
  if (path.startsWith('/reply/')) return takeReply(path, body, response, state);
  const method = path.replace('/api/', '');
  if (state.slow.calls > 0) {
    state.slow.calls -= 1;
    response.writeHead(429, { 'retry-after': String(state.slow.seconds) }).end();
    return;
  }
  if (method === 'chat.postMessage' && !takeToken(state)) {
    response.writeHead(429, { 'retry-after': '1' }).end();
    return;
  }
  const answer = callApi(method, request, body, state, token, channel);
  if (answer['ok'] !== true) state.refused.push({ method, error: textOf(answer['error']) });
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

function takeToken({ bucket }: State): boolean {
  const now = Date.now();
  bucket.tokens = Math.min(BURST, bucket.tokens + (now - bucket.at) / 1000);
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

function callApi(
  method: string,
  request: IncomingMessage,
  body: string,
  state: State,
  token: string,
  channel: string,
): JsonObject {
  if (request.headers.authorization !== `Bearer ${token}`) return failed('invalid_auth');
  if (!request.headers['content-type']?.startsWith('application/json'))
    return failed('invalid_form_data');
  const call = parsed(body);
  if (call['channel'] !== channel) return failed('channel_not_found');
  const wrong =
    blocksError(call['blocks']) ?? (typeof call['text'] === 'string' ? null : 'no_text');
  if (wrong !== null) return failed(wrong);
  if (method === 'chat.postMessage') return post(call, state, channel);
  if (method === 'chat.update') return update(call, state, channel);
  return failed('unknown_method');
}

const failed = (error: string): JsonObject => ({ ok: false, error });

function post(call: JsonObject, state: State, channel: string): JsonObject {
  state.counter += 1;
  const ts = `${Math.floor(Date.now() / 1000)}.${String(state.counter).padStart(6, '0')}`;
  state.messages.push({
    channel,
    ts,
    text: textOf(call['text']),
    blocks: asBlocks(call['blocks']),
    edits: 0,
  });
  return { ok: true, channel, ts };
}

function update(call: JsonObject, state: State, channel: string): JsonObject {
  const message = state.messages.find((each) => each.ts === call['ts'] && each.channel === channel);
  if (!message) return failed('message_not_found');
  message.text = textOf(call['text']);
  message.blocks = asBlocks(call['blocks']);
  message.edits += 1;
  return { ok: true, channel, ts: message.ts };
}

/** Five answers in half an hour, as the real response URLs allow. */
function takeReply(path: string, body: string, response: ServerResponse, state: State): void {
  const uses = (state.uses.get(path) ?? 0) + 1;
  state.uses.set(path, uses);
  if (uses > 5) {
    response.writeHead(404).end('used_url');
    return;
  }
  const { text } = parsed(body);
  state.replies.push(typeof text === 'string' ? text : '');
  response.writeHead(200).end('ok');
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(body: string): JsonObject {
  try {
    return asObject(JSON.parse(body) as JsonValue);
  } catch {
    return {};
  }
}

const asObject = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

const textOf = (value: JsonValue | undefined): string => (typeof value === 'string' ? value : '');

const asBlocks = (value: JsonValue | undefined): JsonObject[] =>
  Array.isArray(value) ? value.map(asObject) : [];

/** Block Kit's limits (reference, blocks and elements); the error is what Slack says. */
function blocksError(value: JsonValue | undefined): string | null {
  if (!Array.isArray(value)) return 'invalid_blocks_format';
  const blocks = asBlocks(value);
  if (blocks.length === 0 || blocks.length > 50) return 'invalid_blocks';
  // Slack refuses messages whose blocks come to about thirteen thousand characters.
  if (JSON.stringify(blocks).length > 13_200 * 2 || textLength(blocks) > 13_200)
    return 'msg_blocks_too_long';
  return blocks.every(isBlock) ? null : 'invalid_blocks';
}

const textLength = (value: JsonValue): number => {
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + textLength(each), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce(
    (sum, [name, each]) =>
      sum + (name === 'text' && typeof each === 'string' ? each.length : textLength(each)),
    0,
  );
};

function isBlock(block: JsonObject): boolean {
  const id = block['block_id'];
  if (typeof id === 'string' && id.length > 255) return false;
  switch (block['type']) {
    case 'header':
      return isText(block['text'], 150, ['plain_text']);
    case 'section':
      return isSection(block);
    case 'context':
      return (
        within(block['elements'], 10) &&
        asBlocks(block['elements']).every((each) => isText(each, 2000))
      );
    case 'actions':
      return within(block['elements'], 25) && asBlocks(block['elements']).every(isButton);
    case 'divider':
      return true;
    default:
      return false;
  }
}

const isSection = ({ text, fields }: JsonObject): boolean => {
  if (text === undefined && fields === undefined) return false;
  if (text !== undefined && !isText(text, 3000)) return false;
  return (
    fields === undefined ||
    (within(fields, 10) && asBlocks(fields).every((each) => isText(each, 2000)))
  );
};

const within = (value: JsonValue | undefined, most: number): boolean =>
  Array.isArray(value) && value.length > 0 && value.length <= most;

function isText(
  value: JsonValue | undefined,
  most: number,
  types = ['plain_text', 'mrkdwn'],
): boolean {
  const { type, text } = asObject(value);
  return (
    typeof text === 'string' &&
    text.length > 0 &&
    text.length <= most &&
    types.includes(textOf(type))
  );
}

function isButton(element: JsonObject): boolean {
  const { type, text, value, url, action_id: action, style } = element;
  return (
    type === 'button' &&
    isText(text, 75, ['plain_text']) &&
    typeof action === 'string' &&
    action.length <= 255 &&
    (value === undefined || (typeof value === 'string' && value.length <= 2000)) &&
    (url === undefined || (typeof url === 'string' && url.length <= 3000)) &&
    (style === undefined || style === 'primary' || style === 'danger')
  );
}

/** What Slack posts when somebody clicks: a form with one JSON field. */
function interactionBody(
  message: SlackMessage,
  actionId: string,
  user: string,
  responseUrl: string,
): string {
  const elements = message.blocks
    .filter((block) => block['type'] === 'actions')
    .flatMap((block) => asBlocks(block['elements']));
  const button = elements.find((element) => element['action_id'] === actionId);
  if (!button) throw new Error(`the message has no button ${actionId}`);
  const payload = {
    type: 'block_actions',
    team: { id: 'T0TEAM' },
    api_app_id: 'A0APP',
    user: { id: user },
    container: { type: 'message', message_ts: message.ts, channel_id: message.channel },
    channel: { id: message.channel },
    message: { ts: message.ts, text: message.text, blocks: message.blocks },
    trigger_id: randomBytes(8).toString('hex'),
    response_url: responseUrl,
    actions: [
      {
        action_id: actionId,
        block_id: 'actions',
        type: 'button',
        value: button['value'] ?? '',
        action_ts: String(Date.now() / 1000),
      },
    ],
  };
  return new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
}
