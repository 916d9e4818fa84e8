// REL: kill -9 at every boundary of taking back. Whatever dies, and wherever, the outcome is the same: no credential
// outlives its task, nothing is lost, nothing is done twice.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, it } from 'vitest';
import {
  expectSettled,
  itSurvivesDyingAt,
  openStage,
  playStory,
  type Stage,
} from '../support/story.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.system.remove());

itSurvivesDyingAt(
  [
    'reapTarget:before',
    'reap:intended',
    'reap:revoked',
    'reapTarget:after',
    'closeTask:before',
    'closeTask:after',
    'sequence:signed',
    'observe:recorded',
  ],
  () => stage,
);

describe('REL-I1 kill -9 in the middle of the story of', () => {
  const parts = ['serve', 'worker', 'postgres', 'temporal'] as const;
  it.each(parts)('%s changes nothing about the outcome', async (part) => {
    const playing = playStory(stage);
    // Somewhere in the middle: the story takes a second or so when nothing dies.
    await sleep(300);
    process.kill(await stage.system.pidOf(part), 'SIGKILL');
    await expectSettled(stage, await playing);
  });
});
