// One life of every workflow, from beginning to end. Their histories are recorded, and whatever changes in the
// workflows must still replay them; and nothing in them may be readable.
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { remindNow, type Activities } from '../../workflows/contract.ts';
import {
  agentHands,
  decide,
  endTask,
  failing,
  iso,
  nothing,
  refuseForGood,
  requestHands,
  requestRow,
  reviewHands,
  scheduledAt,
  taskHands,
  taskRow,
  type AgentRow,
  type ReviewRow,
} from './hands.ts';
import type { Stage, Workbench } from './workbench.ts';

export interface Scene {
  name: string;
  play: (bench: Workbench) => Promise<string>;
}

const HOUR_MS = 3_600_000;

/** Plays one workflow and takes its history, as the server keeps it. */
function scene(
  name: string,
  kind: string,
  id: string,
  prepare: (now: number) => {
    hands: Partial<Activities>;
    act: (stage: Stage, handle: WorkflowHandle, bench: Workbench) => Promise<unknown>;
  },
): Scene {
  return {
    name,
    play: async (bench) => {
      const { hands, act } = prepare(await bench.now());
      return bench.play(hands, async (stage) => {
        const handle = await stage.start(kind, id);
        await act(stage, handle, bench);
        return stage.historyOf(handle);
      });
    },
  };
}

const taskScenes: Scene[] = [
  scene('task-completed', 'task', 'tsk_completed', (now) => {
    const row = taskRow(now, { alive: 2 });
    return {
      hands: taskHands(row),
      act: async (stage, handle) => {
        await settled(stage, 'ownTask');
        endTask(row, 'completed');
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
  scene('task-expired', 'task', 'tsk_expired', (now) => {
    const row = taskRow(now);
    const hands = taskHands(row);
    return {
      hands: { ...hands, closeTask: failing(3, hands.closeTask) },
      act: (stage, handle) => stage.ended(handle),
    };
  }),
  scene('task-broken', 'task', 'tsk_broken', () => ({
    hands: { ownTask: refuseForGood },
    act: (stage, handle) => stage.ended(handle).catch(() => undefined),
  })),
];

const requestScenes: Scene[] = [
  scene('request-approved', 'request', 'req_approved', (now) => {
    const row = requestRow(now, { fulfilments: ['later', 'later', 'done'] });
    return {
      hands: { ...requestHands(row), refreshCards: failing(2, nothing) },
      act: async (stage, handle) => {
        await settled(stage, 'announceRequest');
        decide(row, 'approved', iso(now + HOUR_MS));
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
  scene('request-reminded-and-denied', 'request', 'req_denied', (now) => {
    const notices = [
      { at: iso(now + 0.25 * HOUR_MS), kind: 'remind' as const, step: 1 },
      { at: iso(now + 0.5 * HOUR_MS), kind: 'escalate' as const, step: 1 },
    ];
    const row = requestRow(now, { notices });
    return {
      hands: requestHands(row),
      act: async (stage, handle, bench) => {
        await handle.executeUpdate(remindNow).catch(() => undefined);
        await bench.skip(45 * 60);
        await handle.executeUpdate(remindNow);
        decide(row, 'denied');
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
  scene('request-expired', 'request', 'req_expired', (now) => ({
    hands: requestHands(requestRow(now)),
    act: (stage, handle) => stage.ended(handle),
  })),
  scene('request-lapsed', 'request', 'req_lapsed', (now) => {
    const row = requestRow(now, { fulfilments: ['later'] });
    decide(row, 'approved', iso(now + 60_000));
    return { hands: requestHands(row), act: (stage, handle) => stage.ended(handle) };
  }),
  scene('request-asked-and-scheduled', 'request', 'req_asked', (now) => {
    const row = requestRow(now, { untold: ['qst_1'], answerBy: iso(now + 0.25 * HOUR_MS) });
    return {
      hands: requestHands(row),
      act: async (stage, handle, bench) => {
        await settled(stage, 'tellAsked');
        await bench.skip(30 * 60);
        decide(row, 'approved', iso(now + 3 * HOUR_MS));
        row.startsAt = iso(now + 2 * HOUR_MS);
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
];

const otherScenes: Scene[] = [
  scene('agent-reviewed-and-retired', 'agent', 'agt_retired', (now) => {
    const reviewDueAt = iso(now + 48 * HOUR_MS);
    const row: AgentRow = { state: 'active', retiring: false, reviewDueAt, alive: 1 };
    return {
      hands: agentHands(row),
      act: async (stage, handle, bench) => {
        await bench.skip(72 * 3_600);
        row.retiring = true;
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
  scene('agent-rejected', 'agent', 'agt_rejected', () => {
    const row: AgentRow = { state: 'requested', retiring: false, reviewDueAt: null, alive: 0 };
    return {
      hands: agentHands(row),
      act: async (stage, handle) => {
        await settled(stage, 'lookAtAgent');
        row.state = 'rejected';
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
  scene('target-rounds', 'target', 'sample', () => {
    let batches = 3;
    const reapTarget = () => {
      batches -= 1;
      return Promise.resolve({ nextDueAt: null, more: batches > 0 });
    };
    return {
      hands: { reapTarget: failing(2, reapTarget), sweepTarget: nothing },
      act: async (stage, handle, bench) => {
        await bench.skip(130);
        await stage.wake(handle);
        await bench.skip(30);
      },
    };
  }),
  scene('discovery-rounds', 'discovery', 'sample', () => {
    const daily = () => Promise.resolve({ nextAt: iso(scheduledAt() + 24 * HOUR_MS) });
    return {
      hands: { discoverTarget: failing(2, daily) },
      act: async (stage, handle, bench) => {
        await bench.skip(50 * 3_600);
        await stage.wake(handle);
        await bench.skip(30);
      },
    };
  }),
  scene('review-closed', 'review', 'rvw_closed', (now) => {
    const row: ReviewRow = {
      state: 'open',
      createdAt: iso(now),
      dueAt: iso(now + 48 * HOUR_MS),
      undecided: 1,
    };
    return {
      hands: reviewHands(row),
      act: async (stage, handle) => {
        await settled(stage, 'lookAtReview');
        await stage.wake(handle);
        await stage.ended(handle);
      },
    };
  }),
];

/** Until an activity was called, and the workflow waits for what comes next. */
async function settled(stage: Stage, name: keyof Activities): Promise<void> {
  while (stage.callsOf(name).length === 0) await sleep(20);
  await sleep(300);
}

export const SCENES: readonly Scene[] = [...taskScenes, ...requestScenes, ...otherScenes];
