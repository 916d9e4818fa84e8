// Settings of client certificates: half of them would be worse than none, so half of them does not start.
import { describe, expect, it } from 'vitest';
import { certificateReader } from '../../api/client-certificate.ts';
import type { AppContext } from '../../api/route.ts';
import { readConfig } from '../../cli/config.ts';
import { StartError } from '../../cli/embedded/process.ts';
import { toPem } from '../../keys/x509/pem.ts';
import { authorityOf, certificateOf } from '../support/certificates.ts';

const authority = authorityOf('corp');
const cert = toPem('CERTIFICATE', authority.der);
const key = authority.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const otherKey = authorityOf('other')
  .privateKey.export({ format: 'pem', type: 'pkcs8' })
  .toString();

const TLS = { COUNTERSIGN_TLS_PORT: '8443', COUNTERSIGN_TLS_CERT: cert, COUNTERSIGN_TLS_KEY: key };
const PROXY = {
  COUNTERSIGN_CLIENT_CERT_HEADER: 'client-cert',
  COUNTERSIGN_CLIENT_CERT_PROXIES: '10.1.0.0/16, fd00::1',
};

describe('the TLS listener', () => {
  it('has a port, a certificate and its key', () => {
    expect(readConfig(TLS).tls?.port).toBe(8443);
    expect(readConfig({}).tls).toBeNull();
  });

  it.each([
    ['no port', { COUNTERSIGN_TLS_PORT: '' }],
    ['no certificate', { COUNTERSIGN_TLS_CERT: '' }],
    ['no key', { COUNTERSIGN_TLS_KEY: '' }],
    ['the key of another certificate', { COUNTERSIGN_TLS_KEY: otherKey }],
    ['a certificate that is none', { COUNTERSIGN_TLS_CERT: 'certificate' }],
    ['a port that is none', { COUNTERSIGN_TLS_PORT: '70000' }],
  ])('does not start with %s, nor quotes the key', (_what, over) => {
    const read = () => readConfig({ ...TLS, ...over });
    expect(read).toThrow(StartError);
    expect(read).toThrow(/COUNTERSIGN_TLS_/);
    expect(read).not.toThrow(/PRIVATE KEY/);
  });
});

describe('the proxies whose word is taken', () => {
  it.each([
    ['everybody', { COUNTERSIGN_CLIENT_CERT_PROXIES: '0.0.0.0/0' }],
    ['nobody', { COUNTERSIGN_CLIENT_CERT_PROXIES: '' }],
    ['a name', { COUNTERSIGN_CLIENT_CERT_PROXIES: 'proxy.example' }],
    ['a list that ends in a comma', { COUNTERSIGN_CLIENT_CERT_PROXIES: '10.0.0.1,' }],
    ['a prefix that is too long', { COUNTERSIGN_CLIENT_CERT_PROXIES: '10.0.0.1/33' }],
    ['no header', { COUNTERSIGN_CLIENT_CERT_HEADER: '' }],
    ['a header that is none', { COUNTERSIGN_CLIENT_CERT_HEADER: 'a b' }],
  ])('cannot be %s', (_what, over) => {
    expect(() => readConfig({ ...PROXY, ...over })).toThrow(/COUNTERSIGN_CLIENT_CERT_/);
  });

  const header = encodeURIComponent(toPem('CERTIFICATE', certificateOf({}, authority).der));
  const from = (remoteAddress: string) =>
    certificateReader(readConfig(PROXY).certificateProxies)(callFrom(remoteAddress, header));

  it.each(['10.1.2.3', '::ffff:10.1.2.3', 'fd00::1'])('are those at %s', (address) => {
    expect(from(address)?.chain).toHaveLength(1);
  });

  it.each(['10.2.0.1', '::ffff:10.2.0.1', 'fd00::2', '127.0.0.1', '', 'unknown'])(
    'are not those at %s, whose header is not read',
    (address) => {
      expect(from(address)).toBeNull();
    },
  );
});

/** As much of a call as reading its certificate takes. */
const callFrom = (remoteAddress: string, header: string): AppContext =>
  ({
    env: { incoming: { socket: { remoteAddress } } },
    req: { header: (name: string) => (name === 'client-cert' ? header : undefined) },
  }) as unknown as AppContext;
