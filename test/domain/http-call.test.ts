import { assert, property, string, constantFrom, jsonValue, oneof } from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildCall,
  CallError,
  pathMistake,
  type CallShape,
  type CallValues,
} from '../../domain/http-call.ts';
import { canonicalJson, type JsonValue } from '../../domain/json.ts';

const BASE = 'https://api.example/v3';
const shape: CallShape = {
  method: 'PATCH',
  path: '/repos/{owner}/issues/{number}:lock',
  query: ['page', 'filter[state]'],
  body: 'json',
};
const build = (values: Partial<CallValues>, of: CallShape = shape) =>
  buildCall(BASE, of, ['accept-language'], {
    params: { owner: 'acme', number: 7 },
    query: {},
    headers: {},
    body: {},
    ...values,
  });
const refused = (values: Partial<CallValues>, of: CallShape = shape): string => {
  try {
    build(values, of);
    return 'built';
  } catch (error) {
    if (error instanceof CallError) return error.message;
    throw error;
  }
};

/** Texts that are made to get out of where they are put. */
const hostile = oneof(
  string({ unit: 'binary' }),
  string({
    unit: constantFrom(
      '.',
      '/',
      '\\',
      '%',
      '2',
      'f',
      'e',
      '?',
      '#',
      '@',
      ':',
      ';',
      '&',
      '=',
      '{',
      '}',
      'owner',
      '\r',
      '\n',
      '\0',
      '\u202e',
      '\ud800',
      ' ',
    ),
  }),
  constantFrom(
    '..',
    '.',
    '%2e%2e',
    '..%2f',
    '%252f',
    '//evil.example',
    '@evil.example',
    '{number}',
  ),
);

describe('a call is of its template, whatever the values are', () => {
  it('a value is one part of the path, decoded once to itself, at the origin of the policy', () => {
    assert(
      property(hostile, hostile, (owner, number) => {
        if (refused({ params: { owner, number } }) !== 'built') return;
        const { url } = build({ params: { owner, number } });
        const read = new URL(url);
        expect(read.href).toBe(url);
        expect(read.origin).toBe('https://api.example');
        expect([read.username, read.password, read.search, read.hash]).toEqual(['', '', '', '']);
        const parts = read.pathname.split('/');
        expect(parts).toHaveLength(6);
        expect(parts.map(decodeURIComponent)).toEqual([
          '',
          'v3',
          'repos',
          owner,
          'issues',
          `${number}:lock`,
        ]);
      }),
      { numRuns: 2000 },
    );
  });

  it('a query has the names of the policy, and each value comes back as it was', () => {
    assert(
      property(hostile, hostile, (page, state) => {
        const query = { page, 'filter[state]': state };
        if (refused({ query }) !== 'built') return;
        const { url } = build({ query });
        expect(new URL(url).href).toBe(url);
        expect([...new URL(url).searchParams]).toEqual([
          ['filter[state]', state],
          ['page', page],
        ]);
      }),
      { numRuns: 1000 },
    );
  });

  it('a header is one line of visible characters, or none is sent', () => {
    assert(
      property(hostile, (value) => {
        const headers = { 'Accept-Language': value };
        if (refused({ headers }) !== 'built') return;
        expect(build({ headers }).headers).toEqual({ 'accept-language': value });
        expect(value).toMatch(/^[\x20-\x7e]+$/);
        expect(value.trim()).toBe(value);
      }),
    );
  });

  it('a body is the canonical form of what was sent', () => {
    assert(
      property(jsonValue(), (body) => {
        const sent = body as JsonValue;
        expect(build({ body: sent }).body).toBe(canonicalJson(sent));
      }),
    );
  });

  it('names that the policy does not have are refused, wherever they come from', () => {
    const known = ['page', 'filter[state]'];
    const other = string().filter((name) => !known.includes(name));
    assert(
      property(other, (name) => {
        expect(refused({ query: { [name]: 'x' } })).toContain('it takes no');
        expect(refused({ params: { owner: 'a', number: 1, [`x${name}`]: 'x' } })).toContain('no x');
      }),
    );
  });

  it.each<[string, Partial<CallValues>, string]>([
    ['an empty value', { params: { owner: '', number: 1 } }, 'params.owner: must not be empty'],
    ['a missing value', { params: { owner: 'acme' } }, 'params.number: is missing'],
    ['a separator', { params: { owner: 'a/b', number: 1 } }, 'must not contain /'],
    ['a backslash', { params: { owner: 'a\\b', number: 1 } }, 'must not contain /'],
    ['a dot segment', { params: { owner: '..', number: 1 } }, 'must not be . or ..'],
    ['an escape', { params: { owner: 'a%2Fb', number: 1 } }, 'percent-encoded'],
    ['a control character', { params: { owner: 'a\u0000', number: 1 } }, 'control characters'],
    ['a list', { params: { owner: ['a'], number: 1 } }, 'params.owner: must be text'],
    ['what an object has by itself', { params: { number: 1 } }, 'params.owner: is missing'],
    [
      'another header',
      { headers: { authorization: 'Bearer x' } },
      'headers: it takes no authorization',
    ],
    ['another line', { headers: { 'accept-language': 'de\r\nhost: evil' } }, 'visible ASCII'],
    ['a header twice', { headers: { 'accept-language': 'de', 'Accept-Language': 'en' } }, 'twice'],
    ['no body', { body: undefined }, 'takes a JSON body'],
    ['too much of a body', { body: 'x'.repeat(60_001) }, 'at most 60000 characters'],
  ])('%s is refused with what is wrong', (_what, values, says) => {
    expect(refused(values)).toContain(says);
  });

  it('text of the policy and a value do not become a dot segment together', () => {
    expect(
      refused({ params: { a: '.' }, body: undefined }, { ...shape, path: '/x/{a}', body: 'none' }),
    ).toContain('. or ..');
    expect(
      refused(
        { params: { a: '.b' }, body: undefined },
        { ...shape, path: '/x/.{a}', body: 'none' },
      ),
    ).toBe('built');
    expect(
      refused({ params: { a: '.' }, body: undefined }, { ...shape, path: '/x/.{a}', body: 'none' }),
    ).toContain('. or ..');
  });

  it('a body where the call takes none is refused', () => {
    expect(refused({ body: {} }, { ...shape, body: 'none' })).toContain('takes none');
  });
});

describe('the template of a path', () => {
  it.each(['/', '/a', '/a/{b}/c-d_e.f~g', '/v1/{name}:cancel', '/a/', '/{a}/{b}'])(
    '%s is good',
    (path) => {
      expect(pathMistake(path)).toBeNull();
    },
  );

  it.each([
    '',
    'a',
    '/a//b',
    '/../a',
    '/a/.',
    '/a?b',
    '/a#b',
    '/%2e%2e',
    '/{A}',
    '/{a}{b}',
    '/{a}/{a}',
    '/a b',
    '/{',
    '/a\\b',
    '/{a/b}',
  ])('%s is not', (path) => {
    expect(pathMistake(path)).not.toBeNull();
  });
});
