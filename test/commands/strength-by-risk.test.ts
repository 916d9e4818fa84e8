// More proof for what is risky: whoever takes it away again needs the consent of those who had to give it.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { routeChanges } from '../../commands/policy/route-change.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { PolicyError } from '../../commands/policy/yaml.ts';
import {
  atRisk,
  freezeRoute,
  ruleDigest,
  strengthAt,
  strongestOf,
  type RouteRule,
  type Strength,
} from '../../domain/approval.ts';

type Files = Record<string, string>;

let sample: Files;
beforeAll(async () => {
  const files = await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'));
  // Writing to orders is a medium risk in the sample, and a high one here.
  const rules = (files['main.cedar'] ?? '').replaceAll('@risk("medium")', '@risk("high")');
  sample = { ...files, 'main.cedar': rules, 'tests.yaml': '[]' };
});

const BY_RISK = '  strength_by_risk: { high: passkey }\n';

/** The sample whose route for orders has these lines besides. */
const withRoute = (lines: string): Files => ({
  ...sample,
  'routes.yaml': (sample['routes.yaml'] ?? '').replace(
    '  title: Write to orders\n',
    `  title: Write to orders\n${lines}`,
  ),
});

const RULE: RouteRule = {
  title: 'Orders',
  groups: ['owners'],
  quorum: 1,
  expiry_seconds: 3600,
  valid_seconds: 900,
  strength: 'session',
  channels: ['web'],
  independence: { owner: 'barred', triggerer: 'barred' },
  remind_at: [],
  escalation: [],
};

const silenced = (before: Files, after: Files) =>
  silencedBy(parsePolicyBundle(before), parsePolicyBundle(after)).routes.map(
    ({ name, rule }) => `${name}: ${rule.strength}`,
  );

describe('strength by risk', () => {
  it('is no part of the digest of a route that does not say it', () => {
    const { routes } = parsePolicyBundle(sample);
    const rule = routes.get('orders-write')?.rule;
    expect(rule && Object.hasOwn(rule, 'strength_by_risk')).toBe(false);
    expect(ruleDigest({ ...RULE, strength_by_risk: { high: 'passkey' } })).not.toBe(
      ruleDigest(RULE),
    );
    const empty = parsePolicyBundle(withRoute('  strength_by_risk: {}\n')).routes;
    expect(empty.get('orders-write')?.rule_digest).toBe(routes.get('orders-write')?.rule_digest);
  });

  it('never asks for less than the route does', () => {
    const strengths: Strength[] = ['session', 'fresh', 'passkey'];
    for (const strength of strengths)
      for (const other of strengths) {
        const rule = { strength, strength_by_risk: { high: other } };
        const wanted = strengths.indexOf(strengthAt(rule, 'high'));
        expect(wanted).toBe(Math.max(strengths.indexOf(strength), strengths.indexOf(other)));
        expect(strengthAt(rule, 'low')).toBe(strength);
        expect(strengthAt(rule, null)).toBe(strength);
      }
    expect(strengthAt({ strength: 'session', strength_by_risk: {} }, 'constructor')).toBe(
      'session',
    );
  });

  it('of several rules that ask one route, the riskiest counts, in whatever order they are', () => {
    const route = {
      ...freezeRoute('r', { ...RULE, strength_by_risk: { high: 'passkey', some: 'fresh' } }),
      resource_owner: 'owners',
    };
    for (const risks of [
      ['high', null, 'some'],
      [null, 'some', 'high'],
      ['some', 'high', null],
    ]) {
      const [only, ...more] = strongestOf(risks.map((risk) => atRisk(route, risk)));
      expect([only?.rule.strength, only?.resource_owner, more]).toEqual(['passkey', 'owners', []]);
    }
  });

  it('for a risk that no rule has is a mistake, which says which there are', () => {
    const files = withRoute('  strength_by_risk: { hgih: passkey }\n');
    expect(() => parsePolicyBundle(files)).toThrow(PolicyError);
    expect(() => parsePolicyBundle(files)).toThrow(
      'orders-write.strength_by_risk: no rule that asks this route has @risk("hgih"); there are: high',
    );
    const unknown = withRoute('  strength_by_risk: { high: fingerprint }\n');
    expect(() => parsePolicyBundle(unknown)).toThrow('"session"|"fresh"|"passkey"');
  });

  it('that goes, or asks for less, takes the consent of those who give it, as they give it today', () => {
    const strict = withRoute(BY_RISK);
    expect(silenced(strict, strict)).toEqual([]);
    expect(silenced(sample, strict)).toEqual([]);
    expect(silenced(strict, sample)).toEqual(['orders-write: passkey']);
    expect(silenced(strict, withRoute('  strength_by_risk: { high: fresh }\n'))).toEqual([
      'orders-write: passkey',
    ]);
    const lines = routeChanges(
      { ...RULE, strength_by_risk: { high: 'passkey' } },
      { ...RULE, strength_by_risk: { high: 'fresh' } },
    );
    expect(lines).toEqual([
      {
        direction: 'wider',
        name: 'strength_by_risk',
        before: 'high: passkey',
        after: 'high: fresh',
      },
    ]);
  });

  it('is not got around by calling a rule less risky', () => {
    const strict = withRoute(BY_RISK);
    const calmer = {
      ...strict,
      'main.cedar': (strict['main.cedar'] ?? '').replace('@risk("high")\n', '@risk("low")\n'),
    };
    expect(silenced(strict, calmer)).toEqual(['orders-write: passkey']);
    const plain = {
      ...sample,
      'main.cedar': (sample['main.cedar'] ?? '').replace('@risk("high")\n', '@risk("low")\n'),
    };
    // Where risk asks for nothing, it is only a word.
    expect(silenced(sample, plain)).toEqual([]);
  });
});
