// Glass that can be broken while we are down: a login at the target whose password two people hold one half of each.
// Pure, so that whoever makes the halves and whoever joins them, with no server at hand, mean the same bytes.
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as sha256Hash } from '@noble/hashes/sha2.js';
import { base64url, fromBase64url, sha256, utf8 } from './bytes.ts';
import { canonicalJson, type JsonObject } from './json.ts';

/** What asking for such a login is called as an action. */
export const PREPARE_KIT = 'break_glass:prepare';

/** How long a password is before it is written out. */
export const KIT_SECRET_BYTES = 32;

/** How many sessions such a login has at once. */
export const KIT_CONNECTIONS = 2;

/** Where the login is and until when; printed with either half. */
export interface KitFacts {
  kit: string;
  role: string;
  target: string;
  host: string;
  port: number;
  database: string;
  username: string;
  expires_at: string;
}

/** One half, as it is sealed to its holder. */
export interface KitShare extends KitFacts {
  kind: 'break_glass_share';
  /** Whose half: of the first holder or of the second. */
  seat: 1 | 2;
  /** 32 bytes in base64url, which alone say nothing about the password. */
  share: string;
  /** Digests of both halves, by which a wrong one is told from a right one. */
  share_checks: [string, string];
  /** Keyed with the password itself: what is printed here is what was made, and nothing else. */
  check: string;
}

const xor = (one: Uint8Array, other: Uint8Array): Uint8Array =>
  one.map((byte, at) => byte ^ (other[at] ?? 0));

/** The two halves of a secret: a pad that was drawn evenly from all there are, and what it leaves. */
export function splitSecret(secret: Uint8Array, pad: Uint8Array): [Uint8Array, Uint8Array] {
  if (secret.length !== KIT_SECRET_BYTES || pad.length !== KIT_SECRET_BYTES)
    throw new RangeError(`a secret and its pad have ${KIT_SECRET_BYTES} bytes each`);
  return [pad, xor(secret, pad)];
}

/** Both halves of a login's password, each with what its holder needs when nobody can be asked. */
export function sharesOf(
  facts: KitFacts,
  secret: Uint8Array,
  pad: Uint8Array,
): [KitShare, KitShare] {
  const [first, second] = splitSecret(secret, pad);
  const checks: [string, string] = [
    checkOfShare(facts.kit, 1, base64url(first)),
    checkOfShare(facts.kit, 2, base64url(second)),
  ];
  const common = { ...facts, share_checks: checks, check: checkOf(facts, secret) };
  const half = (seat: 1 | 2, share: Uint8Array): KitShare => ({
    kind: 'break_glass_share',
    ...common,
    seat,
    share: base64url(share),
  });
  return [half(1, first), half(2, second)];
}

/** How the password is written: what is typed at the target. */
export const passwordOf = (secret: Uint8Array): string => base64url(secret);

const checkOfShare = (kit: string, seat: number, share: string): string =>
  base64url(
    sha256(utf8(canonicalJson({ domain: 'countersign/break-glass-share/v1', kit, seat, share }))),
  );

function checkOf(facts: KitFacts, secret: Uint8Array): string {
  const text = canonicalJson({ domain: 'countersign/break-glass-kit/v1', ...placeOf(facts) });
  return base64url(hmac(sha256Hash, secret, utf8(text)));
}

const placeOf = (facts: KitFacts): JsonObject => ({
  kit: facts.kit,
  role: facts.role,
  target: facts.target,
  host: facts.host,
  port: facts.port,
  database: facts.database,
  username: facts.username,
  expires_at: facts.expires_at,
});

/** What two halves come to. */
export type Joined =
  | { outcome: 'opened'; facts: KitFacts; password: string }
  | {
      outcome: 'refused';
      fault: 'foreign' | 'same_half' | 'damaged' | 'altered' | 'expired';
      says: string;
    };

type Fault = Extract<Joined, { outcome: 'refused' }>['fault'];

const refused = (fault: Fault, says: string): Joined => ({ outcome: 'refused', fault, says });

/** Joins two halves. Nothing of the password is said unless everything about them is right. */
export function joinShares(one: KitShare, other: KitShare, now: string): Joined {
  if (one.kit !== other.kit)
    return refused('foreign', `These are halves of two kits: ${one.kit} and ${other.kit}.`);
  if (one.seat === other.seat)
    return refused('same_half', 'Both are the same half: the other holder has the other one.');
  for (const each of [one, other])
    if (each.share_checks[each.seat - 1] !== checkOfShare(each.kit, each.seat, each.share))
      return refused('damaged', `The half of holder ${each.seat} is not what was handed out.`);
  const [first, second] = one.seat === 1 ? [one, other] : [other, one];
  const halves = [first.share, second.share].map(fromBase64url);
  const [pad, rest] = halves;
  if (!pad || !rest || pad.length !== KIT_SECRET_BYTES || rest.length !== KIT_SECRET_BYTES)
    return refused('damaged', 'A half is not as long as it has to be.');
  const secret = xor(pad, rest);
  // Compared for both: what one holder's file says must be what the other's says.
  if ([one, other].some((each) => each.check !== checkOf(each, secret)))
    return refused(
      'altered',
      'What is printed about this kit is not what was made: a half, a place or a date was changed.',
    );
  if (!(now < one.expires_at))
    return refused('expired', `This kit ended at ${one.expires_at}; the target refuses its login.`);
  return { outcome: 'opened', facts: factsOf(one), password: passwordOf(secret) };
}

const factsOf = (share: KitShare): KitFacts => ({
  kit: share.kit,
  role: share.role,
  target: share.target,
  host: share.host,
  port: share.port,
  database: share.database,
  username: share.username,
  expires_at: share.expires_at,
});

const TEXTS = ['kit', 'role', 'target', 'host', 'database', 'username', 'expires_at', 'share'];

/** Reads one half; null for anything else. */
export function readShare(value: unknown): KitShare | null {
  if (typeof value !== 'object' || value === null) return null;
  const members = new Map<string, unknown>(Object.entries(value));
  const checks = members.get('share_checks');
  const seat = members.get('seat');
  const isShare =
    members.get('kind') === 'break_glass_share' &&
    (seat === 1 || seat === 2) &&
    TEXTS.every((name) => typeof members.get(name) === 'string') &&
    Number.isInteger(members.get('port')) &&
    typeof members.get('check') === 'string' &&
    Array.isArray(checks) &&
    checks.length === 2 &&
    checks.every((each) => typeof each === 'string');
  return isShare ? asShare(value) : null;
}

/** Every member was looked at just before. */
const asShare = (value: unknown): KitShare => value as KitShare;
