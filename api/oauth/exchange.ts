// Token exchange (RFC 8693): an agent turns what another handed on to it into a token of its own.
import { randomUUID } from 'node:crypto';
import { exchangeToken } from '../../commands/agents/delegate.ts';
import { transact } from '../../commands/unit.ts';
import {
  isRoleScope,
  isWithinScope,
  rolesOfScope,
  scopeOfRoles,
  type Confirmation,
} from '../../domain/delegation.ts';
import { sameJson } from '../../domain/json.ts';
import type { ApiDeps } from '../route.ts';
import { OAuthError } from './error.ts';
import { exchangePerson, ID_TOKEN_TYPE, isOfSomebodyElse } from './exchange-person.ts';
import { refuseOtherTarget, signChainToken, typeFor, type TokenAnswer } from './own-claims.ts';
import { readOwnToken, type OwnToken } from './own-token.ts';
import type { Grant } from './token.ts';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt';

export async function exchange(grant: Grant, deps: ApiDeps): Promise<TokenAnswer> {
  const { client, confirmation, form, call } = grant;
  refuseOtherTarget(form, deps);
  refuseOtherType(form);
  await refuseOtherActor(form, deps, { client: client.agent.id, confirmation });
  if (isOfSomebodyElse(form, deps)) return exchangePerson(grant, deps);
  const subject = await readSubject(form, deps);
  // What was bound stays bound: the binding moves on to a key of whoever acts next, and is never dropped.
  if (subject.confirmation !== null && confirmation === null)
    throw invalid(
      'The subject_token is bound to a key, and what it is exchanged for must be, too: send a DPoP proof, or come with a certificate.',
    );
  const tokenId = randomUUID();
  const exchanged = await transact(deps, call, (unit) =>
    exchangeToken(unit, deps, {
      actor: client.agent,
      proof: client.proof,
      subject: { ...subject, roles: rolesOfScope(subject.scope) },
      roles: askedRoles(form, subject),
      tokenId,
    }),
  );
  if (exchanged.outcome === 'replayed')
    throw new OAuthError(
      'invalid_client',
      'This assertion was already used: make one for each call.',
    );
  if (exchanged.outcome === 'refused') throw invalid(exchanged.says);
  const { token } = exchanged;
  const signed = await signChainToken(deps, token, { tokenId, confirmation, mayAct: null });
  return {
    access_token: signed,
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: typeFor(confirmation),
    expires_in: Math.max(1, Math.floor((Date.parse(token.expiresAt) - Date.now()) / 1000)),
    scope: scopeOfRoles(token.roles),
  };
}

const invalid = (says: string): OAuthError => new OAuthError('invalid_request', says);

function refuseOtherType(form: ReadonlyMap<string, string>): void {
  const wanted = form.get('requested_token_type') ?? ACCESS_TOKEN_TYPE;
  if (wanted !== ACCESS_TOKEN_TYPE && wanted !== JWT_TYPE)
    throw invalid(`A token is exchanged for one of type ${ACCESS_TOKEN_TYPE}, and no other.`);
  for (const name of ['subject_token_type', 'actor_token_type']) {
    const type = form.get(name) ?? ACCESS_TOKEN_TYPE;
    const isPersons = name === 'subject_token_type' && type === ID_TOKEN_TYPE;
    if (type !== ACCESS_TOKEN_TYPE && type !== JWT_TYPE && !isPersons)
      throw invalid(`${name} must be ${ACCESS_TOKEN_TYPE}.`);
  }
  if (form.get('subject_token_type') === undefined)
    throw invalid(`Send subject_token_type=${ACCESS_TOKEN_TYPE}.`);
  if ((form.get('actor_token') === undefined) !== (form.get('actor_token_type') === undefined))
    throw invalid('actor_token and actor_token_type are sent together, or not at all.');
}

type Subject = OwnToken & { task: NonNullable<OwnToken['task']>; mayAct: string };

async function readSubject(form: ReadonlyMap<string, string>, deps: ApiDeps): Promise<Subject> {
  const token = form.get('subject_token');
  if (!token) throw invalid('Send the token that was handed on as subject_token.');
  const subject = await readOwnToken(token, deps);
  if (!subject || subject.agent.state !== 'active')
    throw invalid(
      'The subject_token is not one of ours, or is over: so it is when its task ended, or any agent it speaks for was stopped.',
    );
  const { task, mayAct } = subject;
  if (task === null || mayAct === null)
    throw invalid(
      'The subject_token was not made to be exchanged: its agent makes one for you with POST /v1/tasks/{id}/delegations.',
    );
  return { ...subject, task, mayAct };
}

/** The actor is the client itself. It may say so with a token of its own, and with nobody else's. */
async function refuseOtherActor(
  form: ReadonlyMap<string, string>,
  deps: ApiDeps,
  { client, confirmation }: { client: string; confirmation: Confirmation | null },
): Promise<void> {
  const token = form.get('actor_token');
  if (token === undefined) return;
  const actor = await readOwnToken(token, deps);
  if (actor?.agent.state !== 'active' || actor.chain.length > 1 || isNarrow(actor))
    throw invalid('The actor_token is no token that an agent signed in with, or is over.');
  if (actor.agent.id !== client)
    throw invalid('The actor_token is of another agent than the client: each acts for itself.');
  if (actor.confirmation !== null && !sameBinding(actor.confirmation, confirmation))
    throw invalid('The actor_token is bound to a key: prove that key with the same call.');
}

/** Whether a token is for something else than acting as its agent. */
const isNarrow = ({ mayAct, person, task }: OwnToken): boolean =>
  mayAct !== null || person !== null || task !== null;

const sameBinding = (a: Confirmation, b: Confirmation | null): boolean =>
  b !== null && sameJson({ ...a }, { ...b });

/** What is asked for, which is never more than was handed on. */
function askedRoles(form: ReadonlyMap<string, string>, { scope }: Subject): string[] | null {
  const asked = form.get('scope');
  if (asked === undefined) return null;
  if (!isWithinScope(asked, scope) || !isRoleScope(asked))
    throw new OAuthError(
      'invalid_scope',
      `What was handed on is "${scope}", and no more than that.`,
    );
  return rolesOfScope(asked);
}
