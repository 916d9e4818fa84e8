import { createHmac, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { fakeGithubScanner } from '../fakes/github-scanner.ts';
import { admin, eventually, text } from '../support/client.ts';
import { holdAgainstTable } from '../support/conformance.ts';
import { startLeakStage, type LeakStage } from '../support/leaked.ts';

let stage: LeakStage;
beforeAll(async () => {
  stage = await startLeakStage();
});
afterAll(() => stage.close());

describe('a scanner', () => {
  const add = async (body: JsonObject): Promise<JsonObject> => {
    const reply = await admin(stage.cast.service).call('POST', '/v1/leak-scanners', body);
    expect(reply.status).toBe(201);
    return reply.body;
  };

  async function send(
    scanner: JsonObject,
    body: string,
    headers: Record<string, string>,
  ): Promise<{ status: number; body: JsonObject }> {
    const path = `/v1/leak-scanners/${text(scanner['id'])}/reports`;
    const response = await fetch(stage.cast.service.url + path, { method: 'POST', body, headers });
    const answer = await response.text();
    stage.answers.push(answer);
    const { status, headers: seen } = response;
    holdAgainstTable({ method: 'POST', path, status, headers: seen, text: answer });
    return { status, body: JSON.parse(answer) as JsonObject };
  }

  const match = (token: string) => ({
    token,
    type: 'countersign_credential',
    url: 'https://github.example/some/repository/blob/main/.env',
    source: 'commit',
  });

  it('of GitHub ends what it found, by its signature over the raw body', async () => {
    const github = fakeGithubScanner();
    const scanner = await add({ name: 'GitHub', kind: 'github', public_keys: github.publicKeys });
    const jwt = await stage.given('reports-api');
    const { body, headers } = github.sign([match(stage.secretOf(jwt)), match('not ours at all')]);
    const reply = await send(scanner, body, headers);
    expect(reply).toMatchObject({ status: 200, body: { received: 2 } });
    await eventually(async () => (await stage.stateOf(jwt.id))['state'] === 'revoked');
    const again = await send(scanner, body, headers);
    expect(again.body).toEqual(reply.body);
  });

  it('of GitHub is not believed with another key, another body, or none of it', async () => {
    const github = fakeGithubScanner();
    const scanner = await add({ name: 'GitHub', kind: 'github', public_keys: github.publicKeys });
    const jwt = await stage.given('reports-api');
    const { body, headers } = github.sign([match(stage.secretOf(jwt))]);
    const stranger = fakeGithubScanner().sign([match(stage.secretOf(jwt))]);
    const named = { 'github-public-key-identifier': headers['github-public-key-identifier'] ?? '' };
    const tries: [string, Record<string, string>][] = [
      [`${body} `, headers],
      [stranger.body, stranger.headers],
      [stranger.body, { ...stranger.headers, ...named }],
      [body, named],
      [body, { ...headers, 'github-public-key-identifier': '__proto__' }],
      [body, { ...headers, 'github-public-key-signature': '' }],
      [body, {}],
    ];
    for (const [sent, carried] of tries)
      expect((await send(scanner, sent, carried)).status).toBe(401);
    expect((await stage.stateOf(jwt.id))['state']).toBe('active');
  });

  it('cannot end by a name alone what it never had', async () => {
    const github = fakeGithubScanner();
    const scanner = await add({ name: 'GitHub', kind: 'github', public_keys: github.publicKeys });
    const login = await stage.given('orders-readonly');
    const { body, headers } = github.sign([match(text(login.material['username']))]);
    const reply = await send(scanner, body, headers);
    const [leak] = Array.isArray(reply.body['leaks']) ? reply.body['leaks'] : [];
    const read = await admin(stage.cast.service).call('GET', `/v1/leaks/${text(leak)}`);
    expect(read.body['state']).toBe('named');
    expect((await stage.stateOf(login.id))['state']).toBe('active');
  });

  it('is heard when the place holds the secret, and the place is not kept', async () => {
    const github = fakeGithubScanner();
    const scanner = await add({ name: 'GitHub', kind: 'github', public_keys: github.publicKeys });
    const jwt = await stage.given('reports-api');
    const secret = stage.secretOf(jwt);
    const { body, headers } = github.sign([
      { ...match(secret), url: `https://github.example/?token=${secret}` },
    ]);
    expect((await send(scanner, body, headers)).status).toBe(200);
    await eventually(async () => (await stage.stateOf(jwt.id))['state'] === 'revoked');
  });

  it('refuses a key that GitHub would not sign with', async () => {
    const reply = await admin(stage.cast.service).call('POST', '/v1/leak-scanners', {
      name: 'GitHub',
      kind: 'github',
      public_keys: [{ key_identifier: 'one', key: 'not a key' }],
    });
    expect(reply.body['code']).toBe('invalid_request');
  });

  const signWebhook = (secret: string, body: string, more: { id?: string; at?: number } = {}) => {
    const { id = randomUUID(), at = Math.floor(Date.now() / 1000) } = more;
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    const mac = createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64');
    return {
      'webhook-id': id,
      'webhook-timestamp': String(at),
      'webhook-signature': `v1a,AAAA v1,${mac}`,
    };
  };

  it('with a signed webhook ends what it found, and suspends where it was added so', async () => {
    const scanner = await add({ name: 'Trufflehog', kind: 'webhook', policy: 'suspend' });
    const agent = await stage.newAgent();
    const jwt = await stage.given('reports-api', agent);
    const body = JSON.stringify({ secret: stage.secretOf(jwt), where: 'a wiki page' });
    const headers = signWebhook(text(scanner['secret']), body);
    expect((await send(scanner, body, headers)).status).toBe(200);
    const holder = await admin(stage.cast.service).call('GET', `/v1/agents/${agent.id}`);
    expect(holder.body['state']).toBe('suspended');
    const listed = await admin(stage.cast.service).call('GET', '/v1/leak-scanners');
    expect(listed.text).not.toContain(text(scanner['secret']));
  });

  it('with a webhook is not believed stale, changed, or signed with another secret', async () => {
    const scanner = await add({ name: 'Trufflehog', kind: 'webhook' });
    const jwt = await stage.given('reports-api');
    const body = JSON.stringify({ secret: stage.secretOf(jwt) });
    const secret = text(scanner['secret']);
    const now = Math.floor(Date.now() / 1000);
    const codes: unknown[] = [];
    for (const [sent, headers] of [
      [body, signWebhook(secret, body, { at: now - 400 })],
      [body, signWebhook(secret, body, { at: now + 400 })],
      [body, { ...signWebhook(secret, body), 'webhook-timestamp': 'NaN' }],
      [body, signWebhook('whsec_AAAA', body)],
      [`${body} `, signWebhook(secret, body)],
      [body, { ...signWebhook(secret, body), 'webhook-id': 'another' }],
    ] as const)
      codes.push((await send(scanner, sent, headers)).body['code']);
    expect(codes).toEqual([
      ...Array<string>(3).fill('stale_timestamp'),
      ...Array<string>(3).fill('bad_signature'),
    ]);
    expect((await stage.stateOf(jwt.id))['state']).toBe('active');
  });

  it('that was removed is heard no more', async () => {
    const scanner = await add({ name: 'Trufflehog', kind: 'webhook' });
    const path = `/v1/leak-scanners/${text(scanner['id'])}`;
    expect((await admin(stage.cast.service).call('DELETE', path)).status).toBe(204);
    const headers = signWebhook(text(scanner['secret']), '{}');
    expect((await send(scanner, '{}', headers)).status).toBe(404);
  });

  it('says nothing of a wrong report that was in it', async () => {
    const scanner = await add({ name: 'Trufflehog', kind: 'webhook' });
    const body = JSON.stringify({ secretly: 'a-member-nobody-knows-of' });
    const reply = await send(scanner, body, signWebhook(text(scanner['secret']), body));
    expect(reply.status).toBe(400);
    expect(JSON.stringify(reply.body)).not.toContain('secretly');
  });
});

describe('I5: what was pasted', () => {
  it('is in no table, no event, no log line and no answer', async () => {
    expect(stage.pasted.length).toBeGreaterThan(4);
    for (const { place, bytes, found } of await stage.sweep()) {
      expect(bytes).toBeGreaterThan(200);
      expect({ place, found }).toEqual({ place, found: 0 });
    }
  });
});
