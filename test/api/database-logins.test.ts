// Logins of every database kind through the whole service: asked for, used, and gone when the task ends.
import { createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CountersignError, parsePrivateKey, withTask, type Client } from '../../sdk/index.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import { askCredential, newKey, opened, text } from '../support/client.ts';
import { startMariaDb, type MariaDb } from '../support/mariadb.ts';
import { startRedis, type Redis } from '../support/redis.ts';
import { agentClient } from '../support/sdk.ts';

const ROLES = `
  shop-read:
    title: Read the shop
    issuer: mysql
    target: shop
    member_of: [orders_read]
  cache-read:
    title: Read the cache
    issuer: redis
    target: cache
    keys_read: ['orders:*']
    commands: [get]
    backstop: none
`;
const TARGETS = `
  shop:
    issuer: mysql
    url_from: SHOP_URL
    ca_from: SHOP_CA
  cache:
    issuer: redis
    url_from: CACHE_URL
    ca_from: CACHE_CA
`;
const RULES = `
@id("read-shop-and-cache")
permit (principal is Agent, action == Action::"credential:request", resource)
when { [Role::"shop-read", Role::"cache-read"].contains(resource) };
`;

let cast: Cast;
let shop: MariaDb;
let cache: Redis;
let client: Client;

beforeAll(async () => {
  [shop, cache] = await Promise.all([startMariaDb(), startRedis({ aclFile: true })]);
  cast = await startCast({
    env: { SHOP_URL: shop.url, SHOP_CA: shop.ca, CACHE_URL: cache.url, CACHE_CA: cache.ca },
  });
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'main.cedar': `${files['main.cedar'] ?? ''}\n${RULES}`,
    'roles.yaml': `${files['roles.yaml'] ?? ''}\n${ROLES}`.replace(
      'targets:\n',
      `targets:${TARGETS}`,
    ),
  }));
  const key = parsePrivateKey(cast.agent.key.privateJwk);
  client = agentClient(cast.service, { ...cast, key });
});
afterAll(async () => {
  await cast.close();
  await shop.close();
  await cache.close();
});

describe('renewing through the service', () => {
  it.each(['shop-read', 'cache-read'])(
    'I3: moves the end of %s with the secret it had, within its task',
    async (role) => {
      const task = await startTask(cast.agent, { ttl_seconds: 600 });
      const key = await newKey();
      const body = { role, seal_to: key.publicJwk, ttl_seconds: 60 };
      const asked = await askCredential(cast.agent, task, body);
      const path = `/v1/credentials/${text(asked.body['id'])}/renew`;
      const renewed = await cast.agent.call('POST', path, { ttl_seconds: 300 });
      expect(renewed.status).toBe(200);
      expect(renewed.body['sealed']).toBeUndefined();
      expect(text(renewed.body['expires_at']) > text(asked.body['expires_at'])).toBe(true);
      await cast.agent.call('POST', path, { ttl_seconds: 900 });
      const { deadline_at: deadline } = (await cast.agent.call('GET', `/v1/tasks/${task}`)).body;
      const again = await cast.agent.call('POST', path, { ttl_seconds: 900 });
      expect([again.status, again.body['code'], again.body['renewable_until']]).toEqual([
        409,
        'renewal_capped',
        deadline,
      ]);
      await cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
      expect((await cast.agent.call('POST', path, {})).body['code']).toBe('task_not_running');
    },
  );
});

describe('a task', () => {
  it('I3: has logins of a MariaDB and a Redis, and neither is there when it has ended', async () => {
    const used = await withTask(
      client,
      { purpose: 'order support', ttlSeconds: 600 },
      async (task) => {
        const login = await task.mysql('shop-read');
        const connection = await createConnection({ uri: login.url, ssl: { ca: shop.ca } });
        const [rows] = await connection.query('SELECT item FROM orders');
        connection.destroy();
        expect(rows).toHaveLength(3);
        const user = await task.redis('cache-read');
        expect(await cache.cli(['PING'], user)).toBe('PONG');
        await expect(task.postgres('cache-read')).rejects.toBeInstanceOf(CountersignError);
        return { login, user };
      },
    );
    await expect(
      createConnection({ uri: used.login.url, ssl: { ca: shop.ca } }),
    ).rejects.toMatchObject({ errno: 1045 });
    expect(await cache.cli(['PING'], used.user)).toContain('WRONGPASS');
  });

  it('I5: is given secrets that are nowhere in clear at rest', async () => {
    const task = await startTask(cast.agent);
    const key = await newKey();
    const secrets: string[] = [];
    for (const role of ['shop-read', 'cache-read']) {
      const asked = await askCredential(cast.agent, task, { role, seal_to: key.publicJwk });
      expect(asked.status).toBe(201);
      expect(asked.body).toMatchObject({ state: 'active', revocable: true });
      secrets.push(text((await opened(asked.body['sealed'], key))['password']));
    }
    const { sql } = cast.service.database.owner;
    const tables = await sql<{ name: string }[]>`
      select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'public'`;
    expect(tables.length).toBeGreaterThan(10);
    for (const { name } of tables) {
      const rows = await sql.unsafe<{ row: string }[]>(`select t::text as row from ${name} t`);
      const found = rows.filter(({ row }) => secrets.some((secret) => row.includes(secret)));
      expect(found).toEqual([]);
    }
    const done = await cast.agent.call(
      'POST',
      `/v1/tasks/${task}/complete`,
      {},
      { prefer: 'wait=30' },
    );
    expect([done.status, done.body['alive']]).toEqual([200, 0]);
  });

  it('I6: is refused, and told to come again, while the target is down', async () => {
    const task = await startTask(cast.agent);
    const { publicJwk: seal_to } = await newKey();
    await askCredential(cast.agent, task, { role: 'shop-read', seal_to });
    await cache.cli(['ACL', 'SETUSER', 'countersign', 'off']);
    const path = `/v1/tasks/${task}/credentials`;
    const asked = await cast.agent.call('POST', path, { role: 'cache-read', seal_to });
    expect(asked).toMatchObject({ status: 503, body: { code: 'target_unavailable' } });
    expect(JSON.stringify(asked.body)).not.toContain('issuer-password');
    await cache.cli(['ACL', 'SETUSER', 'countersign', 'on']);
  });
});
