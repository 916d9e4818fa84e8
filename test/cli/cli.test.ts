import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { vote } from '../support/client.ts';
import {
  commandLine,
  spawned,
  stateFolder,
  type CommandLine,
  type Ran,
  type Variables,
} from '../support/command-line.ts';
import { listen } from '../support/network.ts';
import { adminClient, policyWith, team, type Team } from '../support/sdk.ts';
import { startService, type TestService } from '../support/service.ts';
import { sampleVerdict } from '../support/verdicts.ts';

/** A name that would clear the screen, turn text around, and forge a second line. */
const HOSTILE = 'Eve\u001b[2J\u202egnp.exe\u0007';

let service: TestService;
let members: Team;
let line: CommandLine;
/** As the agent, and as automation. */
let agent: Variables;
let automation: Variables;

beforeAll(async () => {
  const folder = await policyWith({
    'routes.yaml': `
hasty:
  title: Over before anybody looks
  groups: [data-owners]
  expiry_seconds: 1
`,
    'roles.yaml': `
  hasty:
    title: Asked for in vain
    issuer: jwt
    audience: https://hasty.example
  vault:
    title: What nobody gets
    issuer: jwt
    audience: https://vault.example
`,
    'main.cedar': `
@id("hasty")
@approval("hasty")
permit (principal is Agent, action == Action::"credential:request", resource == Role::"hasty");
`,
  });
  service = await startService({ env: { COUNTERSIGN_POLICY: folder } });
  members = await team(service);
  line = await commandLine();
  await writeFile(path.join(line.folder, 'agent.json'), JSON.stringify(members.key));
  automation = { COUNTERSIGN_URL: service.url, COUNTERSIGN_TOKEN: service.adminToken };
  agent = {
    COUNTERSIGN_URL: service.url,
    COUNTERSIGN_AGENT: members.agent.id,
    COUNTERSIGN_AGENT_KEY: 'agent.json',
  };
});
afterAll(async () => {
  await line.close();
  await service.close();
});

const startTask = async (): Promise<string> => {
  const { stdout } = await line.run(['task', 'start', '--purpose', 'tests', '-q'], agent);
  return stdout.trim();
};

interface Held {
  task: string;
  request: string;
  ran: Ran;
}

/** Asks for a held role without waiting. */
async function ask(role: string): Promise<Held> {
  const task = await startTask();
  const args = ['credential', 'request', '--task', task, '--role', role, '--reason', 'tests'];
  const ran = await line.run([...args, '--seal-key', 'seal.json'], agent);
  return { task, request: /req_[0-9a-z]{26}/.exec(ran.stderr)?.[0] ?? '', ran };
}

const waitFor = (request: string, ...more: string[]): Promise<Ran> =>
  line.run(['request', 'wait', request, ...more], agent);

describe('exit codes of a request', () => {
  it('0 when it was approved, with the material of the role', async () => {
    const { request } = await ask('orders-write');
    await vote(members.approver, request, 'approve');
    expect((await waitFor(request)).code).toBe(0);
    const collected = await line.run(
      ['credential', 'collect', request, '--seal-key', 'seal.json'],
      agent,
    );
    expect(JSON.parse(collected.stdout)).toMatchObject({
      kind: 'postgres',
      database: service.sample.database,
    });
  });

  it('5 when a person denied it', async () => {
    const { request } = await ask('orders-write');
    await vote(members.approver, request, 'deny', { reason: 'not today' });
    const { code, stdout } = await waitFor(request);
    expect(code).toBe(5);
    expect(stdout).toContain('not today');
  });

  it('6 when nobody decided in time', async () => {
    const { request } = await ask('hasty');
    expect((await waitFor(request)).code).toBe(6);
  });

  it('7 when it was withdrawn', async () => {
    const { request } = await ask('orders-write');
    expect((await line.run(['request', 'cancel', request], agent)).code).toBe(0);
    expect((await waitFor(request)).code).toBe(7);
  });

  it('8 when it was approved and could not be carried out', async () => {
    const { request, task } = await ask('orders-write');
    await vote(members.approver, request, 'approve');
    expect((await waitFor(request)).code).toBe(0);
    await line.run(['task', 'complete', task], agent);
    expect((await waitFor(request)).code).toBe(8);
  });

  it('9 while it waits, with the page where people decide', async () => {
    const { request, ran } = await ask('orders-write');
    expect(ran.code).toBe(9);
    expect(ran.stdout).toBe('');
    expect(ran.stderr).toContain(`${service.config.publicUrl}/requests/${request}`);
    const waited = await waitFor(request, '--timeout', '1');
    expect(waited.code).toBe(9);
    expect(waited.stdout).toContain(`${service.config.publicUrl}/requests/${request}`);
  });

  it('credential request --wait gives the material once people agreed', async () => {
    const task = await startTask();
    const args = ['--task', task, '--role', 'orders-write', '--reason', 'tests', '--wait', '20'];
    const asking = line.run(['credential', 'request', ...args, '--url'], agent);
    const pending = async () =>
      (await adminClient(service).requests.list({ state: 'pending', limit: 500 })).data.filter(
        (request) => request.action.context['task'] === task,
      );
    await expect.poll(async () => (await pending()).length, { timeout: 10_000 }).toBe(1);
    for (const { id } of await pending()) await vote(members.approver, id, 'approve');
    const { code, stdout } = await asking;
    expect(stdout).toMatch(/^postgres:\/\/cs_[^\n]+\n$/);
    expect(code).toBe(0);
  });

  it('credential request --wait ends like the request does', async () => {
    const task = await startTask();
    const args = ['--task', task, '--role', 'hasty', '--wait'];
    const { code, stdout } = await line.run(['credential', 'request', ...args], agent);
    expect(stdout).toBe('');
    expect(code).toBe(6);
  });
});

describe('what goes wrong', () => {
  it('a refusal is one sentence with its code, and exit code 1', async () => {
    const { code, stdout, stderr } = await line.run(['task', 'show', 'tsk_x'], automation);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toBe('countersign: There is no such task. [not_found]\n');
  });

  it('a denial by policy says which policy it was not', async () => {
    const task = await startTask();
    const args = ['credential', 'request', '--task', task, '--role', 'vault'];
    const { code, stderr } = await line.run(args, agent);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Policy does not allow this: .+ \(.+\) \[denied\]\n$/);
  });

  it.each([
    [['nope'], /unknown command/],
    [['agent', 'register', '--name', 'x'], /required option/],
    [['task', 'start', '--purpose', 'p', '--ttl', '1.5'], /--ttl/],
    [['events', '--limit', '0'], /--limit/],
    [['verdict', 'x', '--from', 'yesterday'], /--from/],
    [['agent', 'register', '--kind', 'robot'], /--kind/],
    [['token'], /COUNTERSIGN_AGENT/],
    [['task', 'show', 'tsk_x', '--agent', 'agt_x'], /give both/],
    [['token', '--agent', 'agt_x', '--key', 'none.json'], /none\.json cannot be read/],
    [['slack', 'connect', '--channel', 'C1'], /COUNTERSIGN_SLACK_SIGNING_SECRET/],
  ])('%j is a usage error: exit code 2', async (args, says) => {
    const { code, stdout, stderr } = await line.run(args, automation);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(says);
  });

  it('a server that is not there is named, with what to do', async () => {
    const env = { COUNTERSIGN_URL: 'http://127.0.0.1:9', COUNTERSIGN_TOKEN: 't' };
    const { code, stderr } = await line.run(['agent', 'list'], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^countersign: http:\/\/127\.0\.0\.1:9 gave no answer .* \[unreachable\]\n$/,
    );
    const { stdout } = await line.run(['version'], env);
    expect(stdout).toContain('none at http://127.0.0.1:9');
  });

  it('a wrong token is told apart from a missing one', async () => {
    const wrong = await line.run(['agent', 'list'], { ...automation, COUNTERSIGN_TOKEN: 'wrong' });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/Set COUNTERSIGN_TOKEN .* \[unauthenticated\]/);
    const missing = await line.run(['agent', 'list'], { COUNTERSIGN_URL: service.url });
    expect(missing.code).toBe(2);
  });

  it('no command votes, and each that sounds like it says so', async () => {
    const { stdout } = await line.run(['request', '--help'], {});
    const lines = stdout.split('\n').filter((text) => /\b(votes?|approve|deny)\b/.test(text));
    for (const text of lines) expect(text).toMatch(/says where a person/);
    expect(lines).toHaveLength(2);
  });
});

describe('keys and secrets', () => {
  it('keygen writes a file for its owner alone, and never over another', async () => {
    const file = path.join(line.folder, 'new.json');
    const first = await line.run(['keygen', '--out', file]);
    expect(first.code).toBe(0);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const { d, ...publicPart } = JSON.parse(await readFile(file, 'utf8')) as { d: string };
    expect(JSON.parse(first.stdout)).toEqual(publicPart);
    expect(first.stdout + first.stderr).not.toContain(d);
    const second = await line.run(['keygen', '--out', file]);
    expect(second.code).toBe(2);
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ ...publicPart, d });
  });

  it('the key can come from the environment itself', async () => {
    const env = { ...agent, COUNTERSIGN_AGENT_KEY: JSON.stringify(members.key) };
    const { code, stdout } = await line.run(['token'], env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ey[\w-]+\.[\w-]+\.[\w-]+\n$/);
  });

  it('eval of --env gives a shell exactly the material', async () => {
    const task = await startTask();
    const script = `eval "$(countersign credential request --task ${task} --role orders-readonly --env)"
      printf '%s' "postgres://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE $DATABASE_URL"`;
    const { stdout } = await spawned('bash', ['-c', script], line.folder, {
      ...line.env,
      ...agent,
    });
    const [joined, whole] = stdout.split(' ');
    expect(whole).toMatch(/^postgres:/);
    expect(joined).toBe(whole);
  });

  it('Slack’s secrets come from the environment or from files', async () => {
    await writeFile(path.join(line.folder, 'bot-token'), 'xoxb-test-token\n');
    const { code, stdout } = await line.run(['slack', 'connect', '--channel', 'C012AB3CD'], {
      ...automation,
      COUNTERSIGN_SLACK_SIGNING_SECRET: 'signing-secret',
      COUNTERSIGN_SLACK_BOT_TOKEN_FILE: path.join(line.folder, 'bot-token'),
    });
    expect([code, stdout]).toEqual([0, 'Slack is connected.\n']);
  });
});

describe('text from elsewhere', () => {
  it('cannot move the cursor, turn text around or forge a line', async () => {
    const invite = ['person', 'invite', '--name', HOSTILE, '--group', 'x'];
    const invited = await line.run(invite, automation);
    const listed = await line.run(['person', 'list'], automation);
    for (const { stdout } of [invited, listed]) {
      expect(stdout).toContain('Eve⟨U+001B⟩[2J⟨U+202E⟩gnp.exe⟨U+0007⟩');
      expect(stdout).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    }
  });

  it('is harmless in JSON, and the same value when it is read', async () => {
    const { stdout } = await line.run(['person', 'list', '--json'], automation);
    expect(stdout).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    const { data } = JSON.parse(stdout) as { data: { name: string }[] };
    expect(data.map(({ name }) => name)).toContain(HOSTILE);
  });

  it('with line breaks stays in its cell', async () => {
    const purpose = 'first\nsecond';
    const args = ['task', 'start', '--purpose', purpose];
    const { stdout } = await line.run(args, agent);
    expect(stdout).toContain('first⟨U+000A⟩second');
  });
});

describe('finding the server', () => {
  it('the state folder of a local start says where, and with what', async () => {
    await stateFolder(line, service);
    expect((await line.run(['agent', 'list'])).code).toBe(0);
    const elsewhere = path.join(line.folder, '.countersign');
    expect((await line.run(['agent', 'list'], { COUNTERSIGN_STATE: elsewhere })).code).toBe(0);
  });

  it('the local token is never sent to another server', async () => {
    await stateFolder(line, service);
    const heard: string[] = [];
    const other = createServer((request, response) => {
      heard.push(String(request.headers.authorization));
      response.end('{}');
    });
    const env = { COUNTERSIGN_URL: `http://127.0.0.1:${await listen(other)}` };
    expect((await line.run(['agent', 'list'], env)).code).toBe(2);
    expect(heard).toEqual([]);
    other.close();
  });

  it('PORT is the last resort', async () => {
    const env = { COUNTERSIGN_STATE: 'nowhere', PORT: new URL(service.url).port };
    const { stdout } = await line.run(['version'], env);
    expect(stdout).toContain(`0.1.0 at http://localhost:${env.PORT}`);
  });
});

describe('verdict', () => {
  let controls: Server;
  let env: Variables;
  const answers = {
    good: sampleVerdict({ control: 'good', verdict: 'real', needed: [], interim: false }),
    bad: sampleVerdict({ control: 'bad', verdict: 'decorative' }),
    unclear: sampleVerdict({ control: `unclear${HOSTILE}` }),
  };
  const list = { data: [{ id: 'good', route: 'orders-write', title: HOSTILE }] };
  beforeAll(async () => {
    controls = createServer((request, response) => {
      const [, id] = /^\/v1\/controls\/(\w+)\/verdict/.exec(request.url ?? '') ?? [];
      const answer = Object.entries(answers).find(([name]) => name === id)?.[1] ?? list;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
    });
    const port = await listen(controls);
    env = { COUNTERSIGN_URL: `http://127.0.0.1:${port}`, COUNTERSIGN_TOKEN: 'token' };
  });
  afterAll(() => controls.close());

  it.each([
    ['good', 0, 'REAL'],
    ['bad', 4, 'DECORATIVE'],
    ['unclear', 3, 'INSUFFICIENT EVIDENCE'],
  ])('%s: exit code %d, headline %s', async (id, expected, headline) => {
    const { code, stdout } = await line.run(['verdict', id], env);
    expect(code).toBe(expected);
    expect(stdout.split('\n')[0]).toContain(headline);
  });

  it('shows layers, tests, their cases and what is needed, with nothing hidden', async () => {
    const { stdout } = await line.run(['verdict', 'unclear'], env);
    expect(stdout).toContain('operation: deficient');
    expect(stdout).toContain('completeness: deficient (1 of 12, threshold 0)');
    expect(stdout).toContain('a login that nobody issued wrote to orders evt_01m7yqz94per4a0z');
    expect(stdout).toContain('Needed:\n  - 9 more canaries\n  - no sensor on db:orders');
    expect(stdout).toContain('unclearEve⟨U+001B⟩');
    expect(stdout).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
  });

  it('--json is what the API sent, with the same exit code', async () => {
    const { code, stdout } = await line.run(['verdict', 'bad', '--json'], env);
    expect(JSON.parse(stdout)).toEqual(answers.bad);
    expect(code).toBe(4);
  });

  it('control list names them', async () => {
    const { stdout } = await line.run(['control', 'list'], env);
    expect(stdout).toMatch(/^CONTROL +ROUTE +TITLE\ngood +orders-write +Eve⟨U\+001B⟩/);
  });
});

describe('policy', () => {
  it('push proposes what checks out, and people then decide', async () => {
    const folder = await policyWith({ 'tests.yaml': '\n# A comment is a change too.\n' });
    const bad = await policyWith({ 'routes.yaml': '\nnobody: { title: x, groups: [] }\n' });
    const refused = await line.run(['policy', 'push', bad], automation);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/routes\.yaml:33: nobody\.groups: /);
    const pushed = await line.run(['policy', 'push', folder], automation);
    expect(pushed.code).toBe(0);
    expect(pushed.stdout).toMatch(/people decide at +http:\/\/localhost:\d+\/requests\/req_/);
  });

  it('check names the file and line of every mistake', async () => {
    const folder = await policyWith({
      'main.cedar': '\n@id("extra")\n@approval("nobody")\npermit (principal, action, resource);\n',
    });
    const { code, stdout } = await line.run(['policy', 'check', folder]);
    expect(code).toBe(1);
    const lines = (await readFile(path.join(folder, 'main.cedar'), 'utf8')).split('\n');
    const at = lines.indexOf('@id("extra")');
    expect(stdout).toContain(`main.cedar:${at + 1}: policy "extra" asks the route "nobody"`);
    await writeFile(path.join(folder, 'route.yaml'), 'misspelt: true\n');
    const misspelt = await line.run(['policy', 'check', folder]);
    expect(misspelt.stdout).toContain('route.yaml: a policy bundle has no file of this name');
  });
});

describe('the rest', () => {
  it('a reader that has seen enough ends the command quietly', async () => {
    // Something new has to happen for the command to notice.
    const script = [
      '(countersign events --follow | head -1 >/dev/null; echo "${PIPESTATUS[0]}") &',
      'sleep 2; countersign person invite --name Late -q >/dev/null; wait',
    ].join('\n');
    const env = { ...line.env, ...automation };
    const { stdout, stderr } = await spawned('bash', ['-c', script], line.folder, env);
    expect([stdout, stderr]).toEqual(['0\n', '']);
  });

  it('npx countersign works in the root of a clone, and says so when nothing is built', async () => {
    const clone = path.join(line.folder, 'clone');
    await mkdir(path.join(clone, 'bin'), { recursive: true });
    for (const file of ['package.json', 'bin/countersign.mjs'])
      await writeFile(path.join(clone, file), await readFile(path.join(PACKAGE_ROOT, file)));
    const npx = (): Promise<Ran> =>
      spawned('npx', ['--offline', 'countersign', '--version'], clone, line.env);
    expect((await npx()).stderr).toContain('this clone is not built yet: run npm start');
    for (const folder of ['dist', 'node_modules'])
      await symlink(path.join(PACKAGE_ROOT, folder), path.join(clone, folder));
    expect((await npx()).stdout).toBe('0.1.0\n');
  });

  it('help is no error', async () => {
    const { code, stdout } = await line.run(['credential', 'request', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('--wait [seconds]');
  });
});
