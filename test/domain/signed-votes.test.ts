// I9: a signed vote is checked again from the leaves, and no leaf can say anything else than what was signed, whoever holds
// the key of the log.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64, base64url, utf8 } from '../../domain/bytes.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { leafHash } from '../../domain/merkle.ts';
import { checkSignedVotes, type LoggedLeaf } from '../../domain/signed-votes.ts';
import { approvalStatement, challengeFor, type Grounds } from '../../domain/statement.ts';
import { appendLeaves } from '../../domain/tile.ts';
import { text } from '../../domain/verdict/facts.ts';
import { verifyPasskey } from '../../keys/passkey.ts';
import { LogBook, testIn } from '../support/leaves.ts';
import { Passkey } from '../support/software-passkey.ts';

const SITE = 'localhost';
const ORIGIN = 'http://localhost:8080';
const SALT = new Uint8Array(16).fill(9);
const PROOF = ['authenticator_data', 'client_data', 'signature'] as const;

const logged = (book: LogBook): LoggedLeaf[] =>
  book.leaves.map(({ index, event }) => ({ index, event, text: canonicalJson(event) }));

const rootOf = (book: LogBook): string =>
  base64(
    appendLeaves(
      [],
      0,
      logged(book).map((leaf) => leafHash(utf8(leaf.text))),
    ).root,
  );

const check = (book: LogBook) => checkSignedVotes(logged(book), verifyPasskey);
const problemOf = (book: LogBook): string | null => check(book).problem;

function addKey(book: LogBook, passkey: Passkey, more: JsonObject = {}): void {
  const detail = {
    passkey: 'pky_1',
    public_key: passkey.publicKey.toString('base64url'),
    site: SITE,
    origin: ORIGIN,
    synced: false,
    signed_in_by: 'link',
    ...more,
  };
  book.add('person.passkey_added', detail, { subject: 'psn_ada' });
}

interface Change {
  grounds?: Partial<Grounds>;
  detail?: JsonObject;
  counter?: number;
  proof?: JsonObject;
}

/** A vote that is signed over the log as it is, and cast. */
function signedVote(
  book: LogBook,
  passkey: Passkey,
  about: JsonObject,
  change: Change = {},
): JsonObject {
  const shown = `sha256:${'c'.repeat(64)}` as const;
  const grounds: Grounds = {
    request: text(about['request']) ?? '',
    actionRef: (text(about['action_ref']) ?? '') as Grounds['actionRef'],
    approver: 'psn_ada',
    shown,
    checkpoint: { size: book.leaves.length, root: rootOf(book) },
    expires: '2026-12-01T00:00:00.000Z',
    nonce: base64url(new Uint8Array(16).fill(book.leaves.length % 256)),
    salt: SALT,
    ...change.grounds,
  };
  const spoken = {
    decision: 'approve',
    disposition: 'stop',
    reason: 'fine',
    limits: null,
    inSteadOf: null,
  } as const;
  const statement = approvalStatement(grounds, spoken);
  const asked = { options: { challenge: challengeFor(statement), rpId: SITE }, origin: ORIGIN };
  const wrong = change.counter === undefined ? {} : { counter: change.counter };
  const { credential: _credential, ...assertion } = passkey.sign(asked, wrong);
  const detail = {
    vote: `vot_${book.leaves.length}`,
    person: 'psn_ada',
    decision: 'approve',
    channel: 'web',
    strength: 'passkey',
    shown,
    step_up: {
      passkey: 'pky_1',
      public_key: passkey.publicKey.toString('base64url'),
      ...assertion,
      statement,
      ...change.proof,
    },
    ...change.detail,
  };
  book.add('vote.cast', detail, about);
  return detail;
}

function story(change: Change = {}): { book: LogBook; passkey: Passkey; about: JsonObject } {
  const book = new LogBook().person('psn_ada', ['data-owners']);
  const passkey = new Passkey();
  addKey(book, passkey);
  const { about } = book.open();
  signedVote(book, passkey, about, change);
  return { book, passkey, about };
}

/** The same log with one leaf rewritten, as whoever holds its key could. */
function rewritten(
  book: LogBook,
  index: number,
  change: (event: JsonObject) => JsonObject,
): LogBook {
  const copy = new LogBook();
  for (const leaf of book.leaves)
    copy.leaves.push({ ...leaf, event: leaf.index === index ? change(leaf.event) : leaf.event });
  return copy;
}

/** Replaces the value at a path in plain JSON. */
function withValue(value: JsonValue, [step, ...rest]: readonly string[], to: JsonValue): JsonValue {
  if (step === undefined) return to;
  const at = value as JsonObject;
  return { ...at, [step]: withValue(at[step] ?? null, rest, to) };
}

const valueAt = (value: JsonValue, path: readonly string[]): JsonValue =>
  path.reduce<JsonValue>((at, step) => (at as JsonObject)[step] ?? null, value);

const changedIn = (book: LogBook, index: number, path: readonly string[], to: JsonValue): LogBook =>
  rewritten(book, index, (event) => withValue(event, path, to) as JsonObject);

const DETAIL = ['data', 'detail'];
const STEP_UP = [...DETAIL, 'step_up'];
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

describe('a signed vote', () => {
  it('verifies as it was cast, and is counted', () => {
    expect(check(story().book)).toEqual({ signed: 1, problem: null });
  });

  it('does not verify with any one character of its proof changed', () => {
    const { book } = story();
    const index = book.leaves.length - 1;
    fc.assert(
      fc.property(
        fc.constantFrom(...PROOF, 'public_key'),
        fc.nat(),
        fc.integer({ min: 1, max: 63 }),
        (member, place, by) => {
          const path = [...STEP_UP, member];
          const old = text(valueAt(book.leaves[index]?.event ?? {}, path)) ?? '';
          const at = place % old.length;
          const to = ALPHABET.charAt((ALPHABET.indexOf(old.charAt(at)) + by) % 64);
          const forged = changedIn(book, index, path, old.slice(0, at) + to + old.slice(at + 1));
          expect(problemOf(forged)).not.toBe(null);
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each([
    'request',
    'action_ref',
    'decision',
    'disposition',
    'limits',
    'reason',
    'approver',
    'in_stead_of',
    'shown',
    'checkpoint',
    'expires',
    'nonce',
  ])('does not verify with another %s in its statement', (member) => {
    const { book } = story();
    const path = [...STEP_UP, 'statement', member];
    const others: JsonValue[] = [null, 'x', 'revise', `sha256:${'d'.repeat(64)}`, {}, 7];
    for (const other of others) {
      if (canonicalJson(other) === canonicalJson(valueAt(book.leaves.at(-1)?.event ?? {}, path)))
        continue;
      expect(problemOf(changedIn(book, book.leaves.length - 1, path, other))).not.toBe(null);
    }
  });

  it.each([
    ['decision', [...DETAIL, 'decision'], 'deny'],
    ['voter', [...DETAIL, 'person'], 'psn_bea'],
    ['card', [...DETAIL, 'shown'], `sha256:${'e'.repeat(64)}`],
    ['strength', [...DETAIL, 'strength'], 'fresh'],
    ['request', ['data', 'request'], 'req_9'],
    ['action', ['data', 'action_ref'], 'sha256:9'],
    ['time', ['time'], '2027-01-01T00:00:00.000Z'],
    ['passkey', [...STEP_UP, 'passkey'], 'pky_2'],
    ['proof', STEP_UP, null],
  ])('does not verify in a leaf that says another %s', (_name, path, to) => {
    const { book } = story();
    expect(problemOf(changedIn(book, book.leaves.length - 1, path, to))).not.toBe(null);
  });

  it('does not verify with a member that nothing checks', () => {
    const { book } = story();
    const index = book.leaves.length - 1;
    for (const path of [
      STEP_UP,
      [...STEP_UP, 'statement'],
      [...STEP_UP, 'statement', 'checkpoint'],
    ])
      expect(problemOf(changedIn(book, index, [...path, 'extra'], 'x'))).not.toBe(null);
  });

  it('does not verify once anything before it was rewritten', () => {
    const { book } = story();
    const invited = changedIn(book, 0, [...DETAIL, 'groups'], ['nobody']);
    expect(problemOf(invited)).toContain('another log');
  });

  it('does not verify by a key that its voter did not add, or added only later', () => {
    const { book, passkey } = story();
    const other = new Passkey().publicKey.toString('base64url');
    expect(problemOf(changedIn(book, 1, [...DETAIL, 'public_key'], other))).not.toBe(null);
    expect(problemOf(changedIn(book, 1, ['subject'], 'psn_bea'))).not.toBe(null);
    const late = new LogBook().person('psn_ada', ['data-owners']);
    const { about } = late.open();
    signedVote(late, passkey, about);
    addKey(late, passkey);
    expect(problemOf(late)).toContain('did not have');
  });

  it('does not verify by a key that was swapped in both places, for that key signed nothing', () => {
    const { book } = story();
    const other = new Passkey().publicKey.toString('base64url');
    const one = changedIn(book, 1, [...DETAIL, 'public_key'], other);
    const index = book.leaves.length - 1;
    expect(problemOf(changedIn(one, index, [...STEP_UP, 'public_key'], other))).not.toBe(null);
  });

  it('does not verify by a key that was removed before', () => {
    const book = new LogBook().person('psn_ada', ['data-owners']);
    const passkey = new Passkey();
    addKey(book, passkey);
    book.add('person.passkey_removed', { passkey: 'pky_1', by: null }, { subject: 'psn_ada' });
    signedVote(book, passkey, book.open().about);
    expect(problemOf(book)).toContain('did not have');
  });

  it('does not verify where the site of its key is not the one of its page', () => {
    const passkey = new Passkey();
    for (const origin of ['https://evil.example', 'http://localhost.evil.example', 'localhost']) {
      const book = new LogBook();
      addKey(book, passkey, { origin });
      expect(problemOf(book)).toContain('another site');
    }
  });

  it('does not verify a second time', () => {
    const { book, about } = story();
    const last = book.leaves.at(-1);
    const data = last?.event['data'] as JsonObject;
    book.add('vote.cast', data['detail'] as JsonObject, about);
    expect(problemOf(book)).toContain('two votes');
  });

  it('does not verify once the counter of its key goes back', () => {
    const { book, passkey } = story({ counter: 9 });
    signedVote(book, passkey, book.open().about, { counter: 9 });
    expect(problemOf(book)).toContain('counter');
  });

  it('does not verify after its statement is over, or over a log that is yet to come', () => {
    expect(problemOf(story({ grounds: { expires: '2026-11-01T00:00:00.000Z' } }).book)).toContain(
      'over',
    );
    expect(problemOf(story({ grounds: { checkpoint: { size: 99, root: 'x' } } }).book)).toContain(
      'another log',
    );
  });

  it('is not claimed by a vote that has no proof', () => {
    const book = new LogBook();
    book.add('vote.cast', { strength: 'passkey', step_up: null }, {});
    expect(problemOf(book)).toContain('strength');
  });
});

describe('the verdict on votes by a key that a human holds', () => {
  const test = (book: LogBook) => testIn(book.judge(), 'votes_corroborated');

  function approved(book: LogBook, passkey: Passkey | null, risk: string | null = null): void {
    const { about } = book.open();
    const opened = book.leaves.at(-1);
    if (opened && risk !== null)
      book.leaves[opened.index] = {
        ...opened,
        event: withValue(opened.event, [...DETAIL, 'risk'], risk) as JsonObject,
      };
    const vote = passkey
      ? (text(signedVote(book, passkey, about)['vote']) ?? '')
      : book.vote(about, 'approve');
    const until = '2026-11-02T00:00:00.000Z';
    const detail = { deciding_vote: vote, approved_by: ['psn_ada'], approved_until: until };
    book.add('request.approved', detail, about);
  }

  it('is effective when nine in ten were signed, and all on what is critical', () => {
    const book = new LogBook().person('psn_ada', ['data-owners']);
    const passkey = new Passkey();
    addKey(book, passkey);
    for (let at = 0; at < 9; at += 1) approved(book, passkey);
    approved(book, null);
    expect(test(book)).toMatchObject({ state: 'effective', population: 10, exceptions: 1 });
    approved(book, null);
    expect(test(book).state).toBe('insufficient_data');
    const critical = new LogBook().person('psn_ada', ['data-owners']);
    addKey(critical, passkey);
    for (let at = 0; at < 20; at += 1) approved(critical, passkey, 'high');
    approved(critical, null, 'high');
    expect(test(critical)).toMatchObject({ state: 'insufficient_data', exceptions: 1 });
  });

  it('does not count a passkey that was added after the request was opened', () => {
    const book = new LogBook().person('psn_ada', ['data-owners']);
    const passkey = new Passkey();
    const { about } = book.open();
    addKey(book, passkey);
    const vote = text(signedVote(book, passkey, about)['vote']) ?? '';
    book.add('request.approved', { deciding_vote: vote, approved_by: ['psn_ada'] }, about);
    expect(test(book)).toMatchObject({ state: 'insufficient_data', population: 1, exceptions: 1 });
    expect(test(book).cases[0]?.says).toContain('added after the request');
  });
});
