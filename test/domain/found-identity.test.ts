import { describe, expect, it } from 'vitest';
import { agentNameFor, guessOwner, risksOf, safeComment } from '../../domain/found-identity.ts';

const NOW = '2026-11-21T12:00:00.000Z';
const harmless = { isSuperuser: false, makesRoles: false, expiresAt: '2026-12-01T00:00:00.000Z' };
const quiet = { usedAt: NOW, firstSeenAt: NOW, around: [], now: NOW };

describe('what is risky about an identity', () => {
  it('names every risk, and none where there is none', () => {
    expect(risksOf(harmless, quiet)).toEqual([]);
    const all = { isSuperuser: true, makesRoles: true, expiresAt: null };
    const long = { ...quiet, usedAt: null, firstSeenAt: '2026-01-01T00:00:00.000Z' };
    expect(risksOf(all, { ...long, around: ['orders-write'] })).toEqual([
      'superuser',
      'makes_roles',
      'no_expiry',
      'unseen_90_days',
      'around_control',
    ]);
  });

  it('counts 90 days from its last use, not from when it was found', () => {
    const found = '2026-01-01T00:00:00.000Z';
    const at = (usedAt: string) => risksOf(harmless, { ...quiet, usedAt, firstSeenAt: found });
    expect(at('2026-08-23T12:00:00.001Z')).toEqual([]);
    expect(at('2026-08-23T12:00:00.000Z')).toEqual(['unseen_90_days']);
  });
});

const ada = { id: 'psn_ada', name: 'Ada Lovelace', email: 'ada@example.com' };
const al = { id: 'psn_al', name: 'Al', email: null };
const grace = { id: 'psn_grace', name: 'Grace Hopper', email: 'g.hopper@example.com' };
const people = [ada, al, grace];
const guess = (name: string, comment: string | null = null, neighbours: string[] = []) =>
  guessOwner({ name, comment }, people, neighbours);

describe('who may answer for an identity', () => {
  it.each([
    ['an address in its comment', 'x', 'owned by ADA@example.com.', 'psn_ada', 'email_in_comment'],
    ['a name in its comment', 'x', 'ask Grace  Hopper', 'psn_grace', 'name_in_comment'],
    ['its own name', 'batch_ada_lovelace', null, 'psn_ada', 'login_name'],
    ['an address as its name', 'g.hopper', null, 'psn_grace', 'login_name'],
  ])('is guessed by %s', (_title, name, comment, person, because) => {
    expect(guess(name, comment)).toEqual({ person, because });
  });

  it('is whoever alone has agents there, if nothing says more', () => {
    expect(guess('batch', null, ['psn_grace'])).toEqual({
      person: 'psn_grace',
      because: 'owns_users',
    });
    expect(guess('ada', null, ['psn_grace'])).toEqual({ person: 'psn_ada', because: 'login_name' });
  });

  it('is nobody where two fit, where only a part of an address or a name fits, or where a name is too short', () => {
    expect(guess('x', 'ada@example.com g.hopper@example.com')).toBeNull();
    expect(guess('batch', null, ['psn_ada', 'psn_grace'])).toBeNull();
    expect(guess('x', 'nada@example.com')).toBeNull();
    expect(guess('x', 'ada@example.com.evil.org')).toBeNull();
    expect(guess('adapter')).toBeNull();
    expect(guess('hopper_grace')).toBeNull();
    expect(guess('al')).toBeNull();
    expect(guess('')).toBeNull();
  });
});

describe('a comment', () => {
  it.each([
    'password: hunter2',
    'PASSWORD=hunter2',
    'the password is hunter2',
    'pw hunter2',
    'postgres://batch:hunter2@db/orders',
    'api key: hunter2',
    'secret hunter2',
  ])('I5: is kept without the secret in %j', (comment) => {
    expect(safeComment(comment)).not.toContain('hunter2');
    expect(safeComment(comment)).toContain('[hidden]');
  });

  it('I5: is kept without a word that nobody would read', () => {
    expect(safeComment('use AKIAIOSFODNN7EXAMPLE2 here')).toBe('use [hidden] here');
  });

  it('is otherwise kept as it is, on one line and not without end', () => {
    expect(safeComment('night batch, ask ada@example.com')).toBe(
      'night batch, ask ada@example.com',
    );
    expect(safeComment('a\u0000\n\u001b[31mb')).toBe('a [31mb');
    expect(safeComment(' \n ')).toBeNull();
    expect(safeComment('ä'.repeat(600))).toBe(`${'ä'.repeat(500)}…`);
  });
});

describe('a name for the agent that takes over', () => {
  it('is one that an agent can have', () => {
    expect(agentNameFor('Legacy_Batch')).toBe('legacy-batch');
    expect(agentNameFor('--a"; DROP ROLE b--')).toBe('a-drop-role-b');
    expect(agentNameFor('🤖')).toBeNull();
    expect(agentNameFor('x'.repeat(100))).toBe('x'.repeat(60));
  });
});
