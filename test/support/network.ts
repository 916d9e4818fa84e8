// A network between a client and the service that can lose, refuse and count.
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Fetch } from '../../sdk/http.ts';

export interface Passed {
  method: string;
  path: string;
  idempotencyKey: string | null;
}

export interface Network {
  fetch: Fetch;
  /** Everything that was sent, in order. */
  passed: Passed[];
  /** What happens to the next calls of this method and path, one entry for each. */
  next(method: string, path: RegExp, ...faults: Fault[]): void;
}

/** Gets a call and the real network; answers in its place. */
export type Fault = (forward: () => Promise<Response>) => Promise<Response>;

/** The call arrives and has its effect; the answer does not come back. */
export const loseAnswer: Fault = async (forward) => {
  await (await forward()).arrayBuffer();
  throw new TypeError('fetch failed', { cause: new Error('the connection was cut') });
};

/** The call never arrives. */
export const loseCall: Fault = () => Promise.reject(new TypeError('fetch failed'));

/** The call has its effect, and a proxy in front says that it had none. */
export const answerUnavailable: Fault = async (forward) => {
  await (await forward()).arrayBuffer();
  return new Response('upstream is gone', { status: 503, headers: { 'retry-after': '0' } });
};

export const answerWith =
  (status: number, body: unknown, headers: Record<string, string> = {}): Fault =>
  () =>
    Promise.resolve(
      new Response(JSON.stringify(body), {
        status,
        headers: { 'content-type': 'application/json', ...headers },
      }),
    );

export function network(): Network {
  const passed: Passed[] = [];
  const planned: { method: string; path: RegExp; fault: Fault }[] = [];
  const fetch: Fetch = (url, init) => {
    const method = init.method ?? 'GET';
    const idempotencyKey = new Headers(init.headers).get('idempotency-key');
    passed.push({ method, path: url.pathname, idempotencyKey });
    const forward = (): Promise<Response> => globalThis.fetch(url, init);
    const at = planned.findIndex((each) => each.method === method && each.path.test(url.pathname));
    const [found] = at < 0 ? [] : planned.splice(at, 1);
    return found ? found.fault(forward) : forward();
  };
  return {
    fetch,
    passed,
    next: (method, path, ...faults) =>
      planned.push(...faults.map((fault) => ({ method, path, fault }))),
  };
}

/** Lets a server of the test listen on this machine, and says on which port. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  return address.port;
}
