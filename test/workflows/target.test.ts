// A target's workflow: the only reaper. What is due there is ended in batches, on time, and for as long as it takes.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Activities } from '../../workflows/contract.ts';
import { failing, iso, nothing, scheduledAt } from '../support/hands.ts';
import { openWorkbench, type HandCall, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

type TargetHands = Pick<Activities, 'reapTarget' | 'sweepTarget'>;

const quiet: TargetHands = {
  reapTarget: () => Promise.resolve({ nextDueAt: null, more: false }),
  sweepTarget: nothing,
};

const gapsOf = (calls: readonly HandCall[]): number[] =>
  calls.slice(1).map((call, at) => (call.at - (calls[at]?.at ?? 0)) / 1000);

describe('a target', () => {
  it('has everything that is due ended, batch after batch, without a pause between them', async () => {
    let batches = 5;
    const reapTarget = () => {
      batches -= 1;
      return Promise.resolve({ nextDueAt: null, more: batches > 0 });
    };
    await bench.play({ ...quiet, reapTarget }, async (stage) => {
      await stage.start('target', 'sample');
      // Time is not skipped here.
      await expect.poll(() => stage.callsOf('reapTarget').length, { timeout: 15_000 }).toBe(5);
      await sleep(1_000);
      expect(stage.callsOf('reapTarget')).toHaveLength(5);
    });
  });

  it('I3: has what falls due ended when it does, not at the next round', async () => {
    let dueAt = Infinity;
    const reapTarget = () => {
      if (dueAt === Infinity) dueAt = scheduledAt() + 7_000;
      const isOver = scheduledAt() >= dueAt;
      return Promise.resolve({ nextDueAt: isOver ? null : iso(dueAt), more: false });
    };
    await bench.play({ ...quiet, reapTarget }, async (stage) => {
      await stage.start('target', 'sample');
      await bench.skip(15);
      const onTime = stage.callsOf('reapTarget').find(({ at }) => at >= dueAt);
      expect(onTime?.at).toBeLessThan(dueAt + 9_000);
    });
  });

  it('I3: has what is revoked ended at once when woken', async () => {
    await bench.play(quiet, async (stage) => {
      const handle = await stage.start('target', 'sample');
      await expect.poll(() => stage.callsOf('sweepTarget').length).toBe(1);
      await sleep(300);
      const before = stage.callsOf('reapTarget').length;
      await stage.wake(handle);
      await expect
        .poll(() => stage.callsOf('reapTarget').length, { timeout: 12_000 })
        .toBe(before + 1);
    });
  });

  it('I3: is asked again for ever when it cannot be reached, at most 30 s apart, and served when it is back', async () => {
    const reapTarget = failing(50, quiet.reapTarget);
    await bench.play({ ...quiet, reapTarget }, async (stage) => {
      await stage.start('target', 'sample');
      await bench.skip(50 * 30);
      const tries = stage.callsOf('reapTarget');
      expect(tries.filter(({ attempt }) => attempt > 1)).toHaveLength(50);
      expect(Math.max(...gapsOf(tries.slice(0, 51)))).toBeLessThan(36);
      expect(stage.callsOf('sweepTarget').length).toBeGreaterThan(0);
    });
  });

  it('is looked at every 20 s and swept for orphans every minute, whether or not anybody wakes it', async () => {
    await bench.play(quiet, async (stage) => {
      await stage.start('target', 'sample');
      await bench.skip(10 * 60);
      expect(stage.callsOf('reapTarget').length).toBeGreaterThanOrEqual(20);
      const sweeps = stage.callsOf('sweepTarget');
      expect(sweeps.length).toBeGreaterThanOrEqual(6);
      expect(sweeps.length).toBeLessThanOrEqual(11);
      expect(Math.min(...gapsOf(sweeps))).toBeGreaterThanOrEqual(59);
    });
  });

  it('is not swept more often for being woken often', async () => {
    await bench.play(quiet, async (stage) => {
      const handle = await stage.start('target', 'sample');
      for (let n = 0; n < 10; n += 1) {
        await stage.wake(handle);
        await sleep(100);
      }
      expect(stage.callsOf('sweepTarget')).toHaveLength(1);
    });
  });
});
