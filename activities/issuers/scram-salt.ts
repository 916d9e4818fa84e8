// The first words of a sign-in to a PostgreSQL (RFC 5802, and the server's own protocol 3.0), and not one more: the
// server answers with the salt of the password it keeps. Nothing is proved to it, so nobody is signed in.
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { databaseIn } from './postgres-target.ts';

const TIMEOUT_MS = 5_000;
const PROTOCOL = 196_608;
const SSL_REQUEST = 80_877_103;
const AUTHENTICATION = 'R';
const SASL = 10;
const SASL_CONTINUE = 11;

/** What the server salts this login's password with; null where it takes no such password. Throws where it is away. */
export async function askForSalt(url: URL, user: string, nonce: string): Promise<string | null> {
  const plain = connect(url.port === '' ? 5432 : Number(url.port), hostOf(url));
  plain.setTimeout(TIMEOUT_MS, () => plain.destroy(new Error('no answer in time')));
  let socket: Socket = plain;
  try {
    socket = await secured(plain, url);
    const messages = readMessages(socket);
    socket.write(startup(user, databaseIn(url)));
    const offered = await nextOf(messages);
    if (codeOf(offered) !== SASL || !offered.body.includes('SCRAM-SHA-256\0')) return null;
    socket.write(firstMessage(nonce));
    const answer = await nextOf(messages);
    if (codeOf(answer) !== SASL_CONTINUE) return null;
    return /(?:^|,)s=([^,]+)/.exec(answer.body.subarray(4).toString('latin1'))?.[1] ?? null;
  } finally {
    socket.destroy();
    plain.destroy();
  }
}

const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');

/** As the URL of the target wants it; without a word in it, in the clear, as the client does. */
async function secured(socket: Socket, url: URL): Promise<Socket> {
  const mode = url.searchParams.get('sslmode') ?? url.searchParams.get('ssl') ?? 'disable';
  if (['disable', 'allow', 'prefer', 'false'].includes(mode)) return socket;
  const request = Buffer.alloc(8);
  request.writeInt32BE(8, 0);
  request.writeInt32BE(SSL_REQUEST, 4);
  socket.write(request);
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.once('data', resolve).once('error', reject);
  });
  if (answer.toString('latin1') !== 'S') throw new Error('the server speaks no TLS');
  const servername = hostOf(url);
  const isChecked = mode.startsWith('verify');
  return connectTls({ socket, servername, rejectUnauthorized: isChecked });
}

interface Message {
  type: string;
  body: Buffer;
}

const codeOf = ({ type, body }: Message): number | null =>
  type === AUTHENTICATION && body.length >= 4 ? body.readInt32BE(0) : null;

/** Messages as they arrive: a letter, a length that counts itself, and what it says. */
async function* readMessages(socket: Socket): AsyncGenerator<Message, void> {
  let rest = Buffer.alloc(0);
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, asBuffer(chunk)]);
    while (rest.length >= 5 && rest.length >= 1 + rest.readInt32BE(1)) {
      const end = 1 + rest.readInt32BE(1);
      yield { type: rest.toString('latin1', 0, 1), body: rest.subarray(5, end) };
      rest = rest.subarray(end);
    }
  }
}

/** A socket without an encoding gives bytes. */
const asBuffer = (chunk: unknown): Buffer => chunk as Buffer;

async function nextOf(messages: AsyncGenerator<Message, void>): Promise<Message> {
  const { value } = await messages.next();
  if (!value) throw new Error('the server hung up');
  return value;
}

function startup(user: string, database: string): Buffer {
  const said = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + said.length, 0);
  head.writeInt32BE(PROTOCOL, 4);
  return Buffer.concat([head, said]);
}

function firstMessage(nonce: string): Buffer {
  const said = Buffer.from(`n,,n=,r=${nonce}`);
  const name = Buffer.from('SCRAM-SHA-256\0');
  const head = Buffer.alloc(5);
  head.write('p', 0, 'latin1');
  head.writeInt32BE(4 + name.length + 4 + said.length, 1);
  const length = Buffer.alloc(4);
  length.writeInt32BE(said.length, 0);
  return Buffer.concat([head, name, length, said]);
}
