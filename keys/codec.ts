// Everything that enters Temporal is encrypted: inputs, results, signals, and with them failure messages.
import { METADATA_ENCODING_KEY, type Payload, type PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { decrypt, encrypt } from './vault.ts';

const ENCODING = new TextEncoder().encode('binary/encrypted');
const KEY_ID = 'encryption-key-id';
const USE = 'countersign/temporal/v1';

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;

export function payloadCodec(key: Uint8Array, keyId: string): PayloadCodec {
  const metadata = { [METADATA_ENCODING_KEY]: ENCODING, [KEY_ID]: new TextEncoder().encode(keyId) };
  return {
    encode: (payloads) =>
      Promise.resolve(
        payloads.map((payload) => ({
          metadata,
          data: encrypt(key, PayloadMessage.encode(payload).finish(), USE),
        })),
      ),
    decode: (payloads) => Promise.resolve(payloads.map((payload) => decode(key, payload))),
  };
}

function decode(key: Uint8Array, payload: Payload): Payload {
  const encoding = payload.metadata?.[METADATA_ENCODING_KEY];
  if (!encoding || Buffer.compare(encoding, ENCODING) !== 0)
    throw new Error('a payload in Temporal is not encrypted: it was not written by this service');
  return PayloadMessage.decode(decrypt(key, payload.data ?? new Uint8Array(), USE));
}
