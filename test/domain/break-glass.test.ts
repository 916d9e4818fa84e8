// Emergency access: who is asked instead, and what an unreviewed use stands in the way of.
import { describe, expect, it } from 'vitest';
import { isWeaker } from '../../commands/policy/route-change.ts';
import { freezeRoute, ruleDigest, type RouteRule } from '../../domain/approval.ts';
import { isBlocked, routePast, type Emergency } from '../../domain/break-glass.ts';
import { ruleTitled } from '../support/rules.ts';

const glass = { groups: ['on-call'], quorum: 2, max_seconds: 600, cooldown_seconds: 60 };
const rule: RouteRule = { ...ruleTitled('Write'), break_glass: glass };

describe('the route past a gate', () => {
  it('is not there where the gate has none', () => {
    expect(routePast(freezeRoute('gate', ruleTitled('Write')))).toBeNull();
  });

  it('asks everybody but the one who declares, in a fresh session, never in a chat', () => {
    expect(routePast(freezeRoute('gate', rule))).toMatchObject({
      name: 'gate/break-glass',
      rule: {
        groups: ['on-call'],
        quorum: 1,
        valid_seconds: 600,
        strength: 'fresh',
        channels: ['web', 'api'],
        escalation: [],
        independence: rule.independence,
      },
    });
  });

  it('never takes less proof than the gate', () => {
    const past = routePast(freezeRoute('gate', { ...rule, strength: 'passkey' }));
    expect(past?.rule.strength).toBe('passkey');
  });
});

const use: Emergency = {
  agent: 'agt_1',
  gates: ['gate'],
  people: ['psn_a', 'psn_b'],
  incident: 'INC-1',
};
const other: Emergency = { agent: 'agt_2', gates: ['other'], people: ['psn_c'], incident: null };

describe('an unreviewed use blocks', () => {
  it.each<[string, Partial<Emergency>]>([
    ['its agent', { agent: 'agt_1' }],
    ['its gate', { gates: ['more', 'gate'] }],
    ['each of its people', { people: ['psn_b'] }],
    ['its people in its own incident', { people: ['psn_b'], incident: 'INC-1' }],
    ['its gate in another incident', { gates: ['gate'], incident: 'INC-2' }],
    ['its agent where no incident is named', { agent: 'agt_1', incident: null }],
  ])('%s', (_what, change) => {
    expect(isBlocked({ ...other, ...change }, [use])).toBe(true);
  });

  it.each<[string, Partial<Emergency>]>([
    ['an emergency that has nothing to do with it', {}],
    ['its own incident, with people who were not in it', { ...use, people: ['psn_c', 'psn_d'] }],
  ])('not %s', (_what, change) => {
    expect(isBlocked({ ...other, ...change }, [use])).toBe(false);
  });

  it('for each use by itself: one of the incident does not open what another closes', () => {
    const wanted = { ...use, people: ['psn_c', 'psn_d'] };
    expect(isBlocked(wanted, [use, { ...use, incident: null }])).toBe(true);
  });

  it('no use that names no incident, though none was named before either', () => {
    const none = { ...use, incident: null };
    expect(isBlocked({ ...none, people: ['psn_c'] }, [none])).toBe(true);
  });
});

describe('a rule with break_glass', () => {
  it('has another digest than one without, and one without has the digest it had', () => {
    expect(ruleDigest({ ...rule, break_glass: undefined })).toBe(ruleDigest(ruleTitled('Write')));
    expect(ruleDigest(rule)).not.toBe(ruleDigest(ruleTitled('Write')));
  });

  it.each([
    ['is added', ruleTitled('Write'), rule],
    ['has more groups', rule, { ...rule, break_glass: { ...glass, groups: ['on-call', 'all'] } }],
    ['lasts longer', rule, { ...rule, break_glass: { ...glass, max_seconds: 601 } }],
    ['cools down faster', rule, { ...rule, break_glass: { ...glass, cooldown_seconds: 59 } }],
    ['takes fewer', { ...rule, break_glass: { ...glass, quorum: 3 } }, rule],
    ['lets an approval stand', rule, { ...rule, standing: { max_seconds: 60, max_uses: 1 } }],
  ])('is weaker where it %s', (_what, before, after) => {
    expect(isWeaker(before, after)).toBe(true);
    expect(isWeaker(after, before)).toBe(false);
  });
});

describe('going offline', () => {
  const offline = (days: number): RouteRule => ({
    ...rule,
    break_glass: { ...glass, offline: { max_days: days } },
  });

  it('a gate that does not has the digest that it had', () => {
    expect(ruleDigest({ ...rule, break_glass: { ...glass, offline: undefined } })).toBe(
      ruleDigest(rule),
    );
    const digests = [rule, offline(1), offline(2)].map(ruleDigest);
    expect(new Set(digests).size).toBe(3);
  });

  it('letting it, or for longer, weakens the gate, and less of it does not', () => {
    const pairs: [RouteRule, RouteRule, boolean][] = [
      [rule, offline(1), true],
      [offline(1), offline(2), true],
      [offline(2), offline(1), false],
      [offline(1), rule, false],
    ];
    for (const [before, after, isLooser] of pairs) expect(isWeaker(before, after)).toBe(isLooser);
  });

  it('uses that are no agent’s share none, but gates and people do', () => {
    const used: Emergency = { agent: null, gates: ['a'], people: ['x'], incident: null };
    const wanted = (more: Partial<Emergency>): Emergency => ({
      ...{ agent: null, gates: ['b'], people: ['y'], incident: null },
      ...more,
    });
    expect(isBlocked(wanted({}), [used])).toBe(false);
    expect(isBlocked(wanted({ gates: ['a'] }), [used])).toBe(true);
    expect(isBlocked(wanted({ people: ['x'], agent: 'agt_1' }), [used])).toBe(true);
    expect(isBlocked(wanted({ gates: ['a'], incident: 'INC-1' }), [used])).toBe(true);
  });
});
