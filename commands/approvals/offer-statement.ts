// What an approver is asked to sign before they decide.
import { randomBytes } from 'node:crypto';
import type { PasskeyRow } from '../../db/rows.ts';
import { base64, base64url } from '../../domain/bytes.ts';
import { shownDigest } from '../../domain/card.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { approvalStatement, challengeFor, type Spoken } from '../../domain/statement.ts';
import type { PersonPrincipal } from '../principal.ts';
import { newestCheckpoint } from '../record/log.ts';
import { CHALLENGE_SECONDS, keepChallenge } from '../sign-in/passkey-challenges.ts';
import { passkeysOf } from '../sign-in/passkeys.ts';
import type { Unit } from '../unit.ts';
import { hear, type Ballot } from './decide.ts';
import { alreadyDecided } from './request-ends.ts';
import { cardOf, findRequest } from './requests.ts';
import { groundsOf } from './step-up.ts';

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
  asked: Omit<Spoken, 'inSteadOf'> & Pick<Ballot, 'request' | 'shown' | 'inSteadOf'>,
): Promise<OfferedStatement> {
  const row = await findRequest(unit.sql, asked.request);
  if (!row) throw new Refusal('not_found', 'There is no such request.');
  if (row.state !== 'pending') throw await alreadyDecided(unit.sql, row);
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
  // For whom they vote is signed as it will be counted, whether they said so or not.
  const { voter } = await hear(unit, row, who, asked, null);
  const spoken = { ...asked, inSteadOf: voter?.inSteadOf ?? null };
  const grounds = groundsOf(row, who.id, { ...kept, shown: asked.shown, salt, expires });
  const statement = approvalStatement(grounds, spoken);
  const challenge = challengeFor(statement);
  const about = { purpose: 'vote' as const, request: row.id, grounds: kept, salt };
  const expiresAt = await keepChallenge(unit, who, challenge, about);
  return { statement, challenge, salt, expiresAt, passkeys };
}
