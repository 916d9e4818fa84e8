// Sockets to a PostgreSQL that may hang up on us. The client tries again at once, for ever and without a word, for as
// long as a server accepts a connection and ends it before it is ready: a balancer with nothing behind it does.
import { Socket } from 'node:net';

/** Connections opened within this time of each other are counted together. */
const WINDOW_MS = 1_000;
/** A pool that is lost and built again opens this many times as many as it has at once, and no more. */
const POOLS_PER_WINDOW = 3;

const PLAIN_HOST = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$/;

/** Its code is what the client's caller gets to see. */
class HungUp extends Error {
  readonly code = 'hung_up';
}

/**
 * An option of the client: makes its sockets, and has those fail that are asked for faster than a server that works
 * could use them up. Whatever waits for such a one is then told.
 */
export function patientSockets(text: string, connectionsMax: number): { socket?: () => Socket } {
  // Several hosts, or a socket of the file system, the client has to find by itself.
  if (!URL.canParse(text)) return {};
  const url = new URL(text);
  if (!PLAIN_HOST.test(url.hostname) || url.searchParams.has('host')) return {};
  const most = connectionsMax * POOLS_PER_WINDOW;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? 5432 : Number(url.port);
  let opened: number[] = [];
  return {
    socket: () => {
      const now = performance.now();
      opened = [...opened.filter((at) => now - at < WINDOW_MS), now];
      // The client reads the name of a TLS server from here.
      const socket = Object.assign(new Socket(), { host });
      if (opened.length <= most) return socket.connect(port, host);
      setImmediate(() => socket.destroy(new HungUp('the server hangs up on every connection')));
      return socket;
    },
  };
}
