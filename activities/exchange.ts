// One HTTP exchange of which it is always known whether anything was sent: the connection is made, whoever asked is
// asked once more, and only then does the first byte go out.
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import { isIP, connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { EgressError, judgeDestination, type EgressPolicy, type Resolved } from './egress.ts';

interface ExchangeMessage {
  method: string;
  headers: Record<string, string>;
  body: string | null;
  /** For connecting, and again for the whole answer. */
  timeoutMs: number;
  /** More of the answer is not read. */
  bytesMax: number;
  trusted: boolean;
  /** Authorities, in PEM, that may vouch for the other side instead of the public ones. */
  authorities: string | null;
}

export interface Exchanged {
  status: number;
  headers: Record<string, string>;
  bytes: Buffer;
  /** What was read is not all of the answer: there was more, or it broke off. */
  isCut: boolean;
}

/** Redirects are answers like any other: they are never followed. */
export type Exchange = (
  address: string,
  message: ExchangeMessage,
  beforeSend: () => Promise<void>,
) => Promise<Exchanged>;

/** The way out to addresses of the policy, by the rules of every way out. */
export const openExchange =
  (policy: EgressPolicy): Exchange =>
  async (address, message, beforeSend) => {
    const { url, target } = await judgeDestination(address, policy, message.trusted);
    if (url.href !== address) throw new EgressError('bad_url', 'The address is not as it is read.');
    const socket = await connected(url, target, message);
    try {
      await beforeSend();
      return await exchange(url, socket, message);
    } finally {
      socket.destroy();
    }
  };

const unreachable = (cause: Error): EgressError =>
  new EgressError('unreachable', `The call failed: ${cause.message}`);

/** TLS is done by then: a server that is not the one meant has been sent nothing. */
function connected(
  url: URL,
  { address }: Resolved,
  { timeoutMs, authorities }: ExchangeMessage,
): Promise<Socket> {
  const isTls = url.protocol === 'https:';
  const host = url.hostname.replaceAll(/[[\]]/g, '');
  const port = Number(url.port === '' ? (isTls ? 443 : 80) : url.port);
  const socket = isTls
    ? connectTls({
        host: address,
        port,
        ALPNProtocols: ['http/1.1'],
        ...(isIP(host) === 0 && { servername: host }),
        ...(authorities !== null && { ca: authorities }),
      })
    : connectPlain({ host: address, port });
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => socket.destroy(new Error('no connection was made in time')),
      timeoutMs,
    );
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      clearTimeout(late);
      resolve(socket);
    });
    // Stays there: whatever breaks later is told by the call, and must not end the process.
    socket.on('error', (error: Error) => {
      clearTimeout(late);
      reject(unreachable(error));
    });
  });
}

function exchange(url: URL, socket: Socket, message: ExchangeMessage): Promise<Exchanged> {
  const { method, headers, body, timeoutMs, bytesMax } = message;
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const call: ClientRequest = request({
      createConnection: () => socket,
      method,
      path: `${url.pathname}${url.search}`,
      headers: {
        ...headers,
        host: url.host,
        connection: 'close',
        ...(body !== null && { 'content-length': String(Buffer.byteLength(body)) }),
      },
      signal,
    });
    let isAnswered = false;
    // Once there is a status there is an answer, and what breaks after that only cuts it.
    const fail = (error: EgressError): void => {
      if (!isAnswered) reject(error);
    };
    call.once('response', (response) => {
      isAnswered = true;
      void read(response, bytesMax, signal).then(resolve, reject);
    });
    call.on('error', (error) =>
      fail(
        signal.aborted ? new EgressError('timed_out', 'No answer in time.') : unreachable(error),
      ),
    );
    call.once('upgrade', () => {
      socket.destroy();
      fail(new EgressError('unreachable', 'The answer switched to another protocol.'));
    });
    call.once('close', () => fail(new EgressError('unreachable', 'There was no answer.')));
    call.end(body ?? undefined);
  });
}

/** As much as is wanted of what came before it broke off. */
async function read(
  response: IncomingMessage,
  most: number,
  signal: AbortSignal,
): Promise<Exchanged> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response) {
      const bytes = Buffer.from(chunk as Uint8Array);
      chunks.push(bytes);
      length += bytes.length;
      if (length > most) break;
    }
  } catch {
    length = Infinity;
  }
  return {
    status: response.statusCode ?? 0,
    headers: Object.fromEntries(
      Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
    ),
    bytes: Buffer.concat(chunks).subarray(0, most),
    isCut: length > most || signal.aborted || !response.complete,
  };
}
