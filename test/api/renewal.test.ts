// Renewing a credential: later and never earlier, and never past what it hangs off.
import fc from 'fast-check';
import type { Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService } from '../../cli/compose.ts';
import { findCredential } from '../../commands/credentials/credentials.ts';
import { renewCredential } from '../../commands/credentials/renewals.ts';
import type { Deps } from '../../commands/deps.ts';
import { changePolicy, hold, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  newKey,
  opened,
  text,
  vote,
  type Reply,
  type TestKey,
} from '../support/client.ts';
import {
  asSuperuser,
  eventsAbout,
  giveLogin,
  opensDoor,
  sweepNow,
  unmark,
} from '../support/leases.ts';

let cast: Cast;
let target: Sql;

beforeAll(async () => {
  cast = await startCast();
  target = asSuperuser(cast.service);
});
afterAll(async () => {
  await target.end();
  await cast.close();
});

const renew = (id: string, body = {}, headers = {}): Promise<Reply> =>
  cast.agent.call('POST', `/v1/credentials/${id}/renew`, body, headers);

const validUntil = async (user: string): Promise<string> => {
  const [row] = await target<{ at: Date }[]>`
    select rolvaliduntil as at from pg_roles where rolname = ${user}`;
  return row?.at.toISOString() ?? '';
};

const secondsFromNow = (at: string): number => (Date.parse(at) - Date.now()) / 1000;

describe('renewing a login', () => {
  it('moves its end in the lease and in the target, with the password it had', async () => {
    const login = await giveLogin(cast, { ttl_seconds: 4 });
    const renewed = await renew(login.id, { ttl_seconds: 300 });
    expect(renewed.status).toBe(200);
    expect(secondsFromNow(text(renewed.body['expires_at']))).toBeGreaterThan(290);
    expect(renewed.body['sealed']).toBeUndefined();
    expect(await validUntil(login.user)).toBe(renewed.body['expires_at']);
    await new Promise((resolve) => setTimeout(resolve, 4_500));
    expect(await opensDoor(login)).toBe(true);
    const [intended] = await eventsAbout(cast.service, login.id, 'credential.renew_intended');
    expect(intended).toMatchObject({ replaces: login.expiresAt });
    expect(await eventsAbout(cast.service, login.id, 'credential.renewed')).toHaveLength(1);
  });

  it('never takes back what was said: asking for less changes nothing', async () => {
    const login = await giveLogin(cast, { ttl_seconds: 600 });
    const renewed = await renew(login.id, { ttl_seconds: 5 });
    expect([renewed.status, renewed.body['expires_at']]).toEqual([200, login.expiresAt]);
    expect(await validUntil(login.user)).toBe(login.expiresAt);
    expect(await eventsAbout(cast.service, login.id, 'credential.renew_intended')).toEqual([]);
  });

  it('I3: ends with its task, however long was asked for', async () => {
    const task = await startTask(cast.agent, { ttl_seconds: 60 });
    const login = await giveLogin(cast, { ttl_seconds: 10 }, task);
    const renewed = await renew(login.id, { ttl_seconds: 3600 });
    const { body } = await cast.agent.call('GET', `/v1/tasks/${task}`);
    expect(renewed.body['expires_at']).toBe(body['deadline_at']);
    const again = await renew(login.id, { ttl_seconds: 3600 });
    expect([again.status, again.body['code']]).toEqual([409, 'renewal_capped']);
    expect(again.body['renewable_until']).toBe(body['deadline_at']);
  });

  it('never lasts longer in all than its role lets it', async () => {
    const task = await startTask(cast.agent, { ttl_seconds: 86_400 });
    const login = await giveLogin(cast, { ttl_seconds: 60 }, task);
    const shown = await cast.agent.call('GET', `/v1/credentials/${login.id}`);
    const renewed = await renew(login.id, { ttl_seconds: 3600 });
    const lasted =
      Date.parse(text(renewed.body['expires_at'])) - Date.parse(text(shown.body['issued_at']));
    expect(lasted).toBeGreaterThan(3_590_000);
    expect(lasted).toBeLessThanOrEqual(3_600_000);
    expect((await renew(login.id)).body['code']).toBe('renewal_capped');
    expect((await renew(login.id, { ttl_seconds: 3601 })).body['code']).toBe('ttl_too_long');
  });

  it('I8: has one effect and one answer per Idempotency-Key', async () => {
    const login = await giveLogin(cast, { ttl_seconds: 60 });
    const headers = { 'idempotency-key': `renew-${login.id}` };
    const first = await renew(login.id, { ttl_seconds: 300 }, headers);
    const second = await renew(login.id, { ttl_seconds: 300 }, headers);
    expect(second.text).toBe(first.text);
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(await eventsAbout(cast.service, login.id, 'credential.renewed')).toHaveLength(1);
  });

  it('is refused by a target that does not know it as ours; the row moved, the login did not', async () => {
    const login = await giveLogin(cast, { ttl_seconds: 120 });
    const restore = await unmark(target, login.user);
    const refused = await renew(login.id, { ttl_seconds: 600 });
    expect([refused.status, refused.body['target_code']]).toEqual([503, 'name_not_ours']);
    expect(await validUntil(login.user)).toBe(login.expiresAt);
    const failed = await eventsAbout(cast.service, login.id, 'credential.renew_failed');
    expect(failed).toEqual([{ credential: login.id, code: 'name_not_ours' }]);
    await restore();
    // The row says more than the target: renewing again makes that true.
    const renewed = await renew(login.id, { ttl_seconds: 600 });
    expect(renewed.status).toBe(200);
    expect((await validUntil(login.user)) > login.expiresAt).toBe(true);
    expect((await validUntil(login.user)) <= text(renewed.body['expires_at'])).toBe(true);
  });

  it('can open no login that was closed', async () => {
    const login = await giveLogin(cast, { ttl_seconds: 120 });
    await target.unsafe(`ALTER ROLE "${login.user}" NOLOGIN`);
    await renew(login.id, { ttl_seconds: 600 });
    expect(await opensDoor(login)).toBe(false);
  });
});

describe('however often, and however much is asked for', () => {
  /** What a role of this kind needs to be renewed besides the seconds. */
  const asks: [string, (key: TestKey) => object][] = [
    ['orders-readonly', () => ({})],
    ['reports-api', ({ publicJwk }) => ({ seal_to: publicJwk })],
  ];
  it.each(asks)(
    'I3: %s ends later and never earlier, within its role and its task',
    async (role, more) => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 60, max: 1_200 }),
          fc.array(fc.integer({ min: 1, max: 3_600 }), { minLength: 1, maxLength: 5 }),
          async (taskSeconds, wanted) => {
            const task = await startTask(cast.agent, { ttl_seconds: taskSeconds });
            const deadline = text(
              (await cast.agent.call('GET', `/v1/tasks/${task}`)).body['deadline_at'],
            );
            const key = await newKey();
            const body = { role, seal_to: key.publicJwk, ttl_seconds: 30 };
            const asked = await askCredential(cast.agent, task, body);
            const ends = [text(asked.body['expires_at'])];
            for (const ttl_seconds of wanted) {
              const reply = await renew(text(asked.body['id']), { ttl_seconds, ...more(key) });
              expect([200, 409]).toContain(reply.status);
              expect(reply.body['code'] ?? 'renewal_capped').toBe('renewal_capped');
              const seen = await cast.agent.call(
                'GET',
                `/v1/credentials/${text(asked.body['id'])}`,
              );
              ends.push(text(seen.body['expires_at']));
            }
            expect(ends).toEqual(ends.toSorted());
            expect(ends.every((end) => end <= deadline)).toBe(true);
          },
        ),
        { numRuns: 5 },
      );
    },
  );
});

describe('a crash in the middle of renewing', () => {
  /** Renews as a server that dies at this point. */
  async function dieAt(point: string, id: string, ttlSeconds: number): Promise<void> {
    const opened = await openService(cast.service.config, 'test', 2);
    try {
      const row = await findCredential(opened.db.query, id);
      if (!row) throw new Error('the credential is not there');
      const deps: Deps = {
        ...opened.deps,
        crashPoint: (name) => {
          if (name === point) throw new Error(`died at ${name}`);
        },
      };
      const call = { principal: { kind: 'agent' as const, id: row.agent }, traceId: null };
      const ask = { credential: row, agent: row.agent, ttlSeconds, sealTo: null };
      const renewing = renewCredential(deps, call, null, ask, () => ({ status: 200, body: null }));
      await expect(renewing).rejects.toThrow(`died at ${point}`);
    } finally {
      await opened.close();
    }
  }

  it.each(['renew:intended', 'renew:made'])(
    'I1: at %s leaves nothing that outlives its row, is closed by the sweep, and can be made good',
    async (point) => {
      const login = await giveLogin(cast, { ttl_seconds: 120 });
      await dieAt(point, login.id, 600);
      const { body } = await cast.agent.call('GET', `/v1/credentials/${login.id}`);
      expect(text(body['expires_at']) > login.expiresAt).toBe(true);
      expect(await validUntil(login.user)).toBe(
        point === 'renew:made' ? body['expires_at'] : login.expiresAt,
      );
      // Until it is known that nobody finishes it, nobody else begins.
      expect((await renew(login.id, { ttl_seconds: 600 })).body['code']).toBe('wrong_state');
      const { sql } = cast.service.database.owner;
      await sql`update credential set renew_by = now() - interval '1 second' where id = ${login.id}`;
      await sweepNow(cast.service);
      expect(await eventsAbout(cast.service, login.id, 'credential.renew_failed')).toEqual([
        { credential: login.id, code: 'interrupted' },
      ]);
      const renewed = await renew(login.id, { ttl_seconds: 900 });
      expect(renewed.status).toBe(200);
      expect(await validUntil(login.user)).toBe(renewed.body['expires_at']);
    },
  );
});

describe('renewing a token', () => {
  it('makes another for the key that it was sealed to, and for no other', async () => {
    const task = await startTask(cast.agent);
    const key = await newKey();
    const asked = await askCredential(cast.agent, task, {
      role: 'reports-api',
      seal_to: key.publicJwk,
      ttl_seconds: 30,
    });
    const id = text(asked.body['id']);
    const first = text((await opened(asked.body['sealed'], key))['token']);
    const other = await renew(id, { ttl_seconds: 300, seal_to: (await newKey()).publicJwk });
    expect([other.status, other.body['code']]).toEqual([422, 'seal_key_invalid']);
    expect((await renew(id, { ttl_seconds: 300 })).body['code']).toBe('seal_key_invalid');
    const renewed = await renew(id, { ttl_seconds: 300, seal_to: key.publicJwk });
    const second = text((await opened(renewed.body['sealed'], key))['token']);
    expect(second).not.toBe(first);
    const introspected = await fetch(`${cast.service.url}/oauth2/introspect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${cast.service.adminToken}` },
      body: new URLSearchParams({ token: second }),
    }).then((response) => response.json());
    expect(introspected).toMatchObject({
      active: true,
      exp: Math.floor(Date.parse(text(renewed.body['expires_at'])) / 1000),
    });
  });
});

describe('renewing a certificate', () => {
  it('signs the same key again, and ends what it replaces', async () => {
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'mesh.cedar':
        '@id("join-mesh")\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"mesh");\n',
      'roles.yaml': `${files['roles.yaml'] ?? ''}\n  mesh:\n    title: Mesh\n    issuer: x509\n    accepted_by: the mesh\n`,
    }));
    const task = await startTask(cast.agent);
    const key = await newKey();
    const asked = await askCredential(cast.agent, task, {
      role: 'mesh',
      seal_to: key.publicJwk,
      ttl_seconds: 60,
    });
    const first = await opened(asked.body['sealed'], key);
    const renewed = await renew(text(asked.body['id']), {
      ttl_seconds: 600,
      seal_to: key.publicJwk,
    });
    expect(renewed.status).toBe(200);
    const second = await opened(renewed.body['sealed'], key);
    expect(second['kind']).toBe('x509');
    expect(second).not.toEqual(first);
  });
});

describe('nobody renews', () => {
  it('what is another agent’s', async () => {
    const login = await giveLogin(cast);
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const refused = await other.call('POST', `/v1/credentials/${login.id}/renew`, {});
    expect([refused.status, refused.body['code']]).toEqual([404, 'not_found']);
  });

  it('what was revoked, or ran out', async () => {
    const login = await giveLogin(cast);
    await cast.agent.call('POST', `/v1/credentials/${login.id}/revoke`, {});
    const refused = await renew(login.id);
    expect([refused.status, refused.body['code']]).toEqual([409, 'wrong_state']);
    const short = await giveLogin(cast, { ttl_seconds: 1 });
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect((await renew(short.id)).body['code']).toBe('wrong_state');
  });

  it('under a task that is over, or as an agent that is suspended', async () => {
    const login = await giveLogin(cast);
    await cast.agent.call('POST', `/v1/tasks/${login.task}/complete`, {});
    expect((await renew(login.id)).body['code']).toBe('task_not_running');
    const other = await admittedAgent(cast.service, cast.owner.id, cast.approver);
    const held = await giveLogin({ agent: other });
    await admin(cast.service).call('POST', `/v1/agents/${other.id}/suspend`, {});
    const refused = await other.call('POST', `/v1/credentials/${held.id}/renew`, {});
    expect([401, 403]).toContain(refused.status);
  });

  it('I3: past what people agreed to', async () => {
    const { request } = await hold(cast.agent, cast.seal, { ttl_seconds: 60 });
    await vote(cast.approver, request, 'approve');
    await eventually(async () => {
      const { body } = await cast.agent.call('GET', `/v1/requests/${request}`);
      return body['collectable'] === true;
    });
    const collected = await cast.agent.call('POST', `/v1/requests/${request}/collect`, {});
    const refused = await renew(text(collected.body['id']), { ttl_seconds: 600 });
    expect([refused.status, refused.body['code']]).toEqual([409, 'renewal_capped']);
  });

  it('what today’s policy would not give', async () => {
    const login = await giveLogin(cast, { ttl_seconds: 60 });
    // Read for a minute, and not for five: neither at once nor one minute after the other.
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'main.cedar': (files['main.cedar'] ?? '').replace(
        'resource == Role::"orders-readonly"\n)',
        'resource == Role::"orders-readonly"\n) when { context.ttl_seconds <= 200 }',
      ),
    }));
    expect((await renew(login.id, { ttl_seconds: 150 })).status).toBe(200);
    const until = await validUntil(login.user);
    const refused = await renew(login.id, { ttl_seconds: 300 });
    expect([refused.status, refused.body['code']]).toEqual([403, 'denied']);
    expect(await validUntil(login.user)).toBe(until);
  });
});
