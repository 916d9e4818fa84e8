// A vote that is signed: whether what was signed is exactly what is decided.
import type { RequestRow } from '../../db/rows.ts';
import { actionDigest, actionRef } from '../../domain/action.ts';
import { base64url } from '../../domain/bytes.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import {
  approvalStatement,
  challengeFor,
  type Grounds,
  type Spoken,
} from '../../domain/statement.ts';
import { challengeIn, writeAssertion } from '../../domain/webauthn.ts';
import { takeChallenge } from '../sign-in/passkey-challenges.ts';
import { usePasskey, type UsedPasskey } from '../sign-in/passkeys.ts';
import type { Unit } from '../unit.ts';

/** What a statement is about: the request as it is now, and what was kept when it was asked for. */
export const groundsOf = (
  row: RequestRow,
  approver: Id<'person'>,
  kept: Pick<Grounds, 'shown' | 'checkpoint' | 'nonce' | 'salt' | 'expires'>,
): Grounds => ({
  ...kept,
  request: row.id,
  actionRef: actionRef(row.salt, actionDigest(row.action)),
  approver,
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
  who: Id<'person'>,
  spoken: Spoken & Pick<Grounds, 'shown'>,
  used: UsedPasskey,
): Promise<StepUp | Refusal> {
  const challenge = challengeIn(used.assertion.clientData) ?? '';
  const taken = await takeChallenge(unit, challenge, 'vote');
  if (!taken?.grounds || !taken.salt || taken.person !== who || taken.request !== row.id)
    return new Refusal(
      'passkey_refused',
      'What was signed was not asked of you for this, was used, or took too long: sign again.',
    );
  // Whether that card is the one of now is asked of every vote, signed or not.
  const { shown } = spoken;
  const kept = { ...taken.grounds, shown, salt: taken.salt, expires: taken.expiresAt };
  const statement = approvalStatement(groundsOf(row, who, kept), spoken);
  if (challengeFor(statement) !== challenge)
    return new Refusal(
      'passkey_refused',
      'What was signed is another decision than this one: look again at what you decide, and sign that.',
    );
  const signer = await usePasskey(unit, used, { challenge, person: who, for: 'vote' });
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
