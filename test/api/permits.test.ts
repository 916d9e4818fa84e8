// Permits that leave the process: who may use them, for what, until when, how often, and what is owed afterwards.
import { randomBytes, randomUUID } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { findMissingReceipts } from '../../commands/approvals/receipts.ts';
import type { Call } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, detailsOf, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  bearer,
  eventually,
  list,
  text,
  vote,
  type Caller,
  type Reply,
  type TestAgent,
} from '../support/client.ts';
import {
  approvedFor,
  askFor,
  nameGates,
  type ForeignRequest,
} from '../support/foreign-requests.ts';
import { mutantsOf } from '../support/mutants.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let own: Service;
let gate: TestAgent;
let otherGate: TestAgent;
const call: Call = { principal: { kind: 'workflow', id: 'test' }, traceId: null };

beforeAll(async () => {
  cast = await startCast();
  const { service, owner, approver } = cast;
  gate = await admittedAgent(service, owner.id, approver);
  otherGate = await admittedAgent(service, owner.id, approver);
  await nameGates(cast, [gate, otherGate]);
  await activateRoles(cast, [
    { name: 'gated', routes: { gated: '  groups: [data-owners]\n' } },
    {
      name: 'often',
      routes: { often: '  groups: [data-owners]\n  uses: 3\n  receipt_within_seconds: 60\n' },
    },
    { name: 'doomed', routes: { doomed: '  groups: [data-owners]\n' } },
  ]);
  own = await openService(service.config, 'test', 4);
});
afterAll(async () => {
  await own.close();
  await cast.close();
});

type Asked = ForeignRequest;

const ask = (role?: string, agent: TestAgent = cast.agent): Promise<Asked> =>
  askFor(own, gate, agent, role);

const approved = (role?: string, agent: TestAgent = cast.agent): Promise<Asked> =>
  approvedFor(cast, own, gate, agent, role);

const sql = () => cast.service.database.owner.sql;

const redeem = (
  { permit, action }: Pick<Asked, 'permit' | 'action'>,
  by: Caller = gate,
  headers: Record<string, string> = {},
): Promise<Reply> => by.call('POST', `/v1/permits/${permit}/redeem`, { action }, headers);

const said = ({ status, body }: Reply): string => (status < 300 ? 'ok' : text(body['code']));

const receipt = (
  { permit, digest }: Pick<Asked, 'permit' | 'digest'>,
  redemption: string,
  more: JsonObject = {},
  by: Caller = gate,
): Promise<Reply> =>
  by.call('POST', '/v1/receipts', {
    permit,
    redemption,
    outcome: 'done',
    digest_run: digest,
    ...more,
  });

const refusals = async (request: string): Promise<string[]> =>
  (await detailsOf(cast.service, request, 'permit.refused')).map((each) => text(each['code']));

const signed = (request: string, by: Caller = gate): Promise<Reply> =>
  by.call('GET', `/v1/requests/${request}/permit`);

/** What is a finding now, as people see it. */
const findingsPage = async (): Promise<string> => {
  const { cookie } = cast.approver;
  return (await fetch(`${cast.service.url}/findings`, { headers: { cookie } })).text();
};

describe('the signed form of a permit', () => {
  it('says what was approved, for whom and until when, and is signed with a published key', async () => {
    const { request, permit, digest } = await approved();
    const reply = await signed(request);
    expect(reply.body).toMatchObject({ id: permit, audience: gate.id, uses: 1, uses_left: 1 });
    const token = text(reply.body['permit']);
    expect(decodeProtectedHeader(token).typ).toBe('permit+jwt');
    const { issuer } = own.deps.installation;
    const claims = await own.deps.tokens.verify(token, 'permit+jwt', issuer, gate.id);
    expect(claims).toMatchObject({
      sub: cast.agent.id,
      jti: permit,
      action_digest: digest,
      request,
      uses: 1,
    });
    expect(Number(claims?.exp) * 1000).toBeLessThanOrEqual(
      Date.parse(text(reply.body['expires_at'])),
    );
  });

  it('is handed to whoever asked and to its enforcement point, and to no other agent', async () => {
    const { request, permit } = await approved();
    expect((await signed(request, cast.agent)).status).toBe(200);
    expect(said(await signed(request, otherGate))).toBe('not_found');
    expect(said(await otherGate.call('GET', `/v1/permits/${permit}`))).toBe('not_found');
  });

  it('is not there before the decision, after a no, or for what we carry out ourselves', async () => {
    const { request } = await ask();
    expect(said(await signed(request))).toBe('not_approved');
    await vote(cast.approver, request, 'deny');
    expect(said(await signed(request))).toBe('not_approved');
    const [row] = await sql()<{ id: string; request: string }[]>`
      select permit.id, request from permit join request on request.id = permit.request
      where audience is null limit 1`;
    expect(said(await signed(row?.request ?? '', admin(cast.service)))).toBe('not_found');
    expect(said(await admin(cast.service).call('GET', `/v1/permits/${row?.id}`))).toBe('not_found');
  });

  it('opens nothing as if it were an access token', async () => {
    const { request } = await approved();
    const token = text((await signed(request)).body['permit']);
    expect((await bearer(cast.service, token).call('GET', '/v1/requests')).status).toBe(401);
  });
});

describe('I2: a permit is redeemed for exactly what was approved, as often as was agreed', () => {
  it('once, and the request is over', async () => {
    const use = await approved();
    const reply = await redeem(use);
    expect(reply.body).toMatchObject({ uses_left: 0 });
    expect(said(await redeem(use))).toBe('permit_used');
    expect((await seen(cast.service, use.request))['state']).toBe('consumed');
    expect(await refusals(use.request)).toEqual(['permit_used']);
    const [event] = await detailsOf(cast.service, use.request, 'permit.redeemed');
    expect(event).toMatchObject({ permit: use.permit, redemption: reply.body['redemption'] });
  });

  it.each([
    ['gated', 1],
    ['often', 3],
  ])('by twenty at once under %s: %i times', async (role, uses) => {
    const use = await approved(role);
    const replies = await Promise.all(Array.from({ length: 20 }, () => redeem(use)));
    const codes = replies.map(said);
    expect(codes.filter((code) => code === 'ok')).toHaveLength(uses);
    expect(codes.filter((code) => code === 'permit_used')).toHaveLength(20 - uses);
    const numbers = await sql()<{ number: number }[]>`
      select number from redemption where permit = ${use.permit} order by number`;
    expect(numbers.map(({ number }) => number)).toEqual(
      Array.from({ length: uses }, (_, at) => at + 1),
    );
  });

  it('I8: and the same call again is the same use', async () => {
    const use = await approved('often');
    const key = { 'idempotency-key': randomUUID() };
    const first = await redeem(use, gate, key);
    const again = await redeem(use, gate, key);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect((await redeem(use)).body['uses_left']).toBe(1);
  });

  it('SEC-A4: not for an action of which one byte is another, one member more or one less', async () => {
    const use = await approved();
    const { action } = use;
    for (const other of [...mutantsOf(action), {}])
      expect(said(await redeem({ ...use, action: other }))).toBe('digest_mismatch');
    expect(new Set(await refusals(use.request))).toEqual(new Set(['digest_mismatch']));
    expect(said(await redeem(use))).toBe('ok');
  });

  it('not by another enforcement point, whoever asked, or automation; the log has it', async () => {
    const use = await approved();
    for (const by of [otherGate, cast.agent, admin(cast.service)])
      expect(said(await redeem(use, by))).toBe('not_found');
    expect(await refusals(use.request)).toEqual(Array(3).fill('other_audience'));
    expect(said(await redeem(use))).toBe('ok');
  });

  it('not under an id that there is not, nor under that of a permit that we redeem ourselves', async () => {
    const [row] = await sql()<{ id: string }[]>`
      select permit.id from permit join request on request.id = permit.request
      where audience is null limit 1`;
    for (const permit of [row?.id ?? '', 'prm_00000000000000000000000000', 'x'])
      expect(said(await redeem({ permit, action: {} }))).toBe('not_found');
  });
});

describe('what stood when it was approved is asked again when it is redeemed', () => {
  it('not after its time', async () => {
    const use = await approved();
    await sql()`update permit set expires_at = now() - interval '1 second' where id = ${use.permit}`;
    expect(said(await redeem(use))).toBe('approval_lapsed');
    const late = await approved();
    await sql()`update request set approved_until = now() - interval '1 second' where id = ${late.request}`;
    await sql()`update permit set expires_at = now() - interval '1 second' where id = ${late.permit}`;
    await eventually(async () => said(await redeem(late)) === 'approval_lapsed');
    expect(said(await signed(late.request))).toMatch(/approval_lapsed|not_approved/);
  });

  it('not once its task is over', async () => {
    const use = await approved();
    await cast.agent.call('POST', `/v1/tasks/${use.task}/complete`, {});
    expect(said(await redeem(use))).toBe('task_not_running');
    expect(await refusals(use.request)).toEqual(['task_not_running']);
  });

  it('not for an agent that is suspended, nor once that is resumed: it has to ask again', async () => {
    const agent = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const use = await approved('gated', agent);
    const steward = admin(cast.service);
    await steward.call('POST', `/v1/agents/${agent.id}/suspend`, { reason: 'drill' });
    expect(said(await redeem(use))).toBe('agent_not_active');
    await steward.call('POST', `/v1/agents/${agent.id}/resume`, { reason: 'drill over' });
    expect(said(await redeem(use))).toBe('agent_not_active');
  });

  it('not by whom policy no longer names as an enforcement point', async () => {
    const use = await approved();
    const rename = (from: string, to: string): Promise<Reply> =>
      changePolicy(cast.service, cast.approver, (files) => ({
        ...files,
        'roles.yaml': (files['roles.yaml'] ?? '').replace(from, to),
      }));
    await rename(gate.name, 'somebody-else');
    expect(said(await redeem(use))).toBe('forbidden');
    expect(await refusals(use.request)).toEqual(['forbidden']);
    await rename('somebody-else', gate.name);
    expect(said(await redeem(use))).toBe('ok');
  });

  it('not when policy changed underneath: it is void from then on', async () => {
    const use = await approved('doomed');
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar': (files['main.cedar'] ?? '').replace('@approval("doomed")\npermit', 'forbid'),
    }));
    expect(said(await redeem(use))).toBe('policy_changed');
    expect(said(await redeem(use))).toBe('policy_changed');
    const [row] = await sql()<{ state: string; used: number }[]>`
      select state, used from permit where id = ${use.permit}`;
    expect(row).toEqual({ state: 'voided', used: 0 });
    expect(await detailsOf(cast.service, use.request, 'permit.voided')).toHaveLength(1);
  });
});

describe('a receipt', () => {
  const used = async (role = 'gated'): Promise<Asked & { redemption: string }> => {
    const use = await approved(role);
    return { ...use, redemption: text((await redeem(use)).body['redemption']) };
  };
  const overdue = (redemption: string): Promise<unknown> =>
    sql()`update redemption set receipt_due_at = now() - interval '1 second' where id = ${redemption}`;
  const findings = async (request: string, type = 'finding.raised'): Promise<JsonObject[]> =>
    detailsOf(cast.service, request, type);
  const listed = async (finding: string): Promise<string[]> => {
    const reply = await cast.approver.call('GET', `/v1/permits?finding=${finding}`);
    return list(reply.body['data']).map(({ id }) => text(id));
  };

  it('closes the loop: what ran is what was approved', async () => {
    const { request, redemption, ...use } = await used();
    const result = `sha256:${randomBytes(32).toString('hex')}`;
    const reply = await receipt(use, redemption, { result_digest: result });
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({
      finding: null,
      receipt: { outcome: 'done', digest_matches: true, result_digest: result, is_late: false },
    });
    expect(await detailsOf(cast.service, request, 'receipt.recorded')).toEqual([
      { permit: use.permit, digest_matches: true, outcome: 'done', effect: redemption },
    ]);
    expect(await findings(request)).toEqual([]);
  });

  it('said twice is said once, and said otherwise is refused', async () => {
    const { request, redemption, ...use } = await used();
    await receipt(use, redemption);
    expect((await receipt(use, redemption)).status).toBe(201);
    expect(said(await receipt(use, redemption, { outcome: 'failed' }))).toBe('receipt_conflict');
    const other = { digest_run: `sha256:${'0'.repeat(64)}` };
    expect(said(await receipt(use, redemption, other))).toBe('receipt_conflict');
    expect(await detailsOf(cast.service, request, 'receipt.recorded')).toHaveLength(1);
  });

  it('is taken from the enforcement point alone, and for its own uses alone', async () => {
    const one = await used();
    const two = await used();
    expect(said(await receipt(one, one.redemption, {}, otherGate))).toBe('not_found');
    expect(said(await receipt(one, two.redemption))).toBe('not_found');
    expect(said(await receipt(one, 'rdm_00000000000000000000000000'))).toBe('not_found');
    expect(said(await receipt({ ...one, digest: 'none' }, one.redemption))).toBe('invalid_request');
  });

  it('of something else than what was approved is kept, and is a finding', async () => {
    const { request, redemption, ...use } = await used();
    const reply = await receipt(use, redemption, { digest_run: `sha256:${'0'.repeat(64)}` });
    expect(reply.body).toMatchObject({ finding: 'digest_mismatch' });
    expect(await findings(request)).toEqual([
      { kind: 'digest_mismatch', permit: use.permit, redemption },
    ]);
    expect(await listed('digest_mismatch')).toContain(use.permit);
  });

  it('that does not come in time is a finding: once, whoever looks', async () => {
    const { request, redemption, permit } = await used();
    await overdue(redemption);
    await Promise.all(Array.from({ length: 5 }, () => findMissingReceipts(own.deps, call)));
    expect(await findings(request)).toEqual([{ kind: 'receipt_missing', permit, redemption }]);
    await findMissingReceipts(own.deps, call);
    expect(await findings(request)).toHaveLength(1);
    expect(await listed('receipt_missing')).toContain(permit);
    expect(await findingsPage()).toContain(permit);
  });

  it('that comes late closes the finding, and stays late', async () => {
    const { request, redemption, ...use } = await used();
    await overdue(redemption);
    await findMissingReceipts(own.deps, call);
    const reply = await receipt(use, redemption, { outcome: 'failed' });
    expect(reply.body).toMatchObject({ finding: null, receipt: { is_late: true } });
    expect(await findings(request, 'finding.closed')).toEqual([
      { kind: 'receipt_missing', permit: use.permit, redemption },
    ]);
    expect(await listed('receipt_missing')).not.toContain(use.permit);
    expect(await findingsPage()).not.toContain(use.permit);
  });

  it('is looked for by the worker itself, as soon as it is due', async () => {
    const { request, redemption } = await used();
    await overdue(redemption);
    await eventually(async () => (await findings(request)).length > 0, 'the finding');
    expect(await findings(request)).toHaveLength(1);
  });

  it('is due when its route says', async () => {
    const use = await approved('often');
    const before = Date.now();
    const due = Date.parse(text((await redeem(use)).body['receipt_due_at']));
    expect((due - before) / 1000).toBeGreaterThan(30);
    expect((due - before) / 1000).toBeLessThan(75);
  });
});
