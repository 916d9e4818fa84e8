// What runs out is over: the target refuses it by its own clock, and the reaper removes it soon after.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import { eventually } from '../support/client.ts';
import { giveLogin, opensDoor, stateOf, type Login } from '../support/leases.ts';

let cast: Cast;

beforeAll(async () => {
  cast = await startCast();
});
afterAll(() => cast.close());

const LOGINS = 15;

/** Tries what is over, one after the other, for as long as this; says which were let in. */
async function probe(logins: readonly Login[], seconds: number): Promise<Login[]> {
  const until = Date.now() + seconds * 1000;
  const letIn: Login[] = [];
  for (let at = 0; Date.now() < until; at += 1) {
    const over = logins.filter(({ expiresAt }) => Date.parse(expiresAt) < Date.now());
    const login = over[at % Math.max(1, over.length)];
    if (login && (await opensDoor(login))) letIn.push(login);
    await sleep(20);
  }
  return letIn;
}

describe('I3: logins that run out one after the other', () => {
  it('open to nobody after their time, and are removed', async () => {
    const task = await startTask(cast.agent);
    const logins = await Promise.all(
      Array.from({ length: LOGINS }, (_, at) =>
        giveLogin(cast, { ttl_seconds: 2 + (at % 5) }, task),
      ),
    );
    expect(await probe(logins, 8)).toEqual([]);
    for (const { id } of logins)
      await eventually(async () => (await stateOf(cast.service, id)) === 'expired');
  });

  it('open to nobody after their time though no worker runs', async () => {
    const task = await startTask(cast.agent);
    const login = await giveLogin(cast, { ttl_seconds: 4 }, task);
    expect(await opensDoor(login)).toBe(true);
    await cast.service.stopWorker();
    await sleep(Math.max(0, Date.parse(login.expiresAt) - Date.now()));
    expect(await probe([login], 3)).toEqual([]);
    expect(await stateOf(cast.service, login.id)).toBe('active');
  });
});
