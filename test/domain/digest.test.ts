// Digests written out by hand: another program, given the same action, must come to the same 64 digits.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { actionDigest, actionRef, asJson, type Action } from '../../domain/action.ts';
import { utf8 } from '../../domain/bytes.ts';
import { commitmentTo, digestOf, isDigest } from '../../domain/digest.ts';

const ACTION: Action = {
  subject: { type: 'agent', id: 'agt_01' },
  actor_chain: [
    { type: 'person', id: 'psn_01' },
    { type: 'agent', id: 'agt_01' },
  ],
  action: 'credential:request',
  resource: { type: 'role', id: 'orders-write' },
  parameters: { ttl_seconds: 600, note: 'é "quoted" \u2028', limit: null },
  data_class: 'confidential',
  destination: null,
  context: { task: 'tsk_01', reason: 'refund order 7' },
};

/** The canonical form of ACTION, typed in by hand. */
const CANONICAL =
  '{"action":"credential:request","actor_chain":[{"id":"psn_01","type":"person"},{"id":"agt_01","type":"agent"}],' +
  '"context":{"reason":"refund order 7","task":"tsk_01"},"data_class":"confidential","destination":null,' +
  '"parameters":{"limit":null,"note":"é \\"quoted\\" \u2028","ttl_seconds":600},' +
  '"resource":{"id":"orders-write","type":"role"},"subject":{"id":"agt_01","type":"agent"}}';

const sha256 = (...parts: (string | Uint8Array)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return `sha256:${hash.digest('hex')}`;
};
const SALT = new Uint8Array(16).fill(7);

describe('the digest of an action', () => {
  it('is SHA-256 over a domain line and the canonical form, as anybody can compute it', () => {
    expect(actionDigest(ACTION)).toBe(sha256('countersign/action/v1\n', CANONICAL));
    expect(actionDigest(ACTION)).toBe(
      'sha256:b3296160eb355ac63a6acd77c002d42cbae16fcebad5218c0755bfa290b37437',
    );
  });

  it('changes with every member of the action', () => {
    const changed: Action[] = [
      { ...ACTION, subject: { type: 'agent', id: 'agt_02' } },
      { ...ACTION, subject: { type: 'service', id: 'agt_01' } },
      { ...ACTION, actor_chain: ACTION.actor_chain.toReversed() },
      { ...ACTION, actor_chain: ACTION.actor_chain.slice(1) },
      { ...ACTION, action: 'credential:Request' },
      { ...ACTION, resource: { type: 'role', id: 'orders-read' } },
      { ...ACTION, resource: { type: 'agent', id: 'orders-write' } },
      { ...ACTION, parameters: { ...ACTION.parameters, ttl_seconds: 601 } },
      { ...ACTION, parameters: { ttl_seconds: 600, note: 'é "quoted" \u2028' } },
      { ...ACTION, data_class: null },
      { ...ACTION, destination: '' },
      { ...ACTION, context: { ...ACTION.context, reason: null } },
    ];
    const digests = new Set([ACTION, ...changed].map(actionDigest));
    expect(digests.size).toBe(changed.length + 1);
  });

  it('covers exactly the members an action has, and none that came along', () => {
    const more = { ...ACTION, approved: true };
    expect(actionDigest(more)).toBe(actionDigest(ACTION));
    expect(Object.keys(asJson(ACTION)).toSorted()).toEqual(Object.keys(ACTION).toSorted());
  });
});

describe('a reference to an action in the public log', () => {
  it('is salted, so that nobody finds the action by trying', () => {
    const digest = actionDigest(ACTION);
    expect(actionRef(SALT, digest)).toBe(
      sha256('countersign/action-ref/v1\n', SALT, `"${digest}"`),
    );
    expect(actionRef(new Uint8Array(16).fill(8), digest)).not.toBe(actionRef(SALT, digest));
  });
});

describe('digests and commitments', () => {
  it('say what they are a hash of: one domain never equals another', () => {
    expect(digestOf('a', 'x')).not.toBe(digestOf('b', 'x'));
    expect(digestOf('a', 'x')).toBe(sha256('a\n"x"'));
    expect(commitmentTo('a', SALT, null)).toBe(sha256('a\n', SALT, 'null'));
  });

  it('a salt that could be tried out is refused', () => {
    for (const length of [0, 1, 8, 15])
      expect(() => commitmentTo('a', new Uint8Array(length), 1)).toThrow(RangeError);
    expect(isDigest(commitmentTo('a', new Uint8Array(32), 1))).toBe(true);
  });

  it('have one spelling', () => {
    const digest = digestOf('a', utf8('x').length);
    expect(isDigest(digest)).toBe(true);
    for (const text of [
      digest.toUpperCase(),
      digest.slice(0, -1),
      `${digest}0`,
      `${digest}\n`,
      ` ${digest}`,
      digest.replace('sha256', 'sha512'),
      digest.slice(7),
      '',
    ])
      expect(isDigest(text)).toBe(false);
  });

  it('differ for different values under one salt', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        expect(commitmentTo('d', SALT, a) === commitmentTo('d', SALT, b)).toBe(a === b);
      }),
    );
  });
});
