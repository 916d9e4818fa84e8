// Another trust domain, served by go-spiffe: its bundle comes by https_spiffe, is looked at unasked, and lets its SVIDs in.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { toPem } from '../../keys/x509/pem.ts';
import { changePolicy, startCast, type Cast } from '../support/cast.ts';
import { authorityOf, certificateOf, type TestAuthority } from '../support/certificates.ts';
import { eventually, list, object } from '../support/client.ts';
import { goProgram, mayBeMissing, programOf, unless } from '../support/third-party.ts';

const goSpiffe = await goProgram('spiffe');

const DOMAIN = 'partner.example';
const ID = `spiffe://${DOMAIN}/bundle-endpoint`;
const partner = authorityOf('partner', { uris: [`spiffe://${DOMAIN}`] });
const endpoint = certificateOf({ uris: [ID] }, partner);

let folder: string;
let cast: Cast;
let server: ChildProcess;
let port: string;

const file = (name: string): string => path.join(folder, name);

const entry = ({ der, privateKey }: TestAuthority): JsonObject => {
  const { kty = '', crv = '', x = '', y = '' } = privateKey.export({ format: 'jwk' });
  return { kty, crv, x, y, use: 'x509-svid', x5c: [der.toString('base64')] };
};

const bundleText = (sequence: number, ...authorities: TestAuthority[]): string =>
  JSON.stringify({
    keys: authorities.map(entry),
    ...{ spiffe_sequence: sequence, spiffe_refresh_hint: 1 },
  });

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-partner-'));
  await writeFile(file('bundle.json'), bundleText(1, partner));
  await writeFile(file('cert.pem'), toPem('CERTIFICATE', endpoint.der));
  await writeFile(file('key.pem'), endpoint.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  if ('missing' in goSpiffe) return;
  server = spawn(programOf(goSpiffe), [
    ...['serve-bundle', DOMAIN, file('bundle.json'), file('cert.pem'), file('key.pem')],
  ]);
  port = await new Promise<string>((resolve) =>
    server.stdout?.once('data', (said: Buffer) => resolve(said.toString().trim())),
  );
  cast = await startCast({ env: { PARTNER_BUNDLE: bundleText(1, partner) } });
}, 120_000);
afterAll(async () => {
  if ('missing' in goSpiffe) return;
  server.kill();
  await cast.close();
  await rm(folder, { recursive: true, force: true });
});

const federate = (id: string) =>
  changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'federation.yaml': `
trust_domains:
  ${DOMAIN}:
    profile: https_spiffe
    bundle_endpoint: https://localhost:${port}/
    endpoint_spiffe_id: ${id}
    bundle_from: PARTNER_BUNDLE
`,
  }));

async function bundleOfPartner(): Promise<JsonObject | null> {
  const { body } = await cast.agent.call('GET', '/v1/svid/bundles');
  const found = object(body['bundles'])[DOMAIN];
  return found === undefined ? null : object(found);
}

describe.skipIf(mayBeMissing && 'missing' in goSpiffe)(`go-spiffe${unless(goSpiffe)}`, () => {
  it('serves a bundle that agents here are given', async () => {
    await federate(ID);
    const bundle = await bundleOfPartner();
    expect(bundle?.['spiffe_sequence']).toBe(1);
    expect(list(bundle?.['keys']).map(({ x5c }) => x5c)).toEqual([
      [partner.der.toString('base64')],
    ]);
  });

  it('turns its authorities, which is seen without anybody asking, and written down', async () => {
    const { owner } = cast.service.database;
    const seen = async (): Promise<number> => {
      const rows = await owner.sql`select 1 from event where type like '%trust.bundle_changed%'`;
      return rows.length;
    };
    expect(await seen()).toBe(1);
    await writeFile(file('bundle.json'), bundleText(2, partner, authorityOf('next')));
    await eventually(async () => (await seen()) === 2, 'the new bundle', 60_000);
  }, 90_000);

  it('gives nothing under another name than policy has for it', async () => {
    await federate(`${ID}-2`);
    expect(await bundleOfPartner()).toBeNull();
  });
});
