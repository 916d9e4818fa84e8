// What Temporal stores: every payload encrypted, and no changed one is read.
import { randomBytes } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import { payloadCodec } from '../../keys/codec.ts';

const key = randomBytes(32);
const codec = payloadCodec(key, 'codec-1');
const plain = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const values = [
  { secret: 'hunter2' },
  'text',
  null,
  0,
  [1, 2],
  new Uint8Array([1, 2, 3]),
  undefined,
];

describe('the payload codec', () => {
  it('reads back every kind of value that it encrypted', async () => {
    const decoded = await codec.decode(await codec.encode(values.map(plain)));
    expect(decoded.map((payload) => defaultPayloadConverter.fromPayload<unknown>(payload))).toEqual(
      values,
    );
    expect(await codec.decode(await codec.encode([]))).toEqual([]);
  });

  it('I5: leaves nothing in clear but which key it was', async () => {
    const [encoded] = await codec.encode([plain({ secret: 'hunter2' })]);
    const text = Buffer.from(encoded?.data ?? []).toString('latin1');
    for (const word of ['secret', 'hunter2', 'json', 'encoding']) expect(text).not.toContain(word);
    const metadata = Object.entries(encoded?.metadata ?? {}).map(([name, value]) => [
      name,
      Buffer.from(value).toString(),
    ]);
    expect(Object.fromEntries(metadata)).toEqual({
      encoding: 'binary/encrypted',
      'encryption-key-id': 'codec-1',
    });
  });

  it('refuses every changed byte', async () => {
    const [encoded] = await codec.encode([plain({ secret: 'hunter2' })]);
    const data = encoded?.data ?? new Uint8Array();
    for (let at = 0; at < data.length; at += 1) {
      const changed = Uint8Array.from(data);
      changed[at] = (changed[at] ?? 0) ^ 0x40;
      // The codec throws before it promises anything, as well as after.
      await expect(async () => codec.decode([{ ...encoded, data: changed }])).rejects.toThrow(
        Error,
      );
    }
  });

  it('I6: refuses a payload in clear, whoever wrote it', async () => {
    const [encoded] = await codec.encode([plain('x')]);
    for (const payload of [
      plain('approved'),
      { ...plain('approved'), metadata: {} },
      { ...encoded, metadata: plain('x').metadata ?? null },
      { data: new Uint8Array([1]) },
      {},
    ])
      await expect(async () => codec.decode([payload])).rejects.toThrow('is not encrypted');
    const empty = { metadata: encoded?.metadata ?? null };
    await expect(async () => codec.decode([empty])).rejects.toThrow(Error);
  });

  it('refuses what another key encrypted', async () => {
    const encoded = await payloadCodec(randomBytes(32), 'codec-1').encode([plain('x')]);
    await expect(async () => codec.decode(encoded)).rejects.toThrow(Error);
  });
});
