// A month is longer than a worker lives, and longer than a version of the code does.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Notice } from '../../workflows/contract.ts';
import { decide, iso, requestHands, requestRow, type RequestRow } from '../support/hands.ts';
import { bundleChanged } from '../support/time-skipping.ts';
import { openWorkbench, type Stage, type Workbench } from '../support/workbench.ts';

const DAY = 86_400;
const DAY_MS = DAY * 1000;

/** A version with one step more, told apart as Temporal has it, in a place that the waiting have not come to. */
const NEXT: [string, string] = [
  '  reminders.close();\n',
  "  reminders.close();\n  if (patched('look-twice')) await act.lookAtRequest(id);\n",
];
/** A version with one step more in a place that they are past, without saying so. */
const CARELESS: [string, string] = [
  "  if (!view) return 'unknown';\n",
  "  if (!view) return 'unknown';\n  await act.lookAtRequest(id);\n",
];

let bench: Workbench;
let next: string;
let careless: string;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
  const imports: [string, string] = ['  condition,\n', '  condition,\n  patched,\n'];
  next = await bundleChanged('request.ts', [imports, NEXT]);
  careless = await bundleChanged('request.ts', [CARELESS]);
});
afterAll(async () => {
  await bench.close();
  for (const bundle of [next, careless])
    await rm(path.dirname(bundle), { recursive: true, force: true });
});

const NOTICES: [Notice['kind'], number, number][] = [
  ['remind', 1, 1],
  ['remind', 2, 7],
  ['escalate', 1, 14],
  ['remind', 3, 29],
];

const monthLong = (from: number): RequestRow =>
  requestRow(from, {
    expiresAt: iso(from + 30 * DAY_MS),
    notices: NOTICES.map(([kind, step, day]) => ({ kind, step, at: iso(from + day * DAY_MS) })),
  });

/** The days on which something was done, to a tenth. */
const daysOf = (stage: Stage, from: number, name: Parameters<Stage['callsOf']>[0]): number[] =>
  stage.callsOf(name).map(({ at }) => Math.round((at - from) / (DAY_MS / 10)) / 10);

/** Nearly thirty days: workers die, none is there while a reminder falls due, and another version takes over. */
async function wait(stage: Stage): Promise<void> {
  await bench.skip(2 * DAY);
  await stage.replaceWorker();
  await bench.skip(4 * DAY);
  // The server skips no time while a workflow has something to do: it is the seventh day until somebody is there.
  let skipped: Promise<void> | undefined;
  const meanwhile = (): Promise<void> => {
    skipped = bench.skip(2 * DAY);
    return sleep(500);
  };
  await stage.replaceWorker({ meanwhile });
  await skipped;
  await bench.skip(5 * DAY);
  await stage.replaceWorker({ bundle: next });
  await bench.skip(8 * DAY);
  await stage.replaceWorker({ bundle: next });
  await bench.skip(8.5 * DAY);
}

const expectNotices = (stage: Stage, from: number): void => {
  expect(daysOf(stage, from, 'announceRequest')).toEqual([0]);
  expect(daysOf(stage, from, 'remindApprovers')).toEqual([1, 7, 14, 29]);
  expect(daysOf(stage, from, 'escalateRequest')).toEqual([14]);
};

describe('a request that waits for thirty days', () => {
  it('is approved on the last of them and carried out once, by a later version than it began with', async () => {
    const from = await bench.now();
    const row = monthLong(from);
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_month');
      await wait(stage);
      expectNotices(stage, from);
      const looks = stage.callsOf('lookAtRequest').length;
      expect(decide(row, 'approved', iso(from + 31 * DAY_MS))).toBe(true);
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('consumed');
      expect(stage.callsOf('fulfilRequest')).toHaveLength(1);
      expect(stage.callsOf('tellRequester')).toHaveLength(1);
      // Woken, the new version's own step, and after it was carried out.
      expect(stage.callsOf('lookAtRequest')).toHaveLength(looks + 3);
    });
  });

  it('I6: ends as expired at its time, if nobody decides', async () => {
    const from = await bench.now();
    const row = monthLong(from);
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_month_undecided');
      await wait(stage);
      expect(row.state).toBe('pending');
      expect(await stage.ended(handle)).toBe('expired');
      expectNotices(stage, from);
      expect(daysOf(stage, from, 'expireRequest')).toEqual([30]);
      expect(stage.callsOf('fulfilRequest')).toHaveLength(0);
    });
  });

  it('does not go on in a version that would have gone another way: that is noticed, nothing is carried out', async () => {
    const row = monthLong(await bench.now());
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_month_careless');
      await bench.skip(3 * DAY);
      await stage.replaceWorker({ bundle: careless });
      await stage.wake(handle);
      await expect(stage.ended(handle)).rejects.toThrow(WorkflowFailedError);
      expect(stage.callsOf('fulfilRequest')).toHaveLength(0);
    });
  });
});
