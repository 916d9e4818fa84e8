import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCast, type Cast } from '../support/cast.ts';
import { admin, list, text } from '../support/client.ts';
import { commandLine, type CommandLine, type Variables } from '../support/command-line.ts';

let cast: Cast;
let line: CommandLine;
let automation: Variables;

beforeAll(async () => {
  cast = await startCast();
  const { service } = cast;
  line = await commandLine();
  automation = { COUNTERSIGN_URL: service.url, COUNTERSIGN_TOKEN: service.adminToken };
});
afterAll(async () => {
  await line.close();
  await cast.close();
});

const run = (...args: string[]) => line.run(args, automation);

async function idOf(name: string): Promise<string> {
  const { body } = await admin(cast.service).call('GET', '/v1/discovery?limit=500');
  return text(list(body['data']).find((row) => row['name'] === name)?.['id']);
}

describe('countersign discover', () => {
  it('asks the targets, lists what nobody decided about, and has it adopted or ignored', async () => {
    const looked = await run('discover');
    expect([looked.code, looked.stderr]).toEqual([0, '']);
    expect(looked.stdout).toMatch(/^sample +\d+ .*everything$/m);
    const unmanaged = await run('found', 'list', '--state', 'unmanaged', '--limit', '1000');
    expect(unmanaged.stdout).toMatch(
      /login +legacy_batch +unmanaged +new +no_expiry around_control/,
    );
    const adopted = await run(
      ...['found', 'adopt', await idOf('legacy_batch'), '--owner', cast.owner.id],
      ...['--team', 'core', '--purpose', 'the old batch', '--join'],
    );
    expect([adopted.code, adopted.stdout]).toEqual([
      0,
      expect.stringMatching(/\(legacy-batch\) is requested\.\nIt joins with [\w-]{43}/),
    ]);
    const ignored = await run(
      ...['found', 'ignore', await idOf('countersign_issuer'), '--reason', 'ours'],
    );
    expect([ignored.code, ignored.stdout]).toEqual([0, expect.stringContaining('ignored')]);
  });

  it('says when each target was asked, and what was different then', async () => {
    await run('discover');
    const targets = await run('discovery');
    expect([targets.code, targets.stderr]).toEqual([0, '']);
    // Other tests come and go on the same server: of what is ours nothing is different.
    expect(targets.stdout).toMatch(
      /^sample +\d{4}-[\d: -]+Z +\d+ +\d+ +\d+ +\d+ +\d{4}.* everything$/m,
    );
    const different = await run('found', 'list', '--different', '--json', '--limit', '1000');
    expect([different.code, different.stderr]).toEqual([0, '']);
    for (const name of ['legacy_batch', 'countersign_issuer', 'countersign_observer'])
      expect(different.stdout).not.toContain(`"${name}"`);
  });

  it('fails where a target said nothing', async () => {
    const nowhere = await run('discover', 'nowhere');
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining('no target')]);
  });
});

describe('the population', () => {
  it('is agents, what was found and what is stored, in one list that says how each owner is known', async () => {
    const { agent, owner, service } = cast;
    await run('discover');
    const reply = await admin(service).call('GET', '/v1/reports/population');
    const members = list(reply.body['data']);
    expect(members.find(({ id }) => id === agent.id)).toMatchObject({
      source: 'registered',
      owner: owner.id,
      owner_name: 'Olga',
      owner_by: 'registration',
      keys: 1,
      credentials: 0,
    });
    expect(members.find(({ name }) => name === 'countersign_observer')).toMatchObject({
      source: 'discovered',
      target: 'sample',
      state: 'unmanaged',
    });
    const found = await admin(service).call('GET', '/v1/discovery?limit=500');
    const there = list(found.body['data']).filter(({ state }) => state !== 'gone');
    expect(members.filter(({ source }) => source === 'discovered')).toHaveLength(there.length);
  });

  it('says of a stored secret that it is old, once nobody replaced it for 90 days', async () => {
    const { service } = cast;
    const put = await admin(service).call('PUT', '/v1/static-secrets/legacy', { value: 'a value' });
    expect(put.status).toBeLessThan(300);
    const risks = async () => {
      const { body } = await admin(service).call('GET', '/v1/reports/population');
      return list(body['data']).find(({ source }) => source === 'stored')?.['risks'];
    };
    expect(await risks()).toBe('no_expiry');
    await service.database.owner.sql`update static_secret set put_at = put_at - interval '90 days'`;
    expect(await risks()).toBe('no_expiry old_secret');
  });

  it('comes as CSV, with one line for each and no formula for a spreadsheet to run', async () => {
    const { service } = cast;
    await service.database.owner
      .sql`update found_identity set name = '=cmd()' where name = 'countersign_observer'`;
    const { code, stdout } = await run('report', 'population', '--csv');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split(/\r?\n/);
    const reply = await admin(service).call('GET', '/v1/reports/population');
    expect(lines).toHaveLength(list(reply.body['data']).length + 1);
    expect(lines[0]).toMatch(/^source,id,name,kind,state,/);
    expect(stdout).toContain(",'=cmd(),");
  });

  it('is not for everybody, and reading it is an event', async () => {
    const { approver, service } = cast;
    for (const path of ['/v1/reports/population', '/v1/discovery'])
      expect((await approver.call('GET', path)).body['code']).toBe('forbidden');
    const events = await admin(service).call('GET', '/v1/events?type=report.read&limit=500');
    const read = list(events.body['data']).map(({ subject }) => subject);
    expect(read).toEqual(expect.arrayContaining(['population', 'discovery']));
  });
});
