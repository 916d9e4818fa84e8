// REL: kill -9 at every boundary of giving. Whatever dies, and wherever, the outcome is the same: no credential
// outlives its task, nothing is lost, nothing is done twice.
import { afterAll, beforeAll } from 'vitest';
import { itSurvivesDyingAt, openStage, type Stage } from '../support/story.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.system.remove());

itSurvivesDyingAt(
  [
    'issue:intended',
    'issue:made',
    'issue:settled',
    'ownTask:before',
    'ownTask:after',
    'lookAtRequest:after',
    'fulfilRequest:before',
    'fulfil:redeemed',
    'fulfilRequest:after',
  ],
  () => stage,
);
