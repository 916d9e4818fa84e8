// What a look at a target comes to: differences, gaps and silence. The target is a stand-in that says what a test wants.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { lookForIdentities, lookWhenDue } from '../../commands/agents/discovery.ts';
import { recordLooks, type Discovered } from '../../commands/agents/record-look.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import type { Deps } from '../../commands/deps.ts';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { changePolicy } from '../../commands/policy/change-policy.ts';
import { readActiveBundle, storePolicy } from '../../commands/policy/policies.ts';
import { transact } from '../../commands/unit.ts';
import {
  censusOf,
  PLAIN_FACTS,
  type Census,
  type Found,
  type FoundFacts,
  type Gap,
} from '../../domain/found-identity.ts';
import type { JsonObject } from '../../domain/json.ts';
import { admin, eventually, list, newKey, object, person, text } from '../support/client.ts';
import { eventsAbout } from '../support/leases.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let opened: Service;
let says: () => Promise<Census>;
let deps: Deps;
const call = { principal: { kind: 'workflow' as const, id: 'discovery:sample' }, traceId: null };

beforeAll(async () => {
  service = await startService();
  opened = await openService(service.config, 'test', 4);
  const { issuers } = opened.deps;
  deps = {
    ...opened.deps,
    issuers: { ...issuers, postgres: { ...issuers.postgres, discover: () => says() } },
  };
});
afterAll(async () => {
  await opened.close();
  await service.close();
});
afterEach(async () => {
  await service.database.owner.sql`delete from found_identity`;
  await service.database.owner.sql`delete from target_look`;
});

const login = (name: string, more: Partial<FoundFacts> = {}, kind: Found['kind'] = 'login') => ({
  name,
  kind,
  reference: name,
  facts: { ...PLAIN_FACTS, expiresAt: '2100-01-01T00:00:00.000Z', ...more },
});
const has = (found: readonly Found[], gaps: readonly Gap[] = []): void => {
  says = () => Promise.resolve(censusOf(found, gaps));
};
const isSilent = (code = 'unreachable'): void => {
  says = () => Promise.reject(new TargetError(code));
};
async function look(): Promise<Discovered> {
  const looks = await lookForIdentities(deps, call, 'sample');
  const [said] = await transact(deps, call, (unit) => recordLooks(unit, looks));
  if (!said) throw new Error('nothing came of a look');
  return said;
}
const get = async (path: string): Promise<JsonObject[]> =>
  list((await admin(service).call('GET', path)).body['data']);
const foundAs = async (name: string): Promise<JsonObject> =>
  (await get('/v1/discovery?limit=500')).find((row) => row['name'] === name) ?? {};
const targetRow = async (): Promise<JsonObject> =>
  (await get('/v1/discovery/targets')).find(({ target }) => target === 'sample') ?? {};
/** Moves what is known of the target into the past. */
const age = (seconds: number) =>
  service.database.owner
    .sql`update target_look set since = since - ${seconds} * interval '1 second',
    asked_at = asked_at - ${seconds} * interval '1 second'`;

describe('what is different since the last look', () => {
  it('is new, changed or gone, each an event, and the list shows nothing else', async () => {
    has([login('stays'), login('grows'), login('leaves')]);
    expect(await look()).toMatchObject({ found: 3, changed: 0, gone: 0, identities: 3 });
    has([login('stays'), login('grows', { groups: ['admins'] }), login('arrives')]);
    expect(await look()).toMatchObject({ found: 1, changed: 1, gone: 1, identities: 3 });
    const different = await get('/v1/discovery?different=true');
    expect(different.map(({ name }) => text(name)).toSorted()).toEqual([
      'arrives',
      'grows',
      'leaves',
    ]);
    const grown = await foundAs('grows');
    expect(grown['difference']).toMatchObject({ kind: 'changed', changes: ['groups'] });
    expect(grown['state']).toBe('unmanaged');
    expect(await eventsAbout(service, text(grown['id']), 'identity.changed')).toEqual([
      expect.objectContaining({ target: 'sample', kind: 'login', changes: ['groups'], risks: [] }),
    ]);
    expect(await targetRow()).toMatchObject({ found: 1, changed: 1, gone: 1, code: null });
    expect(await look()).toMatchObject({ found: 0, changed: 0, gone: 0 });
    expect(await get('/v1/discovery?different=true')).toEqual([]);
    expect((await foundAs('grows'))['difference']).toMatchObject({ kind: 'changed' });
  });

  it('is no change of what somebody decided, unless there is more against it', async () => {
    has([login('spared')]);
    await look();
    const { id } = await foundAs('spared');
    await admin(service).call('POST', `/v1/discovery/${text(id)}/ignore`, { reason: 'known' });
    has([login('spared', { comment: 'owned by nobody' })]);
    await look();
    expect(await foundAs('spared')).toMatchObject({
      state: 'ignored',
      reason: 'known',
      comment: 'owned by nobody',
    });
    has([login('spared', { seenRisks: ['no_password'] })]);
    await look();
    expect(await foundAs('spared')).toMatchObject({ state: 'unmanaged', risks: ['no_password'] });
  });

  it('is seen in use when the target counts more uses than before, and not when it counts the same', async () => {
    for (const [uses, isUsed] of [
      [7, false],
      [7, false],
      [8, true],
    ] as const) {
      has([login('worker', { uses })]);
      await look();
      expect((await foundAs('worker'))['used_at'] !== null).toBe(isUsed);
    }
  });

  it('takes the target at its word for when it was used', async () => {
    const usedAt = '2026-01-02T03:04:05.000Z';
    has([login('worker', { usedAt })]);
    await look();
    expect(await foundAs('worker')).toMatchObject({ used_at: usedAt, risks: ['unseen_90_days'] });
  });
});

describe('what a target does not list', () => {
  it('I6: is a gap that is shown, and takes nothing of that kind away', async () => {
    has([login('person'), login('KEY1', {}, 'access_key'), login('role', {}, 'role')]);
    await look();
    has([login('person')], [{ kind: 'access_key', code: 'access_denied' }]);
    expect(await look()).toMatchObject({
      gone: 1,
      gaps: [{ kind: 'access_key', code: 'access_denied' }],
    });
    expect((await foundAs('KEY1'))['state']).toBe('unmanaged');
    expect((await foundAs('role'))['state']).toBe('gone');
    expect((await targetRow())['gaps']).toEqual([{ kind: 'access_key', code: 'access_denied' }]);
    const told = await eventsAbout(service, 'sample', 'target.discovered');
    expect(told.at(-1)?.['gaps']).toEqual(['access_key access_denied']);
  });

  it('I6: is more than one look takes in, which is counted, and nothing is taken for gone', async () => {
    has([login('zz last')]);
    await look();
    says = () => Promise.resolve({ ...censusOf([login('aa first')]), leftOut: 3 });
    expect(await look()).toMatchObject({ identities: 2, leftOut: 3, gone: 0 });
    expect((await foundAs('zz last'))['state']).toBe('unmanaged');
    expect(await targetRow()).toMatchObject({ left_out: 3, identities: 1 });
    const told = await eventsAbout(service, 'sample', 'target.discovered');
    expect(told.at(-1)?.['left_out']).toBe(3);
  });
});

describe('a target that says nothing', () => {
  it('I1: is an event, and shows when it last was asked and when it last answered', async () => {
    has([login('stays')]);
    await look();
    const before = await targetRow();
    await sleep(5);
    isSilent();
    expect(await look()).toMatchObject({ code: 'unreachable', identities: 1, gone: 0 });
    const after = await targetRow();
    expect(after).toMatchObject({ code: 'unreachable', answered_at: before['answered_at'] });
    expect(text(after['asked_at']) > text(before['asked_at'])).toBe(true);
    const [failed] = await eventsAbout(service, 'sample', 'target.discovery_failed');
    expect(failed).toMatchObject({ code: 'unreachable', answered_at: before['answered_at'] });
    expect((await foundAs('stays'))['state']).toBe('unmanaged');
    has([login('stays')]);
    await look();
    expect((await targetRow())['code']).toBeNull();
  });
});

describe('one look at a time', () => {
  it('has a target asked once however many ask, and says so to the others', async () => {
    let asked = 0;
    says = async () => {
      asked += 1;
      await sleep(300);
      return censusOf([login('one')]);
    };
    const codes = await Promise.all(
      Array.from({ length: 4 }, () => look().then(({ code }) => code)),
    );
    expect(asked).toBe(1);
    expect(codes.filter((code) => code === null)).toHaveLength(1);
    expect(codes.filter((code) => code === 'look_under_way')).toHaveLength(3);
    expect((await look()).code).toBeNull();
  });

  it('lets somebody else ask where whoever asked died on the way', async () => {
    has([login('one')]);
    await lookForIdentities(deps, call, 'sample');
    expect((await look()).code).toBe('look_under_way');
    await service.database.owner
      .sql`update target_look set asking_until = clock_timestamp() - interval '1 second'`;
    expect((await look()).code).toBeNull();
  });
});

describe('a look that comes by itself', () => {
  const due = () => lookWhenDue(deps, call, 'sample');
  const inSeconds = ({ nextAt }: { nextAt: string | null }): number =>
    Math.round((Date.parse(nextAt ?? '') - Date.now()) / 100) / 10;

  it('waits a while at first, then looks once a day', async () => {
    has([login('one')]);
    expect(inSeconds(await due())).toBeCloseTo(600, -1);
    expect((await targetRow())['asked_at']).toBeNull();
    await age(599);
    await due();
    expect((await targetRow())['asked_at']).toBeNull();
    await age(1);
    expect(inSeconds(await due())).toBeCloseTo(86_400, -1);
    const row = await targetRow();
    expect(row).toMatchObject({ code: null, identities: 1 });
    expect(Date.parse(text(row['next_at'])) - Date.parse(text(row['asked_at']))).toBe(86_400_000);
    await due();
    expect((await targetRow())['asked_at']).toBe(row['asked_at']);
    const [told] = await eventsAbout(service, 'sample', 'target.discovered').then((all) =>
      all.slice(-1),
    );
    expect(told?.['by']).toEqual({ type: 'workflow', id: 'discovery:sample' });
  });

  it('comes again within the hour where the target said nothing', async () => {
    isSilent();
    await due();
    await age(600);
    expect(inSeconds(await due())).toBeCloseTo(3_600, -1);
  });

  it('is not due while somebody else asks', async () => {
    has([login('one')]);
    await lookForIdentities(deps, call, 'sample');
    expect(inSeconds(await due())).toBeCloseTo(300, -1);
  });

  it('is none for a target that policy does not have', async () => {
    expect(await lookWhenDue(deps, call, 'nowhere')).toEqual({ nextAt: null });
  });
});

describe('a running worker', () => {
  it('looks by itself, when it is time, as the discovery of the target', async () => {
    const wake = () =>
      transact(deps, call, (unit) => {
        unit.wake('discovery', 'discovery:sample');
        return Promise.resolve();
      });
    await wake();
    await eventually(async () => (await targetRow())['next_at'] !== null);
    expect((await targetRow())['asked_at']).toBeNull();
    await age(601);
    await wake();
    await eventually(async () => (await targetRow())['answered_at'] !== null);
    expect((await foundAs('legacy_batch'))['state']).toBe('unmanaged');
    const told = await eventsAbout(service, 'sample', 'target.discovered');
    expect(told.at(-1)?.['by']).toEqual({ type: 'workflow', id: 'discovery:sample' });
  });

  it('begins with a target as soon as a policy has it', async () => {
    const { files } = await readActiveBundle(opened.db.query, opened.deps.policies);
    const roles = (files['roles.yaml'] ?? '').replace(
      'targets:',
      'targets:\n  cache:\n    issuer: redis\n    url_from: NOT_SET\n    discover_every_seconds: 300',
    );
    const bundle = parsePolicyBundle({ ...files, 'roles.yaml': roles });
    await transact(deps, call, async (unit) => {
      await storePolicy(unit, bundle);
      return changePolicy(unit, opened.deps, bundle.version);
    });
    const cache = async () =>
      (await get('/v1/discovery/targets')).find(({ target }) => target === 'cache') ?? {};
    await eventually(async () => (await cache())['next_at'] !== null);
    const next = Date.parse(text((await cache())['next_at'])) - Date.now();
    // As often as the policy says, where that is sooner than a first look otherwise is.
    expect(next).toBeLessThanOrEqual(300_000);
  });
});

describe('what Countersign itself works through', () => {
  it('is told apart, and no agent takes over from it', async () => {
    const owner = await person(service, 'Olga Owner', []);
    for (const serves of ['issuer', 'observer'] as const) {
      has([login(`our ${serves}`, { serves })]);
      await look();
      const { id } = await foundAs(`our ${serves}`);
      const reply = await admin(service).call('POST', `/v1/discovery/${text(id)}/adopt`, {
        owner: owner.id,
        team: 'core',
        purpose: 'none',
        keys: [(await newKey()).publicJwk],
      });
      expect([reply.status, reply.body['code']]).toEqual([409, 'wrong_state']);
      expect(object(await foundAs(`our ${serves}`))['agent']).toBeNull();
    }
  });
});
