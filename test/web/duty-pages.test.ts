// The pages that say who votes for whom, and who is on call: what people say there themselves, and what schedules said.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startFakePagerDuty, type FakeOnCall } from '../fakes/on-call.ts';
import { startCast, type Cast } from '../support/cast.ts';
import { admin, eventually, list, person, text, type TestPerson } from '../support/client.ts';

let cast: Cast;
let pagerDuty: FakeOnCall;
let root: TestPerson;
let ann: TestPerson;
let ben: TestPerson;

beforeAll(async () => {
  pagerDuty = await startFakePagerDuty();
  cast = await startCast();
  const { service } = cast;
  root = await person(service, 'Root', [], { roles: ['admin'] });
  ann = await person(service, 'Ann Away', ['data-owners'], { email: 'ann@example.com' });
  ben = await person(service, 'Ben Behind', []);
  await person(service, 'Aud Itor', [], { roles: ['auditor'] });
});
afterAll(async () => {
  await cast.close();
  await pagerDuty.close();
});

const open = async (who: TestPerson, path: string): Promise<string> =>
  (await fetch(cast.service.url + path, { headers: { cookie: who.cookie } })).text();

async function send(
  who: TestPerson,
  path: string,
  fields: Record<string, string> = {},
): Promise<{ status: number; location: string | null; page: string }> {
  const response = await fetch(cast.service.url + path, {
    method: 'POST',
    redirect: 'manual',
    headers: { cookie: who.cookie },
    body: new URLSearchParams({ csrf_token: who.csrf, ...fields }),
  });
  const { status, headers } = response;
  return { status, location: headers.get('location'), page: await response.text() };
}

/** What a browser sends for a time so many hours from now. */
const inHours = (hours: number): string =>
  new Date(Date.now() + hours * 3_600_000).toISOString().slice(0, 16);

const absencesOf = async (who: TestPerson) =>
  list((await admin(cast.service).call('GET', `/v1/people/${who.id}/absences`)).body['data']);

const withdrawnOf = async (who: TestPerson): Promise<boolean[]> =>
  (await absencesOf(who)).map((each) => each['withdrawn_at'] !== null);

it('somebody who leaves names who votes for them on their own page, and takes it back there', async () => {
  const ends = inHours(48);
  const said = await send(ann, '/me/absences', { stand_in: ben.id, starts_at: '', ends_at: ends });
  expect([said.status, said.location]).toEqual([303, '/me#away']);
  const [absence] = await absencesOf(ann);
  expect(absence).toMatchObject({ stand_in: ben.id, ends_at: `${ends}:00.000Z` });
  expect(await open(ann, '/me')).toContain('away now');
  expect(await open(cast.approver, '/on-duty')).toMatch(/Ann Away[\s\S]*Ben Behind/);
  expect((await send(ann, `/me/absences/${text(absence?.['id'])}/remove`)).status).toBe(303);
  expect(await withdrawnOf(ann)).toEqual([true]);
  expect(await open(cast.approver, '/on-duty')).not.toContain('Ben Behind');
});

it('only who may vote is offered as a stand-in, and never oneself', async () => {
  const [, offered = ''] = /<select[^>]*name="stand_in"[^>]*>([\s\S]*?)<\/select>/.exec(
    await open(ann, '/me'),
  ) ?? ['', ''];
  expect(offered).toContain('Ben Behind');
  expect(offered).not.toMatch(/Ann Away|Aud Itor/);
});

it('a refused absence is said where it was typed, with what was typed, and nothing is kept', async () => {
  const before = await absencesOf(ann);
  const typed = { stand_in: ben.id, starts_at: inHours(5), ends_at: inHours(2) };
  const { status, page } = await send(ann, '/me/absences', typed);
  expect(status).toBe(400);
  expect(page).toContain('An absence ends after it begins');
  expect(page).toContain(`value="${typed.starts_at}"`);
  const odd = await send(ann, '/me/absences', { stand_in: ben.id, ends_at: 'tomorrow' });
  expect([odd.status, odd.page.includes('such as 2026-12-24T18:00')]).toEqual([400, true]);
  expect(await absencesOf(ann)).toEqual(before);
});

it('a session of a while ago hands on nobody’s vote', async () => {
  const eve = await person(cast.service, 'Eve', ['data-owners']);
  await cast.service.database.owner.sql`
    update session set created_at = now() - interval '20 minutes' where person = ${eve.id}`;
  const { status, page } = await send(eve, '/me/absences', {
    stand_in: ben.id,
    ends_at: inHours(2),
  });
  expect([status, page.includes('sign in again')]).toEqual([403, true]);
  expect(await absencesOf(eve)).toEqual([]);
});

it('an administrator says it for somebody else, and nobody else does', async () => {
  const fields = { stand_in: cast.approver.id, ends_at: inHours(3) };
  const path = `/people/${ben.id}/absences`;
  expect((await send(ann, path, fields)).status).toBe(403);
  expect(await absencesOf(ben)).toEqual([]);
  const said = await send(root, path, fields);
  expect([said.status, said.location]).toEqual([303, `/people/${ben.id}#away`]);
  const [absence] = await absencesOf(ben);
  const remove = `${path}/${text(absence?.['id'])}/remove`;
  expect((await send(ann, remove)).status).toBe(403);
  expect((await send(root, remove)).status).toBe(303);
  expect(await withdrawnOf(ben)).toEqual([true]);
});

it('who is on call is shown by name; of a schedule that gives no answer, why not', async () => {
  pagerDuty.shifts = [
    { user: { id: 'PANN', email: 'ann@example.com' }, schedule: 'PSCHED1' },
    { user: { id: 'PX', email: 'nobody@example.com' }, schedule: 'PSCHED1' },
  ];
  const connect = (name: string, token: string) =>
    admin(cast.service).call('PUT', `/v1/integrations/on-call/${name}`, {
      ...{ kind: 'pagerduty', token, schedule: 'PSCHED1', api_url: pagerDuty.url },
    });
  await connect('primary', pagerDuty.token);
  await connect('backup', 'another-token');
  const rows = async (): Promise<string[]> =>
    (await open(ann, '/on-duty')).split('<tr>').filter((row) => /primary|backup/.test(row));
  await eventually(
    async () => !(await rows()).some((row) => row.includes('not asked yet')),
    'an answer of both',
  );
  const [backup = '', primary = ''] = await rows();
  expect(primary).toMatch(/Ann Away[\s\S]*1 more whom nobody here is[\s\S]*it answered/);
  expect(backup).toMatch(/nobody[\s\S]*not allowed/);
  expect(backup).not.toContain('Ann Away');
});
