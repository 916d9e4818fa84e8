import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { admin, anyone, list, object, person, text } from '../support/client.ts';
import { holdAgainstTable } from '../support/conformance.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService({ worker: false });
});
afterAll(() => service.close());

interface Raw {
  status: number;
  code: string;
  text: string;
  headers: Headers;
}

/** Sends bytes as they are, as the admin token. */
async function raw(
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Raw> {
  const response = await fetch(service.url + path, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${service.adminToken}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: typeof body === 'string' ? body : new Blob([new Uint8Array(body)]),
  });
  const answer = await response.text();
  const { status } = response;
  holdAgainstTable({ method: 'POST', path, status, headers: response.headers, text: answer });
  const parsed: unknown = answer === '' ? {} : JSON.parse(answer);
  return {
    status,
    code: text(object(asJson(parsed))['code']),
    text: answer,
    headers: response.headers,
  };
}

/** What `JSON.parse` made. */
const asJson = (parsed: unknown) => parsed as JsonObject;

const PERSON = '"roles":[],"groups":[]';
const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))),
  );

describe('SEC-A5: a body that two readers could understand differently is refused', () => {
  it.each([
    ['an unknown member', `{"name":"A",${PERSON},"surplus":1}`],
    ['a member that is there twice', `{"name":"A","name":"B",${PERSON}}`],
    ['a member that is there twice, once escaped', `{"name":"A","n\\u0061me":"B",${PERSON}}`],
    ['a deep twice', `{"name":"A",${PERSON},"x":{"a":1,"a":2}}`],
    ['__proto__', `{"name":"A",${PERSON},"__proto__":{"roles":["admin"]}}`],
    ['constructor', `{"name":"A",${PERSON},"constructor":{}}`],
    ['a NUL in a string', `{"name":"A\\u0000B",${PERSON}}`],
    ['half a surrogate pair', `{"name":"A\\ud800",${PERSON}}`],
    ['a byte order mark', bytes([0xef, 0xbb, 0xbf], `{"name":"A",${PERSON}}`)],
    ['bytes that are not UTF-8', bytes('{"name":"', [0xff, 0xfe], `",${PERSON}}`)],
    ['an overlong encoding', bytes('{"name":"', [0xc0, 0xaf], `",${PERSON}}`)],
    ['UTF-16', Buffer.from(`{"name":"A",${PERSON}}`, 'utf16le')],
    ['a thousand levels', `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`],
    ['a thousand lists', `${'['.repeat(1000)}${']'.repeat(1000)}`],
    ['more after its end', `{"name":"A",${PERSON}}{}`],
    ['a comment', `{"name":"A",/* */${PERSON}}`],
    ['a trailing comma', `{"name":"A",${PERSON},}`],
    ['single quotes', `{'name':'A'}`],
    ['NaN', `{"name":NaN,${PERSON}}`],
    ['a list', '[]'],
    ['null', 'null'],
    ['a string', '"x"'],
    ['nothing at all', ''],
    ['a number for a string', `{"name":1,${PERSON}}`],
    ['a name of nothing but space', `{"name":"   ",${PERSON}}`],
    ['a role that there is not', '{"name":"A","roles":["root"],"groups":[]}'],
  ])('%s', async (_what, body) => {
    const before = list((await admin(service).call('GET', '/v1/people?limit=500')).body['data']);
    const reply = await raw('/v1/people', body);
    expect(`${reply.status} ${reply.code}`).toBe('400 invalid_request');
    const after = list((await admin(service).call('GET', '/v1/people?limit=500')).body['data']);
    expect(after).toHaveLength(before.length);
  });

  it('any other type than JSON', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'text/json',
      'application/jsonp',
      'application/problem+json',
      'multipart/form-data; boundary=x',
      '',
    ]) {
      const reply = await raw('/v1/people', `{"name":"A",${PERSON}}`, { 'content-type': type });
      expect(reply.code).toBe('invalid_request');
    }
    const fine = await raw('/v1/people', `{"name":"A",${PERSON}}`, {
      'content-type': 'Application/JSON; charset=utf-8',
    });
    expect(fine.status).toBe(201);
  });

  it('more than is read: announced, or only sent', async () => {
    const large = `{"name":"${'x'.repeat(10_000_000)}",${PERSON}}`;
    const announced = await raw('/v1/people', large);
    expect(`${announced.status} ${announced.code}`).toBe('413 too_large');
    const chunked = httpRequest(`${service.url}/v1/people`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${service.adminToken}`,
        'content-type': 'application/json',
        'transfer-encoding': 'chunked',
      },
    });
    chunked.on('error', () => undefined);
    const answered = answerTo(chunked);
    for (let part = 0; part < 40; part += 1) chunked.write('x'.repeat(10_000));
    chunked.end();
    expect((await answered).statusCode).toBe(413);
  });

  it('a mistake is pointed at', async () => {
    const reply = await raw('/v1/people', `{"name":"A","roles":[],"groups":["ok","Not Ok"]}`);
    const problem = asJson(JSON.parse(reply.text));
    expect(list(problem['errors'])[0]?.['pointer']).toBe('/groups/1');
  });
});

const answerTo = (call: ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    call.once('response', resolve);
    call.once('error', reject);
  });

describe('addresses', () => {
  it('ids in any other form find nothing', async () => {
    const made = await person(service, 'Ida', []);
    const suffix = made.id.slice(4);
    for (const id of [
      made.id.toUpperCase(),
      suffix,
      `agt_${suffix}`,
      `${made.id}%20`,
      `${made.id}%00`,
      `${made.id}%0a`,
      `%2e%2e%2f${made.id}`,
      `${made.id}/`,
      'x'.repeat(5000),
      "'%20or%201=1--",
      '%ff',
      '__proto__',
    ]) {
      const reply = await admin(service).call('PATCH', `/v1/people/${id}`, { groups: [] });
      expect([400, 404]).toContain(reply.status);
      const agent = await admin(service).call('GET', `/v1/agents/${id}`);
      expect([400, 404]).toContain(agent.status);
    }
  });

  it('a query parameter that is unknown, twice, or holds what cannot be kept is refused', async () => {
    for (const query of [
      '?surplus=1',
      '?limit=1&limit=2',
      '?name=%00',
      '?state=nonsense',
      '?limit',
    ]) {
      const reply = await admin(service).call('GET', `/v1/agents${query}`);
      expect(reply.body['code']).toBe('invalid_request');
    }
    const none = await admin(service).call('GET', '/v1/policies/active?x=1');
    expect(none.body['code']).toBe('invalid_request');
  });

  it('other methods of a path are not taken', async () => {
    for (const [method, path] of [
      ['PUT', '/v1/people'],
      ['DELETE', '/v1/agents'],
      ['PATCH', '/v1/tasks'],
    ] as const) {
      const reply = await admin(service).call(method, path);
      expect([reply.status, reply.body['code']]).toEqual([405, 'method_not_allowed']);
    }
  });

  it('other paths are not there', async () => {
    for (const [method, path] of [
      ['GET', '/v1'],
      ['GET', '/v1/'],
      ['GET', '/v1/people/'],
      ['GET', '//v1/people'],
      ['TRACE', '/v1/people'],
    ] as const) {
      const reply = await admin(service)
        .call(method, path)
        .catch(() => null);
      expect([404, undefined]).toContain(reply?.status);
    }
  });
});

describe('lists', () => {
  it('have a limit between 1 and 500', async () => {
    for (const limit of [
      '0',
      '-1',
      '501',
      '1e9',
      '1.5',
      'abc',
      '',
      ' ',
      '0x10x',
      'NaN',
      'Infinity',
    ]) {
      const query = `?limit=${encodeURIComponent(limit)}`;
      const reply = await admin(service).call('GET', `/v1/people${query}`);
      expect(reply.body['code']).toBe('invalid_request');
    }
  });

  it('go on from a cursor of theirs, and from no other', async () => {
    for (const name of ['Ann', 'Ben', 'Cat']) await person(service, name, []);
    const first = await admin(service).call('GET', '/v1/people?limit=2');
    const cursor = text(first.body['next_cursor']);
    const next = await admin(service).call('GET', `/v1/people?limit=2&cursor=${cursor}`);
    const ids = [...list(first.body['data']), ...list(next.body['data'])].map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
    for (const wrong of [
      `A${cursor.slice(1)}`,
      `${cursor.slice(0, -2)}AA`,
      cursor.slice(0, 10),
      Buffer.from('psn_00000000000000000000000000').toString('base64url'),
      'x',
      '',
      'x'.repeat(600),
    ]) {
      const reply = await admin(service).call('GET', `/v1/people?cursor=${wrong}`);
      expect(reply.body['code']).toBe('invalid_request');
    }
    for (const elsewhere of ['/v1/agents', '/v1/tasks', '/v1/requests', '/v1/events']) {
      const reply = await admin(service).call('GET', `${elsewhere}?cursor=${cursor}`);
      expect(reply.body['code']).toBe('invalid_request');
    }
  });
});

/** A call over node:http, which lets a header be anything. */
async function plain(path: string, headers: Record<string, string>): Promise<Raw> {
  const call = httpRequest(service.url + path, { headers });
  const answered = answerTo(call);
  call.end();
  const incoming = await answered;
  const body = await readAll(incoming);
  const found = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) found.set(name, String(value));
  const parsed: unknown = body.startsWith('{') ? JSON.parse(body) : {};
  return {
    status: incoming.statusCode ?? 0,
    code: text(object(asJson(parsed))['code']),
    text: body,
    headers: found,
  };
}

describe('headers', () => {
  it('a name that is not ours is refused, so that no rebound name reaches us', async () => {
    for (const host of ['evil.example', `evil.example:${service.config.port}`, '127.0.0.1:1'])
      expect((await plain('/v1/people', { host })).code).toBe('invalid_request');
    expect((await plain('/livez', { host: 'whatever' })).status).toBe(200);
  });

  it('a request id is given back, and replaced where it could break a log', async () => {
    const given = await plain('/version', { 'x-request-id': 'my-id.1' });
    expect(given.headers.get('x-request-id')).toBe('my-id.1');
    for (const id of ['a b', 'x'.repeat(101), '{"a":1}', 'ü']) {
      const reply = await plain('/version', { 'x-request-id': Buffer.from(id).toString('latin1') });
      expect(reply.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('more of them than anybody needs are refused', async () => {
    const reply = await plain('/version', { 'x-much': 'x'.repeat(60_000) });
    expect(reply.status).toBe(431);
    const { port } = service.config;
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString('latin1')));
    });
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 400/);
  });

  it('that keep a browser safe are on every answer, errors too', async () => {
    const answers = await Promise.all([
      anyone(service).call('GET', '/version'),
      anyone(service).call('GET', '/nothing'),
      anyone(service).call('GET', '/v1/people'),
      admin(service).call('POST', '/v1/people', {}),
      anyone(service).call('GET', '/openapi.json'),
    ]);
    for (const { headers } of answers) {
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.has('access-control-allow-origin')).toBe(false);
      expect(headers.has('x-powered-by')).toBe(false);
    }
  });
});

describe('a fault of ours', () => {
  it('says a request id and nothing of its inside', async () => {
    const { sql } = service.database.owner;
    await sql`alter table review rename to review_gone`;
    try {
      const reply = await plain('/v1/reviews', { authorization: `Bearer ${service.adminToken}` });
      expect(`${reply.status} ${reply.code}`).toBe('500 internal_error');
      const members = Object.keys(asJson(JSON.parse(reply.text)));
      expect(new Set(members)).toEqual(
        new Set(['type', 'title', 'status', 'code', 'detail', 'request_id']),
      );
      for (const inside of ['review', 'relation', 'select', 'postgres', '.ts', 'Error'])
        expect(reply.text).not.toContain(inside);
      expect(reply.text).toContain(reply.headers.get('x-request-id') ?? 'none');
    } finally {
      await sql`alter table review_gone rename to review`;
    }
  });
});
