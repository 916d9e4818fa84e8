// What the answers of people justify: less noise, said with its evidence; never fewer gates.
import { describe, expect, it } from 'vitest';
import {
  loadsByRule,
  mostAtOnce,
  mostPerHour,
  shareOf,
  type AttentionCase,
  type PolicyNow,
} from '../../domain/attention.ts';

const NOW: PolicyNow = {
  ttlSecondsMax: new Map([['orders-write', 900]]),
  unreminded: new Set(['orders-write']),
};

let made = 0;
function asked(
  outcome: AttentionCase['outcome'],
  more: Partial<AttentionCase> = {},
): AttentionCase {
  made += 1;
  return {
    request: `req_${made}`,
    rules: ['write-orders'],
    routes: ['orders-write'],
    role: 'orders-write',
    openedAt: '2026-11-01T00:00:00.000Z',
    decidedAt: '2026-11-01T00:01:00.000Z',
    outcome,
    narrowedTtlSeconds: null,
    isNarrowed: false,
    ...more,
  };
}
const times = (n: number, make: () => AttentionCase): AttentionCase[] =>
  Array.from({ length: n }, make);
const shortened = (seconds: number) => () =>
  asked('approved', { isNarrowed: true, narrowedTtlSeconds: seconds });
const loadOf = (cases: AttentionCase[], now = NOW) => {
  const [load] = loadsByRule(cases, now);
  if (!load) throw new Error('no rule asked anything');
  return load;
};

describe('D20: unanimous approval', () => {
  it.each([20, 400, 10_000])('of %i requests proposes nothing, and says why', (n) => {
    const load = loadOf(times(n, () => asked('approved')));
    expect(load.proposals).toEqual([]);
    expect(load.note).toContain(`All ${n} were approved as asked`);
    expect(load.note).toContain('no evidence for removing this gate');
  });

  it('is nowhere a reason to ask less: no proposal ever widens anything', () => {
    for (const outcome of ['approved', 'denied', 'expired', 'withdrawn', 'open'] as const)
      for (const { kind, diff } of loadOf(times(100, () => asked(outcome))).proposals) {
        expect(['lower_ttl', 'remind', 'forbid']).toContain(kind);
        expect(diff).not.toMatch(/^\+.*(permit|waives|observe|warn|quorum)/m);
      }
  });
});

describe('a proposal comes with its evidence', () => {
  it('a lower ceiling where people keep shortening to it, as a diff of the role', () => {
    const { proposals } = loadOf([...times(8, shortened(300)), ...times(2, shortened(600))]);
    expect(proposals).toHaveLength(1);
    expect(proposals[0]).toMatchObject({
      kind: 'lower_ttl',
      evidence: { k: 10, n: 10, lower: 0.741 },
      diff: '--- a/roles.yaml\n+++ b/roles.yaml\n   orders-write:\n-    ttl_seconds_max: 900\n+    ttl_seconds_max: 600',
    });
    expect(proposals[0]?.evidence.requests).toHaveLength(5);
  });

  it('none for a few, none where most were given in full, and none that would raise it', () => {
    expect(loadOf(times(4, shortened(300))).proposals).toEqual([]);
    const mostlyFull = [...times(10, shortened(300)), ...times(10, () => asked('approved'))];
    expect(loadOf(mostlyFull).proposals).toEqual([]);
    expect(loadOf(times(10, shortened(900))).proposals).toEqual([]);
    // A role that policy no longer has is changed by nobody.
    expect(
      loadOf(times(10, shortened(300)), { ...NOW, ttlSecondsMax: new Map() }).proposals,
    ).toEqual([]);
  });

  it('a reminder where requests run out unseen, unless somebody is reminded there', () => {
    const unseen = [...times(12, () => asked('expired')), ...times(8, () => asked('approved'))];
    expect(loadOf(unseen).proposals.map(({ kind }) => kind)).toEqual(['remind']);
    expect(loadOf(unseen, { ...NOW, unreminded: new Set() }).proposals).toEqual([]);
    expect(loadOf(times(10, () => asked('expired'))).proposals).toEqual([]);
  });

  it('a no at once where people nearly always say no', () => {
    expect(loadOf(times(20, () => asked('denied'))).proposals[0]).toMatchObject({
      kind: 'forbid',
      evidence: { k: 20, n: 20 },
    });
    const half = [...times(10, () => asked('denied')), ...times(10, () => asked('approved'))];
    expect(loadOf(half).proposals).toEqual([]);
  });
});

describe('a rule’s load', () => {
  it('counts shares of what was decided, with bounds, and never a bare rate', () => {
    const load = loadOf([
      ...times(17, () => asked('approved')),
      ...times(3, () => asked('denied')),
      ...times(2, () => asked('expired', { decidedAt: null })),
      asked('open', { decidedAt: null }),
      asked('withdrawn'),
    ]);
    expect([load.requests, load.open, load.median_seconds_to_decide]).toEqual([24, 1, 60]);
    expect(load.denied).toEqual({ k: 3, n: 20, lower: 0.042, upper: 0.344, enough: true });
    expect([load.expired.k, load.expired.n]).toEqual([2, 22]);
    expect(load.note).toBeNull();
  });

  it('says where there is too little to say', () => {
    expect(shareOf(1, 3)).toMatchObject({ k: 1, n: 3, enough: false });
    expect(shareOf(0, 0)).toEqual({ k: 0, n: 0, lower: 0, upper: 1, enough: false });
  });

  it('puts the noisiest first, and counts a request for each rule that held it', () => {
    const both = times(3, () => asked('approved', { rules: ['a', 'b'] }));
    const loads = loadsByRule([...both, asked('approved', { rules: ['b'] })], NOW);
    expect(loads.map(({ rule, requests }) => [rule, requests])).toEqual([
      ['b', 4],
      ['a', 3],
    ]);
  });
});

describe('a person’s load', () => {
  const at = (minute: number): string => new Date(minute * 60_000).toISOString();

  it('is the most votes in any hour, not in hours of the clock', () => {
    expect(mostPerHour([50, 55, 65, 70, 200].map(at))).toBe(4);
    expect(mostPerHour([0, 60].map(at))).toBe(1);
    expect(mostPerHour([])).toBe(0);
  });

  it('is the most that waited at one moment; what ends as another begins does not overlap it', () => {
    const spans = [
      [0, 10],
      [5, 15],
      [10, 20],
      [14, 16],
    ].map(([from = 0, until = 0]) => ({ from: at(from), until: at(until) }));
    expect(mostAtOnce(spans)).toBe(3);
    expect(mostAtOnce([])).toBe(0);
  });
});
