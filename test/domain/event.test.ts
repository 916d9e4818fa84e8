// Events as leaves: the same bytes for everybody, nothing private in them, and commitments that open.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDigest, type Digest } from '../../domain/digest.ts';
import { EVENTS } from '../../domain/event-types.ts';
import {
  eventName,
  eventType,
  leafText,
  privateCommitment,
  type EventName,
  type LoggedEvent,
} from '../../domain/event.ts';
import { makeId } from '../../domain/id.ts';
import { canonicalJson, parseJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { LEAF_BYTES_MAX } from '../../domain/tile.ts';

/** The catalogue's own keys. */
const NAMES = Object.keys(EVENTS) as EventName[];
const SALT = new Uint8Array(16).fill(3);
const SECRET = 'Ada Lovelace wants a refund';

function eventOf(name: EventName, over: Partial<LoggedEvent> = {}): LoggedEvent {
  const { public: shown, private: hidden } = EVENTS[name];
  const detail: JsonObject = {};
  for (const field of shown) detail[field] = `value of ${field}`;
  const commitments: Record<string, Digest> = {};
  for (const field of hidden) commitments[field] = privateCommitment(SALT, field, SECRET);
  return {
    specversion: '1.0',
    id: makeId('event', 1_700_000_000_000, new Uint8Array(10).fill(1)),
    source: 'https://issuer.example',
    type: eventType(name),
    time: '2026-11-21T09:07:14.123Z',
    subject: 'req_1',
    data: {
      actor_chain: [{ type: 'person', id: 'psn_1' }],
      human: 'psn_1',
      task: null,
      session: null,
      agent: null,
      policy_version: null,
      control: 'orders-write',
      request: null,
      action_ref: null,
      decision: null,
      posture: null,
      cause: null,
      trace_id: null,
      detail,
      private: commitments,
    },
    ...over,
  };
}

describe.each(NAMES)('the event %s', (name) => {
  const leaf = leafText(eventOf(name));
  const read = parseJson(leaf) as JsonObject;

  it('is one canonical text, whatever order its members came in', () => {
    expect(canonicalJson(read)).toBe(leaf);
    const { data, ...rest } = eventOf(name);
    const { detail, ...facts } = data;
    const turned = { data: { detail, ...facts }, ...rest };
    expect(leafText(turned)).toBe(leaf);
    expect(Buffer.byteLength(leaf)).toBeLessThan(LEAF_BYTES_MAX);
  });

  it('states every member, null where there is explicitly none', () => {
    expect(new Set(Object.keys(read))).toEqual(
      new Set(['specversion', 'id', 'source', 'type', 'time', 'subject', 'data']),
    );
    const members =
      'actor_chain human task session agent policy_version control request action_ref';
    const more = 'decision posture cause trace_id detail private';
    expect(new Set(Object.keys(read['data'] as JsonObject))).toEqual(
      new Set(`${members} ${more}`.split(' ')),
    );
  });

  it('I9: holds of a private field nothing but a salted commitment', () => {
    const { private: hidden } = (read['data'] ?? {}) as { private: Record<string, string> };
    expect(new Set(Object.keys(hidden))).toEqual(new Set<string>(EVENTS[name].private));
    expect(Object.values(hidden).every(isDigest)).toBe(true);
    expect(leaf).not.toContain('Lovelace');
  });

  it('has a type that is read back, and a version', () => {
    expect(eventName(eventType(name))).toBe(name);
    expect(eventType(name)).toMatch(/^dev\.countersign\.[a-z]+\.[a-z_]+\.v1$/);
  });
});

describe('the catalogue', () => {
  it('declares each field once, and never both public and private', () => {
    for (const { public: shown, private: hidden } of Object.values(EVENTS)) {
      const fields = [...shown, ...hidden];
      expect(new Set(fields).size).toBe(fields.length);
      for (const field of fields) expect(field).toMatch(/^[a-z]+(_[a-z]+)*$/);
    }
  });

  it('keeps what people wrote and what they are called private', () => {
    const words = ['reason', 'name', 'email', 'purpose', 'title', 'slack_user_id', 'action_body'];
    const published = Object.values(EVENTS).flatMap(({ public: shown }): string[] => [...shown]);
    expect(published.filter((field) => words.includes(field))).toEqual([]);
  });

  it('knows no other type', () => {
    for (const type of [
      '',
      'dev.countersign.vote.cast',
      'dev.countersign.vote.cast.v2',
      'dev.countersign.vote.cast.v1 ',
      'dev.countersign.__proto__.v1',
      'dev.countersign.constructor.v1',
      'dev.countersign.toString.v1',
      'com.example.vote.cast.v1',
    ])
      expect([type, eventName(type)]).toEqual([type, null]);
  });

  it('the bytes of a leaf are what they were when this test was written', () => {
    expect(leafText(eventOf('vote.refused'))).toBe(
      '{"data":{"action_ref":null,"actor_chain":[{"id":"psn_1","type":"person"}],"agent":null,"cause":null,' +
        '"control":"orders-write","decision":null,"detail":{"channel":"value of channel","code":"value of code",' +
        '"decision":"value of decision","person":"value of person","principal":"value of principal"},' +
        '"human":"psn_1","policy_version":null,"posture":null,"private":{},"request":null,"session":null,' +
        '"task":null,"trace_id":null},"id":"evt_01hf7yat00e40r2081040g2081",' +
        '"source":"https://issuer.example","specversion":"1.0","subject":"req_1",' +
        '"time":"2026-11-21T09:07:14.123Z","type":"dev.countersign.vote.refused.v1"}',
    );
  });
});

describe('a commitment to a private field', () => {
  /** fast-check makes JSON values. */
  const json = (): fc.Arbitrary<JsonValue> => fc.jsonValue() as fc.Arbitrary<JsonValue>;

  it('opens with its salt, its field and its value, and with nothing else', () => {
    const salts = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(salts, json(), json(), (salt, value, other) => {
        const commitment = privateCommitment(salt, 'reason', value);
        expect(privateCommitment(salt, 'reason', value)).toBe(commitment);
        expect(privateCommitment(salt, 'title', value)).not.toBe(commitment);
        const flipped = Uint8Array.from(salt, (byte, at) => (at === 0 ? byte ^ 1 : byte));
        expect(privateCommitment(flipped, 'reason', value)).not.toBe(commitment);
        const same = canonicalJson(other) === canonicalJson(value);
        expect(privateCommitment(salt, 'reason', other) === commitment).toBe(same);
      }),
    );
  });
});
