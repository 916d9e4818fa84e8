import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import {
  actionDigest,
  guard,
  openClient,
  parsePrivateKey,
  type Client,
  type Permit,
} from '../../sdk/index.ts';
import { detailsOf, startCast, type Cast } from '../support/cast.ts';
import { admittedAgent, type TestAgent } from '../support/client.ts';
import { approvedFor, nameGates, type ForeignRequest } from '../support/foreign-requests.ts';
import { activateRoles } from '../support/policies.ts';

let cast: Cast;
let own: Service;
let gate: TestAgent;
let client: Client;

beforeAll(async () => {
  cast = await startCast();
  gate = await admittedAgent(cast.service, cast.owner.id, cast.approver);
  await nameGates(cast, [gate]);
  await activateRoles(cast, [{ name: 'gated', routes: { gated: '  groups: [data-owners]\n' } }]);
  own = await openService(cast.service.config, 'test', 4);
  const credential = { agent: gate.id, key: parsePrivateKey(gate.key.privateJwk) };
  client = openClient({ url: cast.service.url, credential });
});
afterAll(async () => {
  await own.close();
  await cast.close();
});

const approved = (): Promise<ForeignRequest> => approvedFor(cast, own, gate, cast.agent);
const uses = async ({ permit }: ForeignRequest): Promise<Permit['redemptions']> =>
  (await client.permits.get(permit)).redemptions;

describe('guarded work', () => {
  it('runs once on its permit, and leaves its receipt', async () => {
    const use = await approved();
    expect((await client.permits.signed(use.request)).action_digest).toBe(use.digest);
    expect(await guard(client, use, () => Promise.resolve(7))).toBe(7);
    const [only, ...more] = await uses(use);
    expect(more).toEqual([]);
    expect(only).toMatchObject({
      receipt: { outcome: 'done', digest_run: actionDigest(use.action), digest_matches: true },
      finding: null,
    });
  });

  it('that throws is answered for as failed, or as unknown, and the error goes on', async () => {
    for (const [isUnknown, outcome] of [
      [undefined, 'failed'],
      [() => true, 'unknown'],
    ] as const) {
      const use = await approved();
      const work = guard(client, { ...use, isUnknown }, () =>
        Promise.reject(new Error('it broke')),
      );
      await expect(work).rejects.toThrow('it broke');
      const [only] = await uses(use);
      expect(only?.receipt?.outcome).toBe(outcome);
    }
  });

  it('does not run at all without a redemption', async () => {
    const use = await approved();
    let ran = 0;
    const work = (): Promise<number> => Promise.resolve((ran += 1));
    const other = { ...use, action: { ...use.action, destination: 'https://elsewhere.example' } };
    await expect(guard(client, other, work)).rejects.toMatchObject({ code: 'digest_mismatch' });
    expect(ran).toBe(0);
    await guard(client, use, work);
    await expect(guard(client, use, work)).rejects.toMatchObject({ code: 'permit_used' });
    expect(ran).toBe(1);
  });

  it('answers for what was redeemed, whatever becomes of the object meanwhile', async () => {
    const use = await approved();
    await guard(client, use, () => {
      use.action['destination'] = 'https://elsewhere.example';
      return Promise.resolve();
    });
    expect(await detailsOf(cast.service, use.request, 'receipt.recorded')).toMatchObject([
      { digest_matches: true, outcome: 'done' },
    ]);
  });

  it('whose receipt is lost keeps its result, and says that it is lost', async () => {
    const use = await approved();
    const lost: unknown[] = [];
    const receipts = { record: () => Promise.reject(new Error('gone')) };
    const result = await guard(
      { ...client, receipts },
      { ...use, onReceiptLost: (error) => lost.push(error) },
      () => Promise.resolve('done'),
    );
    expect([result, lost.length]).toEqual(['done', 1]);
  });
});
