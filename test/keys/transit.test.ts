// Keys in a key service: it signs for us under exactly the version we published, and its troubles are told apart.
import { createPublicKey, verify } from 'node:crypto';
import { compactVerify, importJWK } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '../../domain/refusal.ts';
import type { StoredKey } from '../../keys/signer.ts';
import { transitDriver, type TransitOptions } from '../../keys/transit.ts';
import { startTransit, type FakeTransit, type Fault } from '../fakes/transit.ts';

let service: FakeTransit;
let told: string[];
beforeEach(async () => {
  service = await startTransit();
  told = [];
});
afterEach(() => service.close());

const driver = (change: Partial<TransitOptions> = {}) =>
  transitDriver({
    address: service.address,
    mount: 'transit',
    namespace: null,
    keyPrefix: 'countersign',
    token: () => service.token,
    onFault: (status, text) => void told.push(`${status} ${text}`),
    ...change,
  });

const made = async (taken: string[] = [], from = driver()): Promise<StoredKey> => ({
  ...(await from.make('tokens', 'ES256', taken)),
  state: 'active',
});

const said = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work();
    return 'nothing';
  } catch (error) {
    if (error instanceof Refusal) return `${error.code}: ${error.message}`;
    throw error;
  }
};

const MESSAGE = Buffer.from('eyJhbGciOiJFUzI1NiJ9.e30');

describe('a key in a key service', () => {
  it('is made there, named by its public part, and nothing private comes out', async () => {
    const key = await made();
    expect(service.calls).toEqual([
      'GET /v1/transit/keys/countersign-tokens',
      'POST /v1/transit/keys/countersign-tokens',
      'GET /v1/transit/keys/countersign-tokens',
    ]);
    expect(key).toMatchObject({
      driver: 'transit',
      reference: 'countersign-tokens:1',
      sealed: null,
      jwk: { kty: 'EC', crv: 'P-256' },
    });
    expect(Object.keys(key.jwk)).toHaveLength(4);
  });

  it('signs as JOSE wants it: r and s in 64 bytes, over the very bytes it was given', async () => {
    const signature = await driver()
      .open(await made())
      .sign(MESSAGE);
    const key = await made();
    const signer = driver().open(key);
    const again = await signer.sign(MESSAGE);
    expect([signature.length, again.length]).toEqual([64, 64]);
    const token = `${MESSAGE.toString()}.${Buffer.from(again).toString('base64url')}`;
    const { payload } = await compactVerify(token, await importJWK(signer.jwk, 'ES256'));
    expect(new TextDecoder().decode(payload)).toBe('{}');
  });

  it('sends a digest, never what is signed', async () => {
    const bodies: string[] = [];
    const send = globalThis.fetch;
    globalThis.fetch = (url, init) => {
      if (typeof init?.body === 'string') bodies.push(init.body);
      return send(url, init);
    };
    try {
      await driver()
        .open(await made())
        .sign(Buffer.from('who may read this'));
    } finally {
      globalThis.fetch = send;
    }
    expect(bodies.join('')).not.toContain(Buffer.from('who may').toString('base64').slice(0, 8));
    expect(bodies.at(-1)).toContain('"prehashed":true');
  });

  it('signs with Ed25519 as well', async () => {
    const key = { ...(await driver().make('tokens', 'EdDSA', [])), state: 'active' as const };
    expect(key.jwk).toMatchObject({ kty: 'OKP', crv: 'Ed25519' });
    const signature = await driver().open(key).sign(MESSAGE);
    const publicKey = createPublicKey({ key: { ...key.jwk }, format: 'jwk' });
    expect(verify(null, MESSAGE, publicKey, signature)).toBe(true);
  });

  it('is a new version each time, and each signs as itself', async () => {
    const [first, second] = [await made(), await made(['countersign-tokens:1'])];
    expect([first.reference, second.reference]).toEqual([
      'countersign-tokens:1',
      'countersign-tokens:2',
    ]);
    expect(first.kid).not.toBe(second.kid);
    for (const key of [first, second])
      expect(await driver().open(key).sign(MESSAGE)).toHaveLength(64);
  });

  it('that was there before us is not taken for ours: a version of our own is made', async () => {
    await made();
    expect((await made()).reference).toBe('countersign-tokens:2');
    expect(service.versions('countersign-tokens')).toBe(2);
  });

  it('of another type is refused, and so is a service that makes no new version', async () => {
    await driver().make('tokens', 'EdDSA', []);
    expect(await said(() => made())).toContain('not of the type ecdsa-p256');
    await driver().make('x509', 'ES256', []);
    const taken = ['countersign-x509:2'];
    expect(await said(() => driver().make('x509', 'ES256', taken))).toContain('new version');
  });

  it('lives at the mount and in the namespace that are configured', async () => {
    await service.close();
    service = await startTransit({ mount: 'team/keys', namespace: 'agents' });
    const there = driver({ mount: 'team/keys', namespace: 'agents' });
    expect(await there.open(await made([], there)).sign(MESSAGE)).toHaveLength(64);
    for (const change of [
      { mount: 'team/keys' },
      { mount: 'team/keys', namespace: 'others' },
      { namespace: 'agents' },
    ])
      expect(await said(() => made([], driver(change)))).toMatch(/^unavailable: /);
  });
});

describe('a key service in trouble', () => {
  it.each<[string, Fault[]]>([
    ['is sealed for a moment', [{ status: 503 }, { status: 503 }]],
    ['has an error inside', [{ status: 500 }, { status: 502 }]],
    ['is asked too often', [{ status: 429, headers: { 'retry-after': '0' } }, { status: 429 }]],
    ['hangs up', ['hang up', 'hang up']],
  ])('is asked again when it %s', async (_name, faults) => {
    const signer = driver().open(await made());
    service.failNext(...faults);
    expect(await signer.sign(MESSAGE)).toHaveLength(64);
    expect(told).toHaveLength(2);
  });

  it('is asked three times and not for ever', async () => {
    const signer = driver().open(await made());
    const before = service.calls.length;
    service.failNext({ status: 503 }, { status: 503 }, { status: 503 }, { status: 503 });
    expect(await said(() => signer.sign(MESSAGE))).toContain('cannot do it just now (503)');
    expect(service.calls.length - before).toBe(3);
  });

  it('is not waited for when it does not answer', async () => {
    const signer = driver().open(await made());
    service.failNext('hang', 'hang', 'hang');
    const began = performance.now();
    expect(await said(() => signer.sign(MESSAGE))).toContain('does not answer');
    expect(performance.now() - began).toBeLessThan(9_000);
    const { address } = service;
    await service.close();
    expect(await said(() => driver({ address }).open(stored).sign(MESSAGE))).toContain('answer');
    service = await startTransit();
  });

  it('that says no is not asked again, and what to do is said', async () => {
    const key = await made();
    const before = service.calls.length;
    const other = driver({ token: () => 'hvs.another' }).open(key);
    expect(await said(() => other.sign(MESSAGE))).toBe(
      'unavailable: The key service that holds our signing key does not let us: its token ended or lacks the right.',
    );
    expect(service.calls.length - before).toBe(1);
    expect(told.join()).toBe('403 {"errors":["permission denied"]}');
    service.raiseMinimum('countersign-tokens', 2);
    expect(await said(() => driver().open(key).sign(MESSAGE))).toContain('(400)');
  });

  it('I5: is not quoted to callers, and its token is in no message', async () => {
    const signer = driver().open(await made());
    service.failNext({ status: 400, text: 'inner path secret/data/x' });
    const message = await said(() => signer.sign(MESSAGE));
    expect(message).not.toContain('inner path');
    expect(told.join()).toContain('inner path');
    expect(message + told.join()).not.toContain(service.token);
  });

  it('I6: that signs with another version than ours is caught before a token leaves', async () => {
    const [first, second] = [await made(), await made()];
    const swapped = driver().open({ ...first, reference: second.reference });
    expect(await said(() => swapped.sign(MESSAGE))).toContain('not by our key');
    const missing = driver().open({ ...first, reference: 'countersign-tokens:9' });
    expect(await said(() => missing.sign(MESSAGE))).toContain('(400)');
    const nowhere = driver().open({ ...first, reference: 'nothing' });
    expect(await said(() => nowhere.sign(MESSAGE))).toMatch(/^unavailable/);
  });

  it('is never followed elsewhere with the token', async () => {
    const signer = driver().open(await made());
    const before = service.calls.length;
    const location = `${service.address}/v1/transit/sign/countersign-tokens`;
    service.failNext({ status: 307, headers: { location } });
    expect(await said(() => signer.sign(MESSAGE))).toContain('(307)');
    expect(service.calls.length - before).toBe(1);
  });

  it('is told the token of the moment: one that was renewed beside us counts at once', async () => {
    let token = 'hvs.old';
    const renewing = driver({ token: () => token });
    expect(await said(() => renewing.make('tokens', 'ES256', []))).toContain('token ended');
    ({ token } = service);
    expect((await renewing.make('tokens', 'ES256', [])).driver).toBe('transit');
  });
});

const stored: StoredKey = {
  kid: 'kid',
  use: 'tokens',
  algorithm: 'EdDSA',
  driver: 'transit',
  reference: 'countersign-tokens:1',
  jwk: { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
  sealed: null,
  state: 'active',
};
