// Certificates of any shape, right and wrong, for judging what judges them.
import {
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto';
import { OID } from '../../keys/x509/certificate.ts';
import {
  bitString,
  context,
  encode,
  integer,
  octetString,
  oid,
  sequence,
  TAG,
  time,
  TRUE,
} from '../../keys/x509/der.ts';
import { toPem } from '../../keys/x509/pem.ts';

export interface TestAuthority {
  name: string;
  der: Buffer;
  privateKey: KeyObject;
}

export interface Shape {
  subject?: string;
  isAuthority?: boolean;
  pathLength?: number;
  /** Bits of the key usage; null leaves it out. */
  usage?: number[] | null;
  usageCritical?: boolean;
  purposes?: string[] | null;
  uris?: string[];
  notBefore?: Date;
  notAfter?: Date;
  /** Further extensions, by identifier. */
  more?: { id: string; critical: boolean; value: Buffer }[];
  keys?: { publicKey: KeyObject; privateKey: KeyObject };
}

export const p256 = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' });

export const hours = (count: number): Date => new Date(Date.now() + count * 3_600_000);

const name = (text: string): Buffer =>
  text === ''
    ? sequence()
    : sequence(
        encode(TAG.set, sequence(oid('2.5.4.3'), encode(TAG.utf8String, Buffer.from(text)))),
      );

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octetString(value));

function usageBits(bits: number[]): Buffer {
  let byte = 0;
  for (const bit of bits) byte |= 0x80 >> bit;
  const unused = 7 - Math.max(...bits);
  return bitString(Buffer.from([byte]), unused);
}

function extensionsOf(shape: Shape): Buffer[] {
  const { isAuthority = false, pathLength, usage = isAuthority ? [5, 6] : [0] } = shape;
  const { purposes = isAuthority ? null : [OID.serverAuth, OID.clientAuth], uris = [] } = shape;
  return [
    extension(
      OID.basicConstraints,
      true,
      sequence(
        ...(isAuthority ? [TRUE] : []),
        ...(pathLength === undefined ? [] : [integer(Buffer.from([pathLength]))]),
      ),
    ),
    ...(usage === null
      ? []
      : [extension(OID.keyUsage, shape.usageCritical ?? true, usageBits(usage))]),
    ...(purposes === null
      ? []
      : [extension(OID.extendedKeyUsage, false, sequence(...purposes.map(oid)))]),
    ...(uris.length === 0
      ? []
      : [
          extension(
            OID.subjectAltName,
            true,
            sequence(...uris.map((uri) => encode(context(6, false), Buffer.from(uri)))),
          ),
        ]),
    ...(shape.more ?? []).map(({ id, critical, value }) => extension(id, critical, value)),
  ];
}

/** A certificate of this shape, signed by the authority, or by itself. */
export function certificateOf(shape: Shape, issuer: TestAuthority | null): TestAuthority {
  const keys = shape.keys ?? p256();
  const subject = shape.subject ?? '';
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const content = sequence(
    encode(context(0, true), integer(Buffer.from([2]))),
    integer(randomBytes(12)),
    algorithm,
    name(issuer?.name ?? subject),
    sequence(time(shape.notBefore ?? hours(-1)), time(shape.notAfter ?? hours(1))),
    name(subject),
    keys.publicKey.export({ format: 'der', type: 'spki' }),
    encode(context(3, true), sequence(...extensionsOf(shape))),
  );
  const signature = sign('sha256', content, issuer?.privateKey ?? keys.privateKey);
  return {
    name: subject,
    der: sequence(content, algorithm, bitString(signature)),
    privateKey: keys.privateKey,
  };
}

/** A self-signed authority. */
export const authorityOf = (subject: string, shape: Shape = {}): TestAuthority =>
  certificateOf({ subject, isAuthority: true, notAfter: hours(24), ...shape }, null);

/** A signing request in PEM for the key, by default signed with it and asking for an authority, which nobody gets. */
export function signingRequest(
  privateKey: KeyObject,
  over: { commonName?: string; signWith?: KeyObject } = {},
): string {
  const askedFor = sequence(
    extension(OID.basicConstraints, true, sequence(TRUE)),
    extension(
      OID.subjectAltName,
      false,
      sequence(encode(context(6, false), Buffer.from('spiffe://countersign.local/agent/other'))),
    ),
  );
  const content = sequence(
    integer(Buffer.from([0])),
    name(over.commonName ?? ''),
    createPublicKey(privateKey).export({ format: 'der', type: 'spki' }),
    encode(context(0, true), sequence(oid('1.2.840.113549.1.9.14'), encode(TAG.set, askedFor))),
  );
  const signature = sign('sha256', content, over.signWith ?? privateKey);
  return toPem(
    'CERTIFICATE REQUEST',
    sequence(content, sequence(oid(OID.ecdsaWithSha256)), bitString(signature)),
  );
}

export const pemOf = ({ der }: Pick<TestAuthority, 'der'>): string => toPem('CERTIFICATE', der);

export const keyPemOf = ({ privateKey }: Pick<TestAuthority, 'privateKey'>): string =>
  privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
