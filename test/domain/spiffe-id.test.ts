// SPIFFE IDs as the standard has them (SPIFFE-ID §2): nothing is normalised, everything else is refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  agentSpiffeId,
  parseSpiffeId,
  parseTrustDomain,
  SpiffeIdError,
} from '../../domain/spiffe-id.ts';

const GOOD = [
  'spiffe://trustdomain',
  'spiffe://staging.example.com/payments/mysql',
  'spiffe://k8s-west.example.com/ns/staging/sa/default',
  'spiffe://example.com/9eebccd2-12bf-40a6-b262-65fe0487d453',
  'spiffe://trust_domain-1.example/path/A.b_c-9',
  'spiffe://trustdomain/...',
  'spiffe://trustdomain/.a/..b',
  'spiffe://1.2.3.4/x',
];

const BAD: [string, string][] = [
  ['', 'nothing'],
  ['spiffe://', 'no trust domain'],
  ['spiffe:///path', 'no trust domain before a path'],
  ['SPIFFE://trustdomain/path', 'a scheme in capitals'],
  ['spiffe:/trustdomain', 'one slash'],
  ['http://trustdomain/path', 'another scheme'],
  ['://trustdomain/path', 'no scheme'],
  ['trustdomain/path', 'no scheme at all'],
  [' spiffe://trustdomain', 'a space before'],
  ['spiffe://trustdomain ', 'a space after'],
  ['spiffe://trustdomain\n', 'a line break after'],
  ['spiffe://TrustDomain/path', 'capitals in the trust domain'],
  ['spiffe://trust domain/path', 'a space in the trust domain'],
  ['spiffe://trustdomain:8080/path', 'a port'],
  ['spiffe://user@trustdomain/path', 'user info'],
  ['spiffe://user:secret@trustdomain', 'user info with a password'],
  ['spiffe://trustdömain/path', 'a letter outside ASCII'],
  ['spiffe://trust%20domain/path', 'an escape in the trust domain'],
  ['spiffe://[::1]/path', 'an IPv6 literal'],
  ['spiffe://trustdomain/', 'a slash at the end'],
  ['spiffe://trustdomain/path/', 'a slash at the end of a path'],
  ['spiffe://trustdomain//path', 'an empty segment'],
  ['spiffe://trustdomain/./path', 'a segment .'],
  ['spiffe://trustdomain/path/..', 'a segment ..'],
  ['spiffe://trustdomain/path?query=1', 'a query'],
  ['spiffe://trustdomain/path#fragment', 'a fragment'],
  ['spiffe://trustdomain#fragment', 'a fragment without a path'],
  ['spiffe://trustdomain/a%2fb', 'an escape in a path'],
  ['spiffe://trustdomain/a b', 'a space in a path'],
  ['spiffe://trustdomain/a\\b', 'a backslash'],
  ['spiffe://trustdomain/agent\u200b', 'a zero-width space'],
  ['spiffe://trustdomain/\u0430gent', 'a Cyrillic letter'],
  [`spiffe://${'a'.repeat(256)}`, 'a trust domain of 256 characters'],
  [`spiffe://trustdomain/${'a'.repeat(2048)}`, 'more than 2,048 bytes'],
];

describe('a SPIFFE ID', () => {
  it.each(GOOD)('takes %s as it stands', (text) => {
    expect(parseSpiffeId(text)).toBe(text);
  });

  it.each(BAD)('refuses %j: %s', (text) => {
    expect(() => parseSpiffeId(text)).toThrow(SpiffeIdError);
  });

  it('has at most 2,048 bytes, and its trust domain at most 255', () => {
    const longest = `spiffe://trustdomain/${'a'.repeat(2048 - 'spiffe://trustdomain/'.length)}`;
    expect(parseSpiffeId(longest)).toHaveLength(2048);
    expect(parseTrustDomain('a'.repeat(255))).toHaveLength(255);
    expect(() => parseSpiffeId(`${longest}a`)).toThrow(SpiffeIdError);
  });

  it('of an agent cannot leave its place, whatever the name', () => {
    const domain = parseTrustDomain('example.org');
    expect(agentSpiffeId(domain, 'orders-bot')).toBe('spiffe://example.org/agent/orders-bot');
    const attempt = (name: string): string | null => {
      try {
        return agentSpiffeId(domain, name);
      } catch (error) {
        if (error instanceof SpiffeIdError) return null;
        throw error;
      }
    };
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z./%-]{1,12}$/)), (name) => {
        const made = attempt(name);
        expect([null, `spiffe://example.org/agent/${name}`]).toContain(made);
        // The URL reader of another party sees the same path: nothing in it is resolved or decoded.
        expect([null, `/agent/${name}`]).toContain(made && new URL(made).pathname);
      }),
    );
    for (const name of ['', '.', '..', '../admin', 'a/../b', 'a?b', 'a#b'])
      expect(() => agentSpiffeId(domain, name)).toThrow(SpiffeIdError);
  });
});
