// Passkeys: added by whoever just signed in, removed by themselves or an administrator, each an event. Using one is here
// too, whatever it is used for.
import { and, asc, eq, isNull } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { PasskeyRow } from '../../db/rows.ts';
import { passkey, session } from '../../db/schema/index.ts';
import { base64url } from '../../domain/bytes.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import {
  challengeIn,
  checkAssertion,
  checkRegistration,
  hasRegressed,
  readCoseKey,
  type Assertion,
  type PasskeyFault,
  type RelyingParty,
} from '../../domain/webauthn.ts';
import { isUsablePasskey, verifyPasskey } from '../../keys/passkey.ts';
import { lockPerson } from '../people/people.ts';
import { partyOf, type PersonPrincipal } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { keepChallenge, randomChallenge, takeChallenge } from './passkey-challenges.ts';

const PASSKEYS_MAX = 10;

/** The passkeys of somebody that are good, oldest first. */
export const passkeysOf = (
  query: Query | Transaction,
  person: Id<'person'>,
): Promise<PasskeyRow[]> =>
  query
    .select()
    .from(passkey)
    .where(and(eq(passkey.person, person), isNull(passkey.removedAt)))
    .orderBy(asc(passkey.id));

/** What a browser needs to make a passkey. */
export interface PasskeyOffer {
  challenge: string;
  expiresAt: string;
  existing: PasskeyRow[];
}

/** Begins adding a passkey. */
export async function offerPasskey(unit: Unit, who: PersonPrincipal): Promise<PasskeyOffer> {
  const existing = await mayAdd(unit, who);
  const challenge = randomChallenge();
  const about = { purpose: 'register' as const, request: null, grounds: null, salt: null };
  return { challenge, expiresAt: await keepChallenge(unit, who, challenge, about), existing };
}

/**
 * Whoever adds a passkey can vote with it for years, and a stolen session must not be enough for that. It takes a
 * sign-in within five minutes; and from the first passkey on, one by a passkey: else whoever can make a link for somebody
 * could put a key of their own beside theirs.
 */
async function mayAdd(unit: Unit, who: PersonPrincipal): Promise<PasskeyRow[]> {
  // One after another: of two who add the first passkey at once, the second finds that there is one.
  await lockPerson(unit, who.id);
  const existing = await passkeysOf(unit.sql, who.id);
  if (who.strength === 'session')
    throw new Refusal(
      'stronger_auth_required',
      'You signed in a while ago: sign in again, and add the passkey within five minutes.',
    );
  if (existing.length > 0 && (await methodOf(unit, who)) !== 'passkey')
    throw new Refusal(
      'stronger_auth_required',
      'You have a passkey: sign in with it to add another. If it is lost, an administrator can remove it.',
    );
  if (existing.length >= PASSKEYS_MAX)
    throw new Refusal(
      'passkeys_full',
      `You have ${PASSKEYS_MAX} passkeys, which is as many as anybody can: remove one first.`,
    );
  return existing;
}

async function methodOf(unit: Unit, who: PersonPrincipal): Promise<'link' | 'passkey' | null> {
  if (who.session === null) return null;
  const [row] = await unit.sql.select().from(session).where(eq(session.id, who.session));
  return row?.method ?? null;
}

/** A passkey as a browser made it. */
export interface MadePasskey {
  name: string;
  attestation: Uint8Array;
  clientData: Uint8Array;
  transports: string[];
}

/** Adds a passkey that a browser made for the challenge of `offerPasskey`. */
export async function addPasskey(
  unit: Unit,
  who: PersonPrincipal,
  site: RelyingParty,
  made: MadePasskey,
): Promise<PasskeyRow> {
  await mayAdd(unit, who);
  const challenge = challengeIn(made.clientData) ?? '';
  const taken = await takeChallenge(unit, challenge, 'register');
  if (!taken || taken.person !== who.id || taken.session !== who.session) throw notAsked();
  const checked = checkRegistration(made.attestation, made.clientData, { challenge, site });
  if (checked.fault !== null) throw new Refusal('passkey_refused', SAYS[checked.fault]);
  const { registered } = checked;
  const key = readCoseKey(registered.publicKey);
  if (!key || !isUsablePasskey(key)) throw new Refusal('passkey_refused', SAYS.malformed);
  const row: PasskeyRow = {
    id: newId('passkey'),
    person: who.id,
    credentialId: base64url(registered.credentialId),
    publicKey: registered.publicKey,
    counter: registered.counter,
    backupEligible: registered.backupEligible,
    transports: made.transports,
    name: made.name,
    createdAt: unit.at,
    lastUsedAt: null,
    removedAt: null,
  };
  const inserted = await unit.sql.insert(passkey).values(row).onConflictDoNothing().returning();
  if (inserted.length === 0)
    throw new Refusal(
      'passkey_taken',
      'This passkey is, or was, known here already: make another.',
    );
  unit.emit('person.passkey_added', {
    subject: who.id,
    detail: {
      passkey: row.id,
      public_key: base64url(row.publicKey),
      site: site.id,
      origin: site.origin,
      synced: row.backupEligible,
      signed_in_by: await methodOf(unit, who),
    },
    private: { name: row.name },
  });
  return row;
}

const notAsked = (): Refusal =>
  new Refusal(
    'passkey_refused',
    'This was not asked for, was used, or took too long: begin again.',
  );

const SAYS: Record<PasskeyFault, string> = {
  malformed: 'What the authenticator sent is not something we can read or take.',
  wrong_type: 'The authenticator was asked for something else.',
  wrong_challenge: 'The authenticator signed something else.',
  wrong_origin: 'It was signed on a page of another site.',
  wrong_site: 'It was signed for another site.',
  no_person: 'The authenticator saw nobody there.',
  not_verified:
    'The authenticator did not check who is there: set up its PIN, fingerprint or face, and try again.',
  wrong_signature: 'The signature is not by this passkey.',
};

/** Removes a passkey of somebody; what it signed stays signed. */
export async function removePasskey(
  unit: Unit,
  owner: Id<'person'>,
  id: string,
): Promise<PasskeyRow> {
  const [row] = await unit.sql
    .update(passkey)
    .set({ removedAt: unit.at })
    .where(
      and(eq(passkey.id, asPasskeyId(id)), eq(passkey.person, owner), isNull(passkey.removedAt)),
    )
    .returning();
  if (!row) throw new Refusal('not_found', 'There is no such passkey.');
  const { type, id: by } = partyOf(unit.call.principal);
  unit.emit('person.passkey_removed', {
    subject: owner,
    detail: { passkey: row.id, by: { type, id: by } },
    private: { name: row.name },
  });
  return row;
}

/** Removes a passkey of one's own. */
export async function removeOwnPasskey(
  unit: Unit,
  who: PersonPrincipal,
  id: string,
): Promise<PasskeyRow> {
  const own = await passkeysOf(unit.sql, who.id);
  if (who.strength === 'session' && own.some((each) => each.id === id))
    throw new Refusal(
      'stronger_auth_required',
      'You signed in a while ago: sign in again, and remove the passkey within five minutes.',
    );
  return removePasskey(unit, who.id, id);
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPasskeyId = (id: string): Id<'passkey'> => id as Id<'passkey'>;

/** What a browser sends when a passkey was used. */
export interface UsedPasskey {
  /** The authenticator's name for it. */
  credential: string;
  assertion: Assertion;
  site: RelyingParty;
}

/**
 * Checks that a passkey that is good signed a challenge of ours, and counts its use. A refusal is an outcome: that a
 * counter went back is an event, whatever else comes of it.
 */
export async function usePasskey(
  unit: Unit,
  used: UsedPasskey,
  expected: { challenge: string; person: Id<'person'> | null; for: 'sign_in' | 'vote' },
): Promise<PasskeyRow | Refusal> {
  const [row] = await unit.sql
    .select()
    .from(passkey)
    .where(and(eq(passkey.credentialId, used.credential), isNull(passkey.removedAt)))
    .for('update');
  if (!row || (expected.person !== null && row.person !== expected.person))
    return new Refusal('passkey_refused', 'This is no passkey of yours, or no longer one.');
  const { site } = used;
  const checked = checkAssertion(
    used.assertion,
    { challenge: expected.challenge, site, publicKey: row.publicKey },
    verifyPasskey,
  );
  if (checked.fault !== null) return new Refusal('passkey_refused', SAYS[checked.fault]);
  const { counter, backupEligible } = checked.signed;
  if (backupEligible !== row.backupEligible)
    return new Refusal(
      'passkey_refused',
      'This passkey is not the one that was added: use that one, or have an administrator remove it.',
    );
  if (hasRegressed(row.counter, counter)) {
    unit.emit('person.passkey_regressed', {
      subject: row.person,
      detail: { passkey: row.id, kept: row.counter, said: counter, used_for: expected.for },
      private: {},
    });
    return new Refusal(
      'passkey_refused',
      'This passkey was used elsewhere since, by what it counts: it may have been copied. Tell an administrator.',
    );
  }
  await unit.sql
    .update(passkey)
    .set({ counter, lastUsedAt: unit.at })
    .where(eq(passkey.id, row.id));
  return { ...row, counter, lastUsedAt: unit.at };
}
