// A task's workflow: it ends in time whatever happens, and not before everything under it is seen gone.
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { remindNow } from '../../workflows/contract.ts';
import { dyingOnce, endTask, failing, iso, taskHands, taskRow } from '../support/hands.ts';
import { openWorkbench, type HandCall, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const DAY_MS = 86_400_000;

const gapsOf = (calls: readonly HandCall[]): number[] =>
  calls.slice(1).map((call, at) => Math.round((call.at - (calls[at]?.at ?? 0)) / 1000));

describe('a task', () => {
  it('ends at its deadline though nobody says so, and not earlier', async () => {
    const row = taskRow(0, { deadlineAt: iso((await bench.now()) + 20 * DAY_MS) });
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_deadline');
      await bench.skip(19.9 * 86_400);
      expect(row.state).toBe('running');
      expect(await stage.ended(handle)).toBe('expired');
      const [expired] = stage.callsOf('expireTask');
      expect(expired?.at).toBeGreaterThanOrEqual(Date.parse(row.deadlineAt));
      expect(expired?.at).toBeLessThan(Date.parse(row.deadlineAt) + 20_000);
    });
  });

  it('that has ended is closed only when nothing under it is alive', async () => {
    const row = taskRow(await bench.now(), { alive: 3, goneEachLook: 0 });
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_alive');
      endTask(row, 'completed');
      await stage.wake(handle);
      await bench.skip(600);
      expect((await handle.describe()).status.name).toBe('RUNNING');
      expect(row.state).toBe('ending');
      row.alive = 0;
      expect(await stage.ended(handle)).toBe('completed');
    });
  });

  it('is closed at once when the last thing under it is gone, without waiting for its next look', async () => {
    const row = taskRow(await bench.now(), { alive: 1, goneEachLook: 0 });
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_last');
      endTask(row, 'failed');
      await stage.wake(handle);
      await expect.poll(() => stage.callsOf('closeTask').length).toBeGreaterThan(0);
      await sleep(500);
      row.alive = 0;
      await stage.wake(handle);
      // Time is not skipped here, so half a minute of waiting would show.
      await expect
        .poll(async () => (await handle.describe()).status.name, { timeout: 15_000 })
        .toBe('COMPLETED');
    });
  });

  it('never gives up closing: fifty failures are fifty tries, ever further apart but at most 30 s', async () => {
    const row = taskRow(await bench.now());
    const hands = taskHands(row);
    await bench.play({ ...hands, closeTask: failing(50, hands.closeTask) }, async (stage) => {
      const handle = await stage.start('task', 'tsk_failing');
      endTask(row, 'completed');
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('completed');
      const tries = stage.callsOf('closeTask');
      expect(tries.map(({ attempt }) => attempt)).toEqual(
        Array.from({ length: 51 }, (_, n) => n + 1),
      );
      const gaps = gapsOf(tries);
      expect(Math.max(...gaps)).toBeLessThanOrEqual(36);
      expect(Math.min(...gaps.slice(-40))).toBeGreaterThanOrEqual(29);
    });
  });

  it('that is killed ends long before its deadline', async () => {
    const row = taskRow(await bench.now(), {
      deadlineAt: iso((await bench.now()) + DAY_MS),
      alive: 2,
    });
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_killed');
      await expect.poll(() => stage.callsOf('ownTask').length).toBe(1);
      endTask(row, 'killed');
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('killed');
      const closed = stage.callsOf('closeTask').at(-1)?.at ?? Infinity;
      expect(closed).toBeLessThan(Date.parse(row.deadlineAt) - 0.9 * DAY_MS);
      expect(stage.callsOf('expireTask')).toHaveLength(0);
    });
  });

  it('looks once for many wakes that come while it is busy', async () => {
    const row = taskRow(await bench.now());
    const hands = taskHands(row);
    const ownTask = (id: string) => sleep(300).then(() => hands.ownTask(id));
    await bench.play({ ...hands, ownTask }, async (stage) => {
      const handle = await stage.start('task', 'tsk_woken');
      await Promise.all(Array.from({ length: 100 }, () => stage.wake(handle)));
      await sleep(1_500);
      const looks = stage.callsOf('ownTask').length;
      expect(looks).toBeGreaterThanOrEqual(2);
      expect(looks).toBeLessThanOrEqual(20);
      endTask(row, 'completed');
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('completed');
    });
  });

  it('whose worker died in the middle of closing it is closed by the next one within seconds, once', async () => {
    const row = taskRow(await bench.now());
    const hands = taskHands(row);
    let closings = 0;
    const closeTask = dyingOnce((id: string) => {
      if (row.state === 'ending') closings += 1;
      return hands.closeTask(id);
    });
    await bench.play({ ...hands, closeTask }, async (stage) => {
      const handle = await stage.start('task', 'tsk_crashed');
      endTask(row, 'completed');
      await stage.wake(handle);
      const began = Date.now();
      expect(await stage.ended(handle)).toBe('completed');
      expect(Date.now() - began).toBeLessThan(25_000);
      expect(stage.callsOf('closeTask').map(({ attempt }) => attempt)).toEqual([1, 2]);
      expect(closings).toBe(1);
    });
  });

  it('goes on where it was when its worker is replaced', async () => {
    const row = taskRow(await bench.now());
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_upgraded');
      await bench.skip(600);
      await stage.replaceWorker();
      expect(await stage.ended(handle)).toBe('expired');
      expect(stage.callsOf('expireTask')).toHaveLength(1);
    });
  });

  it('that is unknown ends its workflow, instead of being looked for again and again', async () => {
    await bench.play({ ownTask: () => Promise.resolve(null) }, async (stage) => {
      const handle = await stage.start('task', 'tsk_unknown');
      expect(await stage.ended(handle)).toBe('unknown');
    });
  });

  it('answers an update after its end with a plain "not found", not with silence', async () => {
    const row = taskRow(await bench.now());
    endTask(row, 'completed');
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_over');
      await stage.ended(handle);
      await expect(handle.executeUpdate(remindNow)).rejects.toBeInstanceOf(WorkflowNotFoundError);
    });
  });
});
