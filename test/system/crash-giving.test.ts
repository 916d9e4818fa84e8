// REL: kill -9 at every boundary of giving. Whatever dies, and wherever, the outcome is the same: no credential
// outlives its task, nothing is lost, nothing is done twice.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSettled, openStage, playStory, type Stage } from '../support/story.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.system.remove());

const POINTS = [
  'issue:intended',
  'issue:made',
  'issue:settled',
  'ownTask:before',
  'ownTask:after',
  'lookAtRequest:after',
  'fulfilRequest:before',
  'fulfil:redeemed',
  'fulfilRequest:after',
];

describe('REL-I1 a process that dies at', () => {
  it.each(POINTS)('%s changes nothing about the outcome', async (point) => {
    await stage.system.crashAt(point);
    const story = await playStory(stage);
    expect(await stage.system.hasCrashed()).toBe(true);
    await expectSettled(stage, story);
  });
});
