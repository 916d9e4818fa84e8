// REL: kill -9 at every boundary of taking back. Whatever dies, and wherever, the outcome is the same: no credential
// outlives its task, nothing is lost, nothing is done twice.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSettled, openStage, playStory, type Stage } from '../support/story.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.system.remove());

const POINTS = [
  'reapTarget:before',
  'reap:intended',
  'reap:revoked',
  'reapTarget:after',
  'closeTask:before',
  'closeTask:after',
  'sequence:signed',
  'observe:recorded',
];

describe('REL-I1 a process that dies at', () => {
  it.each(POINTS)('%s changes nothing about the outcome', async (point) => {
    await stage.system.crashAt(point);
    const story = await playStory(stage);
    expect(await stage.system.hasCrashed()).toBe(true);
    await expectSettled(stage, story);
  });
});

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
