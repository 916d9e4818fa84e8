// Polling for a deferred token, and giving the wait up. What is told follows from the request alone; a code that is
// not the client's own is told the same as one that there never was. @spec draft-ietf-oauth-deferred-token-response-01
import { collectCredential } from '../../commands/approvals/collect.ts';
import {
  cancelDeferral,
  countPoll,
  findDeferral,
  POLL_SECONDS,
} from '../../commands/approvals/deferrals.ts';
import { findRequest } from '../../commands/approvals/requests.ts';
import { sealKeyOf } from '../../commands/credentials/claim.ts';
import { fingerprintOf, isAnswered, type OnceKey } from '../../commands/once.ts';
import type { Principal } from '../../commands/principal.ts';
import { databaseTime, transact } from '../../commands/unit.ts';
import type { DeferralRow, RequestRow } from '../../db/rows.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import { sameJson } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { presentIssued } from '../present.ts';
import { created, type ApiDeps } from '../route.ts';
import { tokenAnswer, useUpProof } from './deferred.ts';
import { inOAuth, OAuthError } from './error.ts';
import type { TokenAnswer } from './own-claims.ts';
import type { Grant } from './token.ts';

export const DEFERRED_GRANT = 'urn:ietf:params:oauth:grant-type:deferred';
export const DEFERRAL_CODE_TYPE = 'urn:ietf:params:oauth:token-type:deferral-code';

/** What the first call said, and a poll has no business to say again: nothing of it changes. */
const OF_THE_FIRST_CALL = [
  'completion_mode',
  'scope',
  'resource',
  'audience',
  'task_id',
  'reason',
  'subject_token',
];

/** The grant of a poll: the token once people have agreed, and how things stand until then. */
export async function pollDeferred(grant: Grant, deps: ApiDeps): Promise<TokenAnswer> {
  const { client, form, call } = grant;
  const said = OF_THE_FIRST_CALL.find((name) => form.has(name));
  if (said !== undefined)
    throw new OAuthError('invalid_request', `Poll without ${said}: the first call said it.`);
  const code = form.get('deferral_code');
  if (!code) throw new OAuthError('invalid_request', 'Send the deferral_code.');
  await useUpProof(grant, deps);
  const row = await findDeferral(deps.db.query, deps.vault, code);
  if (row?.agent !== client.agent.id) throw unknownCode();
  refuseOtherBinding(row, grant.confirmation);
  const once = onceFor(grant, row);
  if (!(await isAnswered(deps.db.query, once))) await refuseUnlessApproved(grant, deps, row);
  const collection = {
    request: row.request,
    agent: client.agent.id,
    action: null,
    sealTo: await sealKeyOf(code),
  };
  try {
    const answer = await collectCredential(deps, call, once, collection, (lease) =>
      created(presentIssued(lease)),
    );
    if (answer instanceof Refusal) throw answer;
    return await tokenAnswer(deps, answer, code);
  } catch (error) {
    throw error instanceof Refusal ? whyNotCollected(error) : error;
  }
}

const unknownCode = (): OAuthError =>
  new OAuthError('invalid_grant', 'This is no deferral code of yours: ask for the token anew.');

const redeemed = (): OAuthError =>
  new OAuthError(
    'invalid_grant',
    'This code was redeemed, and is good once. If the answer was lost, repeat that call with its Idempotency-Key.',
  );

const denied = (why: string): OAuthError => new OAuthError('access_denied', why);
const expired = (): OAuthError =>
  new OAuthError('expired_token', 'The time for this ran out: ask for the token anew.');
const pending = (step: string): OAuthError =>
  new OAuthError('authorization_pending', `step=${step}`);

/** Whatever key or certificate the first call came with comes with every other. */
function refuseOtherBinding({ confirmation }: DeferralRow, came: Confirmation | null): void {
  if (confirmation === null) return;
  if (came !== null && sameJson({ ...confirmation }, { ...came })) return;
  if ('jkt' in confirmation)
    throw new OAuthError(
      'invalid_dpop_proof',
      'The code is bound to the key of the first call: send a DPoP proof by that key.',
    );
  throw new OAuthError(
    'invalid_grant',
    'The code is bound to the certificate of the first call: come over TLS with that one.',
  );
}

/** A poll whose answer was lost is repeated with its key, and by the same client: then it is the same poll. */
function onceFor({ client, idempotencyKey: key }: Grant, { mark }: DeferralRow): OnceKey | null {
  if (key === null) return null;
  const route = 'post /oauth2/token';
  return { principal: client.agent.id, route, key, fingerprint: fingerprintOf({ deferral: mark }) };
}

async function refuseUnlessApproved(
  { call }: Grant,
  deps: ApiDeps,
  row: DeferralRow,
): Promise<void> {
  const request = await findRequest(deps.db.query, row.request);
  if (!request) throw new Error('a deferral stands for no request');
  if (request.state === 'consumed') throw redeemed();
  if (!(await transact(deps, call, (unit) => countPoll(unit, row))))
    throw new OAuthError('slow_down', `Leave at least ${POLL_SECONDS} seconds between two polls.`);
  const now = await databaseTime(deps.db.query);
  const over = whyOver(request);
  if (over) throw over;
  if (!(now < row.expiresAt) || isOutOfTime(request, now)) throw expired();
  if (request.state === 'pending') throw pending('approval');
}

/** How a request ended that gives no token, or null while it may. */
function whyOver({ state, failure }: RequestRow): OAuthError | null {
  switch (state) {
    case 'denied':
      return denied('This was denied by the people who decide on it.');
    case 'cancelled':
      return denied('This was withdrawn.');
    case 'superseded':
      return denied('The policy changed while this was open: ask for the token anew.');
    case 'failed':
      return denied(`This was approved and could not be carried out: ${failure ?? 'it failed'}.`);
    case 'expired':
      return expired();
    case 'pending':
    case 'approved':
    case 'consumed':
      return null;
  }
}

/** Whether the clock ended a request that has not been closed yet. */
const isOutOfTime = ({ state, expiresAt, approvedUntil }: RequestRow, now: string): boolean =>
  state === 'pending' ? !(now < expiresAt) : approvedUntil !== null && !(now < approvedUntil);

/** Why collecting what was approved came to nothing, told to somebody who polls. */
function whyNotCollected(refusal: Refusal): OAuthError | Refusal {
  switch (refusal.code) {
    case 'already_collected':
      return redeemed();
    case 'approval_lapsed':
      return expired();
    case 'owner_not_ready':
    case 'target_unavailable':
    case 'not_started':
    case 'sensor_silent':
      return pending('issuing');
    case 'not_approved':
    case 'policy_changed':
    case 'digest_mismatch':
    case 'task_not_running':
      return denied(refusal.message);
    case 'idempotency_in_progress':
      return pending('issuing');
    case 'idempotency_mismatch':
      return new OAuthError('invalid_request', refusal.message);
    default:
      return inOAuth(refusal);
  }
}

/** Who cancels, and what they came with. */
export interface Canceller {
  caller: Principal;
  /** Read only where it matters: a proof that nobody asked for is none of our business. */
  cameWith: () => Promise<Confirmation | null>;
  traceId: string | null;
}

/** Takes a code back, and what it stands for; false for what is no code. A code of somebody else changes nothing. */
export async function cancelDeferred(
  deps: ApiDeps,
  code: string,
  { caller, cameWith, traceId }: Canceller,
): Promise<boolean> {
  const row = await findDeferral(deps.db.query, deps.vault, code);
  if (!row) return false;
  if (caller.kind !== 'service' && caller.id !== row.agent) return true;
  if (caller.kind !== 'service') refuseOtherBinding(row, await cameWith());
  await transact(deps, { principal: caller, traceId }, (unit) => cancelDeferral(unit, row));
  return true;
}
