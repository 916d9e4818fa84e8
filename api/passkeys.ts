// Passkeys of people: adding, naming, removing, and signing in with them.
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { z } from 'zod';
import type { OfferedStatement } from '../commands/approvals/offer-statement.ts';
import { answerOnce } from '../commands/once.ts';
import { asPersonId, knownPerson } from '../commands/people/people.ts';
import type { PersonPrincipal } from '../commands/principal.ts';
import { CHALLENGE_SECONDS, signInChallenge } from '../commands/sign-in/passkey-challenges.ts';
import { signInWithPasskey } from '../commands/sign-in/passkey-sign-in.ts';
import {
  addPasskey,
  offerPasskey,
  passkeysOf,
  removeOwnPasskey,
  removePasskey,
  type MadePasskey,
  type PasskeyOffer,
  type UsedPasskey,
} from '../commands/sign-in/passkeys.ts';
import { databaseTime } from '../commands/unit.ts';
import type { PasskeyRow } from '../db/rows.ts';
import { base64url, fromBase64url, utf8 } from '../domain/bytes.ts';
import { addSeconds } from '../domain/instant.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import type { Spoken } from '../domain/statement.ts';
import { COSE_ALGORITHMS, readAssertion, type RelyingParty } from '../domain/webauthn.ts';
import * as shape from './passkey-schemas.ts';
import { asPerson, sessionBody, sessionCookie } from './people.ts';
import { created, defineRoute, noContent, ok, type ApiDeps } from './route.ts';
import { session as sessionShape } from './schemas.ts';

/** Where our passkeys are good: said by the configuration, never by whoever calls. */
function siteOf({ publicUrl }: Pick<ApiDeps, 'publicUrl'>): RelyingParty {
  const { hostname, origin } = new URL(publicUrl);
  if (isIP(hostname.replaceAll(/[[\]]/g, '')) > 0)
    throw new Refusal(
      'passkey_refused',
      `Passkeys are for names, and this service is called ${hostname}: set COUNTERSIGN_PUBLIC_URL to a name.`,
    );
  return { id: hostname, origin };
}

const presentPasskey = (row: PasskeyRow): JsonObject => ({
  id: row.id,
  name: row.name,
  synced: row.backupEligible,
  created_at: row.createdAt,
  last_used_at: row.lastUsedAt,
});

const described = (rows: readonly PasskeyRow[]): JsonObject[] =>
  rows.map((row) => ({ type: 'public-key', id: row.credentialId, transports: row.transports }));

const TIMEOUT_MS = CHALLENGE_SECONDS * 1000;

/** What a page hands to the browser to have something signed (WebAuthn Level 3 §5.5). */
const requestOptions = (
  challenge: string,
  site: RelyingParty,
  passkeys: readonly PasskeyRow[],
): JsonObject => ({
  challenge,
  rpId: site.id,
  timeout: TIMEOUT_MS,
  userVerification: 'required',
  allowCredentials: described(passkeys),
});

/** What a page hands to the browser to have a passkey made (§5.4). */
const creationOptions = (
  offer: PasskeyOffer,
  site: RelyingParty,
  who: PersonPrincipal,
): JsonObject => ({
  challenge: offer.challenge,
  rp: { id: site.id, name: 'Countersign' },
  user: { id: base64url(utf8(who.id)), name: who.name, displayName: who.name },
  pubKeyCredParams: Object.values(COSE_ALGORITHMS).map((alg) => ({ type: 'public-key', alg })),
  timeout: TIMEOUT_MS,
  attestation: 'none',
  authenticatorSelection: {
    residentKey: 'required',
    requireResidentKey: true,
    userVerification: 'required',
  },
  excludeCredentials: described(offer.existing),
});

/** A statement as its approver gets it, with what it only commits to. */
export function presentStatement(
  deps: ApiDeps,
  { statement, challenge, salt, expiresAt, passkeys }: OfferedStatement,
  { reason, limits }: Pick<Spoken, 'reason' | 'limits'>,
): JsonObject {
  const site = siteOf(deps);
  return {
    statement,
    opens: { salt: base64url(salt), reason, limits },
    options: requestOptions(challenge, site, passkeys),
    origin: site.origin,
    expires_at: expiresAt,
  };
}

/** What a browser sent when a passkey was used, as commands take it. */
export function usedPasskey(deps: ApiDeps, sent: z.infer<typeof shape.usedPasskey>): UsedPasskey {
  const assertion = readAssertion(sent);
  if (!assertion) throw malformed();
  return { credential: sent.credential, assertion, site: siteOf(deps) };
}

function madePasskey(sent: z.infer<typeof shape.addBody>): MadePasskey {
  const attestation = fromBase64url(sent.attestation);
  const clientData = fromBase64url(sent.client_data);
  if (!attestation || !clientData) throw malformed();
  return { name: sent.name, attestation, clientData, transports: sent.transports ?? [] };
}

const malformed = (): Refusal =>
  new Refusal('invalid_request', 'Bytes are sent in base64url, without padding.');

const offer = defineRoute({
  method: 'post',
  path: '/v1/session/passkeys/challenge',
  tag: 'People',
  summary:
    'Begin adding a passkey: what to hand to the browser. Takes a sign-in within five minutes',
  allow: ['person'],
  body: shape.emptyBody,
  answers: { 201: { description: 'Options for the browser', schema: shape.creation } },
  refusals: ['stronger_auth_required', 'passkeys_full', 'passkey_refused', 'too_soon'],
  // Nothing is added until the browser answers.
  events: [],
  handle: ({ principal, call, once }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const who = asPerson(principal);
      const site = siteOf(deps);
      const made = await offerPasskey(unit, who);
      return created({
        options: creationOptions(made, site, who),
        origin: site.origin,
        expires_at: made.expiresAt,
      });
    }),
});

const add = defineRoute({
  method: 'post',
  path: '/v1/session/passkeys',
  tag: 'People',
  summary: 'Add the passkey that the browser made',
  allow: ['person'],
  body: shape.addBody,
  answers: { 201: { description: 'The passkey', schema: shape.passkey } },
  refusals: ['stronger_auth_required', 'passkeys_full', 'passkey_refused', 'passkey_taken'],
  events: ['person.passkey_added'],
  handle: ({ principal, call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) =>
      created(
        presentPasskey(
          await addPasskey(unit, asPerson(principal), siteOf(deps), madePasskey(body)),
        ),
      ),
    ),
});

const listOwn = defineRoute({
  method: 'get',
  path: '/v1/session/passkeys',
  tag: 'People',
  summary: 'Your passkeys',
  allow: ['person'],
  answers: { 200: { description: 'Passkeys', schema: shape.passkeys } },
  refusals: [],
  events: [],
  handle: async ({ principal }, deps) =>
    ok(listed(await passkeysOf(deps.db.query, asPerson(principal).id))),
});

const listed = (rows: readonly PasskeyRow[]): JsonObject => ({
  data: rows.map(presentPasskey),
  next_cursor: null,
});

const removeOwn = defineRoute({
  method: 'delete',
  path: '/v1/session/passkeys/{passkey}',
  tag: 'People',
  summary: 'Remove a passkey of yours. Takes a sign-in within five minutes',
  allow: ['person'],
  answers: { 204: { description: 'Removed' } },
  refusals: ['not_found', 'stronger_auth_required'],
  events: ['person.passkey_removed'],
  handle: ({ principal, call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeOwnPasskey(unit, asPerson(principal), params['passkey'] ?? '');
      return noContent();
    }),
});

const list = defineRoute({
  method: 'get',
  path: '/v1/people/{id}/passkeys',
  tag: 'People',
  summary: 'The passkeys of a person',
  allow: ['auditor'],
  answers: { 200: { description: 'Passkeys', schema: shape.passkeys } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const { id } = await knownPerson(deps.db.query, params['id'] ?? '');
    return ok(listed(await passkeysOf(deps.db.query, id)));
  },
});

const remove = defineRoute({
  method: 'delete',
  path: '/v1/people/{id}/passkeys/{passkey}',
  tag: 'People',
  summary:
    'Remove a passkey that somebody lost; with their last one gone, a new link lets them add another',
  allow: ['admin'],
  answers: { 204: { description: 'Removed' } },
  refusals: ['not_found'],
  events: ['person.passkey_removed'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removePasskey(unit, asPersonId(params['id'] ?? ''), params['passkey'] ?? '');
      return noContent();
    }),
});

const challenge = defineRoute({
  method: 'post',
  path: '/v1/sessions/passkey/challenge',
  tag: 'People',
  summary: 'Begin signing in with a passkey: what to hand to the browser',
  allow: ['anyone'],
  body: shape.emptyBody,
  answers: { 200: { description: 'Options for the browser', schema: shape.signing } },
  refusals: ['passkey_refused'],
  // Nothing is kept: the challenge says itself until when it is good.
  events: [],
  handle: async (_incoming, deps) => {
    const site = siteOf(deps);
    const now = await databaseTime(deps.db.query);
    return ok({
      options: requestOptions(signInChallenge(deps.keys.cursors, now), site, []),
      origin: site.origin,
      expires_at: addSeconds(now, CHALLENGE_SECONDS),
    });
  },
});

const open = defineRoute({
  method: 'post',
  path: '/v1/sessions/passkey',
  tag: 'People',
  summary: 'Sign in with a passkey',
  description:
    'With an Idempotency-Key, made at random for this one call, a repeat after a lost answer gets the same session and cookie again.',
  keyedBy: ({ signature }) => `passkey:${createHash('sha256').update(signature).digest('hex')}`,
  allow: ['anyone'],
  body: shape.usedPasskey,
  answers: {
    201: {
      description: 'The session; its cookie is set',
      schema: sessionShape,
      headers: { 'Set-Cookie': 'The cookie of the session' },
    },
  },
  refusals: ['passkey_refused', 'forbidden'],
  events: ['person.signed_in', 'person.signed_out', 'person.passkey_regressed'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const opened = await signInWithPasskey(unit, deps.keys.cursors, usedPasskey(deps, body));
      if (opened instanceof Refusal) return opened;
      const { expiresAt } = opened.session;
      return created(sessionBody(opened.person, opened.token, expiresAt), {
        'set-cookie': sessionCookie(deps, opened.token, expiresAt),
      });
    }),
});

export const passkeyRoutes = [offer, add, listOwn, removeOwn, list, remove, challenge, open];
