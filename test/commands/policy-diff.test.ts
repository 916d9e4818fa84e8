// What a change of policy means is told by asking both policies, not by comparing their texts.
import { beforeAll, describe, expect, it } from 'vitest';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { diffPolicies, type PolicyDiff } from '../../commands/policy/diff.ts';
import {
  adding,
  all,
  replacing,
  samplePolicy,
  type Change,
  type Files,
} from '../support/policy-files.ts';

let sample: Files;
beforeAll(async () => {
  sample = await samplePolicy();
});

const between = (before: Files, after: Files): PolicyDiff =>
  diffPolicies(parsePolicyBundle(before), parsePolicyBundle(after));

/** What is said of a change of the sample, a line each. */
const said = (change: Change, before: Files = sample): string[] =>
  lines(between(before, change(before)));

const lines = ({ changes }: PolicyDiff): string[] =>
  changes.map(({ direction, about, subject, who, says }) =>
    [direction, about, subject, ...(who ? [who.join('; ')] : []), says].join(' | '),
  );

const permit = (id: string, role: string, when = '', action = 'credential:request'): Change =>
  adding(
    'main.cedar',
    `@id("${id}")\npermit (principal is Agent, action == Action::"${action}", resource == Role::"${role}") ${when};`,
  );
const withoutGate = replacing(
  'main.cedar',
  '@id("write-orders")\n@approval("orders-write")\n',
  '@id("write-orders")\n',
);

describe('nothing changes', () => {
  it('by layout, titles, comments, names of rules, or the order of files', () => {
    expect(said((files) => files)).toEqual([]);
    expect(
      said(
        all(
          adding('main.cedar', '// a remark'),
          replacing('main.cedar', '@id("write-orders")', '@id("renamed")'),
          replacing('main.cedar', '@title("A new agent is admitted by people")\n', ''),
          replacing('routes.yaml', 'title: Write to orders', 'title: Writing'),
          replacing('roles.yaml', 'title: Read orders', 'title: Reading'),
        ),
      ),
    ).toEqual([]);
  });

  it('by a rule that says again what one says already; where it says so in other words, that is told', () => {
    expect(said(permit('again', 'orders-readonly'))).toEqual([]);
    expect(said(permit('again', 'orders-readonly', 'when { principal.team == "x" }'))).toEqual([
      'changed | rule | again | says something that no rule said, and nobody whom the rules tell apart is treated otherwise',
    ]);
  });
});

describe('access', () => {
  it('that needs nobody any more is wider, and its gate is named', () => {
    const diff = between(sample, withoutGate(sample));
    expect(lines(diff)).toContain(
      'wider | access | credential:request orders-write | everybody | held by orders-write → permitted',
    );
    expect(diff.silenced.routes).toEqual(['orders-write']);
  });

  it('that is held from now on is narrower, and nobody else has to agree', () => {
    const gated = replacing(
      'main.cedar',
      '@id("read-orders")\n',
      '@id("read-orders")\n@approval("orders-write")\n',
    );
    const diff = between(sample, gated(sample));
    expect(lines(diff)).toContain(
      'narrower | access | credential:request orders-readonly | everybody | permitted → held by orders-write',
    );
    expect(diff.silenced.routes).toEqual([]);
  });

  it('that a broad permit elsewhere seems to give is not given: a gate beats it', () => {
    expect(said(permit('broad', 'orders-write')).some((line) => line.includes('| access |'))).toBe(
      false,
    );
  });

  it('of some agents alone is told of those', () => {
    expect(said(permit('team', 'no-such', 'when { principal.team == "core" }'))).not.toContain(
      'wider',
    );
    const some = permit(
      'core-runs',
      'reports-api',
      'when { principal.team == "core" }',
      'statement:run',
    );
    expect(said(some)).toEqual([
      'wider | access | statement:run reports-api | principal.team "core" | denied → permitted',
    ]);
  });

  it('that depends on what is asked for is told with its bounds', () => {
    const short = replacing(
      'main.cedar',
      'resource == Role::"orders-readonly"\n);',
      'resource == Role::"orders-readonly"\n) when { context.ttl_seconds <= 600 };',
    );
    expect(said(short)).toEqual([
      'narrower | access | credential:request orders-readonly | context.ttl_seconds 601 | permitted → denied',
    ]);
  });

  it('by purpose, list and pattern is told of whom it names and of all others', () => {
    const listed = replacing(
      'main.cedar',
      'resource == Role::"reports-api"\n);',
      'resource == Role::"reports-api"\n) when { ["audit", "billing"].contains(context.purpose) };',
    );
    expect(said(listed)).toEqual([
      'narrower | access | credential:request reports-api | context.purpose any other | permitted → denied',
    ]);
    const patterned = permit(
      'bots',
      'reports-api',
      'when { principal.name like "report-*" }',
      'statement:run',
    );
    expect(said(patterned)).toEqual([
      'wider | access | statement:run reports-api | principal.name "report-x" | denied → permitted',
    ]);
  });

  it('of a role that is new or gone is told as access', () => {
    const alias = all(
      adding(
        'roles.yaml',
        '  alias:\n    title: Alias\n    issuer: jwt\n    audience: https://alias.example',
      ),
      permit('take-alias', 'alias'),
    );
    expect(said(alias)).toEqual([
      'wider | access | credential:request alias | everybody | denied → permitted',
      'changed | role | alias | is new',
    ]);
    const after = alias(sample);
    expect(lines(between(after, sample))[0]).toBe(
      'narrower | access | credential:request alias | everybody | permitted → denied',
    );
  });

  it('between agents of a team is told apart from that between teams', () => {
    const open = replacing('main.cedar', 'when { principal.team == resource.team };', ';');
    const [line = ''] = said(open);
    expect(line).toMatch(/^wider \| access \| token:exchange \| .*denied → permitted$/);
    expect(line).toContain('resource.team');
    expect(said(open)).toHaveLength(1);
  });

  it('to a call of an upstream is told of that call alone, with what is filled in', () => {
    const upstream: Change = (files) => ({
      ...files,
      'upstreams.yaml': `payments:
  title: Payments
  base: https://payments.example
  authentication: { secret_from: PAYMENTS_KEY }
  calls:
    read: { method: GET, path: "/payments/{id}", effect: read }
    refund: { method: POST, path: "/payments/{id}/refund", effect: write }
`,
    });
    const allowed = (when: string): Change =>
      adding(
        'main.cedar',
        `@id("call-payments")\npermit (principal is Agent, action == Action::"http:call", resource == Upstream::"payments") when { ${when} };`,
      );
    const before = upstream(sample);
    expect(said(allowed('context.effect == "read"'), before)).toEqual([
      'wider | access | http:call payments | context.call "read" | denied → permitted',
    ]);
    expect(said(allowed('context.params.contains("id=7")'), before)).toEqual([
      'wider | access | http:call payments | context.params "id=7" | denied → permitted',
    ]);
  });

  it('of automation is told apart from that of people', () => {
    const people = replacing(
      'main.cedar',
      'permit (\n  principal,\n  action == Action::"policy:activate"',
      'permit (\n  principal is Person,\n  action == Action::"policy:activate"',
    );
    expect(said(people)).toEqual([
      'narrower | access | policy:activate | principal "Service::automation" | held by policy-change → denied',
    ]);
  });

  it('that cannot be asked about in full is said to be so', () => {
    const names = (of: string): string =>
      `[${Array.from({ length: 25 }, (_, at) => `"${of}-${at}"`).join(', ')}].contains(principal.${of})`;
    const many = permit(
      'many',
      'reports-api',
      `when { ${names('team')} && ${names('name')} }`,
      'statement:run',
    );
    const diff = between(sample, many(sample));
    expect(diff.cut).toContain('statement:run reports-api');
  });
});

describe('a route', () => {
  it.each([
    [
      'quorum: 1\n  expiry_seconds: 3600',
      'quorum: 2\n  expiry_seconds: 3600',
      'narrower',
      'quorum: 1 → 2',
    ],
    ['valid_seconds: 900', 'valid_seconds: 9000', 'wider', 'valid_seconds: 900 → 9000'],
    ['valid_seconds: 900', 'valid_seconds: 900\n  uses: 5', 'wider', 'uses: 1 → 5'],
    [
      'valid_seconds: 900',
      'valid_seconds: 900\n  receipt_within_seconds: 60',
      'narrower',
      'receipt_within_seconds: 300 → 60',
    ],
    [
      'groups: [data-owners]',
      'groups: [data-owners, interns]',
      'wider',
      'groups: data-owners → data-owners, interns',
    ],
    ['groups: [data-owners]', 'groups: [interns]', 'changed', 'groups: data-owners → interns'],
    ['strength: session', 'strength: passkey', 'narrower', 'strength: session → passkey'],
    [
      'strength: session',
      'strength_by_risk: { medium: passkey }',
      'narrower',
      'strength_by_risk: none → medium: passkey',
    ],
  ])('%s becomes %s: %s', (from, to, direction, says) => {
    const diff = between(sample, replacing('routes.yaml', from, to)(sample));
    const [line] = lines(diff);
    expect(line).toBe(`${direction} | route | orders-write | ${says}`);
    // Whom it takes to agree is the same judgement.
    expect(diff.silenced.routes).toEqual(direction === 'narrower' ? [] : ['orders-write']);
  });

  it('that lets questions stop the clock is told, and silences nothing: nobody decides more easily', () => {
    const ask = 'strength: session\n  ask: { clock: stops, answer_within_seconds: 600 }';
    const diff = between(sample, replacing('routes.yaml', 'strength: session', ask)(sample));
    expect(lines(diff)).toEqual([
      'changed | route | orders-write | ask: the clock runs, 3600 s to answer → the clock stops, 600 s to answer',
    ]);
    expect(diff.silenced.routes).toEqual([]);
  });
});

describe('a role', () => {
  it.each([
    [
      'ttl_seconds_max: 900',
      'ttl_seconds_max: 1800',
      'wider | role | orders-write | ttl_seconds_max: 900 → 1800',
    ],
    [
      'ttl_seconds_max: 900',
      'ttl_seconds_max: 600',
      'narrower | role | orders-write | ttl_seconds_max: 900 → 600',
    ],
    ['    reason: required\n', '', 'wider | role | orders-write | reason: "required" → "optional"'],
    [
      'data_class: restricted',
      'data_class: internal',
      'changed | role | payouts-write | data_class: "restricted" → "internal"',
    ],
  ])('%s becomes %s', (from, to, line) => {
    expect(said(replacing('roles.yaml', from, to))).toEqual([line]);
  });

  it('that reaches more is wider', () => {
    const [line] = said(replacing('roles.yaml', '[orders_read]', '[orders_read, orders_write]'));
    expect(line).toMatch(/^wider \| role \| orders-readonly \| reaches .*orders_write/);
  });

  it('whose target is another server is told with the target', () => {
    expect(said(replacing('roles.yaml', 'COUNTERSIGN_SAMPLE_TARGET_URL', 'OTHER_URL'))).toEqual([
      'changed | target | sample | url_from: "COUNTERSIGN_SAMPLE_TARGET_URL" → "OTHER_URL"',
    ]);
  });
});

describe('a mode', () => {
  it('that stands in the way no longer is wider, for everybody it held', () => {
    const changed = said(
      replacing('main.cedar', '@id("write-orders")\n', '@id("write-orders")\n@mode("warn")\n'),
    );
    expect(changed).toContain('wider | rule | write-orders | mode: hold → warn');
    expect(changed).toContain(
      'wider | access | credential:request orders-write | everybody | held by orders-write → permitted',
    );
  });
});

describe('a way in', () => {
  const federation =
    (claims: string, subject = 'subject: repo:acme/orders:ref:refs/heads/main'): Change =>
    (files) => ({
      ...files,
      'federation.yaml': `issuers:\n  ci:\n    issuer: https://ci.example\n    audience: countersign\nways_in:\n  - agent: orders-bot\n    issuer: ci\n    ${subject}\n    claims: ${claims}\n`,
    });
  const direction = (before: Change, after: Change): (string | undefined)[] =>
    between(before(sample), after(sample)).changes.map((change) => change.direction);

  it('that is new is wider, and one that goes is narrower', () => {
    expect(direction((files) => files, federation('{}'))).toEqual(['wider']);
    expect(direction(federation('{}'), (files) => files)).toEqual(['narrower']);
  });

  it('that asks for fewer claims, or for less of a subject, is wider', () => {
    expect(direction(federation('{ env: prod }'), federation('{}'))).toEqual(['wider']);
    expect(direction(federation('{}'), federation('{ env: prod }'))).toEqual(['narrower']);
    expect(
      direction(federation('{}'), federation('{}', 'subject_prefix: "repo:acme/orders:"')),
    ).toEqual(['wider']);
  });

  it('that asks for something else is one that goes and one that comes', () => {
    const directions = direction(federation('{ env: prod }'), federation('{ env: test }'));
    expect(new Set(directions)).toEqual(new Set(['narrower', 'wider']));
  });
});
