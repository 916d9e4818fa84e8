// What somebody with a login in the target can do to outlive it: hold locks, keep sessions, leave code behind.
import postgres, { type Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { hold, startCast, startTask, type Cast } from '../support/cast.ts';
import { askCredential, eventually, newKey, opened, text, vote } from '../support/client.ts';

let cast: Cast;
let target: Sql;

beforeAll(async () => {
  cast = await startCast();
  const url = new URL(inject('servers').admin);
  url.pathname = `/${cast.service.sample.database}`;
  target = postgres(url.href, { max: 1, onnotice: () => undefined });
});
afterAll(async () => {
  await target.end();
  await cast.close();
});

async function login(task: string): Promise<{ id: string; sql: Sql; user: string }> {
  const key = await newKey();
  const asked = await askCredential(cast.agent, task, {
    role: 'orders-readonly',
    seal_to: key.publicJwk,
  });
  const { url, username } = await opened(asked.body['sealed'], key);
  const sql = postgres(text(url), { max: 1, onnotice: () => undefined });
  return { id: text(asked.body['id']), sql, user: text(username) };
}

const complete = (task: string) =>
  cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=30' });

describe('I3: a login is gone when its task ends', () => {
  it('though its session holds every lock it can take', async () => {
    const task = await startTask(cast.agent);
    const { sql, user, id } = await login(task);
    await sql`select 1`;
    for (const name of [user, id]) {
      await sql`select pg_advisory_lock(hashtextextended(${name}, 0))`;
      await sql`select pg_advisory_lock(('x' || substr(encode(sha256(convert_to(${name}, 'UTF8')), 'hex'), 1, 16))::bit(64)::bigint)`;
    }
    await sql`begin`.catch(() => undefined);
    const done = await complete(task);
    expect([done.status, done.body['alive']]).toEqual([200, 0]);
    await expect(sql`select 1`).rejects.toThrow(
      /terminat|CONNECTION|ended|closed|authentication failed|not permitted/i,
    );
    await sql.end({ timeout: 1 });
  });

  it('and what it made is owned by somebody who may do nothing, not by the issuer', async () => {
    await target.unsafe(
      'CREATE SCHEMA IF NOT EXISTS moved; GRANT ALL ON SCHEMA moved TO orders_write',
    );
    const { task, request } = await hold(cast.agent, cast.seal);
    await vote(cast.approver, request, 'approve');
    await eventually(async () => {
      const { body } = await cast.agent.call('GET', `/v1/requests/${request}`);
      return body['credential'] !== null && body['collectable'] === true;
    });
    const collected = await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
    const { url } = await opened(collected.body['sealed'], cast.seal);
    const sql = postgres(text(url), { max: 1, onnotice: () => undefined });
    await sql.unsafe(
      `CREATE FUNCTION moved.door(statement text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
       AS 'BEGIN EXECUTE statement; END'`,
    );
    await sql.unsafe('CREATE TABLE moved.kept AS SELECT 1 AS one');
    await sql.end();
    const done = await complete(task);
    expect([done.status, done.body['alive']]).toEqual([200, 0]);
    const [owner] = await target<{ name: string; powers: boolean; members: boolean }[]>`
      select rolname as name, (rolsuper or rolcreaterole or rolcreatedb or rolcanlogin) as powers,
        exists (select from pg_auth_members where member = pg_roles.oid) as members
      from pg_proc join pg_roles on pg_roles.oid = proowner where proname = 'door'`;
    expect(owner).toMatchObject({ powers: false, members: false });
    expect(owner?.name).toMatch(/^countersign_estate_/);
    expect(await target`select one from moved.kept`).toHaveLength(1);
    const second = await startTask(cast.agent);
    const reader = await login(second);
    await target.unsafe('GRANT USAGE ON SCHEMA moved TO PUBLIC');
    await expect(
      reader.sql`select moved.door('CREATE ROLE intruder LOGIN IN ROLE payouts_write')`,
    ).rejects.toThrow(/permission denied/);
    await reader.sql.end();
    await complete(second);
  });
});
