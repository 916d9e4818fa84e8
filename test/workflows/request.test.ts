// A request's workflow: it tells, reminds, widens and gives up in time, and carries out what people decided.
import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { remindNow, type Notice } from '../../workflows/contract.ts';
import { pauseSeconds } from '../../workflows/pace.ts';
import {
  decide,
  dyingOnce,
  failing,
  iso,
  nothing,
  requestHands,
  requestRow,
} from '../support/hands.ts';
import { openWorkbench, type HandCall, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const minutesAfter = (from: number, call: HandCall | undefined): number =>
  Math.round(((call?.at ?? Number.NaN) - from) / MINUTE_MS);

const codeOf = (error: unknown): string | null | undefined =>
  error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure
    ? error.cause.type
    : null;

async function refusal(update: Promise<unknown>): Promise<unknown> {
  return update.then(
    () => 'no refusal',
    (error: unknown) => codeOf(error) ?? error,
  );
}

/** A card that cannot be delivered: Slack is away. */
const slackAway = {
  announceRequest: failing(Infinity, nothing),
  remindApprovers: failing(Infinity, nothing),
  refreshCards: failing(Infinity, nothing),
};

describe('while nobody has decided', () => {
  it('approvers are told at once and reminded, and the circle widens, at the stated points and once each', async () => {
    const from = await bench.now();
    const notices: Notice[] = [
      { at: iso(from + 15 * MINUTE_MS), kind: 'remind', step: 1 },
      { at: iso(from + 20 * MINUTE_MS), kind: 'escalate', step: 1 },
      { at: iso(from + 30 * MINUTE_MS), kind: 'remind', step: 2 },
    ];
    const row = requestRow(from, { notices });
    await bench.play(requestHands(row), async (stage) => {
      await stage.ended(await stage.start('request', 'req_reminded'));
      expect(stage.callsOf('announceRequest').map((call) => minutesAfter(from, call))).toEqual([0]);
      const said = stage.callsOf('remindApprovers');
      expect(said.map((call) => [minutesAfter(from, call), call.input[1]])).toEqual([
        [15, 1],
        [20, 0],
        [30, 2],
      ]);
      const widened = stage.callsOf('escalateRequest');
      expect(widened.map((call) => [minutesAfter(from, call), call.input[1]])).toEqual([[20, 1]]);
    });
  });

  it('the people of a stage are told when it opens, once, and those of the first by the announcement', async () => {
    const row = requestRow(await bench.now(), { stage: 0 });
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_staged');
      const lookedAt = async (): Promise<void> => {
        const before = stage.callsOf('lookAtRequest').length;
        await stage.wake(handle);
        await expect.poll(() => stage.callsOf('lookAtRequest').length).toBeGreaterThan(before);
      };
      await lookedAt();
      expect(stage.callsOf('announceStage')).toHaveLength(0);
      row.stage = 1;
      await lookedAt();
      await lookedAt();
      await expect.poll(() => stage.callsOf('announceStage').length).toBe(1);
      // Open again, because somebody left, and complete once more.
      row.stage = 0;
      await lookedAt();
      row.stage = 1;
      await lookedAt();
      await expect.poll(() => stage.callsOf('announceStage').length).toBe(2);
      decide(row, 'denied');
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('denied');
    });
  });

  it('I6: a request that nobody decides ends as expired, at its time and never as anybody’s denial', async () => {
    const from = await bench.now();
    const row = requestRow(from, { expiresAt: iso(from + 3 * DAY_MS) });
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_expired');
      await bench.skip(2.9 * 86_400);
      expect(row.state).toBe('pending');
      expect(await stage.ended(handle)).toBe('expired');
      expect(minutesAfter(from, stage.callsOf('expireRequest')[0])).toBe(3 * 24 * 60);
      expect(stage.callsOf('fulfilRequest')).toHaveLength(0);
      expect(stage.callsOf('closeRequest')).toHaveLength(1);
      expect(stage.callsOf('tellRequester')).toHaveLength(1);
    });
  });

  it('I6: an unreachable Slack keeps neither the expiry nor the wider circle nor the requester waiting', async () => {
    const from = await bench.now();
    const notices: Notice[] = [{ at: iso(from + 20 * MINUTE_MS), kind: 'escalate', step: 1 }];
    const row = requestRow(from, { notices });
    await bench.play({ ...requestHands(row), ...slackAway }, async (stage) => {
      await stage.start('request', 'req_no_slack');
      await bench.skip(62 * 60);
      expect(row.state).toBe('expired');
      expect(minutesAfter(from, stage.callsOf('escalateRequest')[0])).toBe(20);
      expect(minutesAfter(from, stage.callsOf('tellRequester')[0])).toBe(60);
    });
  });

  it('a reminder on request is sent, but not all the time, and is answered though Slack is away', async () => {
    const row = requestRow(await bench.now());
    await bench.play({ ...requestHands(row), ...slackAway }, async (stage) => {
      const handle = await stage.start('request', 'req_remind_now');
      // They were told a moment ago, when it was opened.
      expect(await refusal(handle.executeUpdate(remindNow))).toBe('too_soon');
      await bench.skip(301);
      expect(await handle.executeUpdate(remindNow)).toEqual({ reminded: true });
      expect(await refusal(handle.executeUpdate(remindNow))).toBe('too_soon');
      await bench.skip(301);
      expect(await handle.executeUpdate(remindNow)).toEqual({ reminded: true });
    });
  });

  it('a reminder is refused once it is decided, and answered "not found" once it is over', async () => {
    const from = await bench.now();
    const row = requestRow(from, { fulfilments: ['later'] });
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_decided');
      await bench.skip(400);
      decide(row, 'approved', iso((await bench.now()) + DAY_MS));
      await stage.wake(handle);
      await expect.poll(() => stage.callsOf('fulfilRequest').length).toBeGreaterThan(0);
      expect(await refusal(handle.executeUpdate(remindNow))).toBe('already_decided');
      row.fulfilments = ['done'];
      expect(await stage.ended(handle)).toBe('consumed');
      await expect(handle.executeUpdate(remindNow)).rejects.toBeInstanceOf(WorkflowNotFoundError);
      expect(stage.callsOf('remindApprovers')).toHaveLength(0);
    });
  });
});

describe('what people decide', () => {
  it('a vote that comes at the very deadline stands, if the database took it: the clock here only asks', async () => {
    const row = requestRow(await bench.now());
    const hands = requestHands(row);
    const expireRequest = (id: string): Promise<void> => {
      // Between the workflow's timer and the row's lock, somebody approved.
      decide(row, 'approved', iso(Date.parse(row.expiresAt) + MINUTE_MS));
      return hands.expireRequest(id);
    };
    await bench.play({ ...hands, expireRequest }, async (stage) => {
      expect(await stage.ended(await stage.start('request', 'req_last_second'))).toBe('consumed');
      expect(stage.callsOf('fulfilRequest')).toHaveLength(1);
    });
  });

  it('an approval is carried out once and the requester told once, though the worker dies at it', async () => {
    const row = requestRow(await bench.now());
    const hands = requestHands(row);
    const fulfilRequest = dyingOnce(hands.fulfilRequest);
    await bench.play({ ...hands, fulfilRequest }, async (stage) => {
      const handle = await stage.start('request', 'req_approved');
      decide(row, 'approved', iso((await bench.now()) + DAY_MS));
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe('consumed');
      expect(stage.callsOf('fulfilRequest').map(({ attempt }) => attempt)).toEqual([1, 2]);
      expect([...row.effects]).toEqual(['req_approved']);
      expect(stage.callsOf('tellRequester')).toHaveLength(1);
    });
  });

  it.each(['denied', 'cancelled'] as const)('what was %s is never carried out', async (state) => {
    const row = requestRow(await bench.now());
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', `req_${state}`);
      decide(row, state);
      await stage.wake(handle);
      expect(await stage.ended(handle)).toBe(state);
      expect(stage.callsOf('fulfilRequest')).toHaveLength(0);
      expect(stage.callsOf('closeRequest')).toHaveLength(1);
    });
  });

  it('what can never be carried out ends as failed, without being tried again', async () => {
    const row = requestRow(await bench.now(), { fulfilments: ['failed'] });
    decide(row, 'approved', iso((await bench.now()) + DAY_MS));
    await bench.play(requestHands(row), async (stage) => {
      expect(await stage.ended(await stage.start('request', 'req_failed'))).toBe('failed');
      expect(stage.callsOf('fulfilRequest')).toHaveLength(1);
    });
  });

  it('an approval waits for a target that is down, asking ever less often, and is carried out when it is back', async () => {
    const row = requestRow(await bench.now(), {
      fulfilments: [...Array.from({ length: 8 }, () => 'later' as const), 'done'],
    });
    decide(row, 'approved', iso((await bench.now()) + DAY_MS));
    await bench.play(requestHands(row), async (stage) => {
      expect(await stage.ended(await stage.start('request', 'req_target_down'))).toBe('consumed');
      const tries = stage.callsOf('fulfilRequest').map(({ at }) => at);
      const gaps = tries.slice(1).map((at, n) => Math.round((at - (tries[n] ?? 0)) / 1000));
      const planned = [1, 2, 4, 8, 16, 30, 30, 30];
      // What the machine takes for a step comes on top.
      const late = gaps.map((gap, n) => gap - (planned[n] ?? Infinity));
      expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...late)).toBeLessThan(4);
    });
  });

  it('an expired approval can never issue a credential: it is not tried past its time, and ends as expired', async () => {
    const row = requestRow(await bench.now(), { fulfilments: ['later'] });
    const approvedUntil = (await bench.now()) + 2 * MINUTE_MS + 7_000;
    decide(row, 'approved', iso(approvedUntil));
    await bench.play(requestHands(row), async (stage) => {
      expect(await stage.ended(await stage.start('request', 'req_lapsed'))).toBe('expired');
      const last = stage.callsOf('fulfilRequest').at(-1)?.at ?? Infinity;
      expect(last).toBeLessThan(approvedUntil + 15_000);
      const lapsed = stage.callsOf('expireRequest').at(-1)?.at ?? Infinity;
      // Its end is recorded when it comes, not at the next try.
      expect(lapsed - approvedUntil).toBeLessThan(15_000);
    });
  });

  it('a week of a target being down leaves a history that Temporal keeps', () => {
    let tries = 0;
    for (let seconds = 0; seconds < 7 * 86_400; tries += 1) seconds += pauseSeconds(tries);
    // A try leaves eleven events; Temporal ends a workflow at 51,200 of them.
    expect(tries * 11).toBeLessThan(40_000);
  });

  it('a caller that does not answer is called again for a day, and then given up, while the approval stands', async () => {
    const row = requestRow(await bench.now());
    decide(row, 'approved', iso((await bench.now()) + DAY_MS));
    const tellRequester = failing(Infinity, nothing);
    await bench.play({ ...requestHands(row), tellRequester }, async (stage) => {
      expect(await stage.ended(await stage.start('request', 'req_callback_down'))).toBe('consumed');
      const calls = stage.callsOf('tellRequester');
      const hours = ((calls.at(-1)?.at ?? 0) - (calls[0]?.at ?? 0)) / 3_600_000;
      expect(hours).toBeGreaterThan(20);
      expect(hours).toBeLessThanOrEqual(24);
    });
  });
});
