import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { connect, type Database } from '../../db/client.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  askCredential,
  eventually,
  list,
  newKey,
  object,
  opened,
  person,
  text,
  vote,
  type Reply,
} from '../support/client.ts';

let cast: Cast;
let server: Database;
/** Roles are the whole server's: what is planted here has names of its own. */
const tail = randomBytes(4).toString('hex');
const planted = new Set<string>();
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const MARKER = `hunter2-${tail}`;

async function plant(
  name: string,
  attributes = '',
  comment: string | null = null,
): Promise<string> {
  const role = `${name}_${tail}`;
  planted.add(role);
  await server.sql.unsafe(`CREATE ROLE ${quoted(role)} LOGIN ${attributes}`);
  if (comment !== null)
    await server.sql.unsafe(
      `COMMENT ON ROLE ${quoted(role)} IS '${comment.replaceAll("'", "''")}'`,
    );
  return role;
}

async function uproot(role: string): Promise<void> {
  await server.sql.unsafe(`DROP ROLE IF EXISTS ${quoted(role)}`);
  planted.delete(role);
}

beforeAll(async () => {
  cast = await startCast();
  server = connect(inject('servers').admin, {
    role: null,
    application: 'tests',
    connectionsMax: 1,
  });
});
afterAll(async () => {
  for (const role of planted) await uproot(role);
  await server.close();
  await cast.close();
});

const look = (body: JsonObject = {}, headers?: Record<string, string>): Promise<Reply> =>
  admin(cast.service).call('POST', '/v1/discovery', body, headers);

async function all(): Promise<JsonObject[]> {
  const rows: JsonObject[] = [];
  let cursor = '';
  do {
    const path = `/v1/discovery?limit=500${cursor === '' ? '' : `&cursor=${cursor}`}`;
    const reply = await admin(cast.service).call('GET', path);
    rows.push(...list(reply.body['data']));
    cursor = text(reply.body['next_cursor']);
  } while (cursor !== '');
  return rows;
}

async function foundAs(name: string): Promise<JsonObject> {
  return (await all()).find((row) => row['name'] === name) ?? {};
}

async function eventsOf(type: string, id: string): Promise<JsonObject[]> {
  const reply = await admin(cast.service).call('GET', `/v1/events?type=${type}&limit=500`);
  return list(reply.body['data']).filter((event) => event['subject'] === id);
}

const detailOf = (event: JsonObject | undefined): JsonObject =>
  object(object(event?.['data'])['detail']);

describe('discovery of a PostgreSQL', () => {
  it('finds every login that is not a lease, with what is risky about it', async () => {
    const plain = await plant('plain', "VALID UNTIL '2100-01-01'");
    const mighty = await plant('mighty', 'SUPERUSER');
    const maker = await plant('maker', 'CREATEROLE');
    const behind = await plant('behind', `NOINHERIT`);
    await server.sql.unsafe(`GRANT ${quoted(mighty)} TO ${quoted(behind)}`);
    const reply = await look();
    expect(reply.status).toBe(200);
    expect(list(reply.body['data'])[0]).toMatchObject({ target: 'sample', code: null });
    expect(await foundAs(plain)).toMatchObject({
      target: 'sample',
      kind: 'login',
      state: 'unmanaged',
      risks: [],
      around: [],
      expires_at: '2100-01-01T00:00:00.000Z',
    });
    const everything = ['superuser', 'makes_roles', 'no_expiry', 'around_control'];
    expect((await foundAs(mighty))['risks']).toEqual(everything);
    expect((await foundAs(maker))['risks']).toEqual(['makes_roles', 'no_expiry']);
    // It may become the superuser, and so it is one.
    expect(await foundAs(behind)).toMatchObject({
      risks: everything,
      groups: [mighty],
    });
  });

  it('says which controls a login stands beside, and which logins are our own', async () => {
    await look();
    expect(await foundAs('legacy_batch')).toMatchObject({
      risks: ['no_expiry', 'around_control'],
      around: ['orders-write', 'payouts-write'],
      serves: null,
    });
    expect((await foundAs('countersign_issuer'))['serves']).toBe('issuer');
    expect((await foundAs('countersign_observer'))['serves']).toBe('observer');
  });

  it('leaves out what it issued itself, and is not fooled by its name or its mark alone', async () => {
    const task = await startTask(cast.agent);
    const asked = await askCredential(cast.agent, task, {
      role: 'orders-readonly',
      seal_to: cast.seal.publicJwk,
    });
    const material = await opened(asked.body['sealed'], cast.seal);
    const login = text(material['username']);
    const [said] = await server.sql<{ mark: string }[]>`
      select shobj_description(oid, 'pg_authid') as mark from pg_roles where rolname = ${login}`;
    const marked = await plant('cs_marked', '', said?.mark ?? '');
    await look();
    const names = (await all()).map((row) => row['name']);
    expect(login).toMatch(/^cs_/);
    expect(names).not.toContain(login);
    expect(names).toContain(marked);
    // Whoever makes a login administers it, which is no news of our issuer; of anybody else it would be.
    expect(JSON.stringify((await foundAs('countersign_issuer'))['groups'])).not.toContain(login);
    const behind = await plant('behind_lease');
    await server.sql.unsafe(`GRANT ${quoted(login)} TO ${quoted(behind)}`);
    await look();
    expect((await foundAs(behind))['groups']).toContain(login);
  });

  it('keeps hostile names and comments as text, and I5: no secret that a comment holds', async () => {
    const hostile = `x"; DROP TABLE event; --\u202e<script>`;
    const role = await plant(hostile, '', `<img src=x> password: ${MARKER}`);
    await look();
    const found = await foundAs(role);
    expect(found['comment']).toBe('<img src=x> password: [hidden]');
    const dump = await cast.service.database.owner.sql<{ line: string }[]>`
      select facts::text as line from found_identity
      union all select leaf from event union all select value::text from event_private`;
    expect(dump.filter(({ line }) => line?.includes(MARKER))).toEqual([]);
    const [event] = await eventsOf('identity.found', text(found['id']));
    expect(JSON.stringify(object(object(event)['data'])['detail'])).not.toContain('DROP');
  });

  it('guesses who answers for a login', async () => {
    const { service } = cast;
    const greta = await person(service, 'Greta Guess', [], { email: `greta.${tail}@example.com` });
    const role = await plant('nightly', '', `ask greta.${tail}@example.com`);
    await look();
    expect((await foundAs(role))['guessed_owner']).toEqual({
      person: greta.id,
      name: 'Greta Guess',
      because: 'email_in_comment',
    });
  });

  it('a second look finds nothing anew, and a login that is gone is gone, once', async () => {
    const role = await plant('leaver');
    await look();
    const { id } = await foundAs(role);
    await look();
    expect(await eventsOf('identity.found', text(id))).toHaveLength(1);
    await uproot(role);
    await look();
    await look();
    expect((await foundAs(role))['state']).toBe('gone');
    expect(await eventsOf('identity.gone', text(id))).toHaveLength(1);
    expect(await eventsOf('identity.found', text(id))).toHaveLength(1);
  });

  it('I1: a look is an event, with counts, and none of the names is public', async () => {
    const role = await plant('counted');
    await look();
    const { id } = await foundAs(role);
    const [found] = await eventsOf('identity.found', text(id));
    expect(detailOf(found)).toEqual({
      found: id,
      target: 'sample',
      kind: 'login',
      because: 'new',
      risks: ['no_expiry'],
      around: [],
    });
    const looks = await eventsOf('target.discovered', 'sample');
    expect(detailOf(looks.at(-1))['by']).toEqual({ type: 'service', id: 'admin-token' });
  });

  it('I8: a retry with the same key has one effect and one answer', async () => {
    const headers = { 'idempotency-key': `look-${tail}` };
    const first = await look({}, headers);
    const looks = (await eventsOf('target.discovered', 'sample')).length;
    const again = await look({}, headers);
    expect(again.body).toEqual(first.body);
    expect(await eventsOf('target.discovered', 'sample')).toHaveLength(looks);
  });

  it('many who look at once leave one row and one event for each login', async () => {
    const role = await plant('contended');
    const replies = await Promise.all(Array.from({ length: 5 }, () => look()));
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const rows = (await all()).filter((row) => row['name'] === role);
    expect(rows).toHaveLength(1);
    expect(await eventsOf('identity.found', text(rows[0]?.['id']))).toHaveLength(1);
  });

  it('refuses a target that policy does not have', async () => {
    expect((await look({ target: 'nowhere' })).body['code']).toBe('not_found');
  });
});

const adopt = async (id: string, more: JsonObject = {}): Promise<Reply> =>
  admin(cast.service).call('POST', `/v1/discovery/${id}/adopt`, {
    owner: cast.owner.id,
    team: 'core',
    purpose: 'the nightly batch',
    keys: [(await newKey()).publicJwk],
    ...more,
  });
const ignore = (id: string, reason = 'break glass'): Promise<Reply> =>
  admin(cast.service).call('POST', `/v1/discovery/${id}/ignore`, { reason });

async function discovered(name: string): Promise<{ role: string; id: string }> {
  const role = await plant(name, "VALID UNTIL '2100-01-01'");
  await look();
  return { role, id: text((await foundAs(role))['id']) };
}

describe('adopting', () => {
  it('registers an agent that people admit like any other, and links it', async () => {
    const { role, id } = await discovered('adoptee');
    const reply = await adopt(id);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ state: 'requested', name: `adoptee-${tail}` });
    const agent = text(reply.body['id']);
    expect(await foundAs(role)).toMatchObject({
      state: 'adopted',
      agent: { id: agent, state: 'requested' },
    });
    const [event] = await eventsOf('identity.adopted', id);
    expect(detailOf(event)).toMatchObject({ found: id, agent, target: 'sample' });
    expect(object(object(event)['data'])['agent']).toBe(agent);
    expect((await adopt(id)).body).toMatchObject({ code: 'wrong_state', state: 'adopted' });
  });

  it('gives a join token where the key is not known yet', async () => {
    const { id } = await discovered('joiner');
    const reply = await adopt(id, { keys: [], join: true });
    expect(text(object(reply.body['join_token'])['token'])).toMatch(/^[\w-]{43}$/);
  });

  it('leaves no agent behind where it is refused', async () => {
    const { role, id } = await discovered('refused');
    const name = `refused-${tail}`;
    expect((await adopt(id, { owner: 'psn_nobody' })).body['code']).toBe('person_unknown');
    expect((await adopt(id, { keys: [] })).body['code']).toBe('invalid_request');
    expect((await adopt(id, { name: 'No Name' })).body['code']).toBe('invalid_request');
    expect((await foundAs(role))['state']).toBe('unmanaged');
    const agents = await admin(cast.service).call('GET', `/v1/agents?name=${name}`);
    expect(list(agents.body['data'])).toEqual([]);
  });

  it('one identity is adopted once, however many try', async () => {
    const { id } = await discovered('wanted');
    const replies = await Promise.all(
      Array.from({ length: 5 }, (_, at) => adopt(id, { name: `wanted-${at}-${tail}` })),
    );
    expect(replies.map(({ status }) => String(status)).toSorted()).toEqual([
      '201',
      ...Array.from({ length: 4 }, () => '409'),
    ]);
  });

  it('does not outlive the admission that was refused', async () => {
    const { role, id } = await discovered('unloved');
    const reply = await adopt(id);
    await vote(cast.approver, text(reply.body['request']), 'deny');
    await eventually(async () => {
      const seen = await admin(cast.service).call('GET', `/v1/agents/${text(reply.body['id'])}`);
      return seen.body['state'] === 'rejected';
    });
    await look();
    expect(await foundAs(role)).toMatchObject({ state: 'unmanaged', agent: null });
    const events = await eventsOf('identity.found', id);
    expect(new Set(events.map((event) => detailOf(event)['because']))).toEqual(
      new Set(['new', 'abandoned']),
    );
  });

  it('is refused for what is gone', async () => {
    const { role, id } = await discovered('vanished');
    await uproot(role);
    await look();
    expect((await adopt(id)).body).toMatchObject({ code: 'wrong_state', state: 'gone' });
    expect((await ignore(id)).body).toMatchObject({ code: 'wrong_state', state: 'gone' });
  });
});

describe('ignoring', () => {
  it('holds while nothing gets worse, and its reason is private', async () => {
    const { role, id } = await discovered('spared');
    const reply = await ignore(id, `because of ${tail}`);
    expect(reply.body).toMatchObject({ state: 'ignored', reason: `because of ${tail}` });
    await look();
    expect((await foundAs(role))['state']).toBe('ignored');
    const [event] = await eventsOf('identity.ignored', id);
    expect(JSON.stringify(detailOf(event))).not.toContain(`because of ${tail}`);
  });

  it('ends when the identity may do more than it could then', async () => {
    const { role, id } = await discovered('riser');
    await ignore(id);
    await server.sql.unsafe(`ALTER ROLE ${quoted(role)} CREATEROLE`);
    await look();
    expect(await foundAs(role)).toMatchObject({
      state: 'unmanaged',
      risks: ['makes_roles'],
      reason: null,
    });
    const events = await eventsOf('identity.found', id);
    expect(events.map((event) => detailOf(event)['because'])).toContain('riskier');
  });

  it('ends when another login is given the name', async () => {
    const { role, id } = await discovered('twin');
    await ignore(id);
    await uproot(role);
    await plant('twin', "VALID UNTIL '2100-01-01'");
    await look();
    expect((await foundAs(role))['state']).toBe('unmanaged');
    const events = await eventsOf('identity.found', id);
    expect(events.map((event) => detailOf(event)['because'])).toContain('remade');
  });

  it('needs a reason', async () => {
    const { id } = await discovered('silent');
    expect((await ignore(id, ' ')).body['code']).toBe('invalid_request');
  });
});

describe('a target that cannot be reached', () => {
  it('I6: changes nothing of what is known, and says why', async () => {
    const { role } = await discovered('remaining');
    const url = new URL(cast.service.sample.target);
    const login = decodeURIComponent(url.username);
    const { database } = cast.service.sample;
    // For nobody but superusers: whoever is a member of one of our logins may connect as long as that is there.
    await server.sql.unsafe(`ALTER DATABASE ${database} CONNECTION LIMIT 0`);
    await server.sql`select pg_terminate_backend(pid, 10000) from pg_stat_activity
      where usename = ${login} and datname = ${database}`;
    try {
      const reply = await look();
      expect(list(reply.body['data'])[0]?.['code']).toEqual(expect.any(String));
      expect((await foundAs(role))['state']).toBe('unmanaged');
    } finally {
      await server.sql.unsafe(`ALTER DATABASE ${database} CONNECTION LIMIT -1`);
    }
  });
});
