// Who is believed, added and taken away from the command line.
import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isObject } from '../../activities/issuers/http.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, type Cast } from '../support/cast.ts';
import { admin, newKey, object, text } from '../support/client.ts';
import { commandLine, type CommandLine, type Variables } from '../support/command-line.ts';

let cast: Cast;
let line: CommandLine;
let automation: Variables;

beforeAll(async () => {
  cast = await startCast();
  line = await commandLine();
  automation = { COUNTERSIGN_URL: cast.service.url, COUNTERSIGN_TOKEN: cast.service.adminToken };
});
afterAll(async () => {
  await line.close();
  await cast.close();
});

const run = (...args: string[]) => line.run(args, automation);
async function json(...args: string[]): Promise<JsonObject> {
  const said = await line.json(args, automation);
  return isObject(said) ? said : {};
}
const fileWith = async (name: string, content: unknown): Promise<string> => {
  const file = path.join(line.folder, name);
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};

describe('countersign scanner', () => {
  it('adds one whose secret is told once, and whose signed report is then heard, until it is removed', async () => {
    const made = await json('scanner', 'add', 'our scanner', '--suspend');
    expect(made).toMatchObject({ name: 'our scanner', kind: 'webhook', policy: 'suspend' });
    const secret = text(made['secret']);
    const reports = async (): Promise<number> => {
      const body = JSON.stringify({ secret: 'nobody knows this one' });
      const [id, at] = [randomUUID(), String(Math.floor(Date.now() / 1000))];
      const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
      const signature = createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64');
      const url = new URL(text(made['url']));
      const { status } = await fetch(`${cast.service.url}${url.pathname}`, {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': at,
          'webhook-signature': `v1,${signature}`,
        },
      });
      return status;
    };
    expect(await reports()).toBeLessThan(300);
    const listed = await run('scanner', 'list');
    expect(listed.stdout).toContain(text(made['id']));
    expect(listed.stdout).toContain('our scanner');
    expect(listed.stdout).not.toContain(secret);
    expect((await run('scanner', 'remove', text(made['id']))).code).toBe(0);
    expect((await run('scanner', 'list')).stdout).not.toContain(text(made['id']));
    expect(await reports()).toBe(404);
    const again = await run('scanner', 'remove', text(made['id']));
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('[not_found]')]);
  });

  it('takes the keys of GitHub as GitHub publishes them, those of now alone', async () => {
    const pem = (): string =>
      generateKeyPairSync('ec', {
        namedCurve: 'P-256',
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      }).publicKey;
    const keys = await fileWith('keys.json', {
      public_keys: [
        { key_identifier: 'now', key: pem(), is_current: true },
        { key_identifier: 'before', key: pem(), is_current: false },
      ],
    });
    const made = await json('scanner', 'add', 'github', '--kind', 'github', '--keys', keys);
    expect(made).toMatchObject({ policy: 'revoke', key_identifiers: ['now'], secret: null });
  });

  it.each([
    ['without keys', ['--kind', 'github'], ''],
    ['with keys for a webhook', ['--keys', 'other.json'], '{"public_keys":[]}'],
    ['with a file that is none', ['--kind', 'github', '--keys', 'other.json'], 'not JSON'],
    ['with another file', ['--kind', 'github', '--keys', 'other.json'], '{"keys":[]}'],
    [
      'with keys that are none',
      ['--kind', 'github', '--keys', 'other.json'],
      '{"public_keys":[1]}',
    ],
  ])('refuses one %s, and sends nothing', async (_what, flags, content) => {
    await fileWith('other.json', content);
    const before = (await run('scanner', 'list')).stdout;
    const refused = await run('scanner', 'add', 'x', ...flags);
    expect([refused.code, refused.stdout]).toEqual([2, '']);
    expect((await run('scanner', 'list')).stdout).toBe(before);
  });
});

describe('countersign trigger-source', () => {
  it('has what a key signs believed until it is removed, and sends the public part alone', async () => {
    const key = await newKey();
    const file = await fileWith('source.json', key.privateJwk);
    const made = await run('trigger-source', 'add', 'scheduler', '--key', file, '--quiet');
    const id = made.stdout.trim();
    expect([made.code, id]).toEqual([0, expect.stringMatching(/^trs_/)]);
    expect((await run('trigger-source', 'list')).stdout).toContain(id);
    const proof = (): Promise<string> =>
      new SignJWT({ event: { type: 'schedule', id: randomUUID() } })
        .setProtectedHeader({ alg: 'ES256', typ: 'trigger-event+jwt', kid: id })
        .setIssuer(id)
        .setAudience(cast.agent.id)
        .setIssuedAt()
        .setExpirationTime('2m')
        .setJti(randomUUID())
        .sign(key.privateKey);
    const begin = async () =>
      cast.agent.call('POST', '/v1/tasks', {
        purpose: 'order support',
        ttl_seconds: 60,
        trigger_proof: await proof(),
      });
    expect((await begin()).body['triggered_by_proof']).toBe('verified');
    expect((await run('trigger-source', 'remove', id)).code).toBe(0);
    expect((await begin()).status).toBeGreaterThanOrEqual(400);
    const events = await admin(cast.service).call('GET', '/v1/events?type=trigger.source_added');
    expect(events.text).not.toContain(key.privateJwk.d ?? 'none');
    expect(object(events.body)['data']).toHaveLength(1);
  });

  it('needs a key that can be read', async () => {
    const missing = await run('trigger-source', 'add', 'x', '--key', 'nowhere.json');
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('cannot be read')]);
    const wrong = await fileWith('wrong.json', '{"kty":"RSA"}');
    expect((await run('trigger-source', 'add', 'x', '--key', wrong)).code).not.toBe(0);
  });
});
