// A gate cannot be silenced piecemeal: what takes its approvers' consent at once takes it in each step that
// leads there, and nothing that leaves the gates alone takes it.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle } from '../../commands/policy/bundle.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';

type Files = Record<string, string>;
type Change = (files: Files) => Files;

let sample: Files;
beforeAll(async () => {
  sample = { ...(await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'))), 'tests.yaml': '[]' };
});

const replacing =
  (file: string, from: string | RegExp, to: string): Change =>
  (files) => {
    const changed = (files[file] ?? '').replace(from, to);
    if (changed === files[file]) throw new Error(`${file} has no ${String(from)}`);
    return { ...files, [file]: changed };
  };

const adding =
  (file: string, text: string): Change =>
  (files) => ({ ...files, [file]: `${files[file] ?? ''}\n${text}\n` });

const all =
  (...changes: Change[]): Change =>
  (files) =>
    changes.reduce((changed, change) => change(changed), files);

/** The routes whose approvers each of the changes needs, one change after the other. */
function asked(...steps: Change[]): string[][] {
  let current = sample;
  return steps.map((step) => {
    const next = step(current);
    const { routes } = silencedBy(parsePolicyBundle(current), parsePolicyBundle(next));
    current = next;
    return routes.map(({ name }) => name);
  });
}

const ROUTE = ['orders-write'];

const permit = (id: string, role: string, when = ''): Change =>
  adding(
    'main.cedar',
    `@id("${id}")\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"${role}") ${when};`,
  );
const gate = (id: string, role: string, when = ''): Change =>
  all(
    permit(id, role, when),
    replacing('main.cedar', `@id("${id}")\n`, `@id("${id}")\n@approval("orders-write")\n`),
  );
const role = (name: string, group: string, target = 'sample'): Change =>
  adding(
    'roles.yaml',
    `  ${name}:\n    title: One more\n    issuer: postgres\n    target: ${target}\n    member_of: [${group}]`,
  );
const target = (name: string, url = 'COUNTERSIGN_SAMPLE_TARGET_URL'): Change =>
  replacing(
    'roles.yaml',
    'targets:\n',
    `targets:\n  ${name}:\n    issuer: postgres\n    url_from: ${url}\n`,
  );

const withoutRole = replacing('roles.yaml', /^ {2}orders-write:\n(?: {4}.*\n)*/m, '');
const withoutGate = replacing('main.cedar', /@id\("write-orders"\)[^;]*;/, '');
const EVIL = 'when { principal.name == "evil-bot" }';

describe('taking a gate away needs its approvers, whatever else goes with it', () => {
  it('together with the role that it guards, and so the role cannot come back without it', () => {
    expect(asked(all(withoutRole, withoutGate))).toEqual([ROUTE]);
  });

  it('before its role goes, or after', () => {
    expect(asked(withoutGate, withoutRole)[0]).toEqual(ROUTE);
    expect(asked(withoutRole, withoutGate)).toEqual([ROUTE, ROUTE]);
  });

  it('by having its role reach something else, so that another role can reach what it did', () => {
    const elsewhere = replacing('roles.yaml', '[orders_write]', '[orders_scratch]');
    expect(asked(elsewhere)).toEqual([ROUTE]);
  });

  it('where its route also guards a role that goes', () => {
    const admission = adding(
      'main.cedar',
      `@id("admit-again")\n@approval("orders-write")\npermit (principal, action == Action::"agent:admit", resource);`,
    );
    const without = replacing('main.cedar', /@id\("admit-again"\)[^;]*;/, '');
    expect(asked(admission, all(without, withoutRole, withoutGate))).toEqual([[], ROUTE]);
    expect(asked(admission, without)).toEqual([[], ROUTE]);
  });

  it('by giving the control that it is counted as another name', () => {
    const renamed = replacing(
      'main.cedar',
      '@risk("medium")',
      '@control("other")\n@risk("medium")',
    );
    expect(asked(renamed)).toEqual([ROUTE]);
  });

  it('by grouping actions, which changes what the same words mean', () => {
    const grouped = replacing(
      'schema.cedarschema',
      'action "credential:request" appliesTo',
      'action "agent:other";\n\naction "credential:request" in ["agent:other"] appliesTo',
    );
    const way = all(
      role('orders-two', 'orders_write'),
      adding(
        'main.cedar',
        `@id("by-group")\npermit (principal, action in Action::"agent:other", resource == Role::"orders-two");`,
      ),
    );
    expect(asked(grouped, way)).toEqual([
      ['onboarding', 'policy-change', 'orders-write', 'payouts-write'],
      ROUTE,
    ]);
  });
});

describe('walking around a gate needs its approvers', () => {
  it('by another role, though only one agent may', () => {
    const second = role('orders-two', 'orders_write');
    expect(asked(all(second, permit('two', 'orders-two', EVIL)))).toEqual([ROUTE]);
    expect(asked(second, permit('two', 'orders-two', EVIL))).toEqual([[], ROUTE]);
    expect(asked(permit('two', 'orders-two', EVIL), second)).toEqual([[], ROUTE]);
  });

  it('by another role that is gated only for some', () => {
    const second = all(
      role('orders-two', 'orders_write'),
      gate('some', 'orders-two', 'when { principal.team == "a" }'),
    );
    expect(asked(second, permit('two', 'orders-two'))).toEqual([[], ROUTE]);
  });

  it('by a permit beside a gate that asks only for some', () => {
    const some = replacing(
      'main.cedar',
      'resource == Role::"orders-write"\n)',
      'resource == Role::"orders-write"\n) when { context.ttl_seconds <= 600 }',
    );
    expect(asked(some, permit('long', 'orders-write'))).toEqual([ROUTE, ROUTE]);
  });

  it('by another target with the same database', () => {
    const alias = all(target('alias'), role('orders-two', 'orders_write', 'alias'));
    expect(asked(all(alias, permit('two', 'orders-two')))).toEqual([ROUTE]);
    const other = all(target('alias', 'OTHER_URL'), role('orders-two', 'orders_write', 'alias'));
    expect(asked(all(other, permit('two', 'orders-two')))).toEqual([ROUTE]);
  });

  it('by another role for the same audience', () => {
    const gated = gate('reports', 'reports-api');
    const again = all(
      adding(
        'roles.yaml',
        '  reports-two:\n    title: Again\n    issuer: jwt\n    audience: https://reports.example',
      ),
      permit('two', 'reports-two'),
    );
    expect(asked(gated, again)).toEqual([[], ROUTE]);
  });

  it('by taking back a forbid that closed the way around', () => {
    const forbid = adding(
      'main.cedar',
      `@id("closed")\nforbid (principal, action, resource == Role::"orders-two");`,
    );
    const way = all(role('orders-two', 'orders_write'), permit('two', 'orders-two'), forbid);
    const open = replacing('main.cedar', /@id\("closed"\)[^;]*;/, '');
    expect(asked(way, open)).toEqual([ROUTE, ROUTE]);
  });

  it('by admitting some agents past the people who admit agents', () => {
    const some = replacing(
      'main.cedar',
      'principal,\n  action == Action::"agent:admit"',
      'principal is Person,\n  action == Action::"agent:admit"',
    );
    const service = adding(
      'main.cedar',
      `@id("self")\npermit (principal is Service, action == Action::"agent:admit", resource);`,
    );
    expect(asked(some, service)).toEqual([['onboarding'], ['onboarding']]);
  });
});

describe('what a gate sees is changed only by its approvers', () => {
  it.each([
    ['the observer', '_SAMPLE_OBSERVER_URL', '_OTHER_URL'],
    ['the database', 'url_from: COUNTERSIGN_SAMPLE_TARGET_URL', 'url_from: OTHER_URL'],
    ['the grade', 'grade: B', 'grade: A'],
    ['whose work counts as no bypass', 'grade: B', 'grade: B\n    application_logins: [evil]'],
  ])('%s', (_what, from, to) => {
    expect(asked(replacing('roles.yaml', from, to))).toEqual([['orders-write', 'payouts-write']]);
  });

  it('by moving its role to another target', () => {
    const moved = all(
      target('blind'),
      replacing('roles.yaml', /target: sample(\n.*orders_write)/, 'target: blind$1'),
    );
    expect(asked(moved)).toEqual([ROUTE]);
  });
});

describe('nobody else is asked', () => {
  it.each<[string, Change]>([
    [
      'for a role without a gate to what no gate guards',
      all(role('orders-audit', 'orders_audit'), permit('audit', 'orders-audit')),
    ],
    [
      'for another way to what nobody guards',
      all(role('read-two', 'orders_read'), permit('two', 'read-two', EVIL)),
    ],
    [
      'for another role behind the same gate',
      all(role('orders-two', 'orders_write'), gate('two', 'orders-two')),
    ],
    ['for a permit that a gate beats', permit('broad', 'orders-write')],
    [
      'for a permit that gates beat everywhere',
      adding('main.cedar', '@id("all")\npermit (principal, action, resource);'),
    ],
    ['for a target more', target('more', 'MORE_URL')],
    [
      'for a target of another name',
      (files) => ({
        ...files,
        'roles.yaml': (files['roles.yaml'] ?? '')
          .replaceAll('target: sample', 'target: renamed')
          .replace('  sample:', '  renamed:'),
      }),
    ],
    ['for a title', replacing('roles.yaml', 'title: Write to orders', 'title: Writing')],
    [
      'for a role without a gate that goes',
      replacing('roles.yaml', /^ {2}reports-api:\n(?: {4}.*\n)*/m, ''),
    ],
  ])('%s', (_what, change) => {
    expect(asked(change)).toEqual([[]]);
  });

  it('for a way around that was agreed to once', () => {
    const way = all(role('orders-two', 'orders_write'), permit('two', 'orders-two'));
    const title = replacing('roles.yaml', 'title: One more', 'title: Another');
    expect(asked(way, title, permit('narrower', 'orders-two', EVIL))).toEqual([ROUTE, [], []]);
  });
});
