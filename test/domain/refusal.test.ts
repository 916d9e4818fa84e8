// Refusals: codes are API, so they are spelled in one way and said once.
import { describe, expect, it } from 'vitest';
import { Refusal, REFUSAL_CODES } from '../../domain/refusal.ts';

describe('a refusal', () => {
  it('has a code of lower-case words that no other refusal has', () => {
    for (const code of REFUSAL_CODES) expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(new Set(REFUSAL_CODES).size).toBe(REFUSAL_CODES.length);
  });

  it('carries its sentence and its members, and says nothing else', () => {
    const refusal = new Refusal('already_decided', 'It was decided.', { state: 'denied' });
    expect(refusal).toBeInstanceOf(Error);
    expect(refusal).toMatchObject({
      name: 'Refusal',
      code: 'already_decided',
      message: 'It was decided.',
      members: { state: 'denied' },
    });
    expect(new Refusal('denied', 'No.').members).toEqual({});
  });
});
