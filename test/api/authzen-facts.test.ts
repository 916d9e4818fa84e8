// What an answer to an enforcement point rests on: who may ask about whom, that our facts count and no claim opens a
// gate of ours, and that nothing is told which is not recorded.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import {
  countEvents,
  evaluation,
  newestEvents,
  startAccess,
  tuple,
  type AccessCast,
} from '../support/authzen.ts';
import { startTask } from '../support/cast.ts';
import { admin, admittedAgent, anyone, object, type Caller } from '../support/client.ts';

let cast: AccessCast;
let point: Caller;
beforeAll(async () => {
  cast = await startAccess();
  point = cast.point;
});
afterAll(() => cast.close());

describe('what is known here counts, whatever a caller claims', () => {
  it('of a record that the policy declares', async () => {
    const claims = { resource: { status: 'archived' } };
    const { body } = await evaluation(point, tuple('bob', 'write', 'record-1', claims));
    expect(body['decision']).toBe(false);
  });

  it('and what is claimed of one that nobody declares is the word of the enforcement point', async () => {
    const asked = tuple('carol', 'write', 'record-9', {
      subject: { role: 'admin' },
      resource: { status: 'archived' },
    });
    expect((await evaluation(point, asked)).body['decision']).toBe(true);
  });

  it.each([
    [
      'a type',
      { ...tuple('alice', 'read', 'x'), resource: { type: 'file', id: 'x' } },
      'unknown_type',
    ],
    ['an action', tuple('alice', 'shred', 'record-1'), 'unknown_action'],
    [
      'a subject for such an action',
      { ...tuple('alice', 'read', 'record-1'), subject: { type: 'Agent', id: 'agt_x' } },
      'not_applicable',
    ],
    [
      'properties of such a type',
      tuple('zoe', 'read', 'record-1', { subject: { role: { __extn: { fn: 'ip', arg: '::1' } } } }),
      'properties_do_not_fit',
    ],
    [
      'two values of one member',
      {
        ...tuple('alice', 'delete', 'record-1', { action: { soft: true } }),
        context: { soft: false },
      },
      'ambiguous_context',
    ],
  ])(
    '%s that the schema does not have is a no with its reason, and no error',
    async (_what, body, reason) => {
      const reply = await evaluation(point, body);
      expect(reply.status).toBe(200);
      expect(reply.body['decision']).toBe(false);
      expect(object(reply.body['context'])['reason']).toBe(reason);
    },
  );
});

describe('our own actions', () => {
  const about = (id: string, role: string, properties: JsonObject = {}): JsonObject => ({
    subject: { type: 'Agent', id, properties: { team: 'core', name: 'trusted' } },
    action: { name: 'credential:request', properties },
    resource: { type: 'Role', id: role, properties: { data_class: 'public' } },
  });

  it('are answered as their own door would, from our facts', async () => {
    const yes = await evaluation(point, about(cast.agent.id, 'orders-readonly'));
    expect(yes.body['decision']).toBe(true);
    const held = await evaluation(point, about(cast.agent.id, 'orders-write'));
    expect(held.body['decision']).toBe(false);
    expect(object(held.body['context'])['reason']).toBe('approval_required');
    const none = await evaluation(point, about(cast.agent.id, 'no-such-role'));
    expect(object(none.body['context'])['reason']).toBe('unknown_resource');
  });

  it('a yes here opens no door: nothing is issued, and the door still asks', async () => {
    const before = await countOf('credential.intended');
    await evaluation(point, about(cast.agent.id, 'orders-readonly'));
    expect(await countOf('credential.intended')).toBe(before);
  });

  it('an agent that nobody knows gets nothing, whatever is claimed of it', async () => {
    const { body } = await evaluation(point, about('agt_unknown', 'orders-readonly'));
    expect(object(body['context'])['reason']).toBe('unknown_subject');
  });

  it('a task counts only where it is that agent’s own and running', async () => {
    const task = await startTask(cast.agent);
    const own = await evaluation(point, about(cast.agent.id, 'orders-readonly', { task }));
    expect(own.body['decision']).toBe(true);
    const other = await evaluation(point, about(cast.point.id, 'orders-readonly', { task }));
    expect(object(other.body['context'])['reason']).toBe('unknown_task');
  });

  it.each([
    ['policy:activate', { type: 'Person', id: 'psn_x' }, { type: 'Policy', id: 'sha256:0' }],
    ['agent:admit', { type: 'Person', id: 'psn_x' }, { type: 'Agent', id: 'agt_x' }],
    ['kill:lift', { type: 'Service', id: 'admin-token' }, { type: 'Stop', id: 'stp_x' }],
  ])('%s is never answered with yes, whoever is said to do it', async (name, subject, resource) => {
    const { body } = await evaluation(admin(cast.service), {
      subject: { ...subject, properties: { roles: ['admin'], groups: ['admins'] } },
      action: { name },
      resource,
    });
    expect(body['decision']).toBe(false);
    expect(object(body['context'])['reason']).toBe('own_action');
  });

  it('a suspended agent gets nothing, and everything again once it is resumed', async () => {
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const path = `/v1/agents/${other.id}`;
    await admin(cast.service).call('POST', `${path}/suspend`, { reason: 'test' });
    const { body } = await evaluation(point, about(other.id, 'orders-readonly'));
    expect(object(body['context'])['reason']).toBe('subject_not_active');
    await admin(cast.service).call('POST', `${path}/resume`, {});
    const again = await evaluation(point, about(other.id, 'orders-readonly'));
    expect(again.body['decision']).toBe(true);
    await admin(cast.service).call('POST', `${path}/suspend`, { reason: 'test' });
  });
});

describe('who may ask', () => {
  const asked = tuple('alice', 'read', 'record-1');

  it('nobody without a name', async () => {
    const reply = await evaluation(anyone(cast.service), asked);
    expect(reply.status).toBe(401);
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain/);
  });

  it('no person: enforcement points are machines', async () => {
    expect((await evaluation(cast.approver, asked)).status).toBe(403);
  });

  it('an agent about itself only, and is told so', async () => {
    const reply = await evaluation(cast.agent, asked);
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('An agent asks about itself');
    const self = {
      subject: { type: 'Agent', id: cast.agent.id },
      action: { name: 'credential:request' },
      resource: { type: 'Role', id: 'orders-readonly' },
    };
    expect((await evaluation(cast.agent, self)).body['decision']).toBe(true);
  });

  it('one question about another in a batch refuses it whole, and nothing is recorded', async () => {
    const before = await countOf('evaluation.decided');
    const reply = await cast.agent.call('POST', '/access/v1/evaluations', {
      action: { name: 'credential:request' },
      resource: { type: 'Role', id: 'orders-readonly' },
      evaluations: [
        { subject: { type: 'Agent', id: cast.agent.id } },
        { subject: { type: 'Agent', id: cast.point.id } },
      ],
    });
    expect(reply.status).toBe(403);
    expect(await countOf('evaluation.decided')).toBe(before);
  });

  it('who is an enforcement point and who automation may ask about anybody', async () => {
    expect((await evaluation(admin(cast.service), asked)).body['decision']).toBe(true);
    expect((await evaluation(point, asked)).body['decision']).toBe(true);
  });
});

describe('the record', () => {
  it('I1: every answer was recorded before it was given, under its evaluation_id', async () => {
    const { body } = await evaluation(point, tuple('bob', 'write', 'record-1'));
    const id = object(body['context'])['evaluation_id'];
    const [event] = await newestEvents(cast, 'evaluation.decided', 1);
    const data = object(event?.['data']);
    expect(event?.['subject']).toBe(id);
    expect(data['decision']).toBe('deny');
    expect(data['actor_chain']).toEqual([{ type: 'agent', id: cast.point.id }]);
  });

  it('its public part names nothing that a caller made up', async () => {
    const secret = 'someone@private.example';
    await evaluation(point, tuple(secret, 'read', secret, { subject: { role: secret } }));
    await evaluation(point, tuple(secret, secret, secret));
    await evaluation(
      point,
      tuple(secret, 'read', secret, { subject: { role: [secret] as never } }),
    );
    const leaves = await cast.service.database.owner.sql<
      { leaf: string }[]
    >`select leaf from event`;
    expect(leaves.filter(({ leaf }) => leaf.includes('private.example'))).toEqual([]);
  });

  it('I6: while the log takes no events, there is no yes', async () => {
    const { sql } = cast.service.database.owner;
    await sql`insert into log_pending (event, at) select id, now() - interval '1 hour' from event limit 1`;
    const reply = await evaluation(point, tuple('alice', 'read', 'record-1'));
    await sql`delete from log_pending where at < now() - interval '30 minutes'`;
    expect(reply.status).toBe(503);
    expect(reply.text).toContain('log');
  });

  it('I6: while everything is stopped, there is no yes', async () => {
    const stopped = await admin(cast.service).call('POST', '/v1/kill', {
      scope: 'everything',
      confirm: 'everything',
      reason: 'test',
    });
    expect(stopped.status).toBeLessThan(300);
    const { status, body } = await evaluation(
      admin(cast.service),
      tuple('alice', 'read', 'record-1'),
    );
    expect([status, body['decision']]).toEqual([200, false]);
    expect(object(body['context'])['reason']).toBe('stopped');
  });
});

const countOf = (type: string): Promise<number> => countEvents(cast, type);
