// Ed25519 and what is signed with it, against published answers and against node:crypto.
import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeEd25519Key, openEd25519Key, verifyEd25519 } from '../../keys/ed25519.ts';
import { openWebhookSigner } from '../../keys/webhook.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
/** A key from its seed (RFC 8410 §7). */
const fromSeed = (seed: string): string =>
  `-----BEGIN PRIVATE KEY-----\n${hex(`302e020100300506032b657004220420${seed}`).toString('base64')}\n-----END PRIVATE KEY-----\n`;

// RFC 8032 §7.1: tests 1, 2 and 3.
const RFC_8032 = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    public: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    public: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    public: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
];

describe('Ed25519', () => {
  it.each(RFC_8032)('signs and verifies the message "$message" of RFC 8032', (vector) => {
    const key = openEd25519Key(fromSeed(vector.seed));
    expect(Buffer.from(key.publicKey).toString('hex')).toBe(vector.public);
    const signature = key.sign(hex(vector.message));
    expect(Buffer.from(signature).toString('hex')).toBe(vector.signature);
    expect(verifyEd25519(key.publicKey, hex(vector.message), signature)).toBe(true);
  });

  it('refuses every changed bit, another key, another message and another length', () => {
    const key = openEd25519Key(makeEd25519Key());
    const message = Buffer.from('message');
    const signature = key.sign(message);
    for (let bit = 0; bit < 512; bit += 1) {
      const changed = Uint8Array.from(signature);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verifyEd25519(key.publicKey, message, changed)).toBe(false);
    }
    const other = openEd25519Key(makeEd25519Key());
    expect(verifyEd25519(other.publicKey, message, signature)).toBe(false);
    expect(verifyEd25519(key.publicKey, Buffer.from('massage'), signature)).toBe(false);
    for (const cut of [new Uint8Array(), signature.slice(1), Buffer.concat([signature, signature])])
      expect(verifyEd25519(key.publicKey, message, cut)).toBe(false);
  });

  it('opens no key of another kind', () => {
    expect(() => openEd25519Key('')).toThrow(Error);
    expect(() =>
      openEd25519Key('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----'),
    ).toThrow(Error);
  });
});

describe('a webhook of ours', () => {
  // Standard Webhooks §Signature scheme, asymmetric form, with the key of RFC 8032 test 1.
  const signer = openWebhookSigner(openEd25519Key(fromSeed(RFC_8032[0]?.seed ?? '')));
  const body = '{"test": 2432232314}';
  const headers = signer.headers('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, body);

  it('is signed over id, time and body with the key that receivers configure', () => {
    expect(headers['webhook-id']).toBe('msg_p5jXN8AQM9LWM0D4loKWxJek');
    expect(headers['webhook-timestamp']).toBe('1614265330');
    expect(signer.publicKey).toBe('whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=');
    const raw = Buffer.from(signer.publicKey.slice(5), 'base64');
    const spki = Buffer.concat([hex('302a300506032b6570032100'), raw]);
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const [version, signature = ''] = (headers['webhook-signature'] ?? '').split(',');
    expect(version).toBe('v1a');
    const signed = Buffer.from(`msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.${body}`);
    expect(verify(null, signed, key, Buffer.from(signature, 'base64'))).toBe(true);
  });

  it('has the answer that it had when this test was written', () => {
    expect(headers['webhook-signature']).toBe(
      'v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw==',
    );
  });

  it('is signed otherwise for another id, another second or another body', () => {
    const signatures = [
      headers,
      signer.headers('msg_other', 1614265330, body),
      signer.headers('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265331, body),
      signer.headers('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, `${body} `),
    ].map((each) => each['webhook-signature']);
    expect(new Set(signatures).size).toBe(4);
  });
});
