import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withTask, type AccessRequest, type Client } from '../../sdk/index.ts';
import { startFakeTickets, type FakeTickets } from '../fakes/tickets.ts';
import { vote } from '../support/client.ts';
import { network } from '../support/network.ts';
import { agentClient, policyWith, team, type Team } from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';
import { TICKET_RULES, ticketsYaml } from '../support/upstreams.ts';

const TOKEN = randomBytes(24).toString('hex');

let tickets: FakeTickets;
let service: TestService;
let members: Team;
let client: Client;

beforeAll(async () => {
  tickets = await startFakeTickets(TOKEN);
  const policy = await policyWith({
    'main.cedar': TICKET_RULES,
    'upstreams.yaml': ticketsYaml({ base: tickets.url }),
  });
  service = await startService({ env: { COUNTERSIGN_POLICY: policy, TICKETS_TOKEN: TOKEN } });
  members = await team(service);
  client = agentClient(service, members);
});
afterAll(async () => {
  await service.close();
  await tickets.close();
});

const options = { purpose: 'order support', ttlSeconds: 900 };

/** Votes as soon as something is held. */
const deciding = (decision: 'approve' | 'deny') => ({
  ...options,
  onHeld: (request: AccessRequest) => {
    void vote(members.approver, request.id, decision, { reason: 'not today' });
  },
});

/** The run that is at work now, as its agent is told of it. */
async function running(): Promise<object> {
  const find = () => service.database.owner.sql`select id from run where state = 'running'`;
  await expect.poll(async () => (await find()).length).toBe(1);
  const [row] = await find();
  return { id: String(row?.['id']), state: 'running', outcome: null, sealed: null };
}

const closing = { params: { ticket: 7 }, body: { state: 'closed' } };

describe('a call under a task', () => {
  it('that policy permits is made, and its answer comes back whatever its status', async () => {
    const [found, missing] = await withTask(client, options, async (task) => {
      const first = await task.call('tickets', 'get-ticket', { params: { ticket: 'a b' } });
      tickets.instead.push((response) => response.writeHead(404).end());
      return [first, await task.call('tickets', 'get-ticket', { params: { ticket: 2 } })];
    });
    expect(found).toMatchObject({ status: 200, encoding: 'utf8', is_cut: false });
    expect(JSON.parse(found?.body ?? '')).toMatchObject({ ticket: 'a%20b', state: 'open' });
    expect(missing).toMatchObject({ status: 404, body: '' });
  });

  it('that is held is waited for, and what it was answered comes back', async () => {
    const answer = await withTask(client, deciding('approve'), (task) =>
      task.call('tickets', 'close-ticket', closing),
    );
    expect(JSON.parse(answer.body)).toMatchObject({ ticket: '7', state: 'closed' });
  });

  it('that people deny says so, and never goes out', async () => {
    const denied = withTask(client, deciding('deny'), (task) =>
      task.call('tickets', 'purge', { params: { ticket: 8 } }),
    );
    await expect(denied).rejects.toMatchObject({ code: 'request_denied' });
    expect(tickets.states.get('8')).toBeUndefined();
  });

  it('of which no answer came says that it may have been carried out', async () => {
    const lost = withTask(client, deciding('approve'), async (task) => {
      const held = await task.call('tickets', 'get-ticket', { params: { ticket: 9 } });
      tickets.instead.push(
        () => undefined,
        (_response, socket) => socket.destroy(),
      );
      await task.call('tickets', 'purge', { params: { ticket: 9 } });
      return held;
    });
    await expect(lost).rejects.toMatchObject({ code: 'call_failed' });
    await expect(lost).rejects.toThrow('may have been carried out all the same');
    tickets.instead.length = 0;
  });

  it('that takes longer than the connection it was asked over lasts is waited for, and made once', async () => {
    const before = tickets.received.length;
    tickets.instead.push((response) => {
      setTimeout(() => response.end('late'), 1500);
    });
    // Asked for again after the connection broke, it is still at work.
    const between = network();
    between.next('POST', /run$/, async (forward) => {
      void forward();
      return new Response(JSON.stringify(await running()), { status: 201 });
    });
    const impatient = agentClient(service, members, { fetch: between.fetch });
    const answer = await withTask(impatient, options, (task) =>
      task.call('tickets', 'get-ticket', { params: { ticket: 10 } }),
    );
    expect(answer).toMatchObject({ status: 200, body: 'late' });
    expect(tickets.received.length - before).toBe(1);
  });

  it('that policy does not have is refused with what it has', async () => {
    const refused = withTask(client, options, (task) => task.call('tickets', 'drop'));
    await expect(refused).rejects.toThrow(/has no call "drop". It has: get-ticket/);
  });
});
