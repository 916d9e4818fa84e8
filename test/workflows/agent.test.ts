// An agent's workflow: it says when a review is due, and retires an agent only when nothing of it is alive.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { agentHands, failing, iso, type AgentRow } from '../support/hands.ts';
import { openWorkbench, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const DAY_MS = 86_400_000;
const DAY_SECONDS = 86_400;

const agentRow = (changes: Partial<AgentRow> = {}): AgentRow => ({
  state: 'active',
  retiring: false,
  reviewDueAt: null,
  alive: 0,
  ...changes,
});

describe('an agent', () => {
  it('that is rejected is watched no longer', async () => {
    const row = agentRow({ state: 'requested' });
    await bench.play(agentHands(row), async (stage) => {
      const handle = await stage.start('agent', 'agt_rejected');
      row.state = 'rejected';
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('rejected');
      expect(stage.callsOf('finishRetirement')).toHaveLength(0);
    });
  });

  it('that is admitted later has its review noted when that is due, as if it had always been active', async () => {
    const row = agentRow({ state: 'requested' });
    await bench.play(agentHands(row), async (stage) => {
      const handle = await stage.start('agent', 'agt_admitted');
      await bench.skip(3 * DAY_SECONDS);
      const dueAt = (await bench.now()) + 30 * DAY_MS;
      Object.assign(row, { state: 'active', reviewDueAt: iso(dueAt) });
      await stage.wake(handle);
      await bench.skip(31 * DAY_SECONDS);
      const [noted] = stage.callsOf('noteReviewDue');
      expect(noted?.at).toBeGreaterThanOrEqual(dueAt);
      expect(noted?.at).toBeLessThan(dueAt + 20_000);
    });
  });

  it('has each review that falls due noted once, and the next one again', async () => {
    const from = await bench.now();
    const row = agentRow({ reviewDueAt: iso(from + DAY_MS) });
    await bench.play(agentHands(row), async (stage) => {
      const handle = await stage.start('agent', 'agt_reviewed');
      await bench.skip(20 * DAY_SECONDS);
      expect(stage.callsOf('noteReviewDue')).toHaveLength(1);
      row.reviewDueAt = iso((await bench.now()) + DAY_MS);
      await stage.wake(handle);
      await bench.skip(20 * DAY_SECONDS);
      expect(stage.callsOf('noteReviewDue')).toHaveLength(2);
    });
  });

  it('is cared for when something else is due, beside its review and without it', async () => {
    const from = await bench.now();
    const careAt = from + 2 * DAY_MS;
    const row = agentRow({ reviewDueAt: iso(from + DAY_MS), careAt: iso(careAt) });
    await bench.play(agentHands(row), async (stage) => {
      await stage.start('agent', 'agt_cared_for');
      await bench.skip(20 * DAY_SECONDS);
      const cared = stage.callsOf('careForAgent');
      expect(cared).toHaveLength(1);
      expect(cared[0]?.at).toBeGreaterThanOrEqual(careAt);
      expect(cared[0]?.at).toBeLessThan(careAt + 20_000);
      expect(stage.callsOf('noteReviewDue')).toHaveLength(1);
    });
  });

  it('is retired only when nothing of it is alive, however long that takes', async () => {
    const row = agentRow({ alive: Infinity });
    await bench.play(agentHands(row), async (stage) => {
      const handle = await stage.start('agent', 'agt_retiring');
      row.retiring = true;
      await stage.wake(handle);
      await bench.skip(600);
      expect((await handle.describe()).status.name).toBe('RUNNING');
      expect(stage.callsOf('finishRetirement').length).toBeGreaterThan(10);
      row.alive = 0;
      expect(await stage.ended(handle)).toBe('retired');
    });
  });

  it('is retired at once when the last thing of it is gone', async () => {
    const row = agentRow({ retiring: true, alive: Infinity });
    await bench.play(agentHands(row), async (stage) => {
      const handle = await stage.start('agent', 'agt_last');
      await expect.poll(() => stage.callsOf('finishRetirement').length).toBeGreaterThan(0);
      await sleep(500);
      row.alive = 0;
      await stage.wake(handle);
      await expect
        .poll(async () => (await handle.describe()).status.name, { timeout: 15_000 })
        .toBe('COMPLETED');
    });
  });

  it('is retired though that fails again and again', async () => {
    const hands = agentHands(agentRow({ retiring: true }));
    const finishRetirement = failing(20, hands.finishRetirement);
    await bench.play({ ...hands, finishRetirement }, async (stage) => {
      expect(await stage.ended(await stage.start('agent', 'agt_failing'))).toBe('retired');
    });
  });

  it('is looked at once a week though nothing is due and nobody wakes anybody', async () => {
    await bench.play(agentHands(agentRow()), async (stage) => {
      await stage.start('agent', 'agt_quiet');
      await bench.skip(29 * DAY_SECONDS);
      expect(stage.callsOf('lookAtAgent')).toHaveLength(5);
    });
  });
});
