// An API of tickets to stand in for a real one: it asks who calls, keeps what it was told to do, honours idempotency
// keys, and can be made to behave as badly as servers do.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface Received {
  method: string;
  /** As it stood in the request line. */
  target: string;
  headers: Record<string, string>;
  body: string;
}

/** How one call is answered instead; it was received all the same. */
export type Misbehaviour = (response: ServerResponse, socket: Socket) => void;

export interface FakeTickets {
  url: string;
  /** What it lets in with. */
  token: string;
  /** Calls that came with the right token, oldest first. */
  received: Received[];
  /** Payments that were made, by idempotency key or by themselves. */
  payments: Map<string, string>;
  /** States of tickets by number; those that nobody touched are open. */
  states: Map<string, string>;
  /** What the next answers are instead, oldest first. */
  instead: Misbehaviour[];
  /** Connections that were opened, whatever came over them. */
  connections: number;
  close(): Promise<void>;
}

export async function startFakeTickets(token: string): Promise<FakeTickets> {
  const server = createServer((request, response) => {
    void answer(fake, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A TCP server that listens has a numbered address.
  const { port } = server.address() as AddressInfo;
  const fake: FakeTickets = {
    url: `http://127.0.0.1:${port}`,
    token,
    received: [],
    payments: new Map(),
    states: new Map(),
    instead: [],
    connections: 0,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  server.on('connection', () => (fake.connections += 1));
  return fake;
}

async function answer(
  fake: FakeTickets,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array));
  const { method = '', url: target = '' } = request;
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
  );
  const send = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  if (headers['authorization'] !== `Bearer ${fake.token}`) {
    send(401, { message: 'who are you?' });
    return;
  }
  const body = Buffer.concat(chunks).toString('utf8');
  fake.received.push({ method, target, headers, body });
  const [given, ticket = '', part] = target.replace(/\?.*$/, '').split('/').slice(1);
  if (given === 'tickets' && part === 'payments') pay(fake, headers['idempotency-key'], body);
  if (given === 'tickets' && method === 'PATCH')
    fake.states.set(ticket, String(asObject(JSON.parse(body))['state']));
  if (given === 'tickets' && method === 'DELETE') fake.states.set(ticket, 'gone');
  const [instead] = fake.instead.splice(0, 1);
  if (instead) {
    instead(response, request.socket);
    return;
  }
  send(200, { ticket, state: fake.states.get(ticket) ?? 'open', api_key: 'not-for-cards' });
}

/** The same key again is the same payment. */
function pay(fake: FakeTickets, key: string | undefined, body: string): void {
  const name = key ?? `no key ${fake.payments.size}`;
  if (!fake.payments.has(name)) fake.payments.set(name, body);
}

/** Only called with what a client of the tests sent as JSON. */
const asObject = (value: unknown): Record<string, unknown> => value as Record<string, unknown>;
