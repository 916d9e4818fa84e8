// SVIDs and what judges them, over HTTP; openssl judges what we sign.
import { execFile } from 'node:child_process';
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
} from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openService, type Service } from '../../cli/compose.ts';
import { makeKey, rotateKeys } from '../../commands/credentials/signing-keys.ts';
import { transact } from '../../commands/unit.ts';
import type { KeyUse } from '../../domain/signing-key.ts';
import { parseSpiffeBundle, verifyJwtSvid, type SpiffeBundle } from '../../keys/spiffe-bundle.ts';
import { verifyX509Svid } from '../../keys/x509/path.ts';
import { fromPem, toPem } from '../../keys/x509/pem.ts';
import { authorityOf, signingRequest } from '../support/certificates.ts';
import {
  admin,
  admittedAgent,
  newKey,
  opened,
  person,
  text,
  type Reply,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

const run = promisify(execFile);

let service: TestService;
let owner: TestPerson;
let approver: TestPerson;
let agent: TestAgent;
let folder: string;

beforeAll(async () => {
  service = await startService();
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-spiffe-'));
  approver = await person(service, 'Approver', ['admins']);
  owner = await person(service, 'Owner', ['engineering']);
  agent = await admittedAgent(service, owner.id, approver);
});
afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

const askX509 = (who: TestAgent, body: Parameters<TestAgent['call']>[2]): Promise<Reply> =>
  who.call('POST', '/v1/svid/x509', body);

async function bundle(): Promise<SpiffeBundle> {
  const response = await fetch(`${service.url}/spiffe/bundle`);
  return parseSpiffeBundle(await response.text());
}

const trustDomain = (): string => 'countersign.local';

async function judged(reply: Reply) {
  const { x509Authorities } = await bundle();
  return verifyX509Svid(fromPem(text(reply.body['certificate']), 'CERTIFICATE'), {
    authorities: x509Authorities,
    trustDomain: trustDomain(),
    now: new Date(),
  });
}

async function openssl(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run('openssl', args).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return stdout + stderr;
}

/** Writes what openssl needs to judge a certificate, with the revocation list of now. */
async function opensslVerify(reply: Reply): Promise<string> {
  const file = (name: string): string => path.join(folder, name);
  await writeFile(file('leaf.pem'), text(reply.body['certificate']));
  await writeFile(file('ca.pem'), text(reply.body['bundle']));
  const crl = await fetch(`${service.url}/spiffe/crl`);
  await writeFile(file('crl.pem'), toPem('X509 CRL', Buffer.from(await crl.arrayBuffer())));
  return openssl(
    ...['verify', '-x509_strict', '-purpose', 'sslclient', '-crl_check'],
    ...['-CAfile', file('ca.pem'), '-CRLfile', file('crl.pem'), file('leaf.pem')],
  );
}

describe('an X.509-SVID', () => {
  it('names the agent and the key of the request, and openssl believes it, list and all', async () => {
    const { privateKey, publicKey } = keyPair();
    const reply = await askX509(agent, { csr: signingRequest(privateKey), ttl_seconds: 600 });
    expect(reply.status).toBe(201);
    expect(await judged(reply)).toMatchObject({
      fault: null,
      spiffeId: `spiffe://${trustDomain()}/agent/${agent.name}`,
    });
    const leaf = new X509Certificate(text(reply.body['certificate']));
    expect(leaf.publicKey.equals(publicKey)).toBe(true);
    expect(leaf.subject).toBeUndefined();
    expect(leaf.serialNumber.toLowerCase()).toBe(reply.body['serial']);
    expect(reply.body['sealed']).toBeNull();
    expect(await opensslVerify(reply)).toContain('leaf.pem: OK');
  });

  it('lives as long as was asked for, backdated by no more than clocks differ', async () => {
    const before = Date.now();
    const reply = await askX509(agent, {
      csr: signingRequest(keyPair().privateKey),
      ttl_seconds: 60,
    });
    const leaf = new X509Certificate(text(reply.body['certificate']));
    const from = Date.parse(leaf.validFrom);
    const to = Date.parse(leaf.validTo);
    expect(before - from).toBeLessThanOrEqual(32_000);
    expect(to - before).toBeLessThanOrEqual(61_000);
    expect(new Date(to).toISOString()).toBe(reply.body['expires_at']);
  });

  it('I5: comes with a key made for it that only the holder of the sealing key can read', async () => {
    const seal = await newKey();
    const reply = await askX509(agent, { seal_to: seal.publicJwk });
    expect(JSON.stringify({ ...reply.body, sealed: '' })).not.toContain('PRIVATE');
    const material = await opened(reply.body['sealed'], seal);
    const key = createPrivateKey(text(material['private_key']));
    const leaf = new X509Certificate(text(material['certificate']));
    expect(leaf.publicKey.equals(createPublicKey(key))).toBe(true);
    expect(material).toMatchObject({ kind: 'x509', serial: reply.body['serial'] });
  });

  it('I8: is the same one for the same Idempotency-Key', async () => {
    const body = { csr: signingRequest(keyPair().privateKey) };
    const once = { 'idempotency-key': 'svid-1' };
    const first = await agent.call('POST', '/v1/svid/x509', body, once);
    const second = await agent.call('POST', '/v1/svid/x509', body, once);
    expect(second.body).toEqual(first.body);
  });

  it('takes nothing but the key from a request', async () => {
    const csr = signingRequest(keyPair().privateKey, { commonName: 'postgres' });
    const reply = await askX509(agent, { csr });
    expect(new X509Certificate(text(reply.body['certificate'])).subject).toBeUndefined();
    expect((await judged(reply)).fault).toBeNull();
  });

  it.each([
    ['neither a request nor a key to seal to', 400, 'invalid_request', () => ({})],
    [
      'both',
      400,
      'invalid_request',
      () => ({ csr: signingRequest(keyPair().privateKey), seal_to: { kty: 'EC' } }),
    ],
    ['a request that is no PEM', 422, 'csr_invalid', () => ({ csr: 'hello' })],
    [
      'a request signed by another key than it names',
      422,
      'csr_invalid',
      () => ({ csr: signingRequest(keyPair().privateKey, { signWith: keyPair().privateKey }) }),
    ],
    [
      'a request for a key on another curve',
      422,
      'weak_key',
      () => ({
        csr: signingRequest(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey),
      }),
    ],
    [
      'a longer life than there is',
      400,
      'invalid_request',
      () => ({ csr: signingRequest(keyPair().privateKey), ttl_seconds: 3601 }),
    ],
  ])('is refused for %s', async (_name, status, code, body) => {
    const reply = await askX509(agent, body());
    expect([reply.status, reply.body['code']]).toEqual([status, code]);
  });

  it('is for agents alone', async () => {
    const csr = signingRequest(keyPair().privateKey);
    for (const caller of [admin(service), approver])
      expect((await caller.call('POST', '/v1/svid/x509', { csr })).status).toBe(403);
  });

  it('is on the list and no longer good once its agent is suspended, before that is answered', async () => {
    const doomed = await admittedAgent(service, owner.id, approver);
    const csr = signingRequest(keyPair().privateKey);
    const reply = await askX509(doomed, { csr });
    const serial = text(reply.body['serial']);
    const seen = () => admin(service).call('GET', `/v1/certificates/${serial}`);
    expect((await seen()).body['state']).toBe('good');
    expect(await opensslVerify(reply)).toContain('leaf.pem: OK');
    await admin(service).call('POST', `/v1/agents/${doomed.id}/suspend`, {});
    expect((await seen()).body['state']).toBe('revoked');
    expect(await opensslVerify(reply)).toContain('certificate revoked');
    expect((await askX509(doomed, { csr })).status).toBe(403);
    // What was revoked stays revoked (I3).
    await admin(service).call('POST', `/v1/agents/${doomed.id}/resume`, {});
    expect((await seen()).body['state']).toBe('revoked');
    expect(await opensslVerify(reply)).toContain('certificate revoked');
  });

  it('has no state when we did not sign it', async () => {
    const reply = await admin(service).call('GET', `/v1/certificates/${'0'.repeat(32)}`);
    expect([reply.status, reply.body['code']]).toEqual([404, 'not_found']);
  });
});

describe('a JWT-SVID', () => {
  const ask = (body: Parameters<TestAgent['call']>[2]) => agent.call('POST', '/v1/svid/jwt', body);

  it('says who it is and whom it is for, and the bundle judges it', async () => {
    const reply = await ask({ audience: ['orders', 'payouts'], ttl_seconds: 60 });
    expect(reply.status).toBe(201);
    const svid = text(reply.body['svid']);
    const { jwtKeys } = await bundle();
    const rules = { jwtKeys, trustDomain: trustDomain(), audience: 'orders', now: new Date() };
    const verdict = verifyJwtSvid(svid, rules);
    expect(verdict).toMatchObject({
      fault: null,
      spiffeId: `spiffe://${trustDomain()}/agent/${agent.name}`,
    });
    expect(Object.keys(verdict.claims ?? {}).toSorted()).toEqual([
      ...['aud', 'exp', 'iat', 'jti', 'sub'],
    ]);
    const header = Buffer.from(svid.split('.')[0] ?? '', 'base64url').toString();
    expect(Object.keys(JSON.parse(header) as object).toSorted()).toEqual(['alg', 'kid', 'typ']);
    expect(verifyJwtSvid(svid, { ...rules, audience: 'reports' }).fault).toBe('audience_wrong');
  });

  it('opens nothing here: it is no access token', async () => {
    const audience = [service.publicUrl];
    const reply = await ask({ audience });
    const response = await fetch(`${service.url}/v1/tasks`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${text(reply.body['svid'])}`,
        'content-type': 'application/json',
      },
      body: '{}',
    });
    expect(response.status).toBe(401);
  });

  it('is for nobody whom a role gives tokens for: those are asked for by the role', async () => {
    for (const audience of [['https://reports.example'], ['orders', 'https://reports.example']]) {
      const reply = await ask({ audience });
      expect([reply.status, reply.body['code'], reply.body['svid']]).toEqual([
        403,
        'forbidden',
        undefined,
      ]);
    }
  });

  it.each([
    ['no audience', { audience: [] }],
    ['an audience without a name', { audience: [''] }],
    ['a longer life than there is', { audience: ['orders'], ttl_seconds: 901 }],
  ])('is refused for %s', async (_name, body) => {
    expect((await ask(body)).status).toBe(400);
  });
});

describe('the bundle', () => {
  let inside: Service;
  beforeAll(async () => {
    inside = await openService(service.config, 'test', 2);
  });
  afterAll(() => inside.close());

  async function rotate(use: KeyUse, over: { now?: boolean; revoke?: boolean } = {}) {
    const made = await makeKey(inside.db.query, inside.keyDriver, use);
    const call = { principal: { kind: 'service', id: 'test' } as const, traceId: null };
    const rotation = { now: false, revoke: false, reason: null, ...over };
    await transact(inside.deps, call, (unit) =>
      rotateKeys(unit, made, rotation, inside.config.signingKeys),
    );
  }

  it('is JSON that may be kept for as long as it says', async () => {
    const response = await fetch(`${service.url}/spiffe/bundle`);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    const first = await bundle();
    const hint = first.refreshHintSeconds ?? 0;
    expect(response.headers.get('cache-control')).toBe(`public, max-age=${hint}`);
    expect(first.x509Authorities).toHaveLength(1);
    expect(first.jwtKeys.every((key) => !('alg' in key) && 'kid' in key)).toBe(true);
    expect((await bundle()).sequence).toBe(first.sequence);
  });

  it('carries the next authority before it signs and the last one after, and old leaves stay good', async () => {
    const csr = () => signingRequest(keyPair().privateKey);
    const old = await bundle();
    const before = await askX509(agent, { csr: csr() });
    await rotate('x509');
    const ahead = await bundle();
    expect(ahead.x509Authorities).toHaveLength(2);
    expect(ahead.sequence).toBeGreaterThan(old.sequence ?? Infinity);
    // Not its turn yet: whoever still holds the old bundle believes what is signed now.
    const meanwhile = await askX509(agent, { csr: csr() });
    const chain = fromPem(text(meanwhile.body['certificate']), 'CERTIFICATE');
    const rules = { trustDomain: trustDomain(), now: new Date() };
    expect(verifyX509Svid(chain, { authorities: old.x509Authorities, ...rules }).fault).toBeNull();
    await rotate('x509', { now: true });
    const after = await askX509(agent, { csr: csr() });
    const newChain = fromPem(text(after.body['certificate']), 'CERTIFICATE');
    expect(verifyX509Svid(newChain, { authorities: old.x509Authorities, ...rules }).fault).toBe(
      'no_authority',
    );
    expect((await judged(after)).fault).toBeNull();
    expect((await judged(before)).fault).toBeNull();
  });

  it('an authority that no longer signs certificates still signs the list of what it revokes', async () => {
    const doomed = await admittedAgent(service, owner.id, approver);
    const reply = await askX509(doomed, { csr: signingRequest(keyPair().privateKey) });
    await rotate('x509', { now: true });
    await admin(service).call('POST', `/v1/agents/${doomed.id}/suspend`, {});
    const leaf = new X509Certificate(text(reply.body['certificate']));
    const shown = await openssl('x509', '-text', '-noout', '-in', await kept(leaf));
    const url = /URI:(http\S+crl\S+)/.exec(shown)?.[1] ?? '';
    const list = await fetch(url.replace(service.publicUrl, service.url));
    expect(list.headers.get('content-type')).toBe('application/pkix-crl');
    const file = path.join(folder, 'old.crl');
    await writeFile(file, Buffer.from(await list.arrayBuffer()));
    const said = await openssl('crl', '-inform', 'DER', '-text', '-noout', '-in', file);
    expect(said.toLowerCase()).toContain(text(reply.body['serial']));
  });

  it('loses a key that was dropped at once, and with it everything it signed', async () => {
    const reply = await askX509(agent, { csr: signingRequest(keyPair().privateKey) });
    const { sequence } = await bundle();
    await rotate('x509', { revoke: true });
    expect((await judged(reply)).fault).toBe('no_authority');
    expect((await bundle()).x509Authorities).toHaveLength(1);
    expect((await bundle()).sequence).toBeGreaterThan(sequence ?? Infinity);
  });

  it('never publishes a certificate that somebody wrote into the table', async () => {
    const [authority] = await inside.deps.authorities.all();
    const forged = authorityOf('forged');
    await service.database.owner.sql`
      update x509_authority set certificate = ${forged.der} where kid = ${authority?.kid ?? ''}`;
    const fresh = await openService(service.config, 'test', 2);
    await expect(fresh.deps.authorities.bundle(300)).rejects.toThrow(/not signed with its key/);
    await fresh.close();
  });
});

async function kept(leaf: X509Certificate): Promise<string> {
  const file = path.join(folder, 'kept.pem');
  await writeFile(file, leaf.toString());
  return file;
}
