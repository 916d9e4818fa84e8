// A key whose call asks others first: however long they take, its effect happens once.
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { askThenAnswerOnce, fingerprintOf, type OnceKey } from '../../commands/once.ts';
import type { UnitDeps } from '../../commands/unit.ts';
import { Refusal } from '../../domain/refusal.ts';
import { openVault } from '../../keys/vault.ts';
import { BY_TEST } from '../support/replica.ts';
import { freshDatabase, type TestDatabase } from '../support/service.ts';

let database: TestDatabase;
let deps: UnitDeps;
let once: OnceKey;
let effects: string[];

beforeAll(async () => {
  database = await freshDatabase();
  const installation = {
    ...{ issuer: 'https://issuer.example', trustDomain: 'issuer.example', logOrigin: 'issuer/log' },
    createdAt: new Date().toISOString(),
  };
  const vault = openVault(randomBytes(32));
  deps = { db: database.owner, installation, vault, crashPoint: () => undefined };
});
afterAll(() => database.close());
beforeEach(() => {
  effects = [];
  once = { principal: 'p', route: 'r', key: randomUUID(), fingerprint: fingerprintOf({}) };
});

/** A call whose effect is what it was told. */
const call = (ask: () => Promise<string>) =>
  askThenAnswerOnce(deps, BY_TEST, once, ask, (_unit, told) => {
    effects.push(told);
    return Promise.resolve({ status: 201, body: { told } });
  });

const overdue = () =>
  database.owner.sql`
    update idempotency set locked_until = now() - interval '1 second' where key = ${once.key}`;

interface Gate {
  opened: Promise<string>;
  open: (told: string) => void;
  fail: (fault: Error) => void;
}

function gate(): Gate {
  let open: Gate['open'] = () => undefined;
  let fail: Gate['fail'] = () => undefined;
  const opened = new Promise<string>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { opened, open: (told) => open(told), fail: (fault) => fail(fault) };
}

describe('I8: a call that asks others first', () => {
  it('asks them once, and repeats its answer without them', async () => {
    await call(() => Promise.resolve('first'));
    const again = await call(() => Promise.reject(new Error('asked again')));
    expect(again).toMatchObject({ status: 201, body: { told: 'first' }, replayed: true });
    expect(effects).toEqual(['first']);
  });

  it('is in progress while they take their time', async () => {
    const { opened, open } = gate();
    const slow = call(() => opened);
    await expect.poll(() => claimed()).toBe(1);
    await expect(call(() => Promise.resolve('second'))).rejects.toMatchObject({
      code: 'idempotency_in_progress',
    });
    open('first');
    await slow;
    expect(effects).toEqual(['first']);
  });

  it('that a retry took over has the retry’s effect and answer, and no other', async () => {
    const { opened, open } = gate();
    const slow = call(() => opened);
    await expect.poll(() => claimed()).toBe(1);
    await overdue();
    await call(() => Promise.resolve('second'));
    open('first');
    expect(await slow).toMatchObject({ body: { told: 'second' }, replayed: true });
    expect(effects).toEqual(['second']);
  });

  it('that fails after a retry took over leaves the retry’s answer', async () => {
    const { opened, fail } = gate();
    const failing = call(() => opened);
    await expect.poll(() => claimed()).toBe(1);
    await overdue();
    await call(() => Promise.resolve('second'));
    fail(new Error('no answer'));
    await expect(failing).rejects.toThrow('no answer');
    expect(await call(() => Promise.resolve('third'))).toMatchObject({ body: { told: 'second' } });
    expect(effects).toEqual(['second']);
  });

  it('is free again when they refuse', async () => {
    const refused = new Refusal('unavailable', 'It cannot be asked.');
    await expect(call(() => Promise.reject(refused))).rejects.toBe(refused);
    expect(await call(() => Promise.resolve('then'))).toMatchObject({ body: { told: 'then' } });
  });
});

async function claimed(): Promise<number> {
  const rows = await database.owner.sql`
    select key from idempotency where key = ${once.key} and resource is not null`;
  return rows.length;
}
