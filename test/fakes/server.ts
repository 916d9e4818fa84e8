// A small HTTP server for fakes: it reads the whole request, and answers what a function of the fake says.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface Received {
  method: string;
  url: URL;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Given {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

export interface FakeServer {
  url: string;
  close(): Promise<void>;
}

/** JSON as most APIs answer it. */
export const json = (
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): Given => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

/** Serves on a free port of the loopback; over TLS where a key and a certificate are given. */
export async function startServer(
  answer: (received: Received) => Promise<Given> | Given,
  tls?: { key: string; cert: string },
): Promise<FakeServer> {
  const scheme = tls ? 'https' : 'http';
  const listener = async (request: IncomingMessage): Promise<Given> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
    return answer({
      method: request.method ?? '',
      url: new URL(request.url ?? '/', `${scheme}://${request.headers.host ?? 'localhost'}`),
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    });
  };
  const handle: RequestListener = (request, response) => {
    void listener(request)
      .catch((error: unknown) => ({ status: 500, headers: {}, body: String(error) }))
      .then((given) => {
        response.writeHead(given.status, given.headers ?? {});
        response.end(given.body ?? '');
      });
  };
  const server: Server = tls ? createTlsServer(tls, handle) : createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server that listens has a numbered address.
  const { port } = server.address() as AddressInfo;
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
