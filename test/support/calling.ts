// An agent with a task, an API that it may call, and the calls that tests make of it.
import { randomBytes } from 'node:crypto';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeTickets, type FakeTickets, type Received } from '../fakes/tickets.ts';
import { changePolicy, seen, startCast, startTask, type Cast } from './cast.ts';
import { eventually, list, object, opened, text, type Reply } from './client.ts';
import { withTickets } from './upstreams.ts';

export interface Calling {
  cast: Cast;
  tickets: FakeTickets;
  /** What the server signs in with at the API. */
  token: string;
  task: string;
  ask(more: JsonObject, headers?: Record<string, string>): Promise<Reply>;
  get(ticket: string | number, more?: JsonObject, headers?: Record<string, string>): Promise<Reply>;
  close(ticket: string, more?: JsonObject): Promise<Reply>;
  pay(ticket: string): Promise<Reply>;
  answerOf(reply: Reply): Promise<JsonObject>;
  /** Calls about a ticket that the API received, and those that change something. */
  about(ticket: string): Received[];
  changes(ticket: string): Received[];
  runOf(request: string): Promise<JsonObject>;
  /** Waits until a request was carried out, and reads its run with the answer. */
  carriedOut(request: string): Promise<Reply>;
  end(): Promise<void>;
}

/** The request that an answer says is waited for. */
export const requestIn = (reply: Reply): string => text(object(reply.body['request'])['id']);

export async function startCalling(): Promise<Calling> {
  const token = `marker-${randomBytes(18).toString('hex')}`;
  const tickets = await startFakeTickets(token);
  const cast = await startCast({ env: { TICKETS_TOKEN: token } });
  await changePolicy(cast.service, cast.approver, (files) =>
    withTickets(files, { base: tickets.url }),
  );
  const task = await startTask(cast.agent);
  const { agent, seal, service } = cast;
  const ask: Calling['ask'] = (more, headers = {}) =>
    agent.call(
      'POST',
      '/v1/run',
      { task, upstream: 'tickets', seal_to: seal.publicJwk, ...more },
      headers,
    );
  const about = (ticket: string): Received[] =>
    tickets.received.filter(({ target }) => target.includes(`/tickets/${ticket}`));
  const runOf = async (request: string): Promise<JsonObject> => {
    const reply = await agent.call('GET', `/v1/runs?request=${request}`);
    return list(reply.body['data'])[0] ?? {};
  };
  return {
    cast,
    tickets,
    token,
    task,
    ask,
    get: (ticket, more = {}, headers = {}) =>
      ask({ call: 'get-ticket', params: { ticket }, ...more }, headers),
    close: (ticket, more = {}) =>
      ask({ call: 'close-ticket', params: { ticket }, body: { state: 'closed' }, ...more }),
    pay: (ticket) => ask({ call: 'pay', params: { ticket }, body: { cents: 500 } }),
    answerOf: (reply) => opened(reply.body['sealed'], seal),
    about,
    changes: (ticket) => about(ticket).filter(({ method }) => method !== 'GET'),
    runOf,
    carriedOut: async (request) => {
      await eventually(async () => (await seen(service, request))['state'] !== 'approved');
      return agent.call('GET', `/v1/runs/${text((await runOf(request))['id'])}`);
    },
    end: async () => {
      await cast.close();
      await tickets.close();
    },
  };
}
