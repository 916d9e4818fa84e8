// Asking for a credential under a task: for a key of the caller's, or for a code where it can make none.
import type { z } from 'zod';
import { makeClaimCode } from '../commands/credentials/claim.ts';
import { requestCredential } from '../commands/credentials/credentials.ts';
import type { Answer, OnceKey } from '../commands/once.ts';
import { readPublicKey, type PublicKey } from '../keys/public-key.ts';
import { invalid } from './body.ts';
import { asJsonObject, asMembers } from './json-body.ts';
import { presentHeld, presentIssued } from './present.ts';
import { created, defineRoute, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';
import { asAgent, checkNewCallback, visibleTask, waitForOwner } from './tasks.ts';

const ask = defineRoute({
  method: 'post',
  path: '/v1/tasks/{id}/credentials',
  tag: 'Credentials',
  summary: 'Ask for a credential: issued at once, or held until people agree',
  description:
    'The same action asked for again under the same task is the same request while that is pending or approved. Until people decide, the newest `seal_to` and the newest `callback` replace the earlier ones. What a standing grant of the agent covers is issued at once; `grant` in the answer then names it.',
  allow: ['agent'],
  body: shape.credentialBody,
  answers: {
    201: { description: 'Issued; sealed opens with your key', schema: shape.issuedCredential },
    202: {
      description: 'Held: the request waits for people',
      schema: shape.heldCredential,
      headers: { Location: 'The path of the request' },
    },
  },
  refusals: [
    'not_found',
    'denied',
    'role_unknown',
    'reason_required',
    'ttl_too_long',
    'option_refused',
    'start_refused',
    'seal_key_invalid',
    'binding_required',
    'delegation_refused',
    'callback_refused',
    'no_approver',
    'task_not_running',
    'agent_not_active',
    'stopped',
    'secret_not_put',
    'secret_in_use',
    'secret_tainted',
    'target_unavailable',
    'owner_not_ready',
    'log_unavailable',
  ],
  events: [
    'evaluation.decided',
    'credential.intended',
    'credential.issued',
    'request.opened',
    'grant.used',
    'permit.issued',
    'permit.redeemed',
  ],
  handle: async ({ principal, call, once, params, body, context }, deps) => {
    const key = await keyAsked(deps, once, body);
    await checkNewCallback(deps, once, body.callback);
    const owner = await visibleTask(deps, principal, params['id']);
    await waitForOwner(deps, owner);
    const order = {
      task: owner.id,
      agent: asAgent(principal).id,
      role: body.role,
      sealTo: key.sealTo,
      ttlSeconds: body.ttl_seconds ?? null,
      reason: body.reason ?? null,
      notBefore: body.not_before ?? null,
      callbackUrl: body.callback?.url ?? null,
      dpopThumbprint: body.dpop_jkt ?? null,
      certificate: context.get('clientCertificate')?.thumbprint ?? null,
      options: asJsonObject(body.options ?? {}),
    };
    return requestCredential(deps, call, once, order, {
      issued: (row) => withCode(created(presentIssued(row)), key.code),
      held: async (tx, row) => withCode(await presentHeld(tx, row, deps.publicUrl), key.code),
    });
  },
});

/** The key to seal to: the caller's own, or one that a code stands for. */
async function keyAsked(
  deps: ApiDeps,
  once: OnceKey | null,
  body: z.infer<typeof shape.credentialBody>,
): Promise<{ sealTo: PublicKey; code: string | null }> {
  const { seal_to: key } = body;
  if ((key === undefined) === (body.claim === undefined))
    throw invalid(
      'Send either seal_to, a public key of yours, or claim: true, where you can make none.',
    );
  if (key === undefined) return makeClaimCode(deps.vault, once);
  return { sealTo: await readPublicKey(asJsonObject(key), 'seal_key_invalid'), code: null };
}

const withCode = (answer: Answer, code: string | null): Answer =>
  code === null ? answer : { ...answer, body: { ...asMembers(answer.body), claim: { code } } };

export const askRoutes = [ask];
