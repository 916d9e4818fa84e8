// Servers that answer as no target should: with nonsense, or only after a while.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Answering {
  port: number;
  close(): void;
}

/** Says one thing to whoever connects. */
export const answering = (answer: string): Promise<Answering> =>
  serving((socket) => {
    socket.end(answer);
  });

/** Passes everything on, but what holds a certain word only later. */
export const slowServer = (real: URL, word: string, delayMs: number): Promise<Answering> =>
  serving((socket) => {
    const onward = connect(Number(real.port), real.hostname);
    onward.on('error', () => undefined).on('close', () => socket.destroy());
    onward.on('data', (chunk: Buffer) => socket.write(chunk));
    socket.on('close', () => onward.destroy());
    socket.on('data', (chunk: Buffer) => {
      setTimeout(() => onward.write(chunk), chunk.includes(word) ? delayMs : 0);
    });
  });

async function serving(onSocket: (socket: Socket) => void): Promise<Answering> {
  const listener: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    onSocket(socket);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { port, close: () => void listener.close() };
}
