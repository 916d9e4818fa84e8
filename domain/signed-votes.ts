// Votes that were signed with a passkey, checked again from the leaves alone: each signature is by a key that its person
// added before, and says exactly what the leaf says.
import { base64, fromBase64url, utf8 } from './bytes.ts';
import { isDigest } from './digest.ts';
import { eventName } from './event.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { leafHash } from './merkle.ts';
import { challengeFor, isStatement } from './statement.ts';
import { appendLeaves, type Edge } from './tile.ts';
import { object, text, type Leaf } from './verdict/facts.ts';
import { checkAssertion, hasRegressed, readAssertion, type VerifyPasskey } from './webauthn.ts';

/** A leaf with the bytes that were logged. */
export interface LoggedLeaf extends Leaf {
  text: string;
}

interface KnownPasskey {
  person: string;
  publicKey: string;
  site: string;
  origin: string;
  counter: number;
  isRemoved: boolean;
}

interface Ledger {
  passkeys: Map<string, KnownPasskey>;
  challenges: Set<string>;
  /** Roots of the log at the sizes that statements name. */
  roots: ReadonlyMap<number, string>;
  verify: VerifyPasskey;
}

/** How many votes of a log were signed, or the first thing that is wrong with one. */
export function checkSignedVotes(
  leaves: readonly LoggedLeaf[],
  verify: VerifyPasskey,
): { signed: number; problem: null } | { problem: string } {
  const votes = leaves.filter(({ event }) => nameOf(event) === 'vote.cast');
  const sizes = new Set(votes.map(({ event }) => sizeIn(statementIn(detailOf(event)))));
  const ledger: Ledger = {
    passkeys: new Map(),
    challenges: new Set(),
    roots: rootsAt(leaves, sizes),
    verify,
  };
  let signed = 0;
  for (const leaf of leaves) {
    const says = faultIn(leaf, ledger);
    if (says !== null) return { problem: `leaf ${leaf.index}: ${says}` };
    if (nameOf(leaf.event) === 'vote.cast' && isSigned(detailOf(leaf.event))) signed += 1;
  }
  return { signed, problem: null };
}

const nameOf = (event: JsonObject): string | null => eventName(text(event['type']) ?? '');
const dataOf = (event: JsonObject): JsonObject => object(event['data']);
const detailOf = (event: JsonObject): JsonObject => object(dataOf(event)['detail']);
const isSigned = (detail: JsonObject): boolean => (detail['step_up'] ?? null) !== null;
const statementIn = (detail: JsonObject): JsonObject =>
  object(object(detail['step_up'])['statement']);

function sizeIn(statement: JsonObject): number {
  const { size } = object(statement['checkpoint']);
  return typeof size === 'number' ? size : -1;
}

/** The root of the log at each of some sizes, computed once along its leaves. */
function rootsAt(
  leaves: readonly LoggedLeaf[],
  sizes: ReadonlySet<number>,
): ReadonlyMap<number, string> {
  const roots = new Map<number, string>();
  let edge: Edge = [];
  let done = 0;
  for (const size of [...sizes].toSorted((a, b) => a - b)) {
    if (size <= done || size > leaves.length || !Number.isInteger(size)) continue;
    const hashes = leaves.slice(done, size).map((leaf) => leafHash(utf8(leaf.text)));
    const appended = appendLeaves(edge, done, hashes);
    roots.set(size, base64(appended.root));
    edge = appended.edge;
    done = size;
  }
  return roots;
}

function faultIn(leaf: LoggedLeaf, ledger: Ledger): string | null {
  switch (nameOf(leaf.event)) {
    case 'person.passkey_added':
      return addKey(leaf.event, ledger.passkeys);
    case 'person.passkey_removed': {
      const removed = ledger.passkeys.get(text(detailOf(leaf.event)['passkey']) ?? '');
      if (removed) removed.isRemoved = true;
      return removed ? null : 'a passkey was removed that nobody added';
    }
    case 'vote.cast':
      return faultInVote(leaf, ledger);
    default:
      return null;
  }
}

function addKey(event: JsonObject, passkeys: Map<string, KnownPasskey>): string | null {
  const { passkey, public_key: publicKey, site, origin } = detailOf(event);
  const id = text(passkey) ?? '';
  if (passkeys.has(id)) return 'a passkey was added twice';
  const known = {
    person: text(event['subject']) ?? '',
    publicKey: text(publicKey) ?? '',
    site: text(site) ?? '',
    origin: text(origin) ?? '',
    counter: 0,
    isRemoved: false,
  };
  passkeys.set(id, known);
  const [scheme, host = ''] = known.origin.split('://');
  const isOfSite = host === known.site || host.startsWith(`${known.site}:`);
  return (scheme === 'https' || scheme === 'http') && isOfSite
    ? null
    : 'a passkey was added for another site than its page';
}

function faultInVote({ index, event }: LoggedLeaf, ledger: Ledger): string | null {
  const detail = detailOf(event);
  if (isSigned(detail) !== (detail['strength'] === 'passkey'))
    return 'a vote says another strength than it was cast with';
  if (!isSigned(detail)) return null;
  const proof = object(detail['step_up']);
  if (!hasOnly(proof, PROOF)) return 'the proof of a signed vote has other members than it should';
  const known = ledger.passkeys.get(text(proof['passkey']) ?? '');
  if (!known || known.isRemoved || known.person !== text(detail['person']))
    return 'a vote was signed with a passkey that its voter did not have';
  if (known.publicKey !== proof['public_key'])
    return 'a vote was signed with another key than the one that was added';
  const statement = object(proof['statement']);
  return (
    faultInStatement(statement, event, index, ledger) ??
    faultInSignature(proof, challengeFor(statement), known, ledger)
  );
}

const PROOF = [
  'authenticator_data',
  'client_data',
  'passkey',
  'public_key',
  'signature',
  'statement',
];

const hasOnly = (object: JsonObject, names: readonly string[]): boolean =>
  Object.keys(object).toSorted().join() === names.join();

/** Whether what was signed is what the leaf says was decided. */
function faultInStatement(
  statement: JsonObject,
  event: JsonObject,
  index: number,
  { challenges, roots }: Ledger,
): string | null {
  const data = dataOf(event);
  const detail = detailOf(event);
  const { checkpoint, expires, nonce, reason, limits, disposition } = statement;
  const isSame =
    statement['request'] === data['request'] &&
    statement['action_ref'] === data['action_ref'] &&
    statement['approver'] === detail['person'] &&
    statement['in_stead_of'] === (detail['in_stead_of'] ?? null) &&
    statement['decision'] === detail['decision'] &&
    (statement['limits'] !== null) === (detail['narrows'] === true) &&
    statement['shown'] === detail['shown'];
  if (!isStatement(statement) || !isSame)
    return 'what was signed is not what the vote says: another request, action, decision or card';
  if (disposition !== 'revise' && disposition !== 'stop') return 'a statement says no disposition';
  if (![reason, limits].every(isCommitment) || typeof nonce !== 'string')
    return 'a statement has a member that is not what it should be';
  if (!((text(event['time']) ?? '') < (text(expires) ?? '')))
    return 'a vote was cast after its statement was over';
  const { size, root } = object(checkpoint);
  const isBefore = typeof size === 'number' && size <= index && roots.get(size) === root;
  if (!isBefore || !hasOnly(object(checkpoint), ['root', 'size']))
    return 'a statement was made over another log than this';
  const challenge = challengeFor(statement);
  if (challenges.has(challenge)) return 'one signature stands for two votes';
  challenges.add(challenge);
  return null;
}

const isCommitment = (value: JsonValue | undefined): boolean =>
  value === null || (typeof value === 'string' && isDigest(value));

function faultInSignature(
  proof: JsonObject,
  challenge: string,
  known: KnownPasskey,
  { verify }: Ledger,
): string | null {
  const assertion = readAssertion({
    authenticator_data: text(proof['authenticator_data']) ?? '',
    client_data: text(proof['client_data']) ?? '',
    signature: text(proof['signature']) ?? '',
  });
  const publicKey = fromBase64url(known.publicKey);
  if (!assertion || !publicKey) return 'a signed vote has bytes that cannot be read';
  const site = { id: known.site, origin: known.origin };
  const checked = checkAssertion(assertion, { challenge, site, publicKey }, verify);
  if (checked.fault !== null) return `the signature on a vote does not hold: ${checked.fault}`;
  if (hasRegressed(known.counter, checked.signed.counter))
    return 'the counter of a passkey went back between two votes';
  known.counter = checked.signed.counter;
  return null;
}
