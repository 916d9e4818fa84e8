// Who may decide and what the votes amount to, over many made-up routes, people and orders.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  barredBy,
  CHANNELS,
  foldVotes,
  freezeRoute,
  groupsAfter,
  isStrongEnough,
  routesFor,
  ruleDigest,
  STRENGTHS,
  whyIneligible,
  type CastVote,
  type Involved,
  type RouteRule,
} from '../../domain/approval.ts';

const PEOPLE = ['psn_ada', 'psn_bob', 'psn_cy', 'psn_dee', 'psn_eve'];
const GROUPS = ['owners', 'security', 'admins'];

const RULE: RouteRule = {
  title: 'Orders',
  groups: ['owners'],
  quorum: 2,
  expiry_seconds: 3600,
  valid_seconds: 900,
  strength: 'session',
  channels: ['web'],
  independence: { owner: 'barred', triggerer: 'barred' },
  remind_at: [0.5],
  escalation: [{ after_seconds: 600, groups: ['security'] }],
};
const route = (name: string, over: Partial<RouteRule> = {}): ReturnType<typeof freezeRoute> =>
  freezeRoute(name, { ...RULE, ...over });

/** A vote as every route here takes it: on the web, by somebody who is signed in. */
const vote = (person: string, decision: CastVote['decision'] = 'approve'): CastVote => ({
  person,
  decision,
  channel: 'web',
  strength: 'session',
});
const votes = (): fc.Arbitrary<CastVote[]> =>
  fc.array(
    fc
      .tuple(fc.constantFrom(...PEOPLE), fc.constantFrom('approve' as const, 'deny' as const))
      .map(([person, decision]) => vote(person, decision)),
    { maxLength: 12 },
  );
const approvals = (): fc.Arbitrary<CastVote[]> =>
  fc.array(
    fc.constantFrom(...PEOPLE).map((person) => vote(person)),
    { maxLength: 12 },
  );
const routes = (): fc.Arbitrary<ReturnType<typeof route>[]> =>
  fc
    .array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 })
    .map((quorums) => quorums.map((quorum, at) => route(`r${at}`, { quorum })));
type GroupsOf = Parameters<typeof foldVotes>[2];
const everybody: GroupsOf = (_vote, { rule }) => rule.groups;
/** Those whom it names, by every group of the route. */
const only =
  (may: (person: string) => boolean): GroupsOf =>
  (cast, { rule }) =>
    may(cast.person) ? rule.groups : [];
const fold = (
  held: ReturnType<typeof route>[],
  cast: CastVote[],
  groupsOf: GroupsOf,
): ReturnType<typeof foldVotes> => foldVotes(held, cast, groupsOf, 0);

describe('folding votes', () => {
  it('SEC-A9 (I4): a quorum counts distinct humans, however often each of them votes', () => {
    fc.assert(
      fc.property(routes(), approvals(), (held, cast) => {
        const distinct = new Set(cast.map((vote) => vote.person)).size;
        const needed = Math.max(...held.map(({ rule }) => rule.quorum));
        const tally = fold(held, [...cast, ...cast], everybody);
        expect(tally.outcome).toBe(distinct >= needed ? 'approved' : 'pending');
        expect(tally.approvers).toHaveLength(distinct);
        for (const { name } of held) expect(tally.approvals[name]).toBe(distinct);
      }),
    );
  });

  it('SEC-A9 (I4): nor one human twice who is heard through another, nor one who speaks for two', () => {
    const [ada = '', bob = '', cy = ''] = PEOPLE;
    const inStead = (person: string, away: string): CastVote => ({
      ...vote(person),
      inSteadOf: away,
    });
    for (const cast of [
      [vote(ada), inStead(bob, ada)],
      [inStead(bob, ada), inStead(cy, ada)],
      [inStead(bob, ada), inStead(bob, cy)],
      [vote(bob), inStead(bob, ada)],
    ])
      for (const order of [cast, cast.toReversed()])
        expect(fold([route('pair')], order, everybody)).toMatchObject({
          outcome: 'pending',
          approvals: { pair: 1 },
        });
  });

  it('one denial ends it, whatever else was said', () => {
    fc.assert(
      fc.property(routes(), approvals(), fc.nat(), (held, cast, place) => {
        const at = place % (cast.length + 1);
        const withDenial = cast.toSpliced(at, 0, vote('psn_ada', 'deny'));
        expect(fold(held, withDenial, everybody).outcome).toBe('denied');
      }),
    );
  });

  it('the order of a set of votes does not change what it amounts to', () => {
    const shuffled = votes().chain((cast) =>
      fc.tuple(
        fc.constant(cast),
        fc.shuffledSubarray(cast, { minLength: cast.length, maxLength: cast.length }),
      ),
    );
    fc.assert(
      fc.property(routes(), shuffled, fc.subarray(PEOPLE), (held, [cast, other], eligible) => {
        const may = only((person) => eligible.includes(person));
        expect(fold(held, other, may)).toEqual(fold(held, cast, may));
      }),
    );
  });

  it('another approval never turns an approval into anything else', () => {
    fc.assert(
      fc.property(routes(), approvals(), fc.constantFrom(...PEOPLE), (held, cast, person) => {
        fc.pre(fold(held, cast, everybody).outcome === 'approved');
        const more = [...cast, vote(person)];
        expect(fold(held, more, everybody).outcome).toBe('approved');
      }),
    );
  });

  it('I4: who is not eligible now does not count, though the vote was cast', () => {
    const held = [route('r', { quorum: 2 })];
    const cast = PEOPLE.map((person) => vote(person));
    expect(
      fold(
        held,
        cast,
        only((person) => person === 'psn_ada'),
      ),
    ).toMatchObject({
      outcome: 'pending',
      approvals: { r: 1 },
      approvers: ['psn_ada'],
    });
  });

  it('I4: no agent, service or workflow can be counted, though somebody called it eligible', () => {
    for (const person of ['agt_1', 'service', 'workflow', 'key_1', '', 'psn', 'PSN_ada', 'xpsn_a'])
      for (const decision of ['approve', 'deny'] as const)
        expect(
          fold([route('r', { quorum: 1 })], [vote(person, decision)], everybody),
        ).toMatchObject({
          outcome: 'pending',
          approvals: { r: 0 },
          approvers: [],
        });
  });

  it('a vote does not count on a route that does not take its channel, or asks for a stronger proof', () => {
    const held = [route('r', { quorum: 1 })];
    const outcome = (over: Partial<CastVote>): string =>
      fold(held, [{ ...vote('psn_ada'), ...over }], everybody).outcome;
    expect(outcome({})).toBe('approved');
    expect(outcome({ channel: 'slack' })).toBe('pending');
    const strict = [route('r', { quorum: 1, strength: 'passkey' })];
    expect(fold(strict, [{ ...vote('psn_ada'), strength: 'passkey' }], everybody).outcome).toBe(
      'approved',
    );
    expect(fold(strict, [{ ...vote('psn_ada'), strength: 'fresh' }], everybody).outcome).toBe(
      'pending',
    );
    expect(fold(strict, [vote('psn_ada')], everybody).outcome).toBe('pending');
  });

  it('every route needs its own quorum', () => {
    const held = [route('a', { quorum: 1 }), route('b', { quorum: 1, groups: ['security'] })];
    const cast = [vote('psn_ada')];
    const onlyA: GroupsOf = (_vote, { name, rule }) => (name === 'a' ? rule.groups : []);
    expect(fold(held, cast, onlyA).outcome).toBe('pending');
    expect(fold(held, cast, everybody).outcome).toBe('approved');
  });

  it('I6: nothing is approved by nobody: no route, no vote, no sensible quorum', () => {
    const one = [vote('psn_ada')];
    expect(fold([], one, everybody).outcome).toBe('pending');
    const asking = (quorum: number): ReturnType<typeof route> => ({
      ...route('r'),
      rule: { ...RULE, quorum },
    });
    for (const quorum of [0, -1, 1, Number.NaN])
      expect(fold([asking(quorum)], [], everybody).outcome).toBe('pending');
    expect(fold([asking(Number.NaN)], one, everybody).outcome).toBe('pending');
  });
});

describe('eligibility', () => {
  const involved: Involved = {
    requester: 'psn_ada',
    owners: ['psn_bob'],
    triggeredBy: 'psn_cy',
  };
  const voter = (id: string, groups: string[], active = true) => ({ id, groups, active });

  it('SEC-A1 (I4): nobody approves for themselves: requester, owner and trigger are barred in every group', () => {
    for (const person of ['psn_ada', 'psn_bob', 'psn_cy']) {
      expect(whyIneligible(voter(person, GROUPS), [route('r')], involved, 0)).toBe('self_approval');
      expect(routesFor(voter(person, GROUPS), [route('r')], involved, 9_999)).toEqual([]);
    }
    expect(whyIneligible(voter('psn_dee', ['owners']), [route('r')], involved, 0)).toBeNull();
  });

  it('I4: a route may let the owner or the trigger decide, and never the requester', () => {
    const open = route('r', { independence: { owner: 'allowed', triggerer: 'allowed' } });
    expect(barredBy(open.rule, involved)).toEqual(['psn_ada']);
    expect(barredBy(RULE, involved).toSorted()).toEqual(['psn_ada', 'psn_bob', 'psn_cy']);
    const alsoRequester = { ...involved, owners: ['psn_ada'], triggeredBy: 'psn_ada' };
    expect(whyIneligible(voter('psn_ada', GROUPS), [open], alsoRequester, 0)).toBe('self_approval');
  });

  it('belongs to a group of the route, to active people only', () => {
    expect(whyIneligible(voter('psn_eve', ['security']), [route('r')], involved, 0)).toBe(
      'not_eligible',
    );
    expect(whyIneligible(voter('psn_eve', ['owners'], false), [route('r')], involved, 0)).toBe(
      'not_eligible',
    );
    expect(whyIneligible(voter('psn_eve', []), [route('r')], involved, 0)).toBe('not_eligible');
    expect(whyIneligible(voter('psn_eve', ['owners']), [], involved, 0)).toBe('not_eligible');
  });

  it('escalation adds approvers when its time has come, and approves nothing', () => {
    expect(groupsAfter(RULE, 599)).toEqual(['owners']);
    expect(groupsAfter(RULE, 600)).toEqual(['owners', 'security']);
    expect(groupsAfter(RULE, Number.NaN)).toEqual(['owners']);
    expect(routesFor(voter('psn_eve', ['security']), [route('r')], involved, 600)).toHaveLength(1);
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(10_000), (a, b) => {
        const [early, late] = a < b ? [a, b] : [b, a];
        expect(groupsAfter(RULE, late)).toEqual(expect.arrayContaining(groupsAfter(RULE, early)));
      }),
    );
  });

  it('more strength is enough for less, and never the other way round', () => {
    STRENGTHS.forEach((has, strong) => {
      STRENGTHS.forEach((needs, weak) => {
        expect(isStrongEnough(has, needs)).toBe(strong >= weak);
      });
    });
    expect(isStrongEnough('none' as 'session', 'session')).toBe(false);
  });
});

describe('the digest of a rule', () => {
  it('changes with everything that decides who may approve what, for how long and how', () => {
    const changed: Partial<RouteRule>[] = [
      { groups: ['owners', 'security'] },
      { quorum: 1 },
      { expiry_seconds: 3601 },
      { valid_seconds: 901 },
      { strength: 'fresh' },
      { channels: [...CHANNELS] },
      { independence: { owner: 'allowed', triggerer: 'barred' } },
      { independence: { owner: 'barred', triggerer: 'allowed' } },
      { uses: 2 },
      { receipt_within_seconds: 60 },
      { escalation: [] },
      { escalation: [{ after_seconds: 601, groups: ['security'] }] },
      { escalation: [{ after_seconds: 600, groups: ['admins'] }] },
      { escalation: [{ after_seconds: 600, groups: ['security'], for: 'owners' }] },
      { seats: { owners: 2 } },
      { stages: [{ title: null, groups: ['owners'], quorum: 2 }] },
      { stages: [{ title: null, groups: ['owners'], quorum: 2 }], same_person: 'allowed' },
      { stages: [{ title: null, groups: ['owners'], quorum: 2, seats: { owners: 2 } }] },
    ];
    const digests = [{}, ...changed].map((over) => ruleDigest({ ...RULE, ...over }));
    expect(new Set(digests).size).toBe(digests.length);
  });

  it('does not change with the order of groups, a title or a reminder: votes stay under their rule', () => {
    const same = { title: 'Other words', remind_at: [], groups: ['b', 'a'] };
    expect(ruleDigest({ ...RULE, ...same })).toBe(ruleDigest({ ...RULE, groups: ['a', 'b'] }));
    const frozen = freezeRoute('r', RULE);
    expect(frozen.rule_digest).toBe(ruleDigest(RULE));
    const stage = { groups: ['owners'], quorum: 2 };
    expect(ruleDigest({ ...RULE, stages: [{ title: 'First', ...stage }] })).toBe(
      ruleDigest({ ...RULE, stages: [{ title: null, ...stage }] }),
    );
  });

  it('is what it was for a rule that says nothing new', () => {
    expect(ruleDigest(RULE)).toBe(
      'sha256:5ecd4eb56cddfa55d88c7811240dbdb4ab4d19d3892bf6b698ad79324c14d7fd',
    );
  });
});
