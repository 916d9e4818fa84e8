// A mail server as a strict one is (RFC 5321, RFC 3207, RFC 4954): no password before TLS, no mail without it where it wants
// it, lines that end as they should, and mails it can take apart again.
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';

/** What it answers to the next mails, by the command it answers so to. */
export interface Mood {
  at: 'MAIL' | 'RCPT' | 'DATA' | 'END';
  answer: string;
}

export interface TakenMail {
  from: string;
  to: string[];
  /** Headers in the order in which they came, unfolded. */
  headers: [name: string, value: string][];
  /** All of it, with the dots that were stuffed taken out. */
  raw: string;
  /** The decoded texts, by their type. */
  parts: Record<string, string>;
  wasEncrypted: boolean;
  user: string | null;
}

export interface FakeSmtp {
  port: number;
  mails: TakenMail[];
  /** What it found wrong with how it was spoken to. */
  faults: string[];
  /** Everything it was sent before TLS. */
  inClear: string[];
  next(...moods: Mood[]): void;
  close(): Promise<void>;
}

export interface SmtpRules {
  key: string;
  certificate: string;
  user: string;
  password: string;
  /** Whether it offers STARTTLS; a server in the way may have taken that out. */
  offersTls?: boolean;
}

interface Session {
  socket: Socket;
  rules: SmtpRules;
  fake: Pick<FakeSmtp, 'mails' | 'faults' | 'inClear'>;
  moods: Mood[];
  encrypted: boolean;
  user: string | null;
  greeted: boolean;
  from: string | null;
  to: string[];
  /** Lines of the mail that is being sent; null between mails. */
  data: string[] | null;
}

const SIZE_MAX = 1_000_000;
/** RFC 5321 §4.5.3.1.6, without the line end. */
const LINE_MAX = 998;

export async function startFakeSmtp(rules: SmtpRules): Promise<FakeSmtp> {
  const moods: Mood[] = [];
  const fake = { mails: [], faults: [], inClear: [] };
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    listenTo({ ...fresh(), socket, rules, fake, moods, encrypted: false });
    socket.write('220 mx.example ESMTP\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the fake has no port');
  return {
    ...fake,
    port: address.port,
    next: (...more) => void moods.push(...more),
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

const fresh = () => ({ user: null, greeted: false, from: null, to: [] as string[], data: null });

function listenTo(session: Session): void {
  let rest = '';
  session.socket.on('error', () => undefined);
  session.socket.on('data', (chunk: Buffer) => {
    rest += chunk.toString('latin1');
    for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 2);
      if (/[\r\n]/.test(line)) session.fake.faults.push('a bare CR or LF');
      takeLine(session, line);
    }
  });
}

function takeLine(session: Session, line: string): void {
  if (!session.encrypted) session.fake.inClear.push(line);
  if (session.data !== null) return takeData(session, line);
  const [verb = ''] = line.toUpperCase().split(/[ :]/);
  const answer = (text: string): void => void session.socket.write(`${text}\r\n`);
  const mood = moodFor(session, verb);
  if (mood !== null) return answer(mood);
  switch (verb) {
    case 'EHLO':
      session.greeted = true;
      return answer(extensions(session).join('\r\n'));
    case 'STARTTLS':
      return startTls(session);
    case 'AUTH':
      return authenticate(session, line, answer);
    case 'MAIL':
      return takeSender(session, line, answer);
    case 'RCPT':
      session.to.push(addressIn(line));
      return answer('250 OK');
    case 'DATA':
      session.data = [];
      return answer('354 Go on');
    case 'QUIT':
      answer('221 Bye');
      return void session.socket.end();
    case 'RSET':
    case 'NOOP':
      return answer('250 OK');
    default:
      session.fake.faults.push(`an unknown command: ${line.slice(0, 40)}`);
      return answer('500 What?');
  }
}

function moodFor({ moods }: Session, verb: string): string | null {
  const [mood] = moods;
  if (!mood || mood.at !== verb) return null;
  moods.shift();
  return mood.answer;
}

function extensions({ encrypted, rules }: Session): string[] {
  const all = [
    'mx.example',
    `SIZE ${SIZE_MAX}`,
    '8BITMIME',
    ...(!encrypted && rules.offersTls !== false ? ['STARTTLS'] : []),
    ...(encrypted ? ['AUTH PLAIN'] : []),
  ];
  return all.map((each, at) => `250${at === all.length - 1 ? ' ' : '-'}${each}`);
}

function startTls(session: Session): void {
  const { socket, rules } = session;
  if (rules.offersTls === false) return void socket.write('502 Not here\r\n');
  socket.write('220 Go ahead\r\n');
  socket.removeAllListeners('data');
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext: createSecureContext({ key: rules.key, cert: rules.certificate }),
  });
  // What was said before counts for nothing after (RFC 3207 §4.2).
  listenTo({ ...session, ...fresh(), socket: secure, encrypted: true });
}

function authenticate(session: Session, line: string, answer: (text: string) => void): void {
  const [, method = '', initial = ''] = line.split(' ');
  if (!session.encrypted) {
    session.fake.faults.push('a password without TLS');
    return answer('538 Encryption required');
  }
  if (method.toUpperCase() !== 'PLAIN') return answer('504 Unknown mechanism');
  const [, user, password] = Buffer.from(initial, 'base64').toString('utf8').split('\0');
  if (user !== session.rules.user || password !== session.rules.password)
    return answer('535 5.7.8 Authentication failed for mallory@example.com');
  session.user = user;
  answer('235 Welcome');
}

function takeSender(session: Session, line: string, answer: (text: string) => void): void {
  if (!session.greeted) session.fake.faults.push('a mail before EHLO');
  if (!session.encrypted) return answer('530 Must issue a STARTTLS command first');
  if (session.user === null) return answer('530 Authentication required');
  const size = /SIZE=(\d+)/i.exec(line)?.[1];
  if (size !== undefined && Number(size) > SIZE_MAX) return answer('552 Too large');
  session.from = addressIn(line);
  session.to = [];
  answer('250 OK');
}

const addressIn = (line: string): string => /<([^<>]*)>/.exec(line)?.[1] ?? '';

function takeData(session: Session, line: string): void {
  const { data, fake, socket } = session;
  if (line.length > LINE_MAX) fake.faults.push('a line that is too long');
  if (line !== '.') {
    data?.push(line.startsWith('.') ? line.slice(1) : line);
    return;
  }
  session.data = null;
  const mood = moodFor(session, 'END');
  if (mood !== null) return void socket.write(`${mood}\r\n`);
  const raw = (data ?? []).join('\r\n');
  fake.mails.push({
    from: session.from ?? '',
    to: [...session.to],
    ...partsOf(raw),
    raw,
    wasEncrypted: session.encrypted,
    user: session.user,
  });
  socket.write('250 Taken\r\n');
}

/** Takes a mail apart as a reader does: headers unfolded, parts by their boundary, texts decoded. */
function partsOf(raw: string): Pick<TakenMail, 'headers' | 'parts'> {
  const [head = '', ...body] = raw.split('\r\n\r\n');
  const headers = headersIn(head);
  const type = valueOf(headers, 'content-type');
  const boundary = /boundary="([^"]+)"/.exec(type)?.[1];
  const whole = body.join('\r\n\r\n');
  const sections = boundary === undefined ? [] : whole.split(`--${boundary}`).slice(1, -1);
  const parts = sections.map((section): [string, string] => {
    const [inner = '', ...rest] = section.replace(/^\r\n/, '').split('\r\n\r\n');
    const own = headersIn(inner);
    const text = decoded(rest.join('\r\n\r\n'), valueOf(own, 'content-transfer-encoding'));
    return [valueOf(own, 'content-type').split(';')[0] ?? '', text];
  });
  return { headers, parts: Object.fromEntries(parts) };
}

/** The headers of a whole mail. */
export const headersOf = (raw: string): [string, string][] =>
  headersIn(raw.split('\r\n\r\n')[0] ?? '');

const headersIn = (head: string): [string, string][] =>
  head
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
    .map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    });

/** The value of a header, decoded (RFC 2047); empty where there is none. */
export const valueOf = (headers: readonly [string, string][], name: string): string =>
  (headers.find(([each]) => each === name)?.[1] ?? '')
    .replaceAll(/\?=\s+=\?/g, '?==?')
    .replaceAll(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_whole, form: string, text: string) =>
      form.toLowerCase() === 'b'
        ? Buffer.from(text, 'base64').toString('latin1')
        : fromQuoted(text.replaceAll('_', ' ')),
    )
    .replaceAll(/[\u0080-\u00ff]+/g, (bytes) => Buffer.from(bytes, 'latin1').toString('utf8'));

function decoded(text: string, encoding: string): string {
  const bytes =
    encoding === 'base64'
      ? Buffer.from(text, 'base64')
      : Buffer.from(
          encoding === 'quoted-printable' ? fromQuoted(text.replaceAll('=\r\n', '')) : text,
          'latin1',
        );
  return bytes.toString('utf8').replaceAll('\r\n', '\n');
}

const fromQuoted = (text: string): string =>
  text.replaceAll(/=([0-9A-F]{2})/gi, (_whole, hex: string) =>
    String.fromCodePoint(Number.parseInt(hex, 16)),
  );
