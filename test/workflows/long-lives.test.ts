// Lives too long for one history: the server asks for a new run, and the workflow takes over what it must.
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Activities } from '../../workflows/contract.ts';
import {
  agentHands,
  decide,
  endTask,
  iso,
  nothing,
  requestHands,
  requestRow,
  reviewHands,
  taskHands,
  taskRow,
  type AgentRow,
  type ReviewRow,
} from '../support/hands.ts';
import { openShortHistories, type Stage, type Workbench } from '../support/workbench.ts';

/** A few rounds of looking. */
const EVENTS_MAX = 40;
const DAY_MS = 86_400_000;

let bench: Workbench;
beforeAll(async () => {
  bench = await openShortHistories(inject('timeSkipping'), EVENTS_MAX);
});
afterAll(() => bench.close());

/** Wakes it, look by look, until it has gone through several runs. */
async function wearOut(
  stage: Stage,
  handle: WorkflowHandle,
  look: keyof Activities,
): Promise<string[]> {
  const runs = new Set<string>();
  for (let rounds = 0; runs.size < 3; rounds += 1) {
    if (rounds > 60) throw new Error(`after ${rounds} wakes there were only ${runs.size} runs`);
    const before = stage.callsOf(look).length;
    const latest = stage.client.workflow.getHandle(handle.workflowId);
    await stage.wake(latest);
    await expect
      .poll(() => stage.callsOf(look).length, { timeout: 15_000 })
      .toBeGreaterThan(before);
    runs.add((await latest.describe()).runId);
  }
  return [...runs];
}

const latestOf = (stage: Stage, handle: WorkflowHandle): WorkflowHandle =>
  stage.client.workflow.getHandle(handle.workflowId);

describe('over several runs', () => {
  it('a running task keeps its deadline and is ended once', async () => {
    const row = taskRow(Date.now());
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_long');
      await wearOut(stage, handle, 'ownTask');
      row.deadlineAt = iso(Date.now() + 500);
      await stage.wake(latestOf(stage, handle));
      expect(await stage.ended(handle)).toBe('expired');
      expect(stage.callsOf('expireTask')).toHaveLength(1);
    });
  });

  it('an ending task goes on waiting until nothing under it is alive', async () => {
    const row = taskRow(Date.now(), { alive: 1, goneEachLook: 0 });
    endTask(row, 'completed');
    await bench.play(taskHands(row), async (stage) => {
      const handle = await stage.start('task', 'tsk_long_end');
      await wearOut(stage, handle, 'closeTask');
      expect(row.state).toBe('ending');
      row.alive = 0;
      await stage.wake(latestOf(stage, handle));
      expect(await stage.ended(handle)).toBe('completed');
    });
  });

  it('a request is announced as it was, waits on, and is carried out once', async () => {
    const row = requestRow(Date.now());
    await bench.play(requestHands(row), async (stage) => {
      const handle = await stage.start('request', 'req_long');
      await wearOut(stage, handle, 'lookAtRequest');
      decide(row, 'approved', iso(Date.now() + DAY_MS));
      await stage.wake(latestOf(stage, handle));
      expect(await stage.ended(handle)).toBe('consumed');
      expect(stage.callsOf('fulfilRequest')).toHaveLength(1);
      expect(stage.callsOf('tellRequester')).toHaveLength(1);
    });
  });

  it('an agent’s due review is not noted again by each run', async () => {
    const row: AgentRow = {
      state: 'active',
      retiring: false,
      reviewDueAt: iso(Date.now() - 1_000),
      alive: 0,
    };
    await bench.play(agentHands(row), async (stage) => {
      const handle = await stage.start('agent', 'agt_long');
      await expect.poll(() => stage.callsOf('noteReviewDue').length, { timeout: 15_000 }).toBe(1);
      await wearOut(stage, handle, 'lookAtAgent');
      expect(stage.callsOf('noteReviewDue')).toHaveLength(1);
      row.retiring = true;
      await stage.wake(latestOf(stage, handle));
      expect(await stage.ended(handle)).toBe('retired');
    });
  });

  it('a target is reaped on, and swept by each run', async () => {
    const reapTarget = () => Promise.resolve({ nextDueAt: null, more: false });
    await bench.play({ reapTarget, sweepTarget: nothing }, async (stage) => {
      const handle = await stage.start('target', 'sample');
      const runs = await wearOut(stage, handle, 'reapTarget');
      await expect
        .poll(() => stage.callsOf('sweepTarget').length)
        .toBeGreaterThanOrEqual(runs.length);
      expect((await latestOf(stage, handle).describe()).status.name).toBe('RUNNING');
    });
  });

  it('a review with many decisions stays open, and closes with the last of them', async () => {
    const row: ReviewRow = {
      state: 'open',
      createdAt: iso(Date.now()),
      dueAt: iso(Date.now() + DAY_MS),
      undecided: 100,
    };
    await bench.play(reviewHands(row), async (stage) => {
      const handle = await stage.start('review', 'rvw_long');
      await wearOut(stage, handle, 'lookAtReview');
      row.undecided = 0;
      await stage.wake(latestOf(stage, handle));
      expect(await stage.ended(handle)).toBe('closed');
      expect(stage.callsOf('closeReview')).toHaveLength(1);
    });
  });
});
