// What the other side of a call can do, and what of it is known for certain afterwards: whether anything went out.
import { createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { EgressError } from '../../activities/egress.ts';
import { openExchange } from '../../activities/exchange.ts';
import { longestOf, mask, spellingsOf } from '../../activities/masking.ts';
import { startServer } from '../fakes/server.ts';
import { selfSigned } from '../support/tls.ts';

const exchange = openExchange({ allow: [], loopback: true });

interface Outcome {
  said: string;
  sent: boolean;
  received: string;
}

/** Calls a server that does this to every connection. */
async function outcome(
  receive: (socket: Socket) => void,
  beforeSend: () => Promise<void> = () => Promise.resolve(),
  path = '/a?b=c',
): Promise<Outcome> {
  const sockets: Socket[] = [];
  let received = '';
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => (received += data.toString('latin1')));
    receive(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  let sent = false;
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('never ended'), 4000));
  const message = {
    method: 'POST',
    headers: { 'x-a': 'b' },
    body: '{"é":1}',
    timeoutMs: 500,
    bytesMax: 100,
    trusted: false,
    authorities: null,
  };
  try {
    const said = await Promise.race([
      exchange(`http://127.0.0.1:${port}${path}`, message, async () => {
        await beforeSend();
        sent = true;
      }).then(({ status, bytes, isCut }) => `${status} ${bytes.length}${isCut ? ' cut' : ''}`),
      late,
    ]).catch((error: unknown) =>
      error instanceof EgressError ? error.code : error instanceof Error ? error.message : 'odd',
    );
    return { said, sent, received };
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: ';

describe('an exchange ends, and says whether anything went out', () => {
  it.each<[string, (socket: Socket) => void, string]>([
    ['answers', (socket) => socket.end(`${HEAD}2\r\n\r\nok`), '200 2'],
    ['answers without a length', (socket) => socket.end('HTTP/1.1 204 None\r\n\r\n'), '204 0'],
    [
      'says too much',
      (socket) => socket.end(`${HEAD}500\r\n\r\n${'a'.repeat(500)}`),
      '200 100 cut',
    ],
    ['breaks off', (socket) => socket.end(`${HEAD}50\r\n\r\nabc`), '200 3 cut'],
    ['never finishes', (socket) => socket.write(`${HEAD}50\r\n\r\nabc`), '200 3 cut'],
    [
      'drips',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        const drip = setInterval(() => socket.write('1\r\na\r\n'), 200);
        socket.on('close', () => clearInterval(drip));
      },
      '200 [1-4] cut',
    ],
    ['says nothing', () => undefined, 'timed_out'],
    ['hangs up', (socket) => socket.destroy(), 'unreachable'],
    ['answers garbage', (socket) => socket.end('garbage\r\n\r\n'), 'unreachable'],
    [
      'switches to another protocol',
      (socket) =>
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
        ),
      'unreachable',
    ],
    [
      'answers for ever with interim answers',
      (socket) => {
        const again = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 20);
        socket.on('close', () => clearInterval(again));
      },
      'timed_out',
    ],
    [
      'has headers without end',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(200_000)}`),
      'unreachable',
    ],
  ])('when the server %s', async (_what, receive, said) => {
    const ended = await outcome(receive);
    expect(ended.said).toMatch(new RegExp(`^${said}$`));
    expect(ended.sent).toBe(true);
  });

  it('sends what was meant, and nothing before it was let', async () => {
    const { received } = await outcome((socket) => {
      socket.once('data', () => socket.end(`${HEAD}2\r\n\r\nok`));
    });
    expect(received).toMatch(/^POST \/a\?b=c HTTP\/1\.1\r\n/);
    expect(received.toLowerCase()).toContain('\r\nx-a: b\r\n');
    expect(received).toContain('\r\nhost: 127.0.0.1:');
    expect(received).toContain('content-length: 8\r\n');
    const refused = await outcome(
      () => undefined,
      () => Promise.reject(new Error('not now')),
    );
    expect(refused).toEqual({ said: 'not now', sent: false, received: '' });
  });

  it('knows that nothing went out where nobody listens, the name leads nowhere or inwards, or the certificate is wrong', async () => {
    const message = {
      method: 'GET',
      headers: {},
      body: null,
      timeoutMs: 500,
      bytesMax: 10,
      trusted: false,
      authorities: null,
    };
    const sent: string[] = [];
    const codeOf = (url: string) =>
      exchange(url, message, () => {
        sent.push(url);
        return Promise.resolve();
      }).catch((error: unknown) => (error instanceof EgressError ? error.code : 'odd'));
    expect(await codeOf('http://127.0.0.1:1/')).toBe('unreachable');
    expect(await codeOf('https://no-such-host.invalid/')).toBe('not_resolved');
    expect(await codeOf('https://169.254.169.254/latest/meta-data')).toBe('private_address');
    expect(await codeOf('https://10.0.0.1/')).toBe('private_address');
    expect(await codeOf('http://example.com/')).toBe('not_https');
    expect(await codeOf('http://127.0.0.1:1/a/../b')).toBe('bad_url');
    expect(sent).toEqual([]);
  });
});

describe('over TLS', () => {
  it('the other side is who its certificate says, by the authority of the policy, or is sent nothing', async () => {
    const pair = await selfSigned();
    const server = await startServer(() => ({ status: 200, body: 'ok' }), pair);
    const sent: string[] = [];
    const call = (authorities: string | null) =>
      exchange(
        `${server.url}/a`,
        {
          method: 'GET',
          headers: {},
          body: null,
          timeoutMs: 2000,
          bytesMax: 10,
          trusted: true,
          authorities,
        },
        () => {
          sent.push(authorities ?? 'public');
          return Promise.resolve();
        },
      );
    await expect(call(null)).rejects.toMatchObject({ code: 'unreachable' });
    await expect(call((await selfSigned()).cert)).rejects.toMatchObject({ code: 'unreachable' });
    expect(sent).toEqual([]);
    expect(await call(pair.cert)).toMatchObject({ status: 200, isCut: false });
    await server.close();
  });
});

describe('I5: a secret in an answer', () => {
  const SECRET = 'sk_live_4f/9+Zq"x';
  const hide = (text: string, limit = text.length) =>
    mask(Buffer.from(text), spellingsOf(SECRET), limit).bytes.toString();

  it.each<[string, (secret: string) => string]>([
    ['as it is', (secret) => secret],
    ['in a URL', encodeURIComponent],
    ['in JSON', (secret) => JSON.stringify({ a: secret })],
    ['in JSON of PHP', (secret) => JSON.stringify(secret).replaceAll('/', '\\/')],
    ['in hexadecimal', (secret) => Buffer.from(secret).toString('hex')],
    ['in base64', (secret) => Buffer.from(secret).toString('base64')],
    ['in Basic credentials', (secret) => Buffer.from(`user:${secret}`).toString('base64')],
    ['in base64url, further in', (secret) => Buffer.from(`ab${secret}cd`).toString('base64url')],
    ['twice', (secret) => `${secret} ${secret}`],
  ])('%s is masked', (_how, write) => {
    const hidden = hide(`before ${write(SECRET)} after`);
    expect(hidden).toContain('[masked]');
    for (const spelling of spellingsOf(SECRET)) expect(hidden).not.toContain(spelling.toString());
    expect(hidden).toMatch(/^before .* after$/);
  });

  it('that is a user with a password is masked by either', () => {
    const basic = Buffer.from('robot:correct horse').toString('base64');
    const text = `hello robot:correct horse, or correct horse, or ${basic}, robot`;
    const all = Buffer.from(text);
    expect(mask(all, spellingsOf(basic), all.length).bytes.toString()).toBe(
      'hello [masked], or [masked], or [masked], robot',
    );
  });

  it('that the limit would cut in two is masked whole, wherever it begins', () => {
    const limit = 60;
    for (let at = 0; at < limit; at += 1) {
      const text = `${'.'.repeat(at)}${SECRET}${'.'.repeat(limit)}`;
      const read = text.slice(0, limit + longestOf(spellingsOf(SECRET)));
      const hidden = hide(read, limit);
      expect(hidden.replace(/^\.*/, '').replace(/\.*$/, '')).toBe('[masked]');
    }
  });

  it('leaves everything else as it was', () => {
    expect(hide('sk_live_4f is no secret', 10)).toBe('sk_live_4f');
  });
});
