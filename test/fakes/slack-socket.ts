// Slack's side of Socket Mode: addresses that work once, envelopes that have to be acknowledged, and connections that
// Slack closes when it likes.
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { WebSocketServer, type WebSocket } from 'ws';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { asObject, textOf } from './slack-blocks.ts';

export interface SocketSide {
  /** How many connections there are now, and how many there ever were. */
  open(): number;
  opened(): number;
  /** An address that takes one connection. */
  newUrl(origin: string): string;
  /** Sends an envelope over the connection with this number, or the newest; answers its id. */
  send(type: string, payload: JsonObject, connection?: number): string;
  /** Envelopes that were acknowledged, and with what. */
  acknowledged: Map<string, JsonValue>;
  /** Asks every client to come again, and hangs up on them. */
  refresh(): void;
  close(): void;
}

export function openSocketSide(server: Server): SocketSide {
  const tickets = new Set<string>();
  const connections: WebSocket[] = [];
  const acknowledged = new Map<string, JsonValue>();
  let opened = 0;
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    const ticket = new URL(request.url ?? '', 'http://slack.invalid').searchParams.get('ticket');
    // An address works once.
    if (ticket === null || !tickets.delete(ticket)) {
      socket.destroy();
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      opened += 1;
      connections.push(client);
      client.on('close', () => connections.splice(connections.indexOf(client), 1));
      client.on('message', (data: Buffer) => {
        const told = asObject(JSON.parse(data.toString('utf8')) as JsonValue);
        acknowledged.set(textOf(told['envelope_id']), told['payload'] ?? null);
      });
      client.send(JSON.stringify({ type: 'hello', num_connections: connections.length }));
    });
  });
  return {
    open: () => connections.length,
    opened: () => opened,
    newUrl: (origin) => {
      const ticket = randomBytes(8).toString('hex');
      tickets.add(ticket);
      return `${origin}/link/?ticket=${ticket}`;
    },
    send: (type, payload, connection = connections.length - 1) => {
      const id = randomBytes(8).toString('hex');
      const envelope = { envelope_id: id, type, accepts_response_payload: true, payload };
      connections[connection]?.send(JSON.stringify(envelope));
      return id;
    },
    acknowledged,
    refresh: () => {
      for (const client of connections) {
        client.send(JSON.stringify({ type: 'disconnect', reason: 'refresh_requested' }));
        client.close();
      }
    },
    close: () => {
      for (const client of connections) client.terminate();
      sockets.close();
    },
  };
}
