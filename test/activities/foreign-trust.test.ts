// Others' keys: had by discovery, kept for a while, forgotten in time, and never believed for want of better ones.
import { createServer, type Server } from 'node:https';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEgress } from '../../activities/egress.ts';
import { openForeignTrust } from '../../activities/foreign-trust.ts';
import type { IssuerDefinition } from '../../commands/policy/federation.ts';
import { TrustUnavailable, type ForeignTrust } from '../../commands/sign-in/foreign-trust.ts';
import { toPem } from '../../keys/x509/pem.ts';
import { newSigningKey, startOidcIssuer, type OidcIssuer } from '../fakes/oidc-issuer.ts';
import { memoryBundles } from '../support/bundle-store.ts';
import { authorityOf, certificateOf, type TestAuthority } from '../support/certificates.ts';

let issuer: OidcIssuer;
let trust: ForeignTrust;
let now: number;
const secrets: Record<string, string> = {};
const servers: Server[] = [];

beforeEach(async () => {
  issuer = await startOidcIssuer();
  now = Date.parse('2026-11-21T12:00:00Z');
  trust = openForeignTrust({
    egress: openEgress({ allow: [], loopback: false }),
    bundles: memoryBundles(),
    secret: (name) => secrets[name] ?? null,
    now: () => now,
  });
});
afterEach(async () => {
  await issuer.close();
  for (const server of servers.splice(0)) server.close();
});

const definition = (more: Partial<IssuerDefinition> = {}): IssuerDefinition => ({
  issuer: issuer.url,
  audience: 'https://countersign.example',
  algorithms: ['RS256'],
  ...more,
});
const kidsOf = async (more: Partial<IssuerDefinition> = {}): Promise<unknown[]> =>
  (await trust.issuerKeys(definition(more), 'kept')).map(({ kid }) => kid);
const minutes = (count: number): void => {
  now += count * 60_000;
};

describe('the keys of an issuer', () => {
  it('are found by discovery, once for all who ask at the same time', async () => {
    const found = await Promise.all(Array.from({ length: 20 }, () => kidsOf()));
    expect(found).toEqual(Array.from({ length: 20 }, () => [issuer.key.kid]));
    expect(issuer.asked).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  it('are looked for where policy says, without discovery, if it says so', async () => {
    expect(await kidsOf({ jwks_uri: `${issuer.url}/keys` })).toEqual([issuer.key.kid]);
    expect(issuer.asked).toEqual(['/keys']);
  });

  it.each([
    ['redirects', 'redirecting'],
    ['is the document of another issuer, by a slash', 'another issuer'],
    ['is not JSON', 'not json'],
    ['has no end', 'endless'],
    ['is an error', 'down'],
  ] as const)('are none where discovery %s', async (_what, manner) => {
    issuer.manner = manner;
    await expect(kidsOf()).rejects.toThrow(TrustUnavailable);
    expect(issuer.asked.filter((path) => path.includes('moved'))).toEqual([]);
  });

  it.each([
    ['the metadata service of a cloud', 'http://169.254.169.254/latest'],
    ['a private address', 'https://10.0.0.1/keys'],
    ['another port of this machine', 'http://127.0.0.1:1/keys'],
    ['a file', 'file:///etc/passwd'],
    ['nothing', ''],
  ])('are not fetched from %s because a document says so', async (_what, uri) => {
    issuer.document = { jwks_uri: uri };
    await expect(kidsOf()).rejects.toThrow(TrustUnavailable);
  });

  it('I6: outlive an outage of their issuer for half an hour, and no longer', async () => {
    await kidsOf();
    issuer.manner = 'down';
    minutes(29);
    expect(await kidsOf()).toEqual([issuer.key.kid]);
    minutes(1);
    await expect(kidsOf()).rejects.toThrow(TrustUnavailable);
    issuer.manner = 'well';
    await expect(kidsOf()).rejects.toThrow(TrustUnavailable);
    minutes(1);
    expect(await kidsOf()).toEqual([issuer.key.kid]);
  });

  it('are fetched again when they are due, so that a withdrawn key is gone in minutes', async () => {
    await kidsOf();
    const next = await newSigningKey();
    issuer.published = [next];
    minutes(4);
    expect(await kidsOf()).toEqual([issuer.key.kid]);
    minutes(1);
    expect(await kidsOf()).toEqual([next.kid]);
  });

  it('are fetched again for an unknown key, at most twice a minute however many come', async () => {
    await kidsOf();
    issuer.asked.length = 0;
    const flood = () =>
      Promise.all(Array.from({ length: 50 }, () => trust.issuerKeys(definition(), 'newer')));
    await flood();
    expect(issuer.asked).toEqual([]);
    now += 30_000;
    issuer.published = [await newSigningKey()];
    const [newest] = await flood();
    expect(newest?.map(({ kid }) => kid)).toEqual(issuer.published.map(({ kid }) => kid));
    await flood();
    expect(issuer.asked).toHaveLength(2);
  });
});

describe('the bundle of a trust domain', () => {
  it('that was handed over is read each time, and refused when it is none', async () => {
    const handedOver = { profile: 'https_web', bundle_from: 'PARTNER_BUNDLE' } as const;
    await expect(trust.bundle('partner.example', handedOver, 'kept')).rejects.toThrow(/not set/);
    for (const wrong of [
      '[]',
      '{}',
      '{"keys":[1]}',
      '{"keys":[],"keys":[]}',
      '{"keys":[{"use":"jwt-svid"}]}',
      '{"keys":[{"use":"x509-svid","x5c":["a","b"]}]}',
    ]) {
      secrets['PARTNER_BUNDLE'] = wrong;
      await expect(trust.bundle('partner.example', handedOver, 'kept')).rejects.toThrow(
        TrustUnavailable,
      );
    }
    secrets['PARTNER_BUNDLE'] = '{"keys":[{"use":"jwt-svid","kid":"a"},{"use":"wit-svid"}]}';
    const bundle = await trust.bundle('partner.example', handedOver, 'kept');
    expect(bundle.jwtKeys).toHaveLength(1);
  });

  const ID = 'spiffe://partner.example/bundle-endpoint';
  const authority = authorityOf('partner', { uris: ['spiffe://partner.example'] });
  const x5c = (...authorities: TestAuthority[]) =>
    authorities.map(({ der }) => ({ kty: 'EC', use: 'x509-svid', x5c: [der.toString('base64')] }));

  /** A bundle endpoint that shows this certificate. */
  async function endpointOf(certificate: TestAuthority, answer: () => string) {
    const server = createServer(
      {
        cert: toPem('CERTIFICATE', certificate.der),
        key: certificate.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      },
      (_request, response) => response.end(answer()),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    return { bundle_endpoint: `https://127.0.0.1:${port}/`, bundle_from: 'PARTNER_BUNDLE' };
  }

  it('of the profile https_spiffe comes from whoever shows the SVID of the endpoint, and from nobody else', async () => {
    secrets['PARTNER_BUNDLE'] = JSON.stringify({ keys: x5c(authority) });
    const next = JSON.stringify({ keys: x5c(authority, authorityOf('next')) });
    const fetched = async (certificate: TestAuthority, id = ID) => {
      const endpoint = await endpointOf(certificate, () => next);
      const definition = { ...endpoint, profile: 'https_spiffe', endpoint_spiffe_id: id } as const;
      return (await trust.bundle('partner.example', definition, 'kept')).x509Authorities.length;
    };
    const svid = (uris: string[], issuer: TestAuthority | null = authority) =>
      certificateOf({ uris }, issuer);
    expect(await fetched(svid([ID]))).toBe(2);
    for (const wrong of [
      svid([`${ID}2`]),
      svid([ID, `${ID}2`]),
      svid([ID], authorityOf('partner')),
      svid([ID], null),
    ])
      await expect(fetched(wrong)).rejects.toThrow(TrustUnavailable);
  });

  it('of the profile https_web is not taken from a server whose certificate is nobody’s', async () => {
    const endpoint = await endpointOf(
      certificateOf({ uris: [ID] }, authority),
      () => '{"keys":[]}',
    );
    const definition = { ...endpoint, profile: 'https_web' } as const;
    await expect(trust.bundle('partner.example', definition, 'kept')).rejects.toThrow(
      TrustUnavailable,
    );
  });

  it('never goes back to an older one', async () => {
    let sequence = 7;
    secrets['PARTNER_BUNDLE'] = JSON.stringify({ keys: x5c(authority) });
    const endpoint = await endpointOf(certificateOf({ uris: [ID] }, authority), () =>
      JSON.stringify({ keys: x5c(authority), spiffe_sequence: sequence }),
    );
    const definition = { ...endpoint, profile: 'https_spiffe', endpoint_spiffe_id: ID } as const;
    const sequenceNow = async () =>
      (await trust.bundle('partner.example', definition, 'newer')).sequence;
    expect(await sequenceNow()).toBe(7);
    sequence = 6;
    minutes(1);
    expect(await sequenceNow()).toBe(7);
    sequence = 8;
    minutes(1);
    expect(await sequenceNow()).toBe(8);
  });
});
