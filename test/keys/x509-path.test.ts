// X.509-SVIDs are believed only when every rule of the path and of the leaf holds; one case for each that does not.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { OID, readCertificate } from '../../keys/x509/certificate.ts';
import { octetString, sequence } from '../../keys/x509/der.ts';
import { verifyChain, verifyX509Svid, type PathFault } from '../../keys/x509/path.ts';
import { authorityOf, certificateOf, hours, type Shape } from '../support/certificates.ts';

const DOMAIN = 'partner.example';
const ID = `spiffe://${DOMAIN}/ns/shop/agent`;
const root = authorityOf('root', { uris: [`spiffe://${DOMAIN}`] });

const judged = (
  chain: readonly { der: Buffer }[],
  authorities: readonly { der: Buffer }[] = [root],
  now = new Date(),
) =>
  verifyX509Svid(
    chain.map(({ der }) => der),
    { authorities: authorities.map(({ der }) => der), trustDomain: DOMAIN, now },
  );

const leaf = (shape: Shape = {}, issuer = root) => certificateOf({ uris: [ID], ...shape }, issuer);

describe('what is believed', () => {
  it('a leaf that an authority of the bundle signed', () => {
    expect(judged([leaf()])).toMatchObject({ fault: null, spiffeId: ID });
  });

  it('a leaf under an authority between, and with the root sent along', () => {
    const between = certificateOf({ subject: 'between', isAuthority: true, pathLength: 0 }, root);
    const svid = leaf({}, between);
    expect(judged([svid, between]).fault).toBeNull();
    expect(judged([svid, between, root]).fault).toBeNull();
  });

  it('a leaf without purposes, which are optional, and one with more names that are no URI', () => {
    expect(judged([leaf({ purposes: null })]).fault).toBeNull();
  });
});

describe('what is refused', () => {
  const other = authorityOf('root');
  const cases: [string, PathFault, () => ReturnType<typeof judged>][] = [
    ['no certificate at all', 'too_long', () => judged([])],
    [
      'a chain longer than eight',
      'too_long',
      () => judged(Array.from({ length: 9 }, () => leaf())),
    ],
    [
      'bytes that are no certificate',
      'malformed',
      () => judged([{ der: Buffer.from('30820000', 'hex') }]),
    ],
    [
      'a byte behind the end',
      'malformed',
      () => judged([{ der: Buffer.concat([leaf().der, Buffer.from([0])]) }]),
    ],
    [
      'an authority of the same name with another key',
      'no_authority',
      () => judged([leaf({}, other)]),
    ],
    [
      'an authority that is not in the bundle, though it is sent along',
      'no_authority',
      () => judged([leaf({}, other), other]),
    ],
    ['an empty bundle', 'no_authority', () => judged([leaf()], [])],
    [
      'a bundle of rubbish',
      'no_authority',
      () => judged([leaf()], [{ der: Buffer.from([1, 2, 3]) }]),
    ],
    ['an expired leaf', 'expired', () => judged([leaf({ notAfter: hours(-0.5) })])],
    ['a leaf of tomorrow', 'not_yet', () => judged([leaf({ notBefore: hours(0.5) })])],
    ['a clock that is no time', 'not_yet', () => judged([leaf()], [root], new Date(Number.NaN))],
    [
      'an expired root',
      'expired',
      () => {
        const old = authorityOf('old', { notAfter: hours(-0.5) });
        return judged([leaf({}, old)], [old]);
      },
    ],
    ['a self-signed leaf', 'no_authority', () => judged([certificateOf({ uris: [ID] }, null)])],
    [
      'a leaf in the bundle as an authority',
      'not_an_authority',
      () => {
        const self = certificateOf({ uris: [ID], subject: 'self' }, null);
        return judged([self], [self]);
      },
    ],
    [
      'a leaf signed by a leaf',
      'not_an_authority',
      () => {
        const signer = leaf({ subject: 'leaf' });
        return judged([leaf({}, signer), signer]);
      },
    ],
    [
      'an authority that may not sign certificates',
      'not_an_authority',
      () => {
        const weak = certificateOf({ subject: 'weak', isAuthority: true, usage: [6] }, root);
        return judged([leaf({}, weak), weak]);
      },
    ],
    [
      'an authority without key usage',
      'not_an_authority',
      () => {
        const weak = certificateOf({ subject: 'weak', isAuthority: true, usage: null }, root);
        return judged([leaf({}, weak), weak]);
      },
    ],
    [
      'an authority whose own SPIFFE ID has a path',
      'not_an_authority',
      () => {
        const named = certificateOf({ subject: 'named', isAuthority: true, uris: [ID] }, root);
        return judged([leaf({}, named), named]);
      },
    ],
    [
      'an authority below one that allows none',
      'path_too_long',
      () => {
        const first = certificateOf({ subject: 'first', isAuthority: true, pathLength: 0 }, root);
        const second = certificateOf({ subject: 'second', isAuthority: true }, first);
        return judged([leaf({}, second), second, first]);
      },
    ],
    [
      'an authority below a root that allows none',
      'path_too_long',
      () => {
        const strict = authorityOf('strict', { pathLength: 0 });
        const between = certificateOf({ subject: 'between', isAuthority: true }, strict);
        return judged([leaf({}, between), between], [strict]);
      },
    ],
    [
      'an extension that is critical and unknown',
      'unsupported_extension',
      () =>
        judged([
          leaf({ more: [{ id: '1.3.6.1.4.1.99999.1', critical: true, value: sequence() }] }),
        ]),
    ],
    [
      'constraints on names, critical or not',
      'unsupported_extension',
      () => {
        const bound = certificateOf(
          {
            subject: 'bound',
            isAuthority: true,
            more: [{ id: OID.nameConstraints, critical: false, value: sequence() }],
          },
          root,
        );
        return judged([leaf({}, bound), bound]);
      },
    ],
    [
      'an extension that stands twice',
      'malformed',
      () => {
        const twice = { id: '1.3.6.1.4.1.99999.2', critical: false, value: octetString() };
        return judged([leaf({ more: [twice, twice] })]);
      },
    ],
    [
      'an authority as a leaf',
      'not_a_leaf',
      () => judged([leaf({ isAuthority: true, usage: [0] })]),
    ],
    ['a leaf that may sign certificates', 'not_a_leaf', () => judged([leaf({ usage: [0, 5] })])],
    [
      'a leaf that may sign revocation lists',
      'not_a_leaf',
      () => judged([leaf({ usage: [0, 6] })]),
    ],
    ['a leaf that may not sign', 'not_a_leaf', () => judged([leaf({ usage: [4] })])],
    ['a leaf without key usage', 'not_a_leaf', () => judged([leaf({ usage: null })])],
    [
      'a leaf whose key usage is not critical',
      'not_a_leaf',
      () => judged([leaf({ usageCritical: false })]),
    ],
    [
      'a leaf for servers alone',
      'purpose_refused',
      () => judged([leaf({ purposes: [OID.serverAuth] })]),
    ],
    ['two SPIFFE IDs', 'not_one_spiffe_id', () => judged([leaf({ uris: [ID, `${ID}/more`] })])],
    [
      'a SPIFFE ID beside another URI',
      'not_one_spiffe_id',
      () => judged([leaf({ uris: [ID, 'https://partner.example'] })]),
    ],
    ['no URI', 'not_one_spiffe_id', () => judged([leaf({ uris: [] })])],
    [
      'a URI that is no SPIFFE ID',
      'spiffe_id_invalid',
      () => judged([leaf({ uris: ['https://partner.example/ns'] })]),
    ],
    [
      'a SPIFFE ID with an empty segment',
      'spiffe_id_invalid',
      () => judged([leaf({ uris: [`spiffe://${DOMAIN}//agent`] })]),
    ],
    [
      'a SPIFFE ID with an escape',
      'spiffe_id_invalid',
      () => judged([leaf({ uris: [`spiffe://${DOMAIN}/%61gent`] })]),
    ],
    ['the root path', 'spiffe_id_invalid', () => judged([leaf({ uris: [`spiffe://${DOMAIN}`] })])],
    [
      'another trust domain',
      'trust_domain_wrong',
      () => judged([leaf({ uris: ['spiffe://other.example/agent'] })]),
    ],
    [
      'a trust domain that only begins like it',
      'trust_domain_wrong',
      () => judged([leaf({ uris: [`spiffe://${DOMAIN}.evil/agent`] })]),
    ],
  ];
  it.each(cases)('%s', (_name, fault, judge) => {
    expect(judge()).toMatchObject({ fault, spiffeId: null });
  });

  it('a certificate with a weak key, wherever it stands', () => {
    const keys = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const weak = certificateOf({ uris: [ID], keys }, root);
    expect(judged([weak]).fault).toBe('malformed');
    const curve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    expect(judged([certificateOf({ uris: [ID], keys: curve }, root)]).fault).toBe('malformed');
  });

  it('a certificate of which any one byte was changed', () => {
    const { der } = leaf();
    for (let at = 0; at < der.length; at += 1) {
      const changed = Buffer.from(der);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect(judged([{ der: changed }]).fault, `byte ${at}`).not.toBeNull();
    }
  });
});

it('a chain of a PKI of one’s own is judged without any rule of SPIFFE', () => {
  const plain = certificateOf({ subject: 'build-7', purposes: [OID.clientAuth] }, root);
  const verdict = verifyChain([plain.der], { authorities: [root.der], now: new Date() });
  expect(verdict.leaf?.serial).toBe(readCertificate(plain.der).serial);
});
