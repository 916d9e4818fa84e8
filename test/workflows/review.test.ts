// A review campaign's workflow: open until all is decided or its time is over; it closes once, whatever happens.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { dyingOnce, failing, iso, reviewHands, type ReviewRow } from '../support/hands.ts';
import { openWorkbench, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const DAY_MS = 86_400_000;

const reviewRow = (now: number, changes: Partial<ReviewRow> = {}): ReviewRow => ({
  state: 'open',
  createdAt: iso(now),
  dueAt: iso(now + 14 * DAY_MS),
  undecided: 3,
  ...changes,
});

describe('a review', () => {
  it('closes at its time with what was decided until then, and not earlier', async () => {
    const row = reviewRow(await bench.now());
    await bench.play(reviewHands(row), async (stage) => {
      const handle = await stage.start('review', 'rvw_due');
      row.undecided = 1;
      await stage.wake(handle);
      await bench.skip(13 * 86_400);
      expect(row.state).toBe('open');
      expect(await stage.ended(handle)).toBe('closed');
      const [closed] = stage.callsOf('closeReview');
      expect(closed?.at).toBeGreaterThanOrEqual(Date.parse(row.dueAt));
      expect(closed?.at).toBeLessThan(Date.parse(row.dueAt) + 20_000);
    });
  });

  it('closes as soon as the last line is decided', async () => {
    const row = reviewRow(await bench.now());
    await bench.play(reviewHands(row), async (stage) => {
      const handle = await stage.start('review', 'rvw_decided');
      await expect.poll(() => stage.callsOf('lookAtReview').length).toBeGreaterThan(0);
      for (let left = 2; left >= 0; left -= 1) {
        await sleep(300);
        expect(row.state).toBe('open');
        row.undecided = left;
        await stage.wake(handle);
      }
      // Time is not skipped here.
      await expect.poll(() => row.state, { timeout: 15_000 }).toBe('closed');
    });
  });

  it('with nothing to decide closes at once', async () => {
    const row = reviewRow(await bench.now(), { undecided: 0 });
    await bench.play(reviewHands(row), async (stage) => {
      const handle = await stage.start('review', 'rvw_empty');
      await expect.poll(() => row.state, { timeout: 15_000 }).toBe('closed');
      expect(await handle.result()).toBe('closed');
    });
  });

  it('that was closed otherwise is not closed again', async () => {
    const row = reviewRow(await bench.now());
    await bench.play(reviewHands(row), async (stage) => {
      const handle = await stage.start('review', 'rvw_closed');
      row.state = 'closed';
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('closed');
      expect(stage.callsOf('closeReview')).toHaveLength(0);
    });
  });

  it('closes once though its worker dies at it', async () => {
    const row = reviewRow(await bench.now());
    const hands = reviewHands(row);
    await bench.play({ ...hands, closeReview: dyingOnce(hands.closeReview) }, async (stage) => {
      expect(await stage.ended(await stage.start('review', 'rvw_crashed'))).toBe('closed');
      expect(stage.callsOf('closeReview').map(({ attempt }) => attempt)).toEqual([1, 2]);
    });
  });

  it('closes though the database fails again and again', async () => {
    const row = reviewRow(await bench.now());
    const hands = reviewHands(row);
    await bench.play({ ...hands, closeReview: failing(30, hands.closeReview) }, async (stage) => {
      expect(await stage.ended(await stage.start('review', 'rvw_failing'))).toBe('closed');
      expect(stage.callsOf('closeReview')).toHaveLength(31);
    });
  });
});
