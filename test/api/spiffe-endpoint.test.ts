// Our own bundle endpoint by https_spiffe: it shows an SVID of this trust domain, and a newer one without a restart.
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEgress } from '../../activities/egress.ts';
import { openForeignTrust } from '../../activities/foreign-trust.ts';
import { tryPort } from '../../cli/embedded/process.ts';
import { isRenewalDue } from '../../commands/credentials/server-identity.ts';
import { TrustUnavailable } from '../../commands/sign-in/foreign-trust.ts';
import { parseSpiffeBundle } from '../../keys/spiffe-bundle.ts';
import { readCertificate } from '../../keys/x509/certificate.ts';
import { verifyX509Svid } from '../../keys/x509/path.ts';
import { memoryBundles } from '../support/bundle-store.ts';
import { authorityOf } from '../support/certificates.ts';
import { admin, eventually, list, object } from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';
import { goProgram, mayBeMissing, programOf, unless } from '../support/third-party.ts';

const run = promisify(execFile);
const goSpiffe = await goProgram('spiffe');

const DOMAIN = 'countersign.local';
const ID = `spiffe://${DOMAIN}/countersign/server`;

let service: TestService;
let port: number;
let folder: string;

beforeAll(async () => {
  port = (await tryPort(0, '127.0.0.1')) ?? 0;
  service = await startService({ env: { COUNTERSIGN_SPIFFE_PORT: String(port) } });
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-federation-'));
});
afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

const address = (): string => `https://localhost:${port}/spiffe/bundle`;

const bundleText = async (): Promise<string> =>
  (await fetch(`${service.url}/spiffe/bundle`)).text();

async function bundleFile(name: string, text: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, text);
  return file;
}

/** A connection that takes any certificate. */
function connected(options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

async function shown(): Promise<Buffer> {
  const socket = await connected();
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return raw;
}

describe('the endpoint', () => {
  it('shows an SVID of the service: one URI, by an authority of its own bundle, for an hour at most', async () => {
    const der = await shown();
    const { x509Authorities: authorities } = parseSpiffeBundle(await bundleText());
    const rules = { authorities, trustDomain: DOMAIN, now: new Date() };
    expect(verifyX509Svid([der], rules)).toMatchObject({ fault: null, spiffeId: ID });
    const { names, notAfter } = readCertificate(der);
    expect(names.uris).toEqual([ID]);
    expect(notAfter.getTime() - Date.now()).toBeLessThanOrEqual(3_600_000);
    expect(new X509Certificate(der).subject).toBeUndefined();
  });

  it('takes TLS 1.2 and up, and no session twice', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const limits = { minVersion: version, maxVersion: version };
      const first = await connected(limits);
      expect(first.getProtocol()).toBe(version);
      const session = await new Promise<Buffer | undefined>((resolve) => {
        first.once('session', resolve);
        setTimeout(() => resolve(first.getSession()), 200);
      });
      first.destroy();
      const again = await connected({ ...limits, ...(session && { session }) });
      expect(again.isSessionReused()).toBe(false);
      again.destroy();
    }
    const old = { minVersion: 'TLSv1' as const, maxVersion: 'TLSv1.1' as const };
    await expect(connected({ ...old, ciphers: 'DEFAULT@SECLEVEL=0' })).rejects.toThrow(
      /alert|protocol/i,
    );
  });

  it('keeps its key to itself: what is logged of it names neither the key nor the certificate', async () => {
    const reply = await admin(service).call(
      'GET',
      '/v1/events?type=authority.server_certified&limit=10',
    );
    const [event] = list(reply.body['data']);
    const detail = object(object(event?.['data'])['detail']);
    expect(Object.keys(detail).toSorted()).toEqual([
      'authority',
      'expires_at',
      'key_thumbprint',
      'serial',
    ]);
    expect(detail['serial']).toBe(new X509Certificate(await shown()).serialNumber.toLowerCase());
  });

  it('is what our own other side takes: configured by its SPIFFE ID and a first bundle', async () => {
    const fetched = async (id: string, first: string) => {
      const trust = openForeignTrust({
        egress: openEgress({ allow: [], loopback: false }),
        bundles: memoryBundles(),
        secret: () => first,
        now: Date.now,
      });
      const definition = {
        ...{ bundle_endpoint: address(), bundle_from: 'FIRST', profile: 'https_spiffe' as const },
        endpoint_spiffe_id: id,
      };
      return trust.bundle(DOMAIN, definition, 'kept');
    };
    const now = await bundleText();
    expect(await fetched(ID, now)).toEqual(parseSpiffeBundle(now));
    await expect(fetched(`spiffe://${DOMAIN}/agent/a`, now)).rejects.toThrow(TrustUnavailable);
    const stranger = authorityOf('stranger').der.toString('base64');
    const other = JSON.stringify({ keys: [{ use: 'x509-svid', x5c: [stranger] }] });
    await expect(fetched(ID, other)).rejects.toThrow(TrustUnavailable);
  });
});

describe.skipIf(mayBeMissing && 'missing' in goSpiffe)(`go-spiffe${unless(goSpiffe)}`, () => {
  const goFetches = async (id: string, file: string): Promise<string> => {
    const args = ['fetch-bundle', address(), DOMAIN, id, file];
    const { stdout } = await run(programOf(goSpiffe), args).catch(
      (error: { stdout: string }) => error,
    );
    return stdout;
  };

  it('fetches the bundle, and from nobody with another name or of another authority', async () => {
    const now = await bundleText();
    const file = await bundleFile('first.json', now);
    const { sequence } = parseSpiffeBundle(now);
    expect(await goFetches(ID, file)).toMatch(new RegExp(`^${sequence} \\S+ 1 1\nok\n$`));
    expect(await goFetches(`spiffe://${DOMAIN}/countersign/other`, file)).toContain(
      'unexpected ID',
    );
    const [key] = (JSON.parse(now) as { keys: object[] }).keys;
    const stranger = authorityOf('stranger').der.toString('base64');
    const other = JSON.stringify({ keys: [{ ...key, x5c: [stranger] }] });
    expect(await goFetches(ID, await bundleFile('other.json', other))).not.toContain('ok');
  });

  it('fetches on while authorities turn, and the endpoint changes what it shows without a restart', async () => {
    const before = await shown();
    const held = await connected();
    const reply = await admin(service).call('POST', '/v1/keys/rotate', {
      ...{ use: 'x509', now: true, revoke: true, reason: 'a drill' },
    });
    expect(reply.status).toBe(200);
    await eventually(async () => !(await shown()).equals(before), 'another certificate');
    // What was connected stays so.
    expect(held.destroyed).toBe(false);
    held.destroy();
    const file = await bundleFile('second.json', await bundleText());
    expect(await goFetches(ID, file)).toMatch(/ok\n$/);
    // Whoever knows only the authority that was dropped has to be told of the new one by people.
    expect(await goFetches(ID, path.join(folder, 'first.json'))).not.toContain('ok');
  });
});

describe('the rest of the service', () => {
  it('is there too, under the names it has', async () => {
    const statusFor = (host: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port, path: '/version', headers: { host } };
        const call = request({ ...options, rejectUnauthorized: false, agent: false });
        call.once('response', (response) => (response.resume(), resolve(response.statusCode)));
        call.once('error', reject);
        call.end();
      });
    expect(await statusFor(`localhost:${port}`)).toBe(200);
    expect(await statusFor('elsewhere.example')).toBe(400);
  });
});

describe('a certificate of the server', () => {
  const svid = {
    ...{ spiffeId: ID, cert: '', key: '', authority: 'one' },
    renewAt: new Date('2026-11-21T12:00:00Z'),
  };

  it('is renewed when half of it is over, or its authority is gone, and not before', () => {
    const [one, two] = [{ kid: 'one' }, { kid: 'two' }];
    expect(isRenewalDue(svid, [two, one], new Date('2026-11-21T11:59:59Z'))).toBe(false);
    expect(isRenewalDue(svid, [two, one], new Date('2026-11-21T12:00:00Z'))).toBe(true);
    expect(isRenewalDue(svid, [two], new Date('2026-11-21T11:00:00Z'))).toBe(true);
    expect(isRenewalDue(svid, [one], new Date(NaN))).toBe(true);
  });
});
