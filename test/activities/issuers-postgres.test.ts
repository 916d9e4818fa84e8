import { randomBytes, randomUUID } from 'node:crypto';
import postgres, { type Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { endCredentials } from '../../activities/ending.ts';
import { loginName } from '../../activities/issuers/login.ts';
import { postgresIssuer } from '../../activities/issuers/postgres.ts';
import type { Issuer, LeaseToIssue, TargetRef } from '../../commands/credentials/issuer.ts';
import { newId } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { text } from '../support/client.ts';
import { freshSample, type SampleTarget } from '../support/sample.ts';

const definition = {
  issuer: 'postgres' as const,
  url_from: 'TARGET',
  grade: 'B' as const,
  application_logins: [],
};
const target: TargetRef = { name: 'sample', definition };
let sample: SampleTarget;
const secrets = (): string => sample.target;
const ours = postgresIssuer(secrets, `countersign ours-${randomUUID()} attempt `);
const theirs = postgresIssuer(secrets, `countersign theirs-${randomUUID()} attempt `);

let root: Sql;
/** Names that would end a statement early, if any of them ever became part of one. */
const HOSTILE = `x"; DROP TABLE orders; --'$$ ${randomBytes(4).toString('hex')}`;

beforeAll(async () => {
  sample = await freshSample();
  const url = new URL(inject('servers').admin);
  url.pathname = `/${sample.database}`;
  root = postgres(url.href, { max: 2, onnotice: () => undefined });
  const [quoted] = await root<{ name: string }[]>`select quote_ident(${HOSTILE}) as name`;
  const hostile = quoted?.name ?? '';
  await root.unsafe(`CREATE ROLE ${hostile} NOLOGIN`);
  await root.unsafe(`GRANT CONNECT ON DATABASE ${sample.database} TO ${hostile}`);
  await root.unsafe(`GRANT ${hostile} TO countersign_issuer WITH ADMIN OPTION`);
  await root.unsafe(`CREATE SCHEMA ${hostile}`);
  await root.unsafe(`GRANT CREATE, USAGE ON SCHEMA ${hostile} TO ${hostile}`);
});
afterAll(async () => {
  for (const issuer of [ours, theirs]) await end(issuer, ...((await issuer.list(target)) ?? []));
  await ours.close();
  await theirs.close();
  await root.end({ timeout: 2 });
  await sample.close();
});

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();

function lease(more: Partial<LeaseToIssue> = {}, groups = ['orders_read']): LeaseToIssue {
  return {
    credential: newId('credential'),
    agent: newId('agent'),
    agentName: 'bot',
    spiffeId: 'spiffe://test/agent/bot',
    onBehalfOf: [],
    confirmation: null,
    status: null,
    task: newId('task'),
    purpose: 'test',
    role: 'orders-readonly',
    definition: {
      issuer: 'postgres',
      target: 'sample',
      member_of: groups,
      connection_limit: 3,
      title: 'Read',
      data_class: 'internal',
      reason: 'optional',
      ttl_seconds_default: 60,
      ttl_seconds_max: 60,
    },
    options: {},
    target,
    expiresAt: inSeconds(60),
    issueBy: inSeconds(30),
    attempt: 1,
    ...more,
  };
}

const made = async (issuer: Issuer, toIssue: LeaseToIssue): Promise<JsonObject> =>
  (await issuer.issue(toIssue)).material;

/** Ends them as the reaper does, and says whether each is over. */
const end = async (issuer: Issuer, ...credentials: LeaseToIssue['credential'][]) => {
  const leases = credentials.map((credential) => ({
    credential,
    handles: [],
    unheard: true,
    diesAt: null,
  }));
  return (await endCredentials(issuer, target, leases)).map(({ outcome, isOver }) => ({
    ...outcome,
    isOver,
  }));
};

const login = (material: JsonObject, database?: string): Sql => {
  const url = new URL(text(material['url']));
  if (database !== undefined) url.pathname = `/${database}`;
  return postgres(url.href, { max: 1, connect_timeout: 5, onnotice: () => undefined });
};

/** Runs one statement as an issued login: what it answers, or the code it fails with. */
async function runs(material: JsonObject, statement: string, database?: string): Promise<string> {
  const sql = login(material, database);
  try {
    await sql.unsafe(statement);
    return 'ran';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'failed';
  } finally {
    await sql.end({ timeout: 1 });
  }
}

const roleIn = async (credential: LeaseToIssue['credential']) => {
  const [row] = await root<Record<string, boolean | string | number | null>[]>`
    select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, rolconnlimit,
      rolvaliduntil::text as until, shobj_description(oid, 'pg_authid') as said
    from pg_roles where rolname = ${loginName(credential)}`;
  return row ?? null;
};

describe('an issued login', () => {
  it('does what its role may, and nothing that would outlive or outgrow it', async () => {
    const held = lease();
    const material = await made(ours, held);
    expect(await runs(material, 'select * from orders')).toBe('ran');
    const denied = [
      'delete from orders',
      'select * from payouts',
      'SET ROLE countersign_issuer',
      'SET ROLE orders_write',
      'CREATE ROLE helper LOGIN',
      'CREATE DATABASE mine',
      'CREATE TABLE public.mine (a int)',
      `ALTER ROLE ${text(material['username'])} VALID UNTIL 'infinity'`,
      `ALTER ROLE ${text(material['username'])} CONNECTION LIMIT -1`,
      `ALTER ROLE ${text(material['username'])} CREATEROLE`,
      `COMMENT ON ROLE ${text(material['username'])} IS NULL`,
      `GRANT orders_read TO legacy_batch`,
      `select pg_read_file('/etc/passwd')`,
      `COPY orders TO PROGRAM 'cat'`,
    ];
    const codes = [];
    for (const statement of denied) codes.push(await runs(material, statement));
    expect(new Set(codes)).toEqual(new Set(['42501']));
    expect(await roleIn(held.credential)).toMatchObject({
      rolsuper: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolbypassrls: false,
      rolreplication: false,
      rolconnlimit: 3,
    });
  });

  it('opens no other database of the server, ours least of all', async () => {
    const material = await made(ours, lease());
    for (const database of ['postgres', 'template1', 'countersign'])
      expect(await runs(material, 'select 1', database)).toBe('42501');
  });

  it('I3: ends by the target’s own clock when nobody comes to end it', async () => {
    const held = lease({ expiresAt: inSeconds(1) });
    const material = await made(ours, held);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await runs(material, 'select 1')).toBe('28P01');
  });

  it('takes names that would break a statement as the names they are', async () => {
    const held = lease({}, [HOSTILE, 'orders_read']);
    const material = await made(ours, held);
    const [quoted] = await root<{ name: string }[]>`select quote_ident(${HOSTILE}) as name`;
    const name = quoted?.name ?? '';
    expect(await runs(material, `CREATE TABLE ${name}.${name} (a int)`)).toBe('ran');
    const [revoked] = await end(ours, held.credential);
    expect(revoked).toMatchObject({ isOver: true });
    // What it made stays, and belongs to the issuer now.
    const [kept] = await root<{ owner: string }[]>`
      select tableowner as owner from pg_tables where tablename = ${HOSTILE.slice(0, 63)}`;
    expect(kept?.owner).toMatch(/^countersign_estate_/);
    const [orders] = await root<{ there: boolean }[]>`
      select to_regclass('public.orders') is not null as there`;
    expect(orders?.there).toBe(true);
  });
});

describe('issuing', () => {
  it('takes over no role of the same name that is not ours', async () => {
    const held = lease();
    await root.unsafe(`CREATE ROLE ${loginName(held.credential)} NOLOGIN`);
    await root.unsafe(
      `GRANT ${loginName(held.credential)} TO countersign_issuer WITH ADMIN OPTION`,
    );
    await expect(ours.issue(held)).rejects.toThrow('name_not_ours');
    expect(await roleIn(held.credential)).toMatchObject({ rolcanlogin: false, said: null });
    const [revoked] = await end(ours, held.credential);
    expect(revoked).toMatchObject({ isOver: false, code: 'name_not_ours' });
    expect(await roleIn(held.credential)).not.toBeNull();
    await root.unsafe(`DROP ROLE ${loginName(held.credential)}`);
  });

  it('tells nobody the password: not the target’s catalogue, not an error', async () => {
    const held = lease();
    const password = text((await made(ours, held))['password']);
    const [row] = await root<{ kept: string }[]>`
      select rolpassword as kept from pg_authid where rolname = ${loginName(held.credential)}`;
    expect(row?.kept).toMatch(/^SCRAM-SHA-256\$/);
    expect(row?.kept).not.toContain(password);
    const wrong = lease({}, ['no_such_group']);
    await expect(ours.issue(wrong)).rejects.toThrow(/^42704$/);
    expect(await roleIn(wrong.credential)).toBeNull();
  });
});

describe('I3: revoking', () => {
  it('I3: ends sessions that are open, and is done when the target no longer knows the login', async () => {
    const held = lease();
    const material = await made(ours, held);
    const session = login(material);
    await session`select 1`;
    const [outcome] = await end(ours, held.credential);
    expect(outcome).toEqual({
      credential: held.credential,
      code: null,
      sessionsEnded: 1,
      isOver: true,
    });
    await session.end({ timeout: 1 });
    expect(await runs(material, 'select 1')).toBe('28P01');
    expect(await roleIn(held.credential)).toBeNull();
  });

  it('I3: takes away what a login gave itself, in what its group owns as well', async () => {
    const group = `owners_${randomBytes(4).toString('hex')}`;
    await root.unsafe(`CREATE ROLE ${group} NOLOGIN; CREATE TABLE ${group} (a int)`);
    await root.unsafe(`GRANT CONNECT ON DATABASE ${sample.database} TO ${group}`);
    await root.unsafe(
      `GRANT ${group} TO countersign_issuer WITH ADMIN OPTION, INHERIT FALSE, SET FALSE`,
    );
    await root.unsafe(`ALTER TABLE ${group} OWNER TO ${group}`);
    const held = lease({}, [group]);
    const material = await made(ours, held);
    expect(await runs(material, `GRANT ALL ON ${group} TO ${loginName(held.credential)}`)).toBe(
      'ran',
    );
    expect(await runs(material, `SELECT lo_from_bytea(0, 'kept')`)).toBe('ran');
    expect(await end(ours, held.credential)).toMatchObject([{ code: null, isOver: true }]);
    expect(await roleIn(held.credential)).toBeNull();
    await root.unsafe(`DROP TABLE ${group}; DROP OWNED BY ${group}; DROP ROLE ${group}`);
  });
});

describe('a sweep', () => {
  it('sees our own logins and no others: not another deployment’s, not an operator’s', async () => {
    const mine = lease();
    const foreign = lease();
    const operators = newId('credential');
    await ours.issue(mine);
    const material = await made(theirs, foreign);
    await root.unsafe(`CREATE ROLE ${loginName(operators)} LOGIN`);
    await root.unsafe(`CREATE ROLE cs_reporting LOGIN`);
    const found = await ours.list(target);
    expect(found).toContain(mine.credential);
    expect(found).not.toContain(foreign.credential);
    expect(found).not.toContain(operators);
    const outcomes = await end(ours, foreign.credential, operators);
    expect(outcomes.map(({ isOver }) => isOver)).toEqual([false, false]);
    expect(await runs(material, 'select 1')).toBe('ran');
    expect(await roleIn(operators)).toMatchObject({ rolcanlogin: true });
    await root.unsafe(`DROP ROLE cs_reporting, ${loginName(operators)}`);
  });
});
