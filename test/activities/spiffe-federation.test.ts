// Bundles by https_spiffe: from whoever shows the SVID that policy names, judged by the newest that was ever had.
import { createServer, type Server } from 'node:https';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEgress } from '../../activities/egress.ts';
import { openForeignTrust } from '../../activities/foreign-trust.ts';
import {
  TrustUnavailable,
  type BundleStore,
  type ForeignTrust,
} from '../../commands/sign-in/foreign-trust.ts';
import { OID } from '../../keys/x509/certificate.ts';
import { memoryBundles } from '../support/bundle-store.ts';
import {
  authorityOf,
  certificateOf,
  hours,
  pemOf,
  type Shape,
  type TestAuthority,
} from '../support/certificates.ts';

const DOMAIN = 'partner.example';
const ID = `spiffe://${DOMAIN}/bundle-endpoint`;

const authority = authorityOf('partner', { uris: [`spiffe://${DOMAIN}`] });
const next = authorityOf('next', { uris: [`spiffe://${DOMAIN}`] });

let now: number;
let first: string;
let bundles: BundleStore;
let trust: ForeignTrust;
const servers: Server[] = [];

/** A process of its own, which knows what the others kept. */
const openTrust = (): ForeignTrust =>
  openForeignTrust({
    egress: openEgress({ allow: [], loopback: false }),
    bundles,
    secret: () => first,
    now: () => now,
  });

beforeEach(() => {
  now = Date.now();
  first = bundleOf(7, authority);
  bundles = memoryBundles();
  trust = openTrust();
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function bundleOf(sequence: number | null, ...authorities: TestAuthority[]): string {
  const keys = authorities.map(({ der }) => ({ use: 'x509-svid', x5c: [der.toString('base64')] }));
  return JSON.stringify({ keys, ...(sequence !== null && { spiffe_sequence: sequence }) });
}

const svid = (shape: Shape = {}, issuer: TestAuthority | null = authority): TestAuthority =>
  certificateOf({ uris: [ID], ...shape }, issuer);

interface Endpoint {
  url: string;
  /** What it answers from now on, and who it shows that it is. */
  answer: string;
  show(...chain: TestAuthority[]): void;
  asked: number;
}

async function endpoint(answer: string, ...chain: TestAuthority[]): Promise<Endpoint> {
  const contextOf = (shown: TestAuthority[]) => ({
    cert: shown.map(pemOf).join(''),
    key: shown[0]?.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() ?? '',
  });
  const server = createServer(contextOf(chain), (_request, response) => {
    made.asked += 1;
    response.end(made.answer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const address = server.address();
  const made: Endpoint = {
    url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`,
    answer,
    show: (...shown) => server.setSecureContext(contextOf(shown)),
    asked: 0,
  };
  return made;
}

const fetched = async (
  { url }: Endpoint,
  by: ForeignTrust = trust,
  freshness: 'kept' | 'newer' = 'newer',
) => {
  const definition = {
    ...{ bundle_endpoint: url, bundle_from: 'FIRST', profile: 'https_spiffe' as const },
    endpoint_spiffe_id: ID,
  };
  const { sequence, x509Authorities } = await by.bundle(DOMAIN, definition, freshness);
  return { sequence, authorities: x509Authorities.length };
};

const minutes = (count: number): void => void (now += count * 60_000);

describe('an endpoint is taken for the one that policy names', () => {
  const between = certificateOf({ subject: 'between', isAuthority: true }, authority);

  it.each([
    ['by its SPIFFE ID and its own bundle', [svid()]],
    ['through an authority between', [svid({}, between), between]],
    ['without a purpose, which is any', [svid({ purposes: null })]],
    ['whatever else it is called', [svid({ subject: 'elsewhere.example' })]],
  ])('%s', async (_how, chain) => {
    expect(await fetched(await endpoint(bundleOf(8, authority, next), ...chain))).toEqual({
      sequence: 8,
      authorities: 2,
    });
  });

  it('by an authority that somebody else signed', async () => {
    const root = authorityOf('root');
    const below = certificateOf({ subject: 'below', isAuthority: true }, root);
    first = bundleOf(7, below);
    const shown = await endpoint(bundleOf(8, below), svid({}, below));
    expect(await fetched(shown)).toEqual({ sequence: 8, authorities: 1 });
  });

  it.each<[string, () => TestAuthority[]]>([
    ['shows another SPIFFE ID', () => [svid({ uris: [`${ID}2`] })]],
    ['shows one that is longer', () => [svid({ uris: [`${ID}/more`] })]],
    ['shows its trust domain alone', () => [svid({ uris: [`spiffe://${DOMAIN}`] })]],
    ['shows two URIs, one of them right', () => [svid({ uris: [ID, `${ID}2`] })]],
    ['shows the right one twice', () => [svid({ uris: [ID, ID] })]],
    ['shows none', () => [svid({ uris: [] })]],
    [
      'is of another trust domain',
      () => [svid({ uris: ['spiffe://other.example/bundle-endpoint'] })],
    ],
    ['writes its trust domain in capitals', () => [svid({ uris: [ID.toUpperCase()] })]],
    ['is of another authority', () => [svid({}, authorityOf('partner'))]],
    ['is of an authority that is only in the bundle it sends', () => [svid({}, next)]],
    ['vouches for itself', () => [svid({}, null)]],
    ['expired', () => [svid({ notBefore: hours(-2), notAfter: hours(-1) })]],
    ['is not good yet', () => [svid({ notBefore: hours(1), notAfter: hours(2) })]],
    ['is an authority itself', () => [svid({ isAuthority: true })]],
    ['may sign certificates', () => [svid({ usage: [0, 5] })]],
    ['is for clients alone', () => [svid({ purposes: [OID.clientAuth] })]],
    [
      'comes through a certificate that may sign none',
      () => {
        const leaf = certificateOf({ subject: 'leaf' }, authority);
        return [svid({}, leaf), leaf];
      },
    ],
    [
      'comes through an authority of another trust domain’s',
      () => {
        const other = authorityOf('other', { uris: ['spiffe://other.example'] });
        const between = certificateOf({ subject: 'b', isAuthority: true }, other);
        return [svid({}, between), between, other];
      },
    ],
  ])('and for nobody when it %s', async (_how, chain) => {
    const shown = await endpoint(bundleOf(8, authority, next), ...chain());
    await expect(fetched(shown)).rejects.toThrow(TrustUnavailable);
    // It is judged before it is asked.
    expect(shown.asked).toBe(0);
  });

  it('and for nobody once its authority expired, whatever was handed over', async () => {
    const old = authorityOf('old', { notBefore: hours(-3), notAfter: hours(-1) });
    first = bundleOf(7, old);
    const shown = await endpoint(bundleOf(8, old), svid({}, old));
    await expect(fetched(shown)).rejects.toThrow(TrustUnavailable);
  });

  it('and for nobody where nothing was handed over', async () => {
    first = '{"keys":[]}';
    const shown = await endpoint(bundleOf(8, authority), svid());
    await expect(fetched(shown)).rejects.toThrow(TrustUnavailable);
  });
});

describe('a bundle', () => {
  it('is never older than the one that was handed over', async () => {
    for (const older of [bundleOf(6, authority), bundleOf(null, authority)])
      await expect(fetched(await endpoint(older, svid()))).rejects.toThrow(/older/);
    expect(await fetched(await endpoint(bundleOf(7, authority), svid()))).toMatchObject({
      sequence: 7,
    });
  });

  it('judges its endpoint from then on, so that authorities turn, also while a process is away', async () => {
    const shown = await endpoint(bundleOf(8, authority, next), svid());
    expect(await fetched(shown)).toEqual({ sequence: 8, authorities: 2 });
    shown.answer = bundleOf(9, next);
    shown.show(svid({}, next));
    minutes(1);
    expect(await fetched(shown)).toEqual({ sequence: 9, authorities: 1 });
    // The first bundle knows only an authority that is gone; what was kept knows better.
    const later = openTrust();
    expect(await fetched(shown, later)).toEqual({ sequence: 9, authorities: 1 });
    shown.show(svid());
    minutes(1);
    await fetched(shown, later);
    expect(shown.asked).toBe(3);
    await expect(fetched(shown, openTrust())).rejects.toThrow(TrustUnavailable);
  });

  it('never goes back to an older one, by whatever process', async () => {
    const shown = await endpoint(bundleOf(9, authority), svid());
    await fetched(shown);
    shown.answer = bundleOf(8, authority, next);
    minutes(1);
    expect(await fetched(shown)).toMatchObject({ sequence: 9 });
    await expect(fetched(shown, openTrust())).rejects.toThrow(/older/);
  });

  it('begins anew when people hand over another one, or name another endpoint', async () => {
    const shown = await endpoint(bundleOf(9, authority), svid());
    await fetched(shown);
    first = bundleOf(1, next);
    shown.answer = bundleOf(2, next);
    shown.show(svid({}, next));
    expect(await fetched(shown)).toEqual({ sequence: 2, authorities: 1 });
  });

  it('is looked at again when it says, within half a minute and half an hour', async () => {
    const hinted = (hint: number) =>
      JSON.stringify({
        ...(JSON.parse(bundleOf(8, authority)) as object),
        spiffe_refresh_hint: hint,
      });
    const askedAfter = async (hint: number, seconds: number): Promise<number> => {
      const shown = await endpoint(hinted(hint), svid());
      await fetched(shown, trust, 'kept');
      now += seconds * 1000;
      await fetched(shown, trust, 'kept').catch(() => undefined);
      return shown.asked;
    };
    expect(await askedAfter(0, 29)).toBe(1);
    expect(await askedAfter(0, 31)).toBe(2);
    expect(await askedAfter(120, 119)).toBe(1);
    expect(await askedAfter(120, 121)).toBe(2);
    expect(await askedAfter(86_400, 1_799)).toBe(1);
    expect(await askedAfter(86_400, 1_801)).toBe(2);
  });

  it('I6: that cannot be had again is forgotten after half an hour, though its endpoint is still known by it', async () => {
    const shown = await endpoint(bundleOf(8, authority), svid());
    await fetched(shown);
    shown.answer = 'out of order';
    minutes(29);
    expect(await fetched(shown)).toMatchObject({ sequence: 8 });
    minutes(2);
    await expect(fetched(shown)).rejects.toThrow(TrustUnavailable);
    shown.answer = bundleOf(8, authority);
    minutes(1);
    expect(await fetched(shown)).toMatchObject({ sequence: 8 });
  });

  it('replaces the one before as a whole or not at all', async () => {
    const shown = await endpoint(bundleOf(8, authority), svid());
    await fetched(shown);
    for (const broken of [
      bundleOf(9, next).slice(0, -1),
      bundleOf(9, next).replace(/"x5c":\["./, '"x5c":["!'),
      '{"keys":[],"keys":[],"spiffe_sequence":9}',
    ]) {
      shown.answer = broken;
      minutes(1);
      expect(await fetched(shown)).toEqual({ sequence: 8, authorities: 1 });
    }
  });
});
