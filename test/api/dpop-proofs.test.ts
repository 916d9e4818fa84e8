// Proofs of possession where the server gives nonces and runs twice: good once everywhere, and for nothing but their call.
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryPort } from '../../cli/embedded/process.ts';
import type { Running } from '../../cli/running.ts';
import { serve } from '../../cli/serve.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, type Cast } from '../support/cast.ts';
import {
  asClient,
  clientAssertion,
  newKey,
  postForm,
  text,
  type Reply,
  type TestKey,
} from '../support/client.ts';
import { dpopProof } from '../support/delegation.ts';

let cast: Cast;
let key: TestKey;
let second: Running;
let secondUrl: string;
let nonce: string;

beforeAll(async () => {
  cast = await startCast({ env: { COUNTERSIGN_DPOP_NONCE: 'true' } });
  key = await newKey();
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  second = await serve({ ...cast.service.config, port });
  secondUrl = `http://127.0.0.1:${port}`;
  nonce = (await signedInWith(await proven({ nonce: 'none' }))).headers.get('dpop-nonce') ?? '';
});
afterAll(async () => {
  await second.close();
  await cast.close();
});

const tokenUrl = (): string => `${cast.service.publicUrl}/oauth2/token`;

const proven = (over: JsonObject = {}, by = key): Promise<string> =>
  dpopProof(by, { method: 'POST', url: tokenUrl() }, { nonce, ...over });

async function signedInWith(proof: string, url = cast.service.url): Promise<Reply> {
  const { service, agent } = cast;
  const form = {
    grant_type: 'client_credentials',
    ...asClient(await clientAssertion(service, agent.id, agent.key)),
  };
  return postForm({ ...service, url }, '/oauth2/token', form, { dpop: proof });
}

const said = ({ status, body, headers }: Reply): string =>
  `${status} ${text(body['error']) || text(body['code'])} ${headers.get('www-authenticate') ?? ''}`.trim();

/** Reads with several headers of one name, as fetch cannot send them. */
function statusOf(path: string, headers: string[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const host = new URL(cast.service.publicUrl).host;
    const call = request(cast.service.url + path, { headers: ['host', host, ...headers] });
    call.once('response', (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.once('error', reject);
    call.end();
  });
}

describe('a proof that was used at one replica', () => {
  it('is refused at every other, at sign-in and at the API, however many send it at once', async () => {
    const proof = await proven();
    const urls = Array.from({ length: 10 }, (_, at) => (at % 2 ? secondUrl : cast.service.url));
    const replies = await Promise.all(urls.map((url) => signedInWith(proof, url)));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    const token = text(replies.find(({ status }) => status === 200)?.body['access_token']);
    const url = `${cast.service.publicUrl}/v1/tasks`;
    const dpop = await dpopProof(key, { method: 'GET', url, token }, { nonce });
    const read = (base: string) =>
      fetch(`${base}/v1/tasks`, {
        headers: { authorization: `DPoP ${token}`, dpop, host: new URL(url).host },
      });
    const answers = await Promise.all([read(cast.service.url), read(secondUrl)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401]);
  });

  it('frees no jti for another use of the same key, whatever else the proof says', async () => {
    const jti = randomUUID();
    expect((await signedInWith(await proven({ jti }))).status).toBe(200);
    const again = await proven({ jti, extra: true, iat: Math.floor(Date.now() / 1000) - 5 });
    expect(said(await signedInWith(again, secondUrl))).toBe('400 invalid_dpop_proof');
  });
});

describe('a nonce', () => {
  it('is of us, of now, and refused in every other form without a fault', async () => {
    const slot = Math.floor(Date.now() / 1000 / 300);
    const forged = createHmac('sha256', Buffer.alloc(32))
      .update(`countersign/dpop-nonce/v1/${slot}`)
      .digest('base64url');
    for (const wrong of [
      '',
      forged,
      nonce.slice(0, -1),
      `${nonce} `,
      // As long as a nonce in characters, and longer in bytes.
      'é'.repeat(nonce.length),
      '\u{1F511}'.repeat(nonce.length / 2) + 'a',
      null,
      7,
      [nonce],
    ]) {
      const reply = await signedInWith(await proven({ nonce: wrong }));
      expect([wrong, said(reply)]).toEqual([wrong, '400 use_dpop_nonce']);
      expect(reply.headers.get('dpop-nonce')).not.toBeNull();
    }
  });

  it('that is missing uses up neither the assertion nor the proof', async () => {
    const { service, agent } = cast;
    const jti = randomUUID();
    const form = {
      grant_type: 'client_credentials',
      ...asClient(await clientAssertion(service, agent.id, agent.key)),
    };
    const send = async (over: JsonObject) =>
      postForm(service, '/oauth2/token', form, { dpop: await proven({ jti, ...over }) });
    expect(said(await send({ nonce: 'old' }))).toBe('400 use_dpop_nonce');
    expect((await send({})).status).toBe(200);
  });

  it('of one replica is good at the other', async () => {
    expect((await signedInWith(await proven(), secondUrl)).status).toBe(200);
  });
});

describe('a call to the API', () => {
  const path = '/v1/tasks';
  const boundToken = async (): Promise<string> =>
    text((await signedInWith(await proven())).body['access_token']);
  const proofFor = (token: string, over: JsonObject = {}): Promise<string> =>
    dpopProof(
      key,
      { method: 'GET', url: cast.service.publicUrl + path, token },
      { nonce, ...over },
    );

  it('comes with one proof: two of them are none, and so is one beside an empty one', async () => {
    const token = await boundToken();
    const authorization = ['authorization', `DPoP ${token}`];
    const [one, two] = [await proofFor(token), await proofFor(token)];
    expect(await statusOf(path, [...authorization, 'dpop', one, 'dpop', two])).toBe(401);
    expect(await statusOf(path, [...authorization, 'dpop', one, 'dpop', ''])).toBe(401);
    expect(await statusOf(path, [...authorization, 'dpop', '', 'dpop', one])).toBe(401);
    // None of them was used up by that.
    expect(await statusOf(path, [...authorization, 'dpop', one])).toBe(200);
  });

  it('is the one that its proof is for: method, address and token, compared whole', async () => {
    const token = await boundToken();
    const { publicUrl } = cast.service;
    const { host } = new URL(publicUrl);
    const wrong: JsonObject[] = [
      { htm: 'get' },
      { htm: 'POST' },
      { htm: ['GET'] },
      { htu: `${publicUrl}${path}/` },
      { htu: `${publicUrl}/v1//tasks` },
      { htu: `${publicUrl}/v1%2Ftasks` },
      { htu: `${publicUrl}/V1/tasks` },
      { htu: `https://${host}${path}` },
      { htu: `http://${host}.elsewhere.example${path}` },
      { htu: `http://user@${host}${path}` },
      { htu: `//${host}${path}` },
      { htu: path },
      { htu: [`${publicUrl}${path}`] },
      { htu: null },
      { ath: createHash('sha256').update(`${token} `).digest('base64url') },
      { ath: createHash('sha256').update(token).digest('base64') },
      { ath: createHash('sha256').update(token).digest('hex') },
      { ath: null },
    ];
    for (const over of wrong) {
      const headers = ['authorization', `DPoP ${token}`, 'dpop', await proofFor(token, over)];
      expect([over, await statusOf(path, headers)]).toEqual([over, 401]);
    }
  });

  it('is now: a proof is good for 90 seconds of a clock that differs by 30, if it does not say less', async () => {
    const token = await boundToken();
    const now = Math.floor(Date.now() / 1000);
    const statusAt = async (over: JsonObject) =>
      statusOf(path, ['authorization', `DPoP ${token}`, 'dpop', await proofFor(token, over)]);
    for (const good of [{ iat: now - 80 }, { iat: now + 20 }, { nbf: now, exp: now + 10 }])
      expect([good, await statusAt(good)]).toEqual([good, 200]);
    for (const bad of [
      { iat: now - 100 },
      { iat: now + 60 },
      { iat: String(now) },
      { iat: null },
      { exp: now - 60 },
      { exp: 'never' },
      { nbf: now + 60 },
      { nbf: null },
    ])
      expect([bad, await statusAt(bad)]).toEqual([bad, 401]);
  });
});
