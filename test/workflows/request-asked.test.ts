// A request that is asked about, or approved for later: the workflow keeps the time, the rows keep the facts.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { decide, failing, iso, nothing, requestHands, requestRow } from '../support/hands.ts';
import { openWorkbench, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const MINUTE_MS = 60_000;

describe('a question', () => {
  it('is told to whom it is for once, and closed when nobody answered, at its time', async () => {
    const from = await bench.now();
    const row = requestRow(from);
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_asked');
      await bench.skip(60);
      Object.assign(row, { untold: ['qst_1'], answerBy: iso(from + 21 * MINUTE_MS) });
      await stage.wake(handle);
      await stage.wake(handle);
      await expect.poll(() => stage.callsOf('tellAsked').length).toBe(1);
      await stage.ended(handle);
      expect(stage.callsOf('tellAsked').map(({ input }) => input)).toEqual([
        ['req_asked', 'qst_1'],
      ]);
      const lapses = stage.callsOf('lapseQuestions').map(({ at }) => at - from);
      expect(lapses).toHaveLength(1);
      expect(Math.round((lapses[0] ?? 0) / MINUTE_MS)).toBe(21);
      expect(row.state).toBe('expired');
    });
  });

  it('moves the end of its request, and the clock follows', async () => {
    const from = await bench.now();
    const row = requestRow(from);
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_clock_stops');
      await bench.skip(60);
      Object.assign(row, { expiresAt: iso(from + 100 * MINUTE_MS) });
      await stage.wake(handle);
      await bench.skip(62 * 60);
      expect(row.state).toBe('pending');
      expect(await stage.ended(handle)).toBe('expired');
      const expired = stage.callsOf('expireRequest').at(-1)?.at ?? 0;
      expect(Math.round((expired - from) / MINUTE_MS)).toBe(100);
    });
  });

  it('that nobody can be told of keeps neither the clock nor the requester waiting', async () => {
    const from = await bench.now();
    const row = requestRow(from, { untold: ['qst_1'], answerBy: iso(from + 10 * MINUTE_MS) });
    const hands = { ...requestHands(row), tellAsked: failing(Infinity, nothing) };
    await bench.play(hands, async (stage) => {
      await stage.start('request', 'req_untold');
      await bench.skip(62 * 60);
      expect(row.state).toBe('expired');
      expect(stage.callsOf('tellRequester')).toHaveLength(1);
    });
  });
});

describe('what was approved for later', () => {
  it('is carried out at its start, and not tried before, however often it is woken', async () => {
    const from = await bench.now();
    const row = requestRow(from, { startsAt: iso(from + 180 * MINUTE_MS) });
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_later');
      decide(row, 'approved', iso(from + 190 * MINUTE_MS));
      await stage.wake(handle);
      await expect.poll(() => stage.callsOf('tellRequester').length).toBe(1);
      await bench.skip(60 * 60);
      await stage.wake(handle);
      await bench.skip(60 * 60);
      expect(stage.callsOf('fulfilRequest')).toHaveLength(0);
      expect(await stage.ended(handle)).toBe('consumed');
      const tries = stage
        .callsOf('fulfilRequest')
        .map(({ at }) => Math.round((at - from) / MINUTE_MS));
      expect(tries.length).toBeLessThanOrEqual(2);
      expect(tries[0]).toBe(180);
    });
  });

  it('is not carried out when its task ends before', async () => {
    const from = await bench.now();
    const row = requestRow(from, { startsAt: iso(from + 180 * MINUTE_MS) });
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_ended_before');
      decide(row, 'approved', iso(from + 190 * MINUTE_MS));
      await stage.wake(handle);
      await bench.skip(60 * 60);
      row.state = 'failed';
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('failed');
      expect([...row.effects]).toEqual([]);
    });
  });
});
