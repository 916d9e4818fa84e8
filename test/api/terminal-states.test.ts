// How a request can end, one by one: told apart in its body, on its page, and by what somebody hears who comes too late.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  eventually,
  object,
  person,
  text,
  vote,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let winner: TestPerson;
let late: TestPerson;

const OWNERS = '  groups: [data-owners]\n';

beforeAll(async () => {
  cast = await startCast();
  winner = await person(cast.service, 'Wilma Winner', ['data-owners']);
  late = await person(cast.service, 'Lars Late', ['data-owners']);
  await activateRoles(cast, [
    { name: 'plain', routes: { plain: OWNERS } },
    { name: 'hasty', routes: { hasty: `${OWNERS}  expiry_seconds: 2\n` } },
    { name: 'fleeting', routes: { fleeting: `${OWNERS}  valid_seconds: 1\n` } },
    { name: 'doomed', routes: { doomed: OWNERS } },
  ]);
});
afterAll(() => cast.close());

interface Ended {
  request: string;
  state: string;
}

const held = async (role: string) => hold(cast.agent, cast.seal, { role });
const approve = (request: string): Promise<Reply> => vote(winner, request, 'approve');

const comesTo = async (request: string, state: string): Promise<Ended> => {
  await eventually(
    async () => (await seen(cast.service, request))['state'] === state,
    state,
    40_000,
  );
  return { request, state };
};

const WAYS: Record<string, () => Promise<Ended>> = {
  approved: async () => {
    const { request } = await held('plain');
    await approve(request);
    return comesTo(request, 'approved');
  },
  consumed: async () => {
    const { request } = await held('plain');
    await approve(request);
    await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
    return comesTo(request, 'consumed');
  },
  denied: async () => {
    const { request } = await held('plain');
    await vote(winner, request, 'deny', { reason: 'Too wide.', disposition: 'revise' });
    return comesTo(request, 'denied');
  },
  expired: async () => comesTo((await held('hasty')).request, 'expired'),
  lapsed: async () => {
    const { request } = await held('fleeting');
    await approve(request);
    return comesTo(request, 'expired');
  },
  cancelled: async () => {
    const { request } = await held('plain');
    await cast.agent.call('POST', `/v1/requests/${request}/cancel`, {});
    return comesTo(request, 'cancelled');
  },
  failed: async () => {
    const { request, task } = await held('plain');
    await approve(request);
    await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {});
    return comesTo(request, 'failed');
  },
  superseded: async () => {
    const { request } = await held('doomed');
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar': text(files['main.cedar']).replace(
        /@id\("take-doomed-by-doomed"\)[\s\S]*?;\n/,
        '',
      ),
    }));
    return comesTo(request, 'superseded');
  },
};

/** What somebody hears whose vote comes too late, and what the page then says. */
const EXPECTED: Record<string, { code: string; says: RegExp; page: RegExp }> = {
  approved: {
    code: 'already_decided',
    says: /already approved by Wilma Winner\.$/,
    page: /Approved by[\s\S]*Wilma Winner[\s\S]*not yet collected/,
  },
  consumed: {
    code: 'already_decided',
    says: /approved by Wilma Winner, and used/,
    page: /Approved by[\s\S]*Wilma Winner[\s\S]*and used/,
  },
  denied: {
    code: 'already_decided',
    says: /denied by Wilma Winner/,
    page: /Denied by[\s\S]*Wilma Winner[\s\S]*change it and ask again/,
  },
  expired: {
    code: 'request_expired',
    says: /expired without a decision/,
    page: /Nobody decided in time/,
  },
  lapsed: {
    code: 'already_decided',
    says: /approved by Wilma Winner, and the approval lapsed unused/,
    page: /Wilma Winner[\s\S]*never used/,
  },
  cancelled: {
    code: 'already_decided',
    says: /withdrawn: nobody decided/,
    page: /Withdrawn before anybody decided/,
  },
  failed: {
    code: 'already_decided',
    says: /approved by Wilma Winner, and could not be carried out \(task_not_running\)/,
    page: /could not be carried out: task not running/,
  },
  superseded: {
    code: 'already_decided',
    says: /superseded: the policy changed/,
    page: /Closed undecided: the policy changed/,
  },
};

describe('a request that ended', () => {
  it.each(Object.keys(WAYS))(
    '%s is told apart everywhere, and who decided is named',
    async (way) => {
      const ended = await WAYS[way]?.();
      const { request = '', state } = ended ?? {};
      const wanted = EXPECTED[way];
      const now = await seen(cast.service, request);
      const isDecided = !['expired', 'cancelled', 'superseded'].includes(way);
      const tooLate = await vote(late, request, 'approve');
      expect(tooLate.body['code']).toBe(wanted?.code);
      expect(text(tooLate.body['detail'])).toMatch(wanted?.says ?? /^$/);
      // An expiry is told by its code alone.
      const told = wanted?.code === 'already_decided' ? state : undefined;
      const by = isDecided ? winner.id : null;
      expect(tooLate.body['state']).toBe(told);
      expect(tooLate.body['decided_by']).toBe(told === undefined ? undefined : by);
      const page = await fetch(`${cast.service.url}/requests/${request}`, {
        headers: { cookie: late.cookie },
      });
      expect(await page.text()).toMatch(wanted?.page ?? /^$/);
      // What is over stays as it ended.
      const cancelled = await cast.agent.call('POST', `/v1/requests/${request}/cancel`, {});
      expect(cancelled.body['code']).toBe('already_decided');
      expect(await seen(cast.service, request)).toMatchObject({
        state: now['state'],
        votes: now['votes'],
      });
    },
  );

  it('says to its agent whether to change it and ask again, or to stop', async () => {
    for (const disposition of ['revise', 'stop']) {
      const { request } = await held('plain');
      await vote(winner, request, 'deny', { reason: 'Not so.', disposition });
      const { body } = await cast.agent.call('GET', `/v1/requests/${request}`);
      expect(object(body['denial'])).toEqual({ reason: 'Not so.', disposition });
    }
  });
});
