import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import { parsePolicyBundle, policyVersion } from '../../commands/policy/bundle.ts';
import { silencedBy } from '../../commands/policy/silenced.ts';
import { runPolicyTests } from '../../commands/policy/tests.ts';
import { retryOf } from '../../commands/policy/upstreams.ts';
import { prepareCall, toSend } from '../../commands/runs/http-call.ts';
import { problemsOf } from '../support/policy-files.ts';
import { withTickets } from '../support/upstreams.ts';

type Files = Record<string, string>;
let files: Files;
beforeAll(async () => {
  const sample = await readPolicyFolder(path.join(PACKAGE_ROOT, 'policy'));
  files = withTickets(sample, { base: 'https://tickets.example/api' });
});

function replacing(from: string | RegExp, to: string, file = 'upstreams.yaml'): Files {
  const changed = (files[file] ?? '').replace(from, to);
  if (changed === files[file]) throw new Error(`${file} has no ${String(from)}`);
  return { ...files, [file]: changed };
}

describe('upstreams.yaml', () => {
  it('is part of the version of a policy, and may be left out', () => {
    const { 'upstreams.yaml': _left, ...without } = files;
    expect(problemsOf(files)).toBe('');
    expect(parsePolicyBundle(without).upstreams.size).toBe(0);
    expect(policyVersion(files)).not.toBe(policyVersion(without));
  });

  it('lets only reading be done again, unless it says otherwise', () => {
    const calls = parsePolicyBundle(files).upstreams.get('tickets')?.calls ?? {};
    const retries = Object.entries(calls).map(([name, call]) => [name, retryOf(call)]);
    expect(Object.fromEntries(retries)).toEqual({
      'get-ticket': 'safe',
      search: 'never',
      'close-ticket': 'never',
      pay: 'idempotency-key',
      purge: 'never',
    });
  });

  it.each<[string, string | RegExp, string, RegExp]>([
    ['an unknown member', 'timeout_seconds', 'timeout', /upstreams\.yaml:\d+: .*timeout/],
    ['plain http to elsewhere', 'https://tickets', 'http://tickets', /http only on this machine/],
    ['a user in the address', 'https://', 'https://u:p@', /without a user/],
    ['a query in the address', '/api\n', '/api?a=b\n', /without a query/],
    [
      'a slash at the end of the address',
      '/api\n',
      '/api/\n',
      /without a slash at its end: https:\/\/tickets\.example\/api$/m,
    ],
    ['an address that is written otherwise', '/api\n', '/x/../api\n', /plain form/],
    [
      'two ways to sign in',
      'secret_from: TICKETS_TOKEN',
      'secret_from: A\n    role: reports-api',
      /one of secret_from and role/,
    ],
    [
      'no way to sign in',
      '    secret_from: TICKETS_TOKEN',
      '    header: x-key',
      /one of secret_from and role/,
    ],
    ['a secret in the file', 'TICKETS_TOKEN', 'abc-secret', /environment variable/],
    ['a header of ours', 'accept-language', 'authorization', /ours to set/],
    [
      'a header that says it is another call',
      'accept-language',
      'x-http-method-override',
      /ours to set/,
    ],
    ['a header twice', 'accept-language', 'accept', /accept would be set twice/],
    [
      'a path with a query',
      'path: /search',
      'path: /search?a=b',
      /upstreams\.yaml:\d+: tickets\.calls\.search\.path/,
    ],
    ['a path that leads up', 'path: /search', 'path: /../search', /no \. or \.\./],
    ['a body for a GET', 'query: [fields]', 'body: json', /a GET has none/],
    ['an unknown effect', 'effect: delete', 'effect: remove', /read.*write.*delete.*access/],
    [
      'a preview that is nowhere',
      'preview: get-ticket',
      'preview: show',
      /no call "show"; there are: get-ticket/,
    ],
    [
      'a preview that changes something',
      'preview: get-ticket',
      'preview: purge',
      /a GET that only reads/,
    ],
    [
      'a preview with other values',
      'path: /tickets/{ticket}\n      query',
      'path: /tickets/{ticket}/{part}\n      query',
      /takes \{part\}/,
    ],
    [
      'a key without its header',
      '  idempotency_header: idempotency-key\n',
      '',
      /needs the idempotency_header/,
    ],
    [
      'a role that is nowhere',
      'secret_from: TICKETS_TOKEN',
      'role: tickets-token',
      /upstreams\.yaml:1: tickets: there is no role "tickets-token"/,
    ],
    [
      'a role that is a login',
      'secret_from: TICKETS_TOKEN',
      'role: orders-readonly',
      /gives no bearer token/,
    ],
    ['the name of a role', /^tickets:/, 'reports-api:', /a role has this name/],
    ['no calls', /calls:[^]*$/, 'calls: {}', /at least one call/],
  ])('%s is a mistake, told with its place and what is allowed', (_what, from, to, says) => {
    expect(problemsOf(replacing(from, to))).toMatch(says);
  });
});

describe('what goes out', () => {
  const sent = (bundle: Files) => {
    const filled = { params: { ticket: '7' }, query: {}, headers: {} };
    const wish = { upstream: 'tickets', call: 'get-ticket', ...filled };
    return toSend(prepareCall(parsePolicyBundle(bundle), wish), 'run_1');
  };

  it('may go to a private address only where the policy says so, or names this machine', () => {
    expect(sent(files).isPrivateAllowed).toBe(false);
    expect(sent(replacing('https://tickets.example', 'https://10.0.0.5')).isPrivateAllowed).toBe(
      false,
    );
    const flag = replacing('  timeout_seconds', '  private_addresses: allowed\n  timeout_seconds');
    expect(sent(flag).isPrivateAllowed).toBe(true);
    expect(sent(replacing('https://tickets.example', 'http://127.0.0.1:9')).isPrivateAllowed).toBe(
      true,
    );
    expect(sent(replacing('tickets.example', '127.0.0.1.example')).isPrivateAllowed).toBe(false);
  });

  it('carries a key where the API takes one, and nowhere else', () => {
    const paying = parsePolicyBundle(files);
    const wish = {
      upstream: 'tickets',
      call: 'pay',
      params: { ticket: '7' },
      query: {},
      headers: {},
    };
    const { headers } = toSend(prepareCall(paying, { ...wish, body: {} }), 'run_1');
    expect(headers).toEqual({ accept: 'application/json', 'idempotency-key': 'run_1' });
    expect(sent(files).headers).toEqual({ accept: 'application/json' });
  });
});

describe('the example of the documentation', () => {
  it('is a good policy', async () => {
    const page = await readFile(path.join(PACKAGE_ROOT, 'docs/run.md'), 'utf8');
    const blocks = (language: string): string[] =>
      [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(
        ([, text = '']) => text,
      );
    const [upstreams = ''] = blocks('yaml');
    const about = blocks('cedar').filter((text) => text.includes('http:call'));
    expect(about).toHaveLength(1);
    const { 'upstreams.yaml': _ours, ...rest } = files;
    const bundle = {
      ...rest,
      'upstreams.yaml': upstreams,
      'main.cedar': about.join(''),
      'routes.yaml': `${rest['routes.yaml'] ?? ''}\nsupport-leads: { title: Support, groups: [support] }\n`,
      'tests.yaml': '[]',
    };
    expect(problemsOf(bundle)).toBe('');
    expect(parsePolicyBundle(bundle).upstreams.get('tickets')?.calls).toHaveProperty(
      'close-ticket',
    );
  });
});

describe('cases about calls', () => {
  const cases = (text: string): string[] =>
    runPolicyTests(parsePolicyBundle({ ...files, 'tests.yaml': text })).map(
      ({ message }) => message,
    );
  const about = (call: string, expect: string, more = ''): string =>
    `- name: case\n  action: http:call\n  resource: tickets\n  call: ${call}\n  expect: ${expect}\n${more}`;

  it('are judged by what upstreams.yaml says of the call, and by what is filled in', () => {
    expect(cases(about('get-ticket', 'permit'))).toEqual([]);
    expect(cases(about('get-ticket', 'deny', '  params: { ticket: "13" }'))).toEqual([]);
    expect(cases(about('close-ticket', 'hold', '  routes: [orders-write]'))).toEqual([]);
    expect(cases(about('purge', 'permit'))).toEqual([expect.stringContaining('got hold')]);
    expect(cases(about('no-such-call', 'permit'))[0]).toContain('got hold');
  });
});

describe('I2: a gate before calls is not walked around', () => {
  const asked = (next: Files): string[] =>
    silencedBy(parsePolicyBundle(files), parsePolicyBundle(next)).routes.map(({ name }) => name);
  const ROUTE = ['orders-write'];

  it.each<[string, () => Files]>([
    ['its rule gone', () => replacing(/@id\("change-tickets"\)[^;]*;/, '', 'main.cedar')],
    ['a call that now only reads, as it says', () => replacing('effect: delete', 'effect: read')],
    [
      'one more call',
      () =>
        replacing(
          '    search:',
          '    look:\n      method: GET\n      path: /x\n      effect: read\n    search:',
        ),
    ],
    ['another address', () => replacing('tickets.example', 'tickets.evil')],
    ['another secret', () => replacing('TICKETS_TOKEN', 'OTHER_TOKEN')],
    [
      'the same API under another name, without the gate',
      () => ({
        ...files,
        'upstreams.yaml': `${files['upstreams.yaml'] ?? ''}${(files['upstreams.yaml'] ?? '').replace('tickets:', 'copy:')}`,
        'main.cedar': `${files['main.cedar'] ?? ''}\n@id("around") permit (principal is Agent, action == Action::"http:call", resource == Upstream::"copy");`,
      }),
    ],
  ])('%s takes its own approvers', (_what, next) => {
    expect(asked(next())).toEqual(ROUTE);
  });

  it('another title, or an API that nothing guards, takes nobody else', () => {
    expect(asked(replacing('title: Tickets', 'title: Our tickets'))).toEqual([]);
    const other = (files['upstreams.yaml'] ?? '')
      .replace('tickets:', 'news:')
      .replace('tickets.example', 'news.example');
    expect(
      asked({ ...files, 'upstreams.yaml': `${files['upstreams.yaml'] ?? ''}${other}` }),
    ).toEqual([]);
  });
});
