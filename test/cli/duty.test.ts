// Stand-ins, schedules and findings from the command line; that it never votes; and the one shape that lists have.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isObject } from '../../activities/issuers/http.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startFakePagerDuty, type FakeOnCall } from '../fakes/on-call.ts';
import { hold, startCast, type Cast } from '../support/cast.ts';
import { admin, eventually, list, person, type TestPerson } from '../support/client.ts';
import { commandLine, type CommandLine, type Variables } from '../support/command-line.ts';

let cast: Cast;
let line: CommandLine;
let automation: Variables;
let pagerDuty: FakeOnCall;
let ann: TestPerson;

beforeAll(async () => {
  pagerDuty = await startFakePagerDuty();
  cast = await startCast();
  line = await commandLine();
  automation = { COUNTERSIGN_URL: cast.service.url, COUNTERSIGN_TOKEN: cast.service.adminToken };
  ann = await person(cast.service, 'Ann', ['data-owners'], { email: 'ann@example.com' });
});
afterAll(async () => {
  await line.close();
  await cast.close();
  await pagerDuty.close();
});

const run = (...args: string[]) => line.run(args, automation);
async function json(...args: string[]): Promise<JsonObject> {
  const said = await line.json(args, automation);
  return isObject(said) ? said : {};
}

const inHours = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();

describe('countersign absence', () => {
  it('names a stand-in, lists it and takes it back', async () => {
    const to = inHours(24);
    const made = await run(
      ...['absence', 'add', ann.id, '--stand-in', cast.approver.id, '--to', to, '--quiet'],
    );
    const id = made.stdout.trim();
    expect((await json('absence', 'list', ann.id))['data']).toMatchObject([
      { id, stand_in: cast.approver.id, ends_at: to, withdrawn_at: null },
    ]);
    expect((await run('absence', 'remove', ann.id, id)).code).toBe(0);
    const again = await run('absence', 'remove', ann.id, id);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('[not_found]')]);
  });

  it('is refused with its reason, and nothing is kept', async () => {
    const before = (await json('absence', 'list', ann.id))['data'];
    const self = await run('absence', 'add', ann.id, '--stand-in', ann.id, '--to', inHours(1));
    expect([self.code, self.stderr]).toEqual([1, expect.stringContaining('[person_unknown]')]);
    expect((await run('absence', 'add', ann.id, '--stand-in', ann.id, '--to', 'soon')).code).toBe(
      2,
    );
    expect((await json('absence', 'list', ann.id))['data']).toEqual(before);
  });
});

describe('countersign on-call', () => {
  const connect = (name: string, token: string, ...more: string[]) =>
    line.run(
      ...[
        [
          ...['on-call', 'connect', name, '--kind', 'pagerduty', '--schedule', 'PSCHED1'],
          ...['--api-url', pagerDuty.url, ...more],
        ],
      ],
      { ...automation, COUNTERSIGN_ON_CALL_TOKEN: token },
    );

  it('connects a schedule with a token from the environment alone, shows whom it names, and forgets it', async () => {
    pagerDuty.shifts = [{ user: { id: 'PANN', email: 'other@example.com' }, schedule: 'PSCHED1' }];
    expect(
      (await run('on-call', 'connect', 'primary', '--kind', 'pagerduty', '--schedule', 'x')).stderr,
    ).toContain('COUNTERSIGN_ON_CALL_TOKEN');
    expect((await connect('primary', pagerDuty.token, '--person', `PANN=${ann.id}`)).code).toBe(0);
    expect((await connect('broken', 'another')).code).toBe(0);
    const rows = async () => list((await json('on-call', 'list'))['data']);
    await eventually(async () => (await rows()).length === 2, 'an answer of both');
    const answers = (await rows()).map(({ source, people, code }) => ({ source, people, code }));
    expect(answers).toHaveLength(2);
    expect(answers).toContainEqual({ source: 'broken', people: [], code: 'not_allowed' });
    expect(answers).toContainEqual({ source: 'primary', people: [ann.id], code: null });
    const shown = await run('on-call', 'list');
    expect(shown.stdout).toMatch(/primary +psn_\S+ .*it answered/);
    expect(shown.stdout).toMatch(/broken .*not allowed/);
    expect(shown.stdout).not.toContain(pagerDuty.token);
    expect((await run('on-call', 'remove', 'primary')).code).toBe(0);
    expect(await rows()).toHaveLength(1);
    const odd = await connect('primary', pagerDuty.token, '--person', 'nobody');
    expect([odd.code, odd.stderr]).toEqual([2, expect.stringContaining('PABC12=psn_')]);
  });
});

it.each(['approve', 'deny', 'ask'])(
  'no command votes or asks: request %s changes nothing and says where people do it',
  async (verb) => {
    const { request } = await hold(cast.agent, cast.seal);
    const { code, stdout, stderr } = await run('request', verb, request, '--reason', 'fine');
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`/requests/${request}`);
    const { body } = await admin(cast.service).call('GET', `/v1/requests/${request}`);
    expect([body['state'], body['votes'], body['questions']]).toEqual(['pending', [], []]);
  },
);

describe('countersign channel', () => {
  it('sets a webhook up, prints its secret once, shows how it stands and forgets it', async () => {
    const url = `${pagerDuty.url}/hook`;
    const made = await json('channel', 'webhook', 'teams', url);
    expect(made).toMatchObject({ name: 'teams', state: 'enabled' });
    expect(made['secret']).toMatch(/^whsec_/);
    expect(await json('channel', 'webhook', 'teams', url)).toMatchObject({ secret: null });
    expect((await json('channel', 'webhook', 'teams', url, '--rotate'))['secret']).toMatch(
      /^whsec_/,
    );
    const shown = await run('channel', 'list');
    expect(shown.stdout).toMatch(/teams +webhook +enabled/);
    expect(shown.stdout).not.toContain('whsec_');
    expect((await run('channel', 'remove', 'teams')).code).toBe(0);
    expect((await json('channel', 'list'))['data']).toEqual([]);
  });

  it('sends mail with a password from the environment alone', async () => {
    const asked = ['channel', 'email', '--host', 'mail.example.com', '--from', 'cs@example.com'];
    const without = await run(...asked, '--user', 'cs');
    expect([without.code, without.stderr]).toEqual([
      2,
      expect.stringContaining('COUNTERSIGN_SMTP_PASSWORD'),
    ]);
    const connected = await line.run([...asked, '--user', 'cs'], {
      ...automation,
      COUNTERSIGN_SMTP_PASSWORD: 'hunter2',
    });
    expect([connected.code, connected.stdout]).toEqual([0, expect.not.stringContaining('hunter2')]);
    expect((await json('channel', 'list'))['data']).toMatchObject([{ kind: 'email' }]);
    expect((await run('channel', 'remove')).code).toBe(2);
    expect((await run('channel', 'remove', '--email')).code).toBe(0);
  });
});

it.each([
  ...[
    ...['agent', 'request', 'grant', 'break-glass', 'person', 'control', 'secret', 'receiver'],
    ...['leak', 'scanner', 'trigger-source', 'found', 'keys', 'on-call', 'channel', 'finding'],
  ].map((noun) => `${noun} list`),
  ...['absence list', 'person passkeys', 'discovery', 'policy history'],
])('%s is { data } with --json, and nothing else', async (command) => {
  const ofPerson = command === 'absence list' || command === 'person passkeys';
  const said = await json(...command.split(' '), ...(ofPerson ? [ann.id] : []));
  expect(Object.keys(said)).toEqual(['data']);
  expect(Array.isArray(said['data'])).toBe(true);
});
