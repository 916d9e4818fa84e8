// What is asked of people is measured, and told to those who watch it: nobody is refused by it, and nothing is approved.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  list,
  object,
  person,
  vote,
  type Caller,
  type TestPerson,
} from '../support/client.ts';
import { replacing } from '../support/policy-files.ts';

let cast: Cast;
let auditor: TestPerson;
const requests: string[] = [];
const CROSSED = 'dev.countersign.attention.exceeded.v1';

beforeAll(async () => {
  cast = await startCast();
  auditor = await person(cast.service, 'Nora', [], { roles: ['auditor'] });
  await changePolicy(
    cast.service,
    cast.approver,
    replacing(
      'routes.yaml',
      '  title: Write to orders\n',
      '  title: Write to orders\n  attention_budget: { per_approver_per_day: 2 }\n',
    ),
  );
  for (const decision of ['approve', 'deny', 'approve', 'approve'] as const) {
    const { request } = await hold(cast.agent, cast.seal);
    requests.push(request);
    await vote(cast.approver, request, decision);
  }
});
afterAll(() => cast.close());

const report = async (reader: Caller, query = '') =>
  reader.call('GET', `/v1/reports/attention${query}`);

const ruleIn = async (reader: Caller) =>
  list((await report(reader)).body['rules']).find(({ rule }) => rule === 'write-orders');

describe('an attention budget', () => {
  it('refuses nobody: the vote that crosses it counts like any other, and is on record once', async () => {
    const [, , third = '', fourth = ''] = requests;
    expect(['approved', 'consumed']).toContain((await seen(cast.service, third))['state']);
    expect(await detailsOf(cast.service, third, CROSSED)).toEqual([
      { person: cast.approver.id, route: 'orders-write', votes: 3, budget: 2 },
    ]);
    expect(await detailsOf(cast.service, fourth, CROSSED)).toEqual([]);
  });

  it('warns whoever crossed it on the page of the next request, and nobody else', async () => {
    const { request } = await hold(cast.agent, cast.seal);
    const shown = await cast.approver.call('GET', `/requests/${request}`);
    expect(shown.text).toContain('You decided 4 requests on orders-write within a day');
    const other = await auditor.call('GET', `/requests/${request}`);
    expect(other.text).not.toContain('within a day');
  });

  it('is no part of the rule that people agreed under: changing it closes nothing', async () => {
    const { request } = await hold(cast.agent, cast.seal);
    await changePolicy(
      cast.service,
      cast.approver,
      replacing('routes.yaml', 'per_approver_per_day: 2', 'per_approver_per_day: 3'),
    );
    expect((await seen(cast.service, request))['state']).toBe('pending');
  });
});

describe('the report', () => {
  it('counts what each rule asked, with n and bounds', async () => {
    const rule = await ruleIn(admin(cast.service));
    expect(rule).toMatchObject({
      routes: ['orders-write'],
      requests: 6,
      open: 2,
      denied: { k: 1, n: 4, enough: false },
      narrowed: { k: 0, n: 4 },
      expired: { k: 0, n: 4 },
      proposals: [],
    });
    expect(rule?.['median_seconds_to_decide']).toBeTypeOf('number');
  });

  it('names approvers to auditors, whose reading is on record, and to nobody else', async () => {
    const named = list((await report(auditor)).body['approvers']);
    const ada = named.find(({ name }) => name === 'Ada');
    expect(ada).toMatchObject({ person: cast.approver.id });
    expect(ada?.['most_open_at_once']).toBeGreaterThanOrEqual(2);
    expect(ada?.['over_budget']).toEqual([{ route: 'orders-write', most_per_day: 4, budget: 3 }]);
    const { text: whole, body } = await report(admin(cast.service));
    expect(list(body['approvers'])[0]).toMatchObject({
      alias: 'approver 1',
      person: null,
      name: null,
    });
    expect(whole).not.toContain(cast.approver.id);
    expect(whole).not.toContain('Ada');
    const path = '/v1/events?type=dev.countersign.report.read.v1&limit=500';
    const read = list((await admin(cast.service).call('GET', path)).body['data']);
    const by = read.map((event) => object(object(object(event['data'])['detail'])['by'])['id']);
    expect(by).toContain(auditor.id);
  });

  it('is for auditors and administrators, and for a period that is one', async () => {
    for (const caller of [cast.owner, cast.agent]) expect((await report(caller)).status).toBe(403);
    const empty = await report(auditor, '?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z');
    expect(empty.body['code']).toBe('invalid_request');
    const past = await report(auditor, '?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z');
    expect(past.body).toMatchObject({ requests: 0, approvers: [], rules: [] });
  });

  it('is a page as well, which proposes nothing where nothing is justified', async () => {
    const shown = await auditor.call('GET', '/attention');
    expect(shown.status).toBe(200);
    expect(shown.text).toContain('write-orders');
    expect(shown.text).toContain('no reason to ask less');
  });
});
