// Narrowing over made-up actions and limits: it never widens, whoever narrows first and however often.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { JsonObject } from '../../domain/json.ts';
import {
  isWithin,
  limitsInWords,
  meet,
  narrow,
  type Limits,
  type Narrowable,
  type Terms,
} from '../../domain/narrowing.ts';

const REPOSITORIES = ['api', 'docs', 'web'];
const LEVELS = ['read', 'write', 'admin'];
const NARROWABLE: Narrowable = {
  options: {
    repositories: { kind: 'some_of', of: REPOSITORIES },
    permissions: { kind: 'levels', of: { contents: 'write', issues: 'admin' }, order: LEVELS },
  },
  starts_before: '2026-11-22T00:00:00.000Z',
};
const START = '2026-11-21T12:00:00.000Z';

const terms = (parameters: JsonObject = {}): Terms => ({
  action: {
    subject: { type: 'agent', id: 'agt_1' },
    actor_chain: [{ type: 'agent', id: 'agt_1' }],
    action: 'credential:request',
    resource: { type: 'role', id: 'code' },
    parameters: { ttl_seconds: 900, not_before: START, ...parameters },
    data_class: 'internal',
    destination: 'github:code',
    context: { task: 'tsk_1' },
  },
  valid_seconds: 600,
  uses: 5,
});

const left = (from: Terms, limits: Limits): Terms | null => {
  const narrowing = narrow(from, NARROWABLE, limits);
  return narrowing.kind === 'narrowed' ? narrowing.terms : null;
};

const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

/** Mostly limits that can be taken, some that cannot. */
const limits = (): fc.Arbitrary<Limits> =>
  fc
    .record({
      ttl_seconds: some(fc.integer({ min: 0, max: 930 })),
      valid_seconds: some(fc.integer({ min: 8, max: 620 })),
      uses: some(fc.integer({ min: 1, max: 6 })),
      not_before: some(
        fc
          .integer({ min: -1_000_000, max: 44_000_000 })
          .map((ms) => new Date(Date.parse(START) + ms).toISOString()),
      ),
      repositories: some(
        fc.oneof(
          { weight: 9, arbitrary: fc.subarray(REPOSITORIES, { minLength: 1 }) },
          { weight: 1, arbitrary: fc.constant(['api', 'other']) },
        ),
      ),
      permissions: some(
        fc.dictionary(fc.constantFrom('contents', 'issues'), fc.constantFrom(...LEVELS), {
          minKeys: 1,
        }),
      ),
    })
    .map(({ repositories, permissions, ...plain }) => {
      const options = {
        ...(repositories && { repositories }),
        ...(permissions && { permissions }),
      };
      const said = Object.entries(plain).filter(([, value]) => value !== undefined);
      return asLimits({
        ...Object.fromEntries(said),
        ...(Object.keys(options).length > 0 && { options }),
      });
    });

/** Made of nothing but limits. */
const asLimits = (made: unknown): Limits => made as Limits;

const within = (one: Terms, other: Terms): boolean =>
  isWithin(one.action, other.action, NARROWABLE) &&
  one.valid_seconds <= other.valid_seconds &&
  one.uses <= other.uses;

describe('a narrowing', () => {
  it('never widens, whatever limits are given', () => {
    let taken = 0;
    fc.assert(
      fc.property(limits(), limits(), (first, second) => {
        const before = terms();
        const once = left(before, first);
        if (once === null) return;
        taken += 1;
        expect(within(once, before)).toBe(true);
        const twice = left(once, second);
        if (twice === null) return;
        expect(within(twice, once)).toBe(true);
        expect(within(twice, before)).toBe(true);
      }),
      { numRuns: 500 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  it('is the same, whoever narrows first', () => {
    fc.assert(
      fc.property(limits(), limits(), (one, other) => {
        const [a, b] = [left(terms(), one), left(terms(), other)];
        const [ab, ba] = [a && left(a, other), b && left(b, one)];
        if (ab === null || ba === null) return;
        expect(ab).toEqual(ba);
      }),
      { numRuns: 500 },
    );
  });

  it('by two people in a row is the one by what both leave', () => {
    fc.assert(
      fc.property(limits(), limits(), (one, other) => {
        const first = left(terms(), one);
        const both = first && left(first, other);
        if (both === null) return;
        expect(left(terms(), meet(NARROWABLE, one, other))).toEqual(both);
      }),
      { numRuns: 500 },
    );
  });

  it('done again takes no more away', () => {
    fc.assert(
      fc.property(limits(), (one) => {
        const once = left(terms(), one);
        expect(once && left(once, one)).toEqual(once);
      }),
    );
  });

  it('to what it is already leaves the very same action', () => {
    const { action } = terms();
    const same = left(terms(), {
      ttl_seconds: 900,
      not_before: START,
      options: { repositories: ['web', 'docs', 'api'] },
    });
    expect(same && actionDigest(same.action)).toBe(actionDigest(action));
  });
});

describe('the tightest of two limits', () => {
  it('does not depend on the order, or on saying one twice', () => {
    fc.assert(
      fc.property(limits(), limits(), (one, other) => {
        expect(meet(NARROWABLE, one, other)).toEqual(meet(NARROWABLE, other, one));
        const both = meet(NARROWABLE, one, other);
        expect(meet(NARROWABLE, both, one)).toEqual(both);
      }),
    );
  });
});

describe('what is no narrowing is refused, and says why', () => {
  const cases: [name: string, limits: Limits, limit: string, says: RegExp][] = [
    ['longer', { ttl_seconds: 901 }, 'ttl_seconds', /is 900 now, and can only become less/],
    ['no time at all', { ttl_seconds: 0 }, 'ttl_seconds', /at least 1/],
    ['half a second', { ttl_seconds: 0.5 }, 'ttl_seconds', /at least 1/],
    ['good for longer', { valid_seconds: 601 }, 'valid_seconds', /is 600 now/],
    ['good for too short', { valid_seconds: 9 }, 'valid_seconds', /at least 10/],
    ['more often', { uses: 6 }, 'uses', /is 5 now/],
    ['earlier', { not_before: '2026-11-21T11:59:59.999Z' }, 'not_before', /only be moved later/],
    ['too late', { not_before: '2026-11-22T00:00:00Z' }, 'not_before', /has to be before/],
    ['no moment', { not_before: 'tomorrow' }, 'not_before', /RFC 3339/],
    [
      'another repository',
      { options: { repositories: ['api', 'secrets'] } },
      'options.repositories',
      /secrets is not among/,
    ],
    ['no repository', { options: { repositories: [] } }, 'options.repositories', /leaves nothing/],
    [
      'a higher level',
      { options: { permissions: { contents: 'admin' } } },
      'options.permissions',
      /contents: admin is not within/,
    ],
    [
      'a level that is none',
      { options: { permissions: { contents: 'owner' } } },
      'options.permissions',
      /is not within/,
    ],
    [
      'what every object has',
      { options: { permissions: { constructor: 'read' } } },
      'options.permissions',
      /is not within/,
    ],
    ['an option that has no less', { options: { toString: [] } }, 'options.toString', /cannot be/],
    ['a list of levels', { options: { permissions: ['read'] } }, 'options.permissions', /a level/],
    [
      'levels of a list',
      { options: { repositories: { api: 'x' } } },
      'options.repositories',
      /list/,
    ],
    ['no limit', asLimits({ role: 'admin' }), 'role', /is no limit; there are: ttl_seconds/],
  ];
  it.each(cases)('%s', (_name, wanted, limit, says) => {
    const refused = narrow(terms(), NARROWABLE, wanted);
    expect(refused).toMatchObject({ kind: 'refused', limit });
    expect(refused.kind === 'refused' && refused.says).toMatch(says);
  });

  it('a statement has no time and no start to narrow', () => {
    const { ttl_seconds: _ttl, not_before: _start, ...rest } = terms().action.parameters;
    const statement: Terms = { ...terms(), action: { ...terms().action, parameters: rest } };
    const none: Narrowable = { options: {}, starts_before: null };
    for (const wanted of [{ ttl_seconds: 5 }, { not_before: START }])
      expect(narrow(statement, none, wanted)).toMatchObject({
        kind: 'refused',
        says: expect.stringMatching(/this action has no/) as unknown,
      });
  });
});

describe('what is shortened', () => {
  it('is not renewed past the shorter time', () => {
    const renewable = terms({ renew_seconds_max: 7200 });
    const shorter = left(renewable, { ttl_seconds: 300 });
    expect(shorter?.action.parameters).toMatchObject({ ttl_seconds: 300, renew_seconds_max: 300 });
    expect(left(renewable, { ttl_seconds: 900 })?.action.parameters['renew_seconds_max']).toBe(
      7200,
    );
    const widened: Action = {
      ...renewable.action,
      parameters: { ...renewable.action.parameters, renew_seconds_max: 7201 },
    };
    expect(isWithin(widened, renewable.action, NARROWABLE)).toBe(false);
  });
});

describe('another action is never within', () => {
  it.each([
    ['another role', { resource: { type: 'role', id: 'admin' } }],
    ['another holder', { subject: { type: 'agent' as const, id: 'agt_2' } }],
    ['another place', { destination: 'github:other' }],
    ['another parameter', { parameters: { ...terms().action.parameters, confirmation: {} } }],
  ] satisfies [string, Partial<Action>][])('%s', (_name, over) => {
    expect(isWithin({ ...terms().action, ...over }, terms().action, NARROWABLE)).toBe(false);
  });
});

it('limits read as what they leave', () => {
  expect(
    limitsInWords({
      ttl_seconds: 300,
      options: { repositories: ['api', 'web'], permissions: { contents: 'read' } },
    }),
  ).toBe('ttl_seconds 300; repositories api, web; permissions contents: read');
});
