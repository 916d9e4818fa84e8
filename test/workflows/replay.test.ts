// Workflow code that changes must still replay what it began: histories of every workflow, recorded once.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { SCENES } from '../support/scenes.ts';
import { historyFrom, quietRuntime, testConverter } from '../support/workbench.ts';

const FOLDER = path.join(PACKAGE_ROOT, 'test/histories');

type History = ReturnType<typeof historyFrom>;

let recorded: { name: string; history: History }[];

beforeAll(async () => {
  quietRuntime();
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.json'));
  recorded = await Promise.all(
    files
      .map((file) => file.replace('.json', ''))
      .map(async (name) => ({ name, history: await readHistory(name) })),
  );
});

/** Written by the recorder from what the server answered. */
const asObject = (parsed: unknown): Record<string, unknown> => parsed as Record<string, unknown>;

const readHistory = async (name: string): Promise<History> =>
  historyFrom(asObject(JSON.parse(await readFile(path.join(FOLDER, `${name}.json`), 'utf8'))));

/** Replays histories and says what went wrong with each: null if nothing did. */
async function replay(
  histories: { name: string; history: History }[],
): Promise<Map<string, string | null>> {
  const results = Worker.runReplayHistories(
    {
      workflowBundle: { codePath: inject('timeSkipping').bundle },
      dataConverter: testConverter(),
      replayName: 'recorded',
    },
    histories.map(({ name, history }) => ({ workflowId: name, history })),
  );
  const found = new Map<string, string | null>();
  for await (const { workflowId, error } of results) found.set(workflowId, error?.message ?? null);
  return found;
}

describe('recorded histories', () => {
  it('are there for every scene', () => {
    expect(recorded.map(({ name }) => name)).toEqual(
      expect.arrayContaining(SCENES.map(({ name }) => name)),
    );
  });

  it('replay, every one, with the workflows as they are now', async () => {
    const found = await replay(recorded);
    expect(found.size).toBe(recorded.length);
    expect([...found].filter(([, problem]) => problem !== null)).toEqual([]);
  });

  it('do not replay when two steps are exchanged, so a changed order is noticed', async () => {
    const exchanged = await readHistory('task-expired');
    for (const { activityTaskScheduledEventAttributes: step } of exchanged.events)
      if (step?.activityType)
        step.activityType.name = step.activityType.name === 'ownTask' ? 'expireTask' : 'ownTask';
    const found = await replay([{ name: 'exchanged', history: exchanged }]);
    expect(found.get('exchanged')).toMatch(/nondeterminism|determinism|TMPRL1100/i);
  });
});
