// The messages of the SPIFFE Workload API (workloadapi.proto) in protobuf's wire format: two that are read, the
// others written.
import type { JsonObject, JsonValue } from '../../domain/json.ts';

/** Bytes that are no message. */
export class MessageError extends Error {}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** A field of bytes, text or another message. */
function field(number: number, content: string | Uint8Array): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  return Buffer.concat([varint(number * 8 + BYTES), varint(bytes.length), bytes]);
}

/** `map<string, …>`: an entry for each pair. */
const mapField = (number: number, entries: ReadonlyMap<string, Uint8Array>): Buffer =>
  Buffer.concat(
    [...entries].map(([key, value]) =>
      field(number, Buffer.concat([field(1, key), field(2, value)])),
    ),
  );

/** DER certificates behind one another, by SPIFFE ID of their trust domain. */
export type Bundles = ReadonlyMap<string, Uint8Array>;

export interface X509SvidMessage {
  spiffeId: string;
  chain: Uint8Array;
  /** PKCS #8, DER. */
  privateKey: Uint8Array;
  bundle: Uint8Array;
}

/** Lists of what was revoked, DER. */
export type RevocationLists = readonly Uint8Array[];

const listField = (number: number, lists: RevocationLists): Buffer =>
  Buffer.concat(lists.map((list) => field(number, list)));

export const x509SvidResponse = (
  svid: X509SvidMessage,
  lists: RevocationLists,
  federated: Bundles,
): Buffer =>
  Buffer.concat([
    field(
      1,
      Buffer.concat([
        field(1, svid.spiffeId),
        field(2, svid.chain),
        field(3, svid.privateKey),
        field(4, svid.bundle),
      ]),
    ),
    listField(2, lists),
    mapField(3, federated),
  ]);

export const x509BundlesResponse = (lists: RevocationLists, bundles: Bundles): Buffer =>
  Buffer.concat([listField(1, lists), mapField(2, bundles)]);

export const jwtBundlesResponse = (bundles: Bundles): Buffer => mapField(1, bundles);

export const jwtSvidResponse = (svid: { spiffeId: string; token: string }): Buffer =>
  field(1, Buffer.concat([field(1, svid.spiffeId), field(2, svid.token)]));

export const validateJwtSvidResponse = (valid: { spiffeId: string; claims: JsonObject }): Buffer =>
  Buffer.concat([field(1, valid.spiffeId), field(2, struct(valid.claims))]);

/** google.protobuf.Struct. */
const struct = (object: JsonObject): Buffer =>
  mapField(1, new Map(Object.entries(object).map(([name, value]) => [name, structValue(value)])));

/** google.protobuf.Value, whose members keep their tag even where their value is the default. */
function structValue(value: JsonValue): Buffer {
  if (value === null) return Buffer.concat([varint(1 * 8 + VARINT), varint(0)]);
  if (typeof value === 'string') return field(3, value);
  if (typeof value === 'boolean') return Buffer.concat([varint(4 * 8), varint(value ? 1 : 0)]);
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return Buffer.concat([varint(2 * 8 + FIXED64), bytes]);
  }
  if (Array.isArray(value))
    return field(6, Buffer.concat(value.map((each) => field(1, structValue(each)))));
  return field(5, struct(value));
}

export interface JwtSvidRequest {
  audience: string[];
  /** Empty where any will do. */
  spiffeId: string;
}

export function readJwtSvidRequest(bytes: Buffer): JwtSvidRequest {
  const fields = readFields(bytes);
  return {
    audience: fields.filter(({ number }) => number === 1).map(({ content }) => readText(content)),
    spiffeId: lastText(fields, 2),
  };
}

export interface ValidateJwtSvidRequest {
  audience: string;
  svid: string;
}

export function readValidateJwtSvidRequest(bytes: Buffer): ValidateJwtSvidRequest {
  const fields = readFields(bytes);
  return { audience: lastText(fields, 1), svid: lastText(fields, 2) };
}

interface Field {
  number: number;
  content: Buffer;
}

const lastText = (fields: readonly Field[], wanted: number): string =>
  readText(fields.findLast(({ number }) => number === wanted)?.content ?? Buffer.alloc(0));

function readText(content: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch (cause) {
    throw new MessageError('a text of the message is not UTF-8', { cause });
  }
}

/** The fields of bytes and text; those of other kinds are of later versions, and passed over. */
function readFields(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at];
      if (byte === undefined) break;
      at += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new MessageError('a number of the message is too long, or ends early');
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const kind = tag % 8;
    if (kind === VARINT) readVarint();
    else if (kind === FIXED64) at += 8;
    else if (kind === FIXED32) at += 4;
    else if (kind === BYTES) {
      const length = readVarint();
      fields.push({ number: Math.floor(tag / 8), content: bytes.subarray(at, at + length) });
      at += length;
    } else throw new MessageError('the message has a field of an unknown kind');
    if (at > bytes.length) throw new MessageError('the message ends early');
  }
  return fields;
}
