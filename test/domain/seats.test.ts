// Seats of a route over many made-up groups and people, held against trying every way to seat them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  foldVotes,
  freezeRoute,
  groupsOn,
  routesFor,
  whyIneligible,
  type CastVote,
  type RouteRule,
} from '../../domain/approval.ts';
import {
  fillSeats,
  isReachable,
  progressInWords,
  seatKinds,
  seatsInWords,
  type SeatKind,
  type Sitter,
} from '../../domain/seats.ts';

const GROUPS = ['security', 'owners', 'admins'];
const PEOPLE = ['psn_a', 'psn_b', 'psn_c', 'psn_d', 'psn_e'];

const RULE: RouteRule = {
  title: 'Payouts',
  groups: ['security', 'owners'],
  quorum: 2,
  seats: { security: 1, owners: 1 },
  expiry_seconds: 3600,
  valid_seconds: 900,
  strength: 'session',
  channels: ['web'],
  independence: { owner: 'barred', triggerer: 'barred' },
  remind_at: [],
  escalation: [],
};

const sitters = (): fc.Arbitrary<Sitter[]> =>
  fc
    .array(fc.subarray(GROUPS), { maxLength: PEOPLE.length })
    .map((each) => each.map((groups, at) => ({ id: PEOPLE[at] ?? '', groups })));
const kinds = (): fc.Arbitrary<SeatKind[]> =>
  fc.array(
    fc.record({
      groups: fc.subarray(GROUPS, { minLength: 1 }),
      quorum: fc.integer({ min: 1, max: 2 }),
    }),
    { minLength: 1, maxLength: 3 },
  );

/** The most seats that can be taken, by trying every person in every seat. */
function mostSeats(seats: readonly SeatKind[], people: readonly Sitter[]): number {
  const [first, ...others] = people;
  if (!first) return 0;
  const standing = mostSeats(seats, others);
  const sitting = seats.flatMap((seat, at) =>
    first.groups.some((group) => seat.groups.includes(group))
      ? [1 + mostSeats(seats.toSpliced(at, 1), others)]
      : [],
  );
  return Math.max(standing, ...sitting);
}

const oneByOne = (all: readonly SeatKind[]): SeatKind[] =>
  all.flatMap((kind) => Array.from({ length: kind.quorum }, () => kind));

const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);

describe('filling seats', () => {
  it('I4: takes as many seats as any seating could, and one human never takes two', () => {
    fc.assert(
      fc.property(kinds(), sitters(), (wanted, people) => {
        const filled = fillSeats(wanted, people);
        expect(sum(filled)).toBe(mostSeats(oneByOne(wanted), people));
        expect(sum(filled)).toBeLessThanOrEqual(people.length);
        filled.forEach((count, at) => expect(count).toBeLessThanOrEqual(wanted[at]?.quorum ?? 0));
      }),
      { numRuns: 2_000 },
    );
  });

  it('I4: somebody in both groups fills one of the two seats, however often they are named', () => {
    const both = { id: 'psn_a', groups: ['security', 'owners'] };
    const wanted = seatKinds({ ...RULE, title: null }, [], 0);
    expect(fillSeats(wanted, [both, both])).toEqual([1, 0]);
    expect(fillSeats(wanted, [both, { id: 'psn_b', groups: ['owners'] }])).toEqual([1, 1]);
    expect(fillSeats(wanted, [both, { id: 'psn_b', groups: ['security'] }])).toEqual([1, 1]);
  });

  it('does not depend on the order in which people come', () => {
    const shuffled = sitters().chain((people) =>
      fc.tuple(fc.constant(people), fc.shuffledSubarray(people, { minLength: people.length })),
    );
    fc.assert(
      fc.property(kinds(), shuffled, (wanted, [people, others]) => {
        expect(fillSeats(wanted, others)).toEqual(fillSeats(wanted, people));
      }),
    );
  });
});

const vote = (person: string, over: Partial<CastVote> = {}): CastVote => ({
  person,
  decision: 'approve',
  channel: 'web',
  strength: 'session',
  ...over,
});

const MEMBERS: Record<string, string[]> = {
  psn_sam: ['security'],
  psn_sue: ['security'],
  psn_olga: ['owners'],
  psn_both: ['security', 'owners'],
  psn_ann: ['admins'],
};
const membership = (cast: CastVote): string[] => MEMBERS[cast.inSteadOf ?? cast.person] ?? [];
const fold = (rule: Partial<RouteRule>, cast: CastVote[], elapsed = 0) =>
  foldVotes([freezeRoute('r', { ...RULE, ...rule })], cast, membership, elapsed);

describe('a quorum per group', () => {
  it('I4: is reached by one person from each, and not by two from one', () => {
    expect(fold({}, [vote('psn_sam'), vote('psn_sue')]).outcome).toBe('pending');
    expect(fold({}, [vote('psn_sam'), vote('psn_olga')]).outcome).toBe('approved');
    expect(fold({}, [vote('psn_both')]).outcome).toBe('pending');
    expect(fold({}, [vote('psn_both'), vote('psn_sam')]).outcome).toBe('approved');
  });

  it('says of which group how many are there, and sums them for those who count', () => {
    const { approvals, stages } = fold({}, [vote('psn_sam'), vote('psn_sue')]);
    expect(approvals).toEqual({ r: 1 });
    expect(progressInWords(stages['r'] ?? [])).toBe('0 of 1 owners, 1 of 1 security');
    expect(seatsInWords(RULE)).toBe('1 from owners and 1 from security');
  });

  it('is widened by an escalation for the group that it names, and for no other', () => {
    const escalation = [{ after_seconds: 60, groups: ['admins'], for: 'owners' }];
    const cast = [vote('psn_ann'), vote('psn_sam')];
    expect(fold({ escalation }, cast, 59).outcome).toBe('pending');
    expect(fold({ escalation }, cast, 60).outcome).toBe('approved');
    expect(fold({ escalation }, [vote('psn_ann'), vote('psn_olga')], 60).outcome).toBe('pending');
  });
});

const STAGED: Partial<RouteRule> = {
  groups: ['owners', 'security'],
  stages: [
    { title: 'Owners', groups: ['owners'], quorum: 1 },
    { title: null, groups: ['security'], quorum: 1 },
  ],
};
const { seats: _seats, ...BARE } = RULE;
const staged = (more: Partial<RouteRule> = {}) => freezeRoute('r', { ...BARE, ...STAGED, ...more });
const foldStaged = (cast: CastVote[], more: Partial<RouteRule> = {}) =>
  foldVotes([staged(more)], cast, membership, 0);
const inStage = (person: string, stage: number): CastVote => vote(person, { stages: { r: stage } });

describe('stages', () => {
  const nobody = { requester: null, owners: [], triggeredBy: null };
  const voter = (id: string) => ({ id, groups: MEMBERS[id] ?? [], active: true });

  it('ask their people one after the other', () => {
    expect(foldStaged([]).open).toEqual({ r: 0 });
    expect(whyIneligible(voter('psn_sam'), [staged()], nobody, 0, { r: 0 })).toBe('not_your_turn');
    expect(whyIneligible(voter('psn_olga'), [staged()], nobody, 0, { r: 0 })).toBeNull();
    const first = [vote('psn_olga')];
    expect(foldStaged(first)).toMatchObject({ outcome: 'pending', open: { r: 1 } });
    expect(whyIneligible(voter('psn_sam'), [staged()], nobody, 0, { r: 1 })).toBeNull();
    expect(whyIneligible(voter('psn_ann'), [staged()], nobody, 0, { r: 1 })).toBe('not_eligible');
    expect(foldStaged([...first, inStage('psn_sam', 1)]).outcome).toBe('approved');
    expect(progressInWords(foldStaged([]).stages['r'] ?? [])).toBe('stage 1 of 2 (Owners): 0 of 1');
  });

  it('I4: are not filled by one person twice, unless the route says so', () => {
    expect(foldStaged([vote('psn_both')]).outcome).toBe('pending');
    expect(foldStaged([vote('psn_both')], { same_person: 'allowed' }).outcome).toBe('approved');
  });

  it('a vote cast in an earlier stage never counts in a later one', () => {
    expect(foldStaged([vote('psn_both'), vote('psn_olga')]).outcome).toBe('pending');
    expect(foldStaged([vote('psn_olga'), inStage('psn_both', 1)]).outcome).toBe('approved');
    // And with one person in two stages, a later vote is none for an earlier stage.
    const later = [inStage('psn_both', 1)];
    expect(foldStaged(later, { same_person: 'allowed' }).outcome).toBe('pending');
  });

  it('I4: open again when somebody of an earlier stage may no longer decide', () => {
    const cast = [vote('psn_olga'), inStage('psn_sam', 1)];
    const without = foldVotes(
      [staged()],
      cast,
      (each) => (each.person === 'psn_olga' ? [] : membership(each)),
      0,
    );
    expect(without).toMatchObject({ outcome: 'pending', open: { r: 0 } });
  });
});

describe('I4: a vote in the stead of somebody', () => {
  const away = (person: string, of: string): CastVote => vote(person, { inSteadOf: of });

  it('counts by the groups of whoever is away', () => {
    expect(fold({}, [away('psn_ann', 'psn_olga'), vote('psn_sam')]).outcome).toBe('approved');
  });

  it('is the same human as the one they vote for, and as themselves', () => {
    const quorum = { seats: { security: 2 }, groups: ['security'] };
    const twice = [vote('psn_sam'), away('psn_ann', 'psn_sam')];
    expect(fold(quorum, twice)).toMatchObject({ outcome: 'pending', approvals: { r: 1 } });
    expect(fold(quorum, twice.toReversed())).toMatchObject({ outcome: 'pending' });
    const two = [away('psn_ann', 'psn_sam'), away('psn_olga', 'psn_sam')];
    expect(fold(quorum, two).outcome).toBe('pending');
    expect(fold(quorum, [away('psn_ann', 'psn_sam'), vote('psn_sue')]).outcome).toBe('approved');
    expect(fold(quorum, [away('psn_sue', 'psn_sam'), vote('psn_sue')]).outcome).toBe('pending');
  });

  it('takes both of them to be free to decide', () => {
    const involved = { requester: 'psn_sam', owners: ['psn_ann'], triggeredBy: null };
    const plain = { groups: ['security'], active: true };
    const asAway = { ...plain, id: 'psn_olga', inSteadOf: 'psn_sam' };
    expect(groupsOn(asAway, RULE, involved)).toEqual([]);
    expect(groupsOn({ ...plain, id: 'psn_ann', inSteadOf: 'psn_sue' }, RULE, involved)).toEqual([]);
    expect(routesFor(asAway, [freezeRoute('r', RULE)], involved, 0)).toEqual([]);
    const free = { ...plain, id: 'psn_olga', inSteadOf: 'psn_sue' };
    expect(groupsOn(free, RULE, involved)).toEqual(['security']);
    const service = vote('psn_ann', { inSteadOf: 'agt_1' });
    expect(fold({}, [service, vote('psn_sam')]).outcome).toBe('pending');
  });
});

describe('whether a route can be passed at all', () => {
  const people = (...ids: string[]): Sitter[] =>
    ids.map((id) => ({ id, groups: MEMBERS[id] ?? [] }));

  it('every seat of every stage needs somebody of its own', () => {
    expect(isReachable(RULE, people('psn_both'), 0)).toBe(false);
    expect(isReachable(RULE, people('psn_sam', 'psn_sue'), 0)).toBe(false);
    expect(isReachable(RULE, people('psn_both', 'psn_sue'), 0)).toBe(true);
    expect(isReachable(staged().rule, people('psn_both'), 0)).toBe(false);
    expect(isReachable(staged().rule, people('psn_both', 'psn_olga'), 0)).toBe(true);
    const shared = staged({ same_person: 'allowed' });
    expect(isReachable(shared.rule, people('psn_both'), 0)).toBe(true);
    expect(isReachable(shared.rule, people('psn_sam'), 0)).toBe(false);
  });

  it('counts those who join before it runs out, and nobody who joins later', () => {
    const rule = {
      ...RULE,
      escalation: [{ after_seconds: 60, groups: ['admins'], for: 'owners' }],
    };
    expect(isReachable(rule, people('psn_sam', 'psn_ann'), 60)).toBe(true);
    expect(isReachable(rule, people('psn_sam', 'psn_ann'), 59)).toBe(false);
  });

  it('is what some way of voting would show', () => {
    fc.assert(
      fc.property(sitters(), (found) => {
        const groups = new Map(found.map(({ id, groups: each }) => [id, each]));
        const { outcome } = foldVotes(
          [freezeRoute('r', RULE)],
          found.map(({ id }) => vote(id)),
          ({ person }) => groups.get(person) ?? [],
          0,
        );
        expect(isReachable(RULE, found, 0)).toBe(outcome === 'approved');
      }),
    );
  });
});
