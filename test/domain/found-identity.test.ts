import { describe, expect, it } from 'vitest';
import {
  agentNameFor,
  censusOf,
  changesOf,
  guessOwner,
  PLAIN_FACTS,
  RISKS,
  risksOf,
  safeComment,
  type Found,
  type FoundFacts,
} from '../../domain/found-identity.ts';

const NOW = '2026-11-21T12:00:00.000Z';
const LONG_AGO = '2026-01-01T00:00:00.000Z';
const identity = (more: Partial<FoundFacts> = {}, kind: Found['kind'] = 'login') => ({
  kind,
  facts: { ...PLAIN_FACTS, expiresAt: '2026-12-01T00:00:00.000Z', ...more },
});
const quiet = { usedAt: NOW, firstSeenAt: NOW, around: [], now: NOW };

describe('what is risky about an identity', () => {
  const everything: Partial<FoundFacts> = {
    isSuperuser: true,
    makesRoles: true,
    expiresAt: null,
    secretChangedAt: LONG_AGO,
    seenRisks: ['no_password', 'open_trust', 'outside_trust', 'any_host'],
  };
  const long = { ...quiet, usedAt: null, firstSeenAt: LONG_AGO, around: ['orders-write'] };

  it('names every risk, and none where there is none', () => {
    expect(risksOf(identity(), quiet)).toEqual([]);
    expect(risksOf(identity(everything), long)).toEqual(RISKS);
  });

  it('counts 90 days from its last use, not from when it was found', () => {
    const at = (usedAt: string) => risksOf(identity(), { ...quiet, usedAt, firstSeenAt: LONG_AGO });
    expect(at('2026-08-23T12:00:00.001Z')).toEqual([]);
    expect(at('2026-08-23T12:00:00.000Z')).toEqual(['unseen_90_days']);
  });

  it('counts one that was never used from when it was made, where the target says when', () => {
    const made = (createdAt: string | null) =>
      risksOf(identity({ createdAt }), { ...quiet, usedAt: null });
    expect(made(LONG_AGO)).toEqual(['unseen_90_days']);
    expect(made(null)).toEqual([]);
  });

  it('is none of one that is switched off', () => {
    expect(risksOf(identity({ ...everything, isEnabled: false }), long)).toEqual([]);
  });

  it('claims nothing of what the target does not tell', () => {
    const told = identity({ expiresAt: null, unknown: ['used_at', 'expires_at'] });
    expect(risksOf(told, { ...long, around: [] })).toEqual([]);
  });

  it.each(['role', 'app_installation', 'service_account'] as const)(
    'holds no age against a %s, which is no secret itself',
    (kind) => {
      const facts = { expiresAt: null, secretChangedAt: LONG_AGO };
      expect(risksOf(identity(facts, kind), quiet)).toEqual([]);
    },
  );
});

describe('what is different about an identity', () => {
  const judged = (more: Partial<FoundFacts> = {}, risks: Found['facts']['reaches'] = []) => ({
    facts: { ...PLAIN_FACTS, ...more },
    risks: RISKS.filter((each) => risks.includes(each)),
    around: [],
  });

  it('is named, and nothing is where nothing is', () => {
    expect(changesOf(judged(), judged())).toEqual([]);
    expect(
      changesOf(judged(), judged({ groups: ['admins'], isEnabled: false }, ['superuser'])),
    ).toEqual(['groups', 'enabled', 'risks']);
  });

  it('is not that it is at work now and was not then', () => {
    expect(changesOf(judged(), judged({ isConnected: true, usedAt: NOW, uses: 3 }))).toEqual([]);
  });

  it('is nothing that could not be told either time', () => {
    const told = judged({ groups: ['admins'], isSuperuser: true });
    const untold = judged({ unknown: ['privileges'] });
    expect(changesOf(told, untold)).toEqual([]);
    expect(changesOf(untold, told)).toEqual([]);
  });
});

describe('one look', () => {
  it('takes in ten thousand, always the same ones, and says how many it left out', () => {
    const many = Array.from({ length: 10_003 }, (_, at): Found => ({
      ...identity(),
      name: `login ${String(at).padStart(6, '0')}`,
      reference: String(at),
    }));
    const census = censusOf(many.toReversed());
    expect([census.found.length, census.leftOut]).toEqual([10_000, 3]);
    expect(census.found.at(-1)?.name).toBe('login 009999');
  });

  const one = (name: string, facts: Partial<FoundFacts> = {}): Found => ({
    ...identity(facts),
    name,
    reference: name,
  });

  it('keeps words of others short, few, and each once', () => {
    const many = Array.from({ length: 60 }, (_, at) => String(at));
    const { found } = censusOf([
      one('x'.repeat(500), { groups: ['b', 'a', 'b'], permissions: many }),
    ]);
    expect(found[0]?.name).toBe(`${'x'.repeat(199)}…`);
    expect(found[0]?.facts.groups).toEqual(['a', 'b']);
    expect([found[0]?.facts.permissions.length, found[0]?.facts.permissions.at(-1)]).toEqual([
      51,
      '… and 10 more',
    ]);
  });

  it('keeps nothing that a database could not hold, and no two under one name', () => {
    const { found } = censusOf([one('a\u0000'), one('a\ud800'), one('a\ufffd'), one('b')]);
    expect(found.map(({ name }) => name)).toEqual(['a\ufffd', 'a\ufffd (2)', 'a\ufffd (3)', 'b']);
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
