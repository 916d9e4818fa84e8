// What a standing grant covers: whatever may vary varies within its bound, and everything else is what was agreed.
import { describe, expect, it } from 'vitest';
import type { Action } from '../../domain/action.ts';
import { ruleDigest } from '../../domain/approval.ts';
import { isCovered, patternDigest, warnAt } from '../../domain/grant.ts';
import { ruleTitled } from '../support/rules.ts';

const action: Action = {
  subject: { type: 'agent', id: 'agt_a' },
  actor_chain: [{ type: 'agent', id: 'agt_a' }],
  action: 'credential:request',
  resource: { type: 'role', id: 'orders-write' },
  parameters: { ttl_seconds: 300, options: { repositories: ['one', 'two'] } },
  data_class: 'internal',
  destination: 'sample',
  context: { task: 'tsk_1', purpose: 'refunds', reason: 'one', triggered_by: null },
};
const bounds = { purpose: 'refunds', ttl_seconds: 300 };
const grant = { bounds, pattern: patternDigest(action, bounds) };

describe('a standing grant', () => {
  it.each<[string, Partial<Action>]>([
    ['another task, reason and trigger', { context: { task: 'tsk_2', purpose: 'refunds' } }],
    ['a shorter life', { parameters: { ...action.parameters, ttl_seconds: 1 } }],
    [
      'a token bound to another key',
      { parameters: { ...action.parameters, confirmation: { jkt: 'k' } } },
    ],
  ])('covers %s', (_what, change) => {
    expect(isCovered({ ...action, ...change }, grant)).toBe(true);
  });

  it.each<[string, Partial<Action>]>([
    ['another subject', { subject: { type: 'agent', id: 'agt_b' } }],
    [
      'somebody on whose behalf it acts',
      { actor_chain: [...action.actor_chain, { type: 'agent', id: 'agt_b' }] },
    ],
    ['another action', { action: 'statement:run' }],
    ['emergency access', { action: 'credential:break_glass' }],
    ['a change of policy', { action: 'policy:activate' }],
    ['another role', { resource: { type: 'role', id: 'payouts-write' } }],
    ['another destination', { destination: 'elsewhere' }],
    ['other data', { data_class: 'secret' }],
    ['another purpose', { context: { purpose: 'payouts' } }],
    ['no purpose', { context: {} }],
    ['a longer life', { parameters: { ...action.parameters, ttl_seconds: 301 } }],
    ['a life that is no number', { parameters: { ...action.parameters, ttl_seconds: Number.NaN } }],
    ['no said life', { parameters: { options: { repositories: ['one', 'two'] } } }],
    ['no options, which may mean all of them', { parameters: { ttl_seconds: 300 } }],
    [
      'other options',
      { parameters: { ttl_seconds: 300, options: { repositories: ['one', 'three'] } } },
    ],
    [
      'a member that nobody was shown',
      { parameters: { ...action.parameters, renew_seconds_max: 9_000 } },
    ],
  ])('does not cover %s', (_what, change) => {
    expect(isCovered({ ...action, ...change }, grant)).toBe(false);
  });

  it('is not covered by moving its bounds: they are part of the pattern', () => {
    const wider = { ...grant, bounds: { purpose: null, ttl_seconds: 3_000 } };
    expect(isCovered(action, wider)).toBe(false);
  });

  it('is warned of when nine tenths of its time are over', () => {
    expect(
      warnAt({ createdAt: '2026-11-01T00:00:00.000Z', expiresAt: '2026-11-11T00:00:00.000Z' }),
    ).toBe('2026-11-10T00:00:00.000Z');
  });
});

describe('the digest of a rule', () => {
  const rule = ruleTitled('Write');

  it('is what it was for a rule that lets nothing stand', () => {
    expect(ruleDigest({ ...rule, standing: undefined })).toBe(ruleDigest(rule));
  });

  it('is another once approvals may stand, and for how long', () => {
    const digests = [
      rule,
      { ...rule, standing: { max_seconds: 60, max_uses: 1 } },
      { ...rule, standing: { max_seconds: 61, max_uses: 1 } },
      { ...rule, standing: { max_seconds: 60, max_uses: 2 } },
    ].map(ruleDigest);
    expect(new Set(digests).size).toBe(4);
  });
});
