// A Slack to stand in for the real one, in tests and in the demo: it checks what Slack checks (tokens and their scopes,
// Block Kit's limits, triggers, rate limits) and signs what Slack signs, so that what works here is not refused there.
import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { asBlocks, asObject, textOf } from './slack-blocks.ts';
import {
  callMethod,
  isPaced,
  newState,
  type SlackMessage,
  type SlackState,
} from './slack-methods.ts';
import {
  asForm,
  clickPayload,
  commandFields,
  eventPayload,
  filledForm,
  homeClickPayload,
  submissionPayload,
} from './slack-payloads.ts';
import { openSocketSide, type SocketSide } from './slack-socket.ts';

export type { SlackMessage } from './slack-methods.ts';

export interface FakeSlack {
  /** Where the Web API is: what `api_url` is set to. */
  apiUrl: string;
  signingSecret: string;
  botToken: string;
  /** For Socket Mode. */
  appToken: string;
  channel: string;
  messages: SlackMessage[];
  /** Ephemeral replies, by response URL or in a channel. */
  replies: string[];
  /** The same replies, by the path of the response URL that they came to. */
  repliesAt: Map<string, string[]>;
  /** Forms that were opened, newest last. */
  views: JsonObject[];
  /** Home tabs by user. */
  homes: Map<string, JsonObject>;
  /** The body of every call, as it came, taken or not. */
  received: string[];
  /** Calls that were refused, with Slack's error. */
  refused: { method: string; error: string }[];
  /** Scopes that the bot token has. */
  scopes: Set<string>;
  /** Connections of Socket Mode, and what they acknowledged. */
  socket: SocketSide;
  /** Makes a user known; a user who is not is one of our workspace without an address. */
  addUser(id: string, user: JsonObject): void;
  /** Clicks a button of a message as a user, and answers the service's status. */
  click(message: SlackMessage, actionId: string, user: string): Promise<number>;
  /** Clicks Deny, waits for the form, and sends it off. */
  deny(message: SlackMessage, user: string, reason?: string, then?: string): Promise<JsonObject>;
  /** Sends a form off; answers what the service answered. */
  submit(view: JsonObject, user: string, reason: string, then?: string): Promise<JsonObject>;
  /** Sends off any form as it was opened, but for some fields; answers what the service answered. */
  fill(
    view: JsonObject,
    user: string,
    changes: Record<string, string | string[]>,
  ): Promise<JsonObject>;
  /** Clicks a button that opens a form, and waits for the form. */
  formOf(message: SlackMessage, actionId: string, user: string): Promise<JsonObject>;
  /** Clicks a button of a user's home tab. */
  clickHome(actionId: string, user: string): Promise<number>;
  /** Uses /countersign. */
  command(text: string, user: string): Promise<number>;
  /** Tells of an event. */
  tell(event: JsonObject, id?: string): Promise<number>;
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
  /** Takes messages as fast as they come, for tests that have more of them than Slack's pace would allow in their time. */
  unpaced?: boolean;
}

/** Slack gives an app three seconds to answer an interaction. */
const ACK_MS = 3_000;

export async function startFakeSlack(options: FakeSlackOptions): Promise<FakeSlack> {
  const state = newState();
  const signingSecret = randomBytes(16).toString('hex');
  const server = createServer((request, response) => {
    void handle(request, response, state);
  });
  state.isPaced = options.unpaced !== true;
  const origin = await listen(server);
  const socket = openSocketSide(server);
  state.socketUrl = () => socket.newUrl(origin.replace('http:', 'ws:'));
  const urlOf = (path: string): string => new URL(path, options.interactionsUrl).href;
  const signed = (
    body: string,
    timestamp = Math.floor(Date.now() / 1000),
  ): Record<string, string> => ({
    'content-type': body.startsWith('{') ? 'application/json' : 'application/x-www-form-urlencoded',
    'x-slack-request-timestamp': String(timestamp),
    'x-slack-signature': `v0=${createHmac('sha256', signingSecret).update(`v0:${timestamp}:${body}`).digest('hex')}`,
  });
  const send = (path: string, body: string): Promise<Response> =>
    fetch(urlOf(path), {
      method: 'POST',
      headers: signed(body),
      body,
      signal: AbortSignal.timeout(ACK_MS),
    });
  const replyUrl = (about: SlackMessage | null = null): string => {
    state.counter += 1;
    const path = `/reply/${state.counter}`;
    if (about) state.repliesTo.set(path, about);
    return origin + path;
  };
  const asBody = (payload: JsonObject): string => asForm({ payload: JSON.stringify(payload) });
  const clickBody = (message: SlackMessage, actionId: string, user: string): string =>
    asBody(
      clickPayload(message, {
        ...{ actionId, user, responseUrl: replyUrl(message), triggerId: newTrigger(state) },
      }),
    );
  const click: FakeSlack['click'] = async (message, actionId, user) =>
    (await send('/slack/interactions', clickBody(message, actionId, user))).status;
  const fill: FakeSlack['fill'] = async (view, user, changes) => {
    const payload = submissionPayload(view, user, filledForm(view, changes));
    const answer = await send('/slack/interactions', asBody(payload));
    return asObject(parsed(await answer.text()));
  };
  const submit: FakeSlack['submit'] = (view, user, reason, then = 'stop') =>
    fill(view, user, { reason, disposition: then });
  const formOf: FakeSlack['formOf'] = async (message, actionId, user) => {
    const before = state.views.length;
    await click(message, actionId, user);
    return waitFor(() => state.views[before], 'form');
  };
  return {
    apiUrl: `${origin}/api`,
    signingSecret,
    ...{ botToken: state.botToken, appToken: state.appToken, channel: state.channel },
    ...{ messages: state.messages, replies: state.replies, views: state.views },
    repliesAt: state.repliesAt,
    ...{ homes: state.homes, received: state.received, refused: state.refused },
    ...{ scopes: state.scopes, socket, signed, clickBody, click, submit },
    ...{ fill, formOf },
    addUser: (id, user) => void state.users.set(id, { id, ...user }),
    deny: async (message, user, reason = '', then = 'stop') =>
      submit(await formOf(message, 'deny', user), user, reason, then),
    clickHome: async (actionId, user) =>
      (
        await send(
          '/slack/interactions',
          asBody(homeClickPayload(actionId, user, newTrigger(state))),
        )
      ).status,
    command: async (text, user) =>
      (await send('/slack/commands', asForm(commandFields(text, user, replyUrl())))).status,
    tell: async (event, id = `Ev${randomBytes(6).toString('hex')}`) =>
      (await send('/slack/events', JSON.stringify(eventPayload(event, id)))).status,
    messageWith: (fits, ms = 15_000) =>
      waitFor(() => state.messages.find(fits), 'such message', ms),
    slowDown: (calls, seconds) => Object.assign(state.slow, { calls, seconds }),
    close: async () => {
      socket.close();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Good for one form, within three seconds. */
function newTrigger(state: SlackState): string {
  const id = randomBytes(8).toString('hex');
  state.triggers.set(id, Date.now());
  return id;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}

async function waitFor<T>(look: () => T | undefined, what: string, ms = 15_000): Promise<T> {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`Slack was sent no ${what} in ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  state: SlackState,
): Promise<void> {
  const url = new URL(request.url ?? '', 'http://slack.invalid');
  const body = await read(request);
  state.received.push(body);
  if (url.pathname.startsWith('/reply/')) return takeReply(url.pathname, body, response, state);
  const method = url.pathname.replace('/api/', '');
  if (state.slow.calls > 0) {
    state.slow.calls -= 1;
    response.writeHead(429, { 'retry-after': String(state.slow.seconds) }).end();
    return;
  }
  const call =
    request.method === 'GET' ? Object.fromEntries(url.searchParams) : asObject(parsed(body));
  if (state.isPaced && !isPaced(method, call, state)) {
    response.writeHead(429, { 'retry-after': '1' }).end();
    return;
  }
  const isJson = request.headers['content-type']?.startsWith('application/json') === true;
  const answer = isJson
    ? callMethod(method, request.headers.authorization ?? '', call, state)
    : { ok: false, error: 'invalid_form_data' };
  if (answer['ok'] !== true) state.refused.push({ method, error: textOf(answer['error']) });
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

/** Five answers in half an hour, as the real response URLs allow. */
function takeReply(path: string, body: string, response: ServerResponse, state: SlackState): void {
  const uses = (state.uses.get(path) ?? 0) + 1;
  state.uses.set(path, uses);
  if (uses > 5) {
    response.writeHead(404).end('used_url');
    return;
  }
  const reply = asObject(parsed(body));
  const about = state.repliesTo.get(path);
  if (reply['replace_original'] === true && about) {
    about.text = textOf(reply['text']);
    about.blocks = asBlocks(reply['blocks']);
    response.writeHead(200).end('ok');
    return;
  }
  state.replies.push(textOf(reply['text']));
  state.repliesAt.set(path, [...(state.repliesAt.get(path) ?? []), textOf(reply['text'])]);
  response.writeHead(200).end('ok');
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(body: string): JsonValue {
  try {
    return JSON.parse(body) as JsonValue;
  } catch {
    return {};
  }
}
