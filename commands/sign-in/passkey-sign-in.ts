// Signing in with a passkey: whoever can unlock it is its person.
import { Refusal } from '../../domain/refusal.ts';
import { challengeIn } from '../../domain/webauthn.ts';
import { openSession, signOut, type OpenedSession } from '../people/people.ts';
import type { Unit } from '../unit.ts';
import { takeSignInChallenge } from './passkey-challenges.ts';
import { usePasskey, type UsedPasskey } from './passkeys.ts';

/**
 * Opens a session, and ends the one that the same person came with: a sign-in that is repeated to be fresh leaves no older
 * session behind. A returned refusal is an outcome: its events are kept.
 */
export async function signInWithPasskey(
  unit: Unit,
  key: Uint8Array,
  used: UsedPasskey,
): Promise<OpenedSession | Refusal> {
  const challenge = challengeIn(used.assertion.clientData) ?? '';
  if (!(await takeSignInChallenge(unit, key, challenge)))
    return new Refusal(
      'passkey_refused',
      'What was signed was not asked for by us, was used, or took too long: sign in again.',
    );
  const signer = await usePasskey(unit, used, { challenge, person: null, for: 'sign_in' });
  if (signer instanceof Refusal) return signer;
  await unit.readClock();
  const opened = await openSession(unit, signer.person, { method: 'passkey', passkey: signer.id });
  const { principal } = unit.call;
  if (principal.kind === 'person' && principal.id === signer.person && principal.session)
    await signOut(unit, principal.session);
  return opened;
}
