// What receivers can do to whoever calls them: nothing that lasts longer than the call's own limit.
import { createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openEgress } from '../../activities/egress.ts';

const egress = openEgress({ allow: [], loopback: true });

/** Calls a server that does this to every connection; how the call ended, and whether it did so in time. */
async function outcome(receive: (socket: Socket) => void): Promise<string> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    receive(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const message = { method: 'POST' as const, headers: {}, body: '{}', timeoutMs: 500 };
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('never ended'), 3000));
  try {
    return await Promise.race([
      egress(`http://127.0.0.1:${port}/`, message).then(({ status }) => `answered ${status}`),
      late,
    ]).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

describe('a call ends, whatever the receiver does', () => {
  it.each<[string, (socket: Socket) => void, string | RegExp]>([
    [
      'switches to another protocol',
      (socket) =>
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
        ),
      /another protocol/,
    ],
    ['says nothing', () => undefined, /failed/],
    ['hangs up', (socket) => socket.destroy(), /failed/],
    ['answers garbage', (socket) => socket.end('garbage\r\n\r\n'), /failed/],
    [
      'never finishes its answer',
      (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'),
      /./,
    ],
    [
      'answers for ever with interim answers',
      (socket) => {
        const again = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 20);
        socket.on('close', () => clearInterval(again));
      },
      /failed/,
    ],
  ])('when it %s', async (_what, receive, expected) => {
    const ended = await outcome(receive);
    expect(ended).not.toBe('never ended');
    expect(ended).toMatch(expected);
  });

  it('and an answer that comes is the answer', async () => {
    expect(
      await outcome((socket) => socket.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n')),
    ).toBe('answered 204');
  });
});
