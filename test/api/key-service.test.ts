// The service with its signing key elsewhere: in a key service, or sealed under a key that is not on its disk.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Config } from '../../cli/config.ts';
import { tryPort } from '../../cli/embedded/process.ts';
import { serve } from '../../cli/serve.ts';
import { KEY_USES } from '../../domain/signing-key.ts';
import { startTransit, type FakeTransit } from '../fakes/transit.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  askCredential,
  clientAssertion,
  list,
  requestToken,
  text,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

describe('with a key service', () => {
  let service: FakeTransit;
  let cast: Cast;
  let folder: string;
  beforeAll(async () => {
    service = await startTransit({ mount: 'team/transit', namespace: 'agents' });
    folder = await mkdtemp(path.join(tmpdir(), 'countersign-transit-'));
    await writeFile(path.join(folder, 'token'), `${service.token}\n`);
    cast = await startCast({
      env: {
        COUNTERSIGN_TRANSIT_ADDRESS: service.address,
        COUNTERSIGN_TRANSIT_MOUNT: 'team/transit',
        COUNTERSIGN_TRANSIT_NAMESPACE: 'agents',
        COUNTERSIGN_TRANSIT_KEY: 'ours',
        COUNTERSIGN_TRANSIT_TOKEN_FILE: path.join(folder, 'token'),
      },
    });
  });
  afterAll(async () => {
    await cast.close();
    await service.close();
    await rm(folder, { recursive: true, force: true });
  });

  const keys = async () => list((await admin(cast.service).call('GET', '/v1/keys')).body['data']);
  const signIn = async () =>
    requestToken(cast.service, await clientAssertion(cast.service, cast.agent.id, cast.agent.key));

  it('I5: tokens are signed there, and no private part is here', async () => {
    expect((await keys()).map(({ driver, state }) => ({ driver, state }))).toEqual(
      KEY_USES.map(() => ({ driver: 'transit', state: 'active' })),
    );
    const before = service.calls.length;
    expect((await signIn()).status).toBe(200);
    expect(service.calls.slice(before)).toEqual(['POST /v1/team/transit/sign/ours-tokens']);
    const rows = await cast.service.database.owner.sql`select sealed from signing_key`;
    expect([...rows]).toEqual(KEY_USES.map(() => ({ sealed: null })));
  });

  it('that cannot be asked, sign-in is refused with the time to try again; what was signed is good', async () => {
    const token = await cast.agent.token();
    service.failNext({ status: 503 }, { status: 503 }, { status: 503 });
    const refused = await signIn();
    expect([refused.status, refused.body['code']]).toEqual([503, 'unavailable']);
    expect(refused.headers.get('retry-after')).not.toBeNull();
    const before = service.calls.length;
    const reply = await anyone(cast.service).call('GET', '/v1/tasks', undefined, {
      authorization: `Bearer ${token}`,
    });
    expect([reply.status, service.calls.length - before]).toEqual([200, 0]);
    expect((await signIn()).status).toBe(200);
  });

  it('that cannot be asked, no credential is half issued, and asking again issues it', async () => {
    const task = await startTask(cast.agent);
    const ask = { role: 'reports-api', seal_to: cast.seal.publicJwk };
    // Its owner is known to run by then.
    expect((await askCredential(cast.agent, task, ask)).status).toBe(201);
    service.failNext({ status: 403 });
    const at = `/v1/tasks/${task}/credentials`;
    const refused = await cast.agent.call('POST', at, ask);
    expect([refused.status, refused.body['code']]).toEqual([503, 'unavailable']);
    const held = list((await cast.agent.call('GET', at)).body['data']);
    expect(held.filter(({ state }) => state === 'active')).toHaveLength(1);
    const issued = await askCredential(cast.agent, task, ask);
    expect(issued.status).toBe(201);
  });

  it('turns to a new version of the key without a pause', async () => {
    const token = await cast.agent.token();
    const reply = await admin(cast.service).call('POST', '/v1/keys/rotate', {
      use: 'tokens',
      now: true,
    });
    expect(reply.status).toBe(200);
    expect(service.versions('ours-tokens')).toBe(2);
    expect(list(reply.body['data']).map(({ driver }) => driver)).toEqual(['transit', 'transit']);
    for (const by of [token, text((await signIn()).body['access_token'])]) {
      const asked = await anyone(cast.service).call('GET', '/v1/tasks', undefined, {
        authorization: `Bearer ${by}`,
      });
      expect(asked.status).toBe(200);
    }
  });

  it('I8: is not told to make another version when the call is repeated, nor needed to answer it', async () => {
    const turn = () =>
      admin(cast.service).call(
        'POST',
        '/v1/keys/rotate',
        { use: 'tokens' },
        { 'idempotency-key': 'turn-once' },
      );
    service.failNext({ status: 503 }, { status: 503 }, { status: 503 });
    expect((await turn()).body['code']).toBe('unavailable');
    const first = await turn();
    expect(first.status).toBe(200);
    const [versions, calls] = [service.versions('ours-tokens'), service.calls.length];
    const again = await turn();
    expect([again.status, again.text]).toEqual([200, first.text]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect([service.versions('ours-tokens'), service.calls.length]).toEqual([versions, calls]);
  });

  it('that is down, a process starts all the same; without its address, none does', async () => {
    const { transit: _transit, ...rest } = cast.service.config;
    const without: Config = { ...rest, port: await freePort(), transit: null };
    await expect(serve(without)).rejects.toThrow('COUNTERSIGN_TRANSIT_ADDRESS');
    const elsewhere = { ...cast.service.config, port: await freePort() };
    service.failNext('hang up', 'hang up', 'hang up');
    const running = await serve(elsewhere);
    await running.close();
  });
});

describe('with a seal key', () => {
  const seal = randomBytes(32).toString('base64');
  let service: TestService;
  beforeAll(async () => {
    service = await startService({ worker: false, env: { COUNTERSIGN_SEAL_KEY: seal } });
  });
  afterAll(() => service.close());

  const config = async (change: Partial<Config>): Promise<Config> => ({
    ...service.config,
    port: await freePort(),
    ...change,
  });

  it('the key that signs is sealed under it, and no process starts without it', async () => {
    const rows = await service.database.owner.sql`select reference from signing_key`;
    const sealed = { reference: expect.stringMatching(/^seal-key-/) as unknown };
    expect(rows).toMatchObject(KEY_USES.map(() => sealed));
    await expect(serve(await config({ sealKey: null }))).rejects.toThrow('COUNTERSIGN_SEAL_KEY');
    const another = await config({ sealKey: randomBytes(32) });
    await expect(serve(another)).rejects.toThrow('COUNTERSIGN_SEAL_KEY');
    const running = await serve(await config({}));
    await running.close();
  });

  it('keys of another installation are refused: the folder and the database belong together', async () => {
    const state = await mkdtemp(path.join(tmpdir(), 'countersign-state-'));
    try {
      await expect(serve(await config({ state }))).rejects.toThrow('at-rest');
    } finally {
      await rm(state, { recursive: true, force: true });
    }
  });
});

it('an installation whose key service cannot be reached is not begun, and says why', async () => {
  const service = await startTransit();
  const { address, token } = service;
  await service.close();
  const starting = startService({
    worker: false,
    env: { COUNTERSIGN_TRANSIT_ADDRESS: address, COUNTERSIGN_TRANSIT_TOKEN: token },
  });
  await expect(starting).rejects.toThrow(
    'no key to sign with could be made: The key service that holds our signing key does not answer.',
  );
});

const freePort = async (): Promise<number> => (await tryPort(0, '127.0.0.1')) ?? 0;
