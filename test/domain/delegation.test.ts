import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  actClaim,
  areRolesWithin,
  chainOfClaims,
  CHAIN_LENGTH_MAX,
  isWithinScope,
  rolesOfScope,
  scopeOfRoles,
  whyNoLink,
} from '../../domain/delegation.ts';

const role = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const roles = fc.option(fc.uniqueArray(role, { maxLength: 5 }), { nil: null });
const chain = fc.uniqueArray(role, { minLength: 1, maxLength: CHAIN_LENGTH_MAX });

describe('a chain', () => {
  it('is read from a token as it was written into it', () => {
    fc.assert(
      fc.property(chain, (agents) => {
        const act = actClaim(agents) ?? undefined;
        expect(chainOfClaims(agents.at(-1) ?? '', act)).toEqual(agents);
      }),
    );
  });

  it('is nested with whoever acts outermost (RFC 8693 §4.1)', () => {
    expect(actClaim(['c', 'b', 'a'])).toEqual({ sub: 'c', act: { sub: 'b' } });
    expect(actClaim(['a'])).toBeNull();
  });

  it('in no form of ours is none, and neither is one without end', () => {
    for (const act of ['b', 7, null, [], [{ sub: 'b' }], {}, { sub: 7 }, { sub: 'b', act: 'c' }])
      expect(chainOfClaims('a', act)).toBeNull();
    const agents = Array.from({ length: CHAIN_LENGTH_MAX + 2 }, (_each, at) => `agent-${at}`);
    expect(chainOfClaims('a', actClaim(agents) ?? undefined)).toBeNull();
  });

  it('takes no agent twice, and none more than there is room for', () => {
    expect(whyNoLink(['b', 'a'], 'a')).toBe('cycle');
    expect(whyNoLink(['b', 'a'], 'c')).toBeNull();
    expect(whyNoLink(['e', 'd', 'c', 'b', 'a'], 'f')).toBe('too_deep');
  });
});

describe('a limit on roles', () => {
  it('is read from a scope as it was written into it', () => {
    fc.assert(
      fc.property(roles, (limit) => {
        expect(rolesOfScope(scopeOfRoles(limit))).toEqual(limit);
      }),
    );
  });

  it('is within another exactly when its scope is', () => {
    fc.assert(
      fc.property(roles, roles, (asked, allowed) => {
        const within = isWithinScope(scopeOfRoles(asked), scopeOfRoles(allowed));
        expect(within).toBe(areRolesWithin(asked, allowed));
      }),
    );
  });

  it('lets nothing through that it does not name', () => {
    expect(isWithinScope('task role:a', 'task role:a role:b')).toBe(true);
    expect(isWithinScope('task agent', 'task role:*')).toBe(false);
    expect(isWithinScope('task role:*', 'task role:a')).toBe(false);
    expect(areRolesWithin(null, [])).toBe(false);
    expect(areRolesWithin([], [])).toBe(true);
  });
});
