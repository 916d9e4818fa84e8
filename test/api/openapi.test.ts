import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTES } from '../../api/app.ts';
import { EVENTS } from '../../domain/event-types.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { REFUSAL_CODES } from '../../domain/refusal.ts';
import { admin, anyone, list, object, text } from '../support/client.ts';
import { holdAgainstTable } from '../support/conformance.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let document: JsonObject;

beforeAll(async () => {
  service = await startService({ worker: false });
  const reply = await anyone(service).call('GET', '/openapi.json');
  document = reply.body;
});
afterAll(() => service.close());

/** Everything in a tree that is under a member of this name. */
function membersNamed(value: JsonValue, name: string): JsonValue[] {
  if (Array.isArray(value)) return value.flatMap((each) => membersNamed(each, name));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([member, below]) => [
    ...(member === name ? [below] : []),
    ...membersNamed(below, name),
  ]);
}

const operations = (): { path: string; method: string; operation: JsonObject }[] =>
  Object.entries(object(document['paths'])).flatMap(([path, methods]) =>
    Object.entries(object(methods)).map(([method, operation]) => ({
      path,
      method,
      operation: object(operation),
    })),
  );

describe('/openapi.json', () => {
  it('is OpenAPI 3.1 with every route of the table and no other', () => {
    expect(text(document['openapi'])).toMatch(/^3\.1\.\d+$/);
    expect(text(object(document['info'])['version'])).not.toBe('');
    const described = operations().map(({ path, method }) => `${method} ${path}`);
    const inTable = ROUTES.map(({ path, method }) => `${method} ${path}`);
    expect(new Set(described)).toEqual(new Set(inTable));
    expect(described).toHaveLength(inTable.length);
  });

  it('gives each operation an id of its own, and each path parameter a definition', () => {
    const ids = operations().map(({ operation }) => text(operation['operationId']));
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, operation } of operations()) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const given = list(operation['parameters']).filter((each) => each['in'] === 'path');
      expect(given.map((each) => each['name'])).toEqual(named);
      for (const parameter of given) expect(parameter['required']).toBe(true);
      const keys = list(operation['parameters']).map(
        (each) => `${text(each['in'])} ${text(each['name'])}`,
      );
      expect(new Set(keys).size).toBe(keys.length);
    }
  });

  it('points only to definitions and security schemes that are there', () => {
    const components = object(document['components']);
    const schemas = Object.keys(object(components['schemas']));
    for (const pointer of membersNamed(document, '$ref')) {
      const name = text(pointer).replace('#/components/schemas/', '');
      expect(schemas).toContain(name);
    }
    expect(membersNamed(document, '$defs')).toEqual([]);
    const schemes = Object.keys(object(components['securitySchemes']));
    for (const { operation } of operations())
      for (const way of list(operation['security']))
        for (const scheme of Object.keys(way)) expect(schemes).toContain(scheme);
  });

  it('says for each answer what it is and in which type it comes', () => {
    for (const { operation } of operations()) {
      const answers = object(operation['responses']);
      expect(Object.keys(answers).some((status) => status.startsWith('2'))).toBe(true);
      for (const [status, answer] of Object.entries(answers)) {
        expect(status).toMatch(/^[2-5]\d\d$/);
        expect(text(object(answer)['description'])).not.toBe('');
      }
      const body = object(operation['requestBody']);
      expect(Object.keys(object(body['content']))).toHaveLength(
        Object.keys(body).length > 0 ? 1 : 0,
      );
    }
  });
});

describe('the route table', () => {
  it('names only refusals and events that exist', () => {
    for (const { refusals, events } of ROUTES) {
      for (const code of refusals) expect(REFUSAL_CODES).toContain(code);
      for (const event of events) expect(Object.keys(EVENTS)).toContain(event);
    }
  });

  it('is what every answer of every test is held against', () => {
    const headers = new Headers({
      'content-type': 'application/json',
      'x-request-id': 'one',
      'content-security-policy': 'x',
      'x-content-type-options': 'x',
      'referrer-policy': 'x',
      'cache-control': 'x',
    });
    const answer = (status: number, body: JsonObject) => () =>
      holdAgainstTable({
        method: 'GET',
        path: '/v1/people',
        status,
        headers,
        text: JSON.stringify(body),
      });
    expect(answer(200, { data: [], next_cursor: null })).not.toThrow();
    expect(answer(200, { data: [], next_cursor: null, more: 1 })).toThrow('not documented');
    expect(answer(200, { data: [] })).toThrow('next_cursor');
    expect(answer(201, { data: [], next_cursor: null })).toThrow('promises 200');
    headers.set('content-type', 'application/problem+json');
    const problem = {
      type: 'urn:countersign:problem:name_taken',
      title: 'Name taken',
      status: 409,
      code: 'name_taken',
      detail: 'Somebody has it: choose another.',
      request_id: 'one',
    };
    expect(answer(409, problem)).toThrow('not among the refusals');
    expect(answer(404, { ...problem, status: 404 })).toThrow('is 409');
    headers.delete('x-content-type-options');
    expect(answer(200, { data: [], next_cursor: null })).toThrow('missing');
  });

  it('has answers for readers of everything in it', async () => {
    const readable = ROUTES.filter(
      ({ method, path }) => method === 'get' && !path.includes('{') && path !== '/readyz',
    );
    const automation = ['admin', 'auditor', 'service'];
    for (const { path, allow } of readable) {
      const caller = allow.includes('anyone') ? anyone(service) : admin(service);
      const reply = await caller.call('GET', path);
      // What is for people or for agents alone tells the admin token so.
      const mayAsk = allow.some((who) => who === 'anyone' || automation.includes(who));
      expect([path, mayAsk ? [200, 404] : [403]]).toEqual([
        path,
        expect.arrayContaining([reply.status]),
      ]);
    }
  });
});
