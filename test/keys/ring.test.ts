// What a process knows of the keys that replicas share: never old for long, and read no more often than that takes.
import { describe, expect, it } from 'vitest';
import type { StoredKey } from '../../keys/signer.ts';
import { fileKey, ringOf } from '../support/signing.ts';

async function world() {
  const [first, second] = [await fileKey('active'), await fileKey('published')];
  const state = { rows: [second.key, first.key], reads: 0, now: 0, broken: false };
  const ring = await ringOf(
    async () => {
      state.reads += 1;
      const { rows } = state;
      await Promise.resolve();
      if (state.broken) throw new Error('the database is away');
      return rows;
    },
    () => state.now,
  );
  const turn = (): void => {
    state.rows = [
      { ...second.key, state: 'active' },
      { ...first.key, state: 'retiring', sealed: null },
    ];
  };
  return { ring, state, turn, first: first.key.kid, second: second.key.kid };
}

const kids = (keys: readonly StoredKey[]): string[] => keys.map(({ kid }) => kid);

describe('the ring of signing keys', () => {
  it('signs with the active key, and knows every published one', async () => {
    const { ring, first, second } = await world();
    expect((await ring.signer()).kid).toBe(first);
    expect(kids(ring.published())).toEqual([second, first]);
  });

  it('signs with the next key as soon as it is told', async () => {
    const { ring, turn, first, second } = await world();
    expect((await ring.signer()).kid).toBe(first);
    turn();
    expect((await ring.signer()).kid).toBe(first);
    ring.invalidate();
    expect((await ring.signer()).kid).toBe(second);
  });

  it('notices within 15 seconds when it is not told', async () => {
    const { ring, state, turn, first, second } = await world();
    turn();
    state.now = 15_000;
    expect((await ring.signer()).kid).toBe(first);
    state.now = 15_001;
    expect((await ring.signer()).kid).toBe(second);
  });

  it('is read once for all who ask at the same time, and again for a notice that came meanwhile', async () => {
    const { ring, state } = await world();
    expect(state.reads).toBe(1);
    await Promise.all(Array.from({ length: 20 }, () => ring.refresh()));
    expect(state.reads).toBe(1);
    ring.invalidate();
    const asking = Promise.all(Array.from({ length: 20 }, () => ring.refresh()));
    ring.invalidate();
    await asking;
    expect(state.reads).toBe(3);
  });

  it('is read for unknown names at most once a second, however many come', async () => {
    const { ring, state } = await world();
    for (let at = 0; at < 50; at += 1) await ring.renew();
    expect(state.reads).toBe(1);
    state.now = 1_001;
    for (let at = 0; at < 50; at += 1) await ring.renew();
    expect(state.reads).toBe(2);
  });

  it('I6: neither signs nor verifies with what it knew when it cannot be read', async () => {
    const { ring, state } = await world();
    await ring.signer();
    state.broken = true;
    state.now = 20_000;
    await expect(ring.signer()).rejects.toThrow('away');
    await expect(ring.refresh()).rejects.toThrow('away');
    state.broken = false;
    await expect(ring.signer()).resolves.toBeDefined();
  });

  it('does not go on signing with a key that is gone', async () => {
    const { ring, state, first } = await world();
    expect((await ring.signer()).kid).toBe(first);
    state.rows = [];
    ring.invalidate();
    await expect(ring.signer()).rejects.toThrow('no key to sign with');
    expect(ring.published()).toEqual([]);
  });

  it('says what to set when the active key is in a key service that is not configured', async () => {
    const { key } = await fileKey('active');
    const ring = await ringOf(() => Promise.resolve([{ ...key, driver: 'transit' as const }]));
    await expect(ring.signer()).rejects.toThrow('COUNTERSIGN_TRANSIT_ADDRESS');
  });
});
