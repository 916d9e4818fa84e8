// I5: what Temporal stores can be read by nobody without our key: payloads, failure messages, stacks.
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { failing, nothing, SECRET_TEXT } from '../support/hands.ts';
import { SCENES } from '../support/scenes.ts';
import { openWorkbench, type Workbench } from '../support/workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench(inject('timeSkipping'));
});
afterAll(() => bench.close());

const ENCRYPTED = Buffer.from('binary/encrypted').toString('base64');

interface Found {
  encodings: string[];
  messages: string[];
  stacks: string[];
}

/** Everything in a history that could carry text of ours: payloads by their encoding, and failures. */
function findText(value: unknown, found: Found): Found {
  if (Array.isArray(value)) for (const each of value as unknown[]) findText(each, found);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'encoding') found.encodings.push(String(inner));
      if (key === 'message' && inner !== '') found.messages.push(String(inner));
      if (key === 'stackTrace' && inner !== '') found.stacks.push(String(inner));
      findText(inner, found);
    }
  return found;
}

describe('I5: what Temporal stores', () => {
  it.each(SCENES)('is encrypted throughout the life of $name', async ({ play }) => {
    const history = await play(bench);
    const found = findText(JSON.parse(history), { encodings: [], messages: [], stacks: [] });
    expect(found.encodings.length).toBeGreaterThan(0);
    expect(new Set(found.encodings)).toEqual(new Set([ENCRYPTED]));
    expect(found.messages.filter((message) => message !== 'Encoded failure')).toEqual([]);
    expect(found.stacks).toEqual([]);
    expect(history).not.toContain(SECRET_TEXT);
    expect(history).not.toContain(Buffer.from(SECRET_TEXT).toString('base64').slice(0, -4));
  });

  it('says nothing of why an activity is failing just now', async () => {
    const ownTask = failing(Infinity, () => nothing().then(() => null));
    await bench.play({ ownTask }, async (stage) => {
      const handle = await stage.start('task', 'tsk_failing');
      await expect.poll(() => stage.callsOf('ownTask').length).toBeGreaterThan(1);
      const { raw } = await handle.describe();
      const failures = (raw.pendingActivities ?? []).map(({ lastFailure }) => lastFailure?.message);
      expect(failures).toEqual(['Encoded failure']);
      expect(JSON.stringify(raw)).not.toContain(SECRET_TEXT);
    });
  });
});
