// Ways in from elsewhere, as policy: what is ambiguous, loose or leads nowhere is refused with its line.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import type { Federation } from '../../commands/policy/federation.ts';
import { PolicyError } from '../../commands/policy/yaml.ts';

let sample: Record<string, string>;
beforeAll(async () => {
  sample = { ...(await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'))), 'tests.yaml': '[]' };
});

const SOURCES = `issuers:
  github-actions:
    issuer: https://token.actions.githubusercontent.com
    audience: https://countersign.example
trust_domains:
  partner.example: { bundle_endpoint: "https://partner.example/bundle" }
certificate_authorities:
  corp: { ca_from: CORP_CA }
ways_in:
`;
const SUBJECT = 'subject: "repo:acme/orders:ref:refs/heads/main"';

const read = (text: string): Federation =>
  parsePolicyBundle({ ...sample, 'federation.yaml': text }).federation;

function problemsOf(text: string): string {
  try {
    read(text);
    return '';
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
}

const way = (members: string): string => `${SOURCES}  - { agent: orders-bot, ${members} }\n`;
const digests = (text: string): string[] => read(text).waysIn.map(({ digest }) => digest);

describe('federation.yaml', () => {
  it('may be left out, and is part of the version when it is there', () => {
    expect(parsePolicyBundle(sample).federation.waysIn).toEqual([]);
    const without = parsePolicyBundle(sample).version;
    expect(parsePolicyBundle({ ...sample, 'federation.yaml': SOURCES + ' []' }).version).not.toBe(
      without,
    );
  });

  it.each([
    ['an issuer', `issuer: github-actions, ${SUBJECT}`, 'issuer'],
    ['a SPIFFE ID', 'spiffe_id: spiffe://partner.example/ns/x/agent', 'spiffe'],
    ['a certificate', 'certificate_authority: corp, san_dns: bot.corp.example', 'certificate'],
  ])('names %s', (_what, members, kind) => {
    expect(read(way(members)).waysIn.map((each) => each.kind)).toEqual([kind]);
  });

  it.each([
    ['no source at all', SUBJECT, 'names one of issuer, spiffe_id'],
    [
      'two sources',
      `issuer: github-actions, ${SUBJECT}, spiffe_id: spiffe://partner.example/a`,
      'names one of issuer',
    ],
    ['an issuer without a subject', 'issuer: github-actions', 'exactly one of subject'],
    [
      'a subject and a prefix',
      `issuer: github-actions, ${SUBJECT}, subject_prefix: "repo:acme/"`,
      'exactly one of subject',
    ],
    [
      'a prefix that ends inside a name',
      'issuer: github-actions, subject_prefix: "repo:acme"',
      'must end in one of',
    ],
    ['an issuer that is not there', `issuer: gitlab, ${SUBJECT}`, 'there is no "gitlab" here'],
    ['a trust domain that is not there', 'spiffe_id: spiffe://other.example/a', 'other.example'],
    ['a SPIFFE ID without a path', 'spiffe_id: spiffe://partner.example', 'with a path'],
    ['a SPIFFE ID that is none', 'spiffe_id: "spiffe://partner.example/../a"', 'whole SPIFFE ID'],
    ['an authority that is not there', 'certificate_authority: c, san_dns: a', 'there is no "c"'],
    [
      'two names in a certificate',
      'certificate_authority: corp, san_dns: a, san_uri: "urn:b"',
      'exactly one of san_uri',
    ],
    [
      'claims for a certificate',
      'certificate_authority: corp, san_dns: a, claims: { a: b }',
      'does not go with certificate_authority',
    ],
    [
      'a list as a condition',
      `issuer: github-actions, ${SUBJECT}, claims: { ref: [a] }`,
      'Invalid input',
    ],
    ['a member nobody knows', `issuer: github-actions, ${SUBJECT}, subjct: a`, 'subjct'],
    ['a wildcard as an agent', `issuer: github-actions, ${SUBJECT} , agent: "*"`, 'unique'],
  ])('refuses %s, and says on which line', (_what, members, says) => {
    const problems = problemsOf(way(members));
    expect(problems).toContain(says);
    expect(problems).toContain('federation.yaml:10');
  });

  it.each([
    ['in clear', 'http://issuer.example'],
    ['with a query', 'https://issuer.example?tenant=1'],
    ['with a user', 'https://me@issuer.example'],
    ['without a scheme', 'issuer.example'],
  ])('refuses an issuer %s', (_what, issuer) => {
    expect(problemsOf(`issuers:\n  a: { issuer: "${issuer}", audience: x }\n`)).toContain(
      'federation.yaml:2: issuers.a.issuer',
    );
  });

  it.each(['none', 'HS256'])('refuses %s as an algorithm', (algorithm) => {
    const text = `issuers:\n  a: { issuer: "https://a.example", audience: x, algorithms: [${algorithm}] }`;
    expect(problemsOf(text)).toContain('federation.yaml:2: issuers.a.algorithms.0');
  });

  it('refuses a trust domain whose bundle comes from nowhere, or over SPIFFE without a first one', () => {
    expect(problemsOf('trust_domains:\n  a.example: {}')).toContain(
      'say where its bundle comes from',
    );
    expect(
      problemsOf(
        'trust_domains:\n  a.example: { bundle_endpoint: "https://a.example", profile: https_spiffe }',
      ),
    ).toContain('https_spiffe needs endpoint_spiffe_id');
    expect(problemsOf('trust_domains:\n  A.example: { bundle_from: A }')).toContain(
      'A.example: a trust domain',
    );
  });

  it('refuses the same way in twice', () => {
    const once = `  - { agent: orders-bot, issuer: github-actions, ${SUBJECT} }\n`;
    expect(problemsOf(SOURCES + once + once)).toContain(
      'federation.yaml:11: ways_in.1: is there twice',
    );
  });

  const PERSON = 'psn_01m7yqzappe5099zbsamz9ktrd';
  const people = (...entries: string[]): string =>
    `${SOURCES}  - { agent: orders-bot, issuer: github-actions, ${SUBJECT} }\n  - { agent: orders-bot, issuer: github-actions, subject_prefix: "ci:" }\npeople:\n${entries.map((each) => `  - { ${each} }\n`).join('')}`;
  const ada = `person: ${PERSON}, issuer: github-actions, subject: ada, agents: [orders-bot]`;

  it('says whose word an issuer’s token is, each subject once, and no agent’s', () => {
    expect(read(people(ada)).people).toMatchObject([
      { person: PERSON, issuer: 'github-actions', subject: 'ada', agents: ['orders-bot'] },
    ]);
    const [before] = read(people(ada)).people;
    for (const changed of [
      people(ada.replace('subject: ada', 'subject: bob')),
      people(ada.replace('[orders-bot]', '[orders-bot, other-bot]')),
      people(ada).replace('audience: https://countersign.example', 'audience: https://b.example'),
    ])
      expect(read(changed).people[0]?.digest).not.toBe(before?.digest);
    for (const [entries, says] of [
      [[ada, ada], 'people.1.subject: is there twice'],
      [[ada, ada.replace('ktrd', 'ktre')], 'people.1.subject: is there twice'],
      [[ada.replace('issuer: github-actions', 'issuer: other')], 'there is no "other" here'],
      [[ada.replace('issuer: github-actions', 'issuer: toString')], 'there is no'],
      [[ada.replace('subject: ada', SUBJECT)], 'nobody is both'],
      [[ada.replace('subject: ada', 'subject: "ci:ada"')], 'nobody is both'],
      [[ada.replace(PERSON, 'Ada')], 'the id of a person'],
      [[ada.replace('[orders-bot]', '[]')], 'agents'],
      [[ada.replace('[orders-bot]', '["*"]')], 'the name of an agent'],
      [[`${ada}, claims: { a: b }`], 'claims'],
    ] as const)
      expect([entries, problemsOf(people(...entries))]).toEqual([
        entries,
        expect.stringContaining(says),
      ]);
  });

  it('warns of a prefix, which is allowed', () => {
    const { warnings } = read(way('issuer: github-actions, subject_prefix: "repo:acme/orders:"'));
    expect(warnings.map(({ line }) => line)).toEqual([10]);
    expect(read(way(`issuer: github-actions, ${SUBJECT}`)).warnings).toEqual([]);
  });

  it('gives a way in another digest when it or its source changes, and the same one otherwise', () => {
    const before = way(`issuer: github-actions, ${SUBJECT}`);
    const [digest] = digests(before);
    expect(digests(`# a comment\n${before}`)).toEqual([digest]);
    for (const changed of [
      before.replace('audience: https://countersign.example', 'audience: https://other.example'),
      before.replace('heads/main', 'heads/next'),
      before.replace('orders-bot', 'other-bot'),
      way(`issuer: github-actions, ${SUBJECT}, claims: { repository_id: "1" }`),
    ])
      expect(digests(changed)).not.toEqual([digest]);
  });
});
