// A target's discovery: asked as often as policy says, for as long as it has the target.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { failing, iso, scheduledAt } from '../support/hands.ts';
import { openWorkbench, type HandCall, type Workbench } from '../support/workbench.ts';

const DAY = 86_400;
let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const daily = () => Promise.resolve({ nextAt: iso(scheduledAt() + DAY * 1000) });
const gapsOf = (calls: readonly HandCall[]): number[] =>
  calls.slice(1).map((call, at) => (call.at - (calls[at]?.at ?? 0)) / 1000);

describe('the discovery of a target', () => {
  it('asks when it is time, and not before', async () => {
    await bench.play({ discoverTarget: daily }, async (stage) => {
      await stage.start('discovery', 'sample');
      await bench.skip(10 * DAY + 600);
      const calls = stage.callsOf('discoverTarget');
      expect(calls).toHaveLength(11);
      expect(calls[0]?.input).toEqual(['sample']);
      for (const gap of gapsOf(calls)) expect(Math.abs(gap - DAY)).toBeLessThan(60);
    });
  });

  it('looks at its rows again when it is woken: policy may say another time now', async () => {
    await bench.play({ discoverTarget: daily }, async (stage) => {
      const handle = await stage.start('discovery', 'sample');
      await expect.poll(() => stage.callsOf('discoverTarget').length).toBe(1);
      await stage.wake(handle);
      await expect.poll(() => stage.callsOf('discoverTarget').length, { timeout: 10_000 }).toBe(2);
    });
  });

  it('is not ended by faults, however many', async () => {
    await bench.play({ discoverTarget: failing(20, daily) }, async (stage) => {
      await stage.start('discovery', 'sample');
      await bench.skip(20 * 700);
      expect(stage.callsOf('discoverTarget').at(-1)?.attempt).toBe(21);
    });
  });

  it('ends where policy has the target no more', async () => {
    const discoverTarget = () => Promise.resolve({ nextAt: null });
    await bench.play({ discoverTarget }, async (stage) => {
      const gone = await stage.start('discovery', 'gone');
      expect(await stage.ended(gone)).toBe('unknown');
    });
  });

  it('goes on where a wake crosses with its end: policy may have the target again', async () => {
    let isThere = false;
    const discoverTarget = () => (isThere ? daily() : Promise.resolve({ nextAt: null }));
    await bench.play({ discoverTarget }, async (stage) => {
      const kept = await stage.start('discovery', 'kept');
      await expect.poll(() => stage.callsOf('discoverTarget').length, { interval: 20 }).toBe(1);
      isThere = true;
      await stage.wake(kept);
      await bench.skip(DAY + 60);
      expect(stage.callsOf('discoverTarget')).toHaveLength(3);
      expect((await kept.describe()).status.name).toBe('RUNNING');
    });
  });
});
