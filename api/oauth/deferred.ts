// Deferred token response: a token that people have to agree on is asked for like any other, and then polled for. A
// deferral is one more way to a request, and none around it. @spec draft-ietf-oauth-deferred-token-response-01
import { findTask } from '../../commands/agents/tasks.ts';
import { openDeferral, POLL_SECONDS } from '../../commands/approvals/deferrals.ts';
import { makeClaimCode } from '../../commands/credentials/claim.ts';
import { findCredential, requestCredential } from '../../commands/credentials/credentials.ts';
import type { Answer } from '../../commands/once.ts';
import { useUp } from '../../commands/sign-in/agent-sign-in.ts';
import { databaseTime, transact } from '../../commands/unit.ts';
import type { RequestRow, TaskRow } from '../../db/rows.ts';
import type { Confirmation } from '../../domain/delegation.ts';
import { secondsBetween } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { openWithCode } from '../../keys/claim-code.ts';
import { asMembers } from '../json-body.ts';
import { presentIssued } from '../present.ts';
import { created, type ApiDeps } from '../route.ts';
import { waitForOwner } from '../tasks.ts';
import { inOAuth, OAuthError } from './error.ts';
import { typeFor, type TokenAnswer } from './own-claims.ts';
import { roleAsked } from './role-asked.ts';
import type { Grant } from './token.ts';

/** A list of modes, of which one is known here, and the others are none of our business. */
export const mayDefer = (form: ReadonlyMap<string, string>): boolean =>
  (form.get('completion_mode') ?? '').split(' ').includes('deferred');

/** Asks for a role as a token: given at once where policy plainly permits it, deferred where people have to agree. */
export async function askForToken(grant: Grant, deps: ApiDeps): Promise<TokenAnswer> {
  const { client, form } = grant;
  const role = await roleAsked(deps, form, grant.confirmation);
  const task = await findTask(deps.db.query, form.get('task_id') ?? '');
  if (task?.agent !== client.agent.id)
    throw new OAuthError(
      'invalid_request',
      'Say with task_id for which task this is: one of your own that is running (POST /v1/tasks).',
    );
  await useUpProof(grant, deps);
  await waitForOwner(deps, task);
  const { code, outcome } = await askOnce(grant, deps, { role, task });
  if (outcome instanceof Refusal) throw inOAuth(outcome);
  if ('answer' in outcome) return tokenAnswer(deps, outcome.answer, code);
  throw await pendingWith(grant, deps, { code, request: outcome.held, task });
}

type Outcome = Refusal | { answer: Answer } | { held: RequestRow };

async function askOnce(
  { client, confirmation, form, call }: Grant,
  deps: ApiDeps,
  { role, task }: { role: string; task: TaskRow },
): Promise<{ code: string; outcome: Outcome }> {
  const { code, sealTo } = await makeClaimCode(deps.vault, null);
  let held: RequestRow | null = null;
  const ask = {
    task: task.id,
    agent: client.agent.id,
    role,
    sealTo,
    ttlSeconds: null,
    reason: form.get('reason') ?? null,
    callbackUrl: null,
    dpopThumbprint: confirmation && 'jkt' in confirmation ? confirmation.jkt : null,
    certificate: certificateOf(confirmation),
    options: {},
    notBefore: null,
  };
  try {
    const answer = await requestCredential(deps, call, null, ask, {
      issued: (row) => created(presentIssued(row)),
      held: (_tx, row) => {
        held = row;
        return Promise.resolve(created({}));
      },
    });
    if (answer instanceof Refusal) return { code, outcome: answer };
    return { code, outcome: held === null ? { answer } : { held } };
  } catch (error) {
    if (error instanceof Refusal) return { code, outcome: error };
    throw error;
  }
}

const certificateOf = (confirmation: Confirmation | null): string | null =>
  confirmation && 'x5t#S256' in confirmation ? confirmation['x5t#S256'] : null;

/** The deferred response, which is an error that carries the code. */
async function pendingWith(
  { client, confirmation, call }: Grant,
  deps: ApiDeps,
  { code, request, task }: { code: string; request: RequestRow; task: TaskRow },
): Promise<OAuthError> {
  const deferred = { code, request, agent: client.agent.id, confirmation };
  const seconds = await transact(deps, call, async (unit) =>
    secondsBetween(unit.at, await openDeferral(unit, { ...deferred, deadlineAt: task.deadlineAt })),
  );
  return new OAuthError('authorization_pending', 'People have to agree: poll with this code.', {
    deferral_code: code,
    expires_in: Math.max(1, Math.floor(seconds)),
    interval: POLL_SECONDS,
  });
}

/** What an agent proved itself with is good for one call, whatever comes of that. */
export async function useUpProof({ client: { proof }, call }: Grant, deps: ApiDeps): Promise<void> {
  const { once } = proof;
  if (once && !(await transact(deps, call, (unit) => useUp(unit, once))))
    throw new OAuthError(
      'invalid_client',
      'This assertion was already used: make one for each call.',
    );
}

/** What was issued, in the open: it was sealed to the key of a code that the caller holds. */
export async function tokenAnswer(
  deps: ApiDeps,
  { body }: Answer,
  code: string,
): Promise<TokenAnswer> {
  const { id, sealed } = asMembers(body);
  if (typeof id !== 'string' || typeof sealed !== 'string')
    throw new Error('what was issued was answered without it');
  const lease = await findCredential(deps.db.query, id);
  const { token } = asMembers(await openWithCode(code, sealed));
  if (!lease || typeof token !== 'string') throw new Error('a role of tokens gave none');
  const now = await databaseTime(deps.db.query);
  return {
    access_token: token,
    token_type: typeFor(lease.confirmation),
    expires_in: Math.max(1, Math.floor(secondsBetween(now, lease.expiresAt))),
    scope: lease.role,
  };
}
