// A waiver at work: whoever it lets past is asked of nobody there, and the record and the verdict say which rule did it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  changePolicy,
  detailsOf,
  hold,
  seen,
  startCast,
  startTask,
  type Cast,
} from '../support/cast.ts';
import { admin, askCredential, eventually, list, object, text } from '../support/client.ts';
import { adding, type Change } from '../support/policy-files.ts';

let cast: Cast;
beforeAll(async () => {
  cast = await startCast();
});
afterAll(() => cast.close());

const SCOPE = 'principal is Agent, action == Action::"credential:request", resource';
const WAIVER = `@id("past")\n@waives("orders-write")\npermit (${SCOPE} == Role::"orders-write") when { context.ttl_seconds <= 60 };`;
const SECOND = `@id("also")\n@approval("onboarding") @control("second")\npermit (${SCOPE} == Role::"orders-write");`;
const waiver: Change = adding('main.cedar', WAIVER);
const withoutWaiver: Change = (files) => ({
  ...files,
  'main.cedar': (files['main.cedar'] ?? '').replace(WAIVER, ''),
});

const ask = async (ttl: number) =>
  askCredential(cast.agent, await startTask(cast.agent), {
    role: 'orders-write',
    seal_to: cast.seal.publicJwk,
    reason: 'a small thing',
    ttl_seconds: ttl,
  });

const evaluations = async () => {
  const path = '/v1/events?type=dev.countersign.evaluation.decided.v1&limit=500';
  const { body } = await admin(cast.service).call('GET', path);
  return list(body['data']).map((event) => object(object(event['data'])['detail']));
};

describe('a waiver', () => {
  it('takes the own approvers of its control to be activated', async () => {
    const before = await admin(cast.service).call('GET', '/v1/policies/active');
    const files = object(before.body['files']);
    const named = Object.fromEntries(
      Object.entries(files).map(([name, content]) => [name, text(content)]),
    );
    const proposed = await admin(cast.service).call('POST', '/v1/policies', {
      files: waiver({ ...named, 'tests.yaml': '[]' }),
    });
    const request = object(proposed.body['request']);
    expect(list(request['routes']).map(({ name }) => name)).toEqual([
      'policy-change',
      'orders-write',
    ]);
    expect(request['controls']).toEqual(['policy-change', 'orders-write']);
    await admin(cast.service).call('POST', `/v1/requests/${text(request['id'])}/cancel`, {});
  });

  it('lets past whom it names, says so in public, and holds everybody else', async () => {
    await changePolicy(cast.service, cast.approver, waiver);
    const small = await ask(60);
    expect(small.status).toBe(201);
    const large = await ask(600);
    expect(large.status).toBe(202);
    const found = (await evaluations()).filter(({ waived }) => list(waived).length > 0);
    expect(found.map(({ waived }) => waived)).toEqual([
      [{ control: 'orders-write', rule: 'past' }],
    ]);
  });

  it('is counted by the verdict of its control, as neither approved nor a way round', async () => {
    const waivedIn = async () => {
      const { body } = await admin(cast.service).call('GET', '/v1/controls/orders-write/verdict');
      const operation = object(object(body['layers'])['operation']);
      return list(operation['tests']).find(({ id }) => id === 'waived');
    };
    // The log takes a second to be sequenced.
    await eventually(async () => text((await waivedIn())?.['says'] ?? '').includes('past ('));
    const test = await waivedIn();
    expect(test).toMatchObject({ exceptions: 0 });
    expect(text(test?.['says'])).toContain('1 passed by the waiver past');
  });

  it('that is taken back while something waits behind another gate lets nothing past any more', async () => {
    const { service, approver, agent, seal } = cast;
    await changePolicy(service, approver, adding('main.cedar', SECOND));
    const held = await hold(agent, seal, { ttl_seconds: 60 });
    const routes = list(object(held.reply.body['request'])['routes']).map(({ name }) => name);
    expect(routes).toEqual(['onboarding']);
    const [opened] = await detailsOf(service, held.request, 'dev.countersign.request.opened.v1');
    expect(text(opened?.['evaluation'])).toMatch(/^evl_/);
    await changePolicy(service, approver, withoutWaiver);
    expect((await seen(service, held.request))['state']).toBe('superseded');
  });
});
