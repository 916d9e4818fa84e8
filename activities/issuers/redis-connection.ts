// A client of the Redis protocol (RESP2), as small as the issuer beside this file needs it.
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { RedisTarget } from '../../commands/access/redis.ts';
import { TargetError, type TargetRef } from '../../commands/credentials/issuer.ts';
import type { Secrets } from './login.ts';

/** What a server answers: text, a number, nothing, a list, or a refusal. */
export type Reply = string | number | null | Reply[] | RedisError;

/** A refusal by its first word. The rest of the line may quote what was sent. */
export class RedisError extends TargetError {}

const TIMEOUT_MS = 5_000;
/** All the answers to one connection of ours; a list of clients can be long. */
const REPLY_BYTES_MAX = 32 * 1024 * 1024;
const DEPTH_MAX = 8;

export interface RedisConnection {
  /** Sends one command; a refusal is thrown. */
  call(...words: readonly string[]): Promise<Reply>;
  /** Sends several at once; a refusal is one of the answers. */
  batch(commands: readonly (readonly string[])[]): Promise<Reply[]>;
}

/** A target as it is configured now. */
export interface RedisServer {
  definition: RedisTarget;
  url: URL;
  ca: string | null;
}

export function redisServer({ definition }: TargetRef, secrets: Secrets): RedisServer {
  const text = definition?.issuer === 'redis' ? secrets(definition.url_from) : null;
  if (definition?.issuer !== 'redis' || text === null || !URL.canParse(text))
    throw new TargetError('target_not_configured');
  const ca = definition.ca_from === undefined ? null : secrets(definition.ca_from);
  if (definition.ca_from !== undefined && ca === null)
    throw new TargetError('target_not_configured');
  return { definition, url: new URL(text), ca };
}

/** The port of a target's URL. */
export const portOf = (url: URL): number => (url.port === '' ? 6379 : Number(url.port));

/** Connects as the issuer, works, and hangs up. */
export async function using<T>(
  server: RedisServer,
  work: (connection: RedisConnection) => Promise<T>,
): Promise<T> {
  const socket = open(server);
  try {
    const { batch } = converse(socket);
    const connection: RedisConnection = {
      batch,
      call: async (...words) => {
        const [reply = null] = await batch([words]);
        if (reply instanceof RedisError) throw reply;
        return reply;
      },
    };
    const { username, password } = server.url;
    const names = [username || 'default', password].map(decodeURIComponent);
    await connection.call('AUTH', ...names);
    return await work(connection);
  } finally {
    socket.destroy();
  }
}

function open({ definition, url, ca }: RedisServer): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const address = { host, port: portOf(url) };
  const socket =
    definition.tls === 'required'
      ? connectTls({
          ...address,
          ...(isIP(host) === 0 && { servername: host }),
          ...(ca !== null && { ca }),
        })
      : connectPlain(address);
  return socket.setNoDelay(true).setTimeout(TIMEOUT_MS);
}

function converse(socket: Socket): Pick<RedisConnection, 'batch'> {
  let received = Buffer.alloc(0);
  let total = 0;
  let wanted: { count: number; resolve(replies: Reply[]): void } | null = null;
  let fail: (error: TargetError) => void = () => undefined;
  const broken = new Promise<never>((_, reject) => {
    fail = reject;
  });
  broken.catch(() => undefined);
  socket.on('timeout', () => fail(new TargetError('timeout')));
  socket.on('close', () => fail(new TargetError('connection_lost')));
  socket.on('error', (error) => fail(new TargetError(codeOf(error))));
  socket.on('data', (chunk: Buffer) => {
    total += chunk.length;
    if (total > REPLY_BYTES_MAX) return fail(new TargetError('answer_too_long'));
    received = Buffer.concat([received, chunk]);
    const read = wanted && readReplies(received, wanted.count);
    if (!wanted || read === null) return;
    if (read === 'garbled') return fail(new TargetError('answer_garbled'));
    received = received.subarray(read.end);
    wanted.resolve(read.replies);
    wanted = null;
  });
  return {
    batch: (commands) => {
      if (commands.length === 0) return Promise.resolve([]);
      const answered = new Promise<Reply[]>((resolve) => {
        wanted = { count: commands.length, resolve };
      });
      socket.write(commands.map(asBytes).join(''));
      return Promise.race([answered, broken]);
    },
  };
}

const asBytes = (words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

/** Null where the rest is still on its way. */
function readReplies(
  bytes: Buffer,
  count: number,
): { replies: Reply[]; end: number } | 'garbled' | null {
  const replies: Reply[] = [];
  let end = 0;
  while (replies.length < count) {
    const read = readReply(bytes, end, 0);
    if (read === null || read === 'garbled') return read;
    replies.push(read.reply);
    ({ end } = read);
  }
  return { replies, end };
}

type Read = { reply: Reply; end: number } | 'garbled' | null;

function readReply(bytes: Buffer, from: number, depth: number): Read {
  const lineEnd = bytes.indexOf('\r\n', from);
  if (lineEnd < 0) return null;
  const line = bytes.toString('utf8', from + 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(bytes[from] ?? 0)) {
    case '+':
      return { reply: line, end };
    case '-':
      return { reply: new RedisError(line.split(' ')[0]?.toLowerCase() ?? 'err'), end };
    case ':':
      return { reply: Number(line), end };
    case '$':
      return readText(bytes, Number(line), end);
    case '*':
      return readList(bytes, Number(line), end, depth);
    default:
      return 'garbled';
  }
}

function readText(bytes: Buffer, length: number, from: number): Read {
  if (length === -1) return { reply: null, end: from };
  if (!(length >= 0 && length <= REPLY_BYTES_MAX)) return 'garbled';
  if (bytes.length < from + length + 2) return null;
  return { reply: bytes.toString('utf8', from, from + length), end: from + length + 2 };
}

function readList(bytes: Buffer, length: number, from: number, depth: number): Read {
  if (length === -1) return { reply: null, end: from };
  if (!(length >= 0 && length <= REPLY_BYTES_MAX) || depth >= DEPTH_MAX) return 'garbled';
  const reply: Reply[] = [];
  let end = from;
  while (reply.length < length) {
    const item = readReply(bytes, end, depth + 1);
    if (item === null || item === 'garbled') return item;
    reply.push(item.reply);
    ({ end } = item);
  }
  return { reply, end };
}

const codeOf = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code.toLowerCase() : 'unreachable';

/** A short, stable word for what went wrong. */
export const redisErrorCode = (error: unknown): string =>
  error instanceof TargetError ? error.code : 'unreachable';
