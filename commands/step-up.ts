// A vote that is signed: what an approver is asked to sign, and whether what came back is exactly that.
import { randomBytes } from 'node:crypto';
import type { PasskeyRow, RequestRow } from '../db/rows.ts';
import { actionDigest, actionRef } from '../domain/action.ts';
import { base64, base64url } from '../domain/bytes.ts';
import { shownDigest } from '../domain/card.ts';
import { addSeconds } from '../domain/instant.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { approvalStatement, challengeFor, type Grounds, type Spoken } from '../domain/statement.ts';
import { challengeIn, writeAssertion } from '../domain/webauthn.ts';
import { newestCheckpoint } from './log.ts';
import { CHALLENGE_SECONDS, keepChallenge, takeChallenge } from './passkey-challenges.ts';
import { passkeysOf, usePasskey, type UsedPasskey } from './passkeys.ts';
import type { PersonPrincipal } from './principal.ts';
import { alreadyDecided, cardOf, findRequest } from './requests.ts';
import type { Unit } from './unit.ts';

/** Everything somebody is about to sign, and with which of their passkeys they can. */
export interface OfferedStatement {
  statement: JsonObject;
  challenge: string;
  salt: Uint8Array;
  expiresAt: string;
  passkeys: PasskeyRow[];
}

/** Makes the statement for one decision in one wording. It decides nothing. */
export async function offerStatement(
  unit: Unit,
  who: PersonPrincipal,
  asked: Spoken & { request: string; shown: string },
): Promise<OfferedStatement> {
  const row = await findRequest(unit.sql, asked.request);
  if (!row) throw new Refusal('not_found', 'There is no such request.');
  if (row.state !== 'pending') throw alreadyDecided(row);
  if (asked.shown !== shownDigest(cardOf(row)))
    throw new Refusal(
      'shown_mismatch',
      'What you were shown is not what would run now: look at the request again.',
    );
  const passkeys = await passkeysOf(unit.sql, who.id);
  if (passkeys.length === 0)
    throw new Refusal(
      'stronger_auth_required',
      'You have no passkey to sign with: add one on the page of your account.',
    );
  const head = await newestCheckpoint(unit.sql);
  if (!head)
    throw new Refusal('log_unavailable', 'The log has no checkpoint yet: try again in a moment.');
  const kept = {
    checkpoint: { size: head.size, root: base64(head.root) },
    nonce: base64url(randomBytes(16)),
  };
  const salt = new Uint8Array(randomBytes(16));
  const expires = addSeconds(unit.at, CHALLENGE_SECONDS);
  const statement = approvalStatement(groundsOf(row, who, { ...kept, salt, expires }), asked);
  const challenge = challengeFor(statement);
  const about = { purpose: 'vote' as const, request: row.id, grounds: kept, salt };
  const expiresAt = await keepChallenge(unit, who, challenge, about);
  return { statement, challenge, salt, expiresAt, passkeys };
}

const groundsOf = (
  row: RequestRow,
  who: PersonPrincipal,
  kept: Pick<Grounds, 'checkpoint' | 'nonce' | 'salt' | 'expires'>,
): Grounds => ({
  ...kept,
  request: row.id,
  actionRef: actionRef(row.salt, actionDigest(row.action)),
  approver: who.id,
  shown: shownDigest(cardOf(row)),
});

/** What stays of a signed vote: enough to check it again with nothing else but the log. */
export interface StepUp {
  /** Published in the leaf. */
  proof: JsonObject;
  /** Opens the commitments to reason and limits; as private as they are. */
  salt: string;
}

/**
 * Checks a signature against the statement as it has to be: made again from the request as it is, the words that came
 * with the vote, and what was kept when it was asked for. A refusal is an outcome, and the challenge is used up.
 */
export async function checkStepUp(
  unit: Unit,
  row: RequestRow,
  who: PersonPrincipal,
  spoken: Spoken,
  used: UsedPasskey,
): Promise<StepUp | Refusal> {
  const challenge = challengeIn(used.assertion.clientData) ?? '';
  const taken = await takeChallenge(unit, challenge, 'vote');
  if (!taken?.grounds || !taken.salt || taken.person !== who.id || taken.request !== row.id)
    return new Refusal(
      'passkey_refused',
      'What was signed was not asked of you for this, was used, or took too long: sign again.',
    );
  const kept = { ...taken.grounds, salt: taken.salt, expires: taken.expiresAt };
  const statement = approvalStatement(groundsOf(row, who, kept), spoken);
  if (challengeFor(statement) !== challenge)
    return new Refusal(
      'passkey_refused',
      'What was signed is another decision than this one: look again at what you decide, and sign that.',
    );
  const signer = await usePasskey(unit, used, { challenge, person: who.id, for: 'vote' });
  if (signer instanceof Refusal) return signer;
  return {
    proof: {
      passkey: signer.id,
      public_key: base64url(signer.publicKey),
      ...writeAssertion(used.assertion),
      statement,
    },
    salt: base64url(taken.salt),
  };
}
