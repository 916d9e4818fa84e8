// What a person signs with a passkey when they decide: one statement, whose digest is the challenge.
import { base64url, sha256, utf8 } from './bytes.ts';
import { commitmentTo, type Digest } from './digest.ts';
import { canonicalJson, type JsonObject, type JsonValue } from './json.ts';

/** The words that somebody decides with. */
export interface Spoken {
  decision: 'approve' | 'deny';
  disposition: 'revise' | 'stop';
  reason: string | null;
  /** Who is away, and whose vote it is; null for one's own. */
  inSteadOf: string | null;
  /** What an approval is narrowed to; null is all that was asked for. */
  limits: JsonObject | null;
}

/** What a statement is about and when it is good, beside the words. */
export interface Grounds {
  request: string;
  /** The request's salted name for the digest of its action: it binds as the digest does, and can be published. */
  actionRef: Digest;
  approver: string;
  /** The digest of the card that the approver is looking at. */
  shown: string;
  /** The newest checkpoint of the log when it was made: what was signed cannot be older than that. */
  checkpoint: { size: number; root: string };
  expires: string;
  /** Makes the statement one of its kind. */
  nonce: string;
  /** Hides the reason and the limits in what is published; kept like the reason itself. */
  salt: Uint8Array;
}

/**
 * The statement as it is signed and published. Reason and limits are free text and parameters: they are bound by salted
 * commitments, so that they can be forgotten without the signature losing its meaning.
 */
export function approvalStatement(grounds: Grounds, spoken: Spoken): JsonObject {
  const { size, root } = grounds.checkpoint;
  return {
    request: grounds.request,
    action_ref: grounds.actionRef,
    decision: spoken.decision,
    disposition: spoken.disposition,
    limits: hidden('limits', grounds.salt, spoken.limits),
    reason: hidden('reason', grounds.salt, spoken.reason),
    approver: grounds.approver,
    in_stead_of: spoken.inSteadOf,
    shown: grounds.shown,
    checkpoint: { size, root },
    expires: grounds.expires,
    nonce: grounds.nonce,
  };
}

const hidden = (member: 'limits' | 'reason', salt: Uint8Array, value: JsonValue): Digest | null =>
  value === null ? null : commitmentTo(`countersign/statement/v1/${member}`, salt, value);

const MEMBERS = [
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
];

/** Whether a statement has the members that it is read by, and no others: what is not looked at must not be there. */
export const isStatement = (statement: JsonObject): boolean =>
  Object.keys(statement).toSorted().join() === MEMBERS.toSorted().join();

/** What an authenticator is asked to sign for a statement. */
export const challengeFor = (statement: JsonObject): string =>
  base64url(sha256(utf8(`countersign/statement/v1\n${canonicalJson(statement)}`)));
