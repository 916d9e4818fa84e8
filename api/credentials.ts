// Credentials over their life: all of them by what became of them, renewed, and given up on.
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { claimCredential } from '../commands/credentials/claim.ts';
import { forceCloseLease } from '../commands/credentials/lease-ends.ts';
import { asCredentialId } from '../commands/credentials/leases.ts';
import { renewCredential } from '../commands/credentials/renewals.ts';
import { answerOnce } from '../commands/once.ts';
import { isAdmin } from '../commands/principal.ts';
import { credential } from '../db/schema/index.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import { presentCredential, presentIssued } from './present.ts';
import { defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';
import { asAgent, visibleCredential } from './tasks.ts';

const list = defineRoute({
  method: 'get',
  path: '/v1/credentials',
  tag: 'Credentials',
  summary: 'List credentials, for example those whose revocation fails: state=revoke_failed',
  allow: ['agent', 'person', 'service'],
  query: z.strictObject({
    ...shape.listQuery,
    state: z.enum(statesOf('credential')).optional(),
    role: z.string().max(100).optional(),
    target: z.string().max(100).optional(),
  }),
  answers: {
    200: { description: 'A page of credentials', schema: shape.listOf(shape.credential) },
  },
  refusals: [],
  events: [],
  handle: async ({ principal, query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'credentials', query.cursor);
    const rows = await deps.db.query
      .select()
      .from(credential)
      .where(
        and(
          after === null ? undefined : gt(credential.id, asCredentialId(after)),
          // An agent sees what is its own.
          principal?.kind === 'agent' ? eq(credential.agent, principal.id) : undefined,
          query.state && eq(credential.state, query.state),
          query.role === undefined ? undefined : eq(credential.role, query.role),
          query.target === undefined ? undefined : eq(credential.target, query.target),
        ),
      )
      .orderBy(asc(credential.id))
      .limit(query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.id, deps.keys.cursors, 'credentials');
    return ok({ data: page.rows.map(presentCredential), next_cursor: page.next });
  },
});

const renew = defineRoute({
  method: 'post',
  path: '/v1/credentials/{id}/renew',
  tag: 'Credentials',
  summary: 'Let a live credential end later, as far as its role, its task and its approval allow',
  description:
    'A login is extended where it is. What says itself when it ends, such as a token, is made anew for the key it was sealed to, which `seal_to` then names; the answer carries it in `sealed`. `expires_at` never goes back, and today’s policy is asked again.',
  allow: ['agent'],
  body: shape.renewBody,
  answers: { 200: { description: 'As it is now', schema: shape.renewedCredential } },
  refusals: [
    'not_found',
    'denied',
    'wrong_state',
    'policy_changed',
    'ttl_too_long',
    'not_renewable',
    'renewal_capped',
    'seal_key_invalid',
    'task_not_running',
    'agent_not_active',
    'stopped',
    'target_unavailable',
    'sensor_silent',
    'owner_not_ready',
    'log_unavailable',
  ],
  events: ['evaluation.decided', 'credential.renew_intended', 'credential.renewed'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const sealTo = body.seal_to
      ? await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid')
      : null;
    const ask = {
      credential: await visibleCredential(deps, principal, params['id']),
      agent: asAgent(principal).id,
      ttlSeconds: body.ttl_seconds ?? null,
      sealTo,
    };
    return renewCredential(deps, call, once, ask, (row) =>
      ok(sealTo ? presentIssued(row) : presentCredential(row)),
    );
  },
});

const claim = defineRoute({
  method: 'post',
  path: '/v1/credentials/{id}/claim',
  tag: 'Credentials',
  summary: 'Open a credential for the code it was asked for with: once',
  description:
    'For callers that cannot open a JWE. The answer has the secret in the open, and is given once; repeated with its Idempotency-Key it is the same.',
  allow: ['agent'],
  body: shape.claimBody,
  answers: {
    200: { description: 'What was issued, in the open', schema: shape.claimedCredential },
  },
  refusals: ['not_found', 'claim_refused', 'already_claimed', 'wrong_state'],
  events: ['credential.claimed'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const { id } = await visibleCredential(deps, principal, params['id']);
    return answerOnce(deps, call, once, async (unit) =>
      ok({ id, material: await claimCredential(unit, id, body.code) }),
    );
  },
});

const forceClose = defineRoute({
  method: 'post',
  path: '/v1/credentials/{id}/force-close',
  tag: 'Credentials',
  summary: 'Give up on a revocation that keeps failing: a person’s word, logged, and never undone',
  description:
    'Nothing waits for this credential any more, and it stays marked as never seen gone. What it left behind is still looked for, and ended when it can be.',
  allow: ['member'],
  body: shape.failBody,
  answers: { 200: { description: 'Closed, and not seen gone', schema: shape.credential } },
  refusals: ['not_found', 'forbidden', 'wrong_state'],
  events: ['credential.force_closed'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const { id } = await visibleCredential(deps, principal, params['id']);
    if (principal === null || !isAdmin(principal))
      throw new Refusal(
        'forbidden',
        'Only an administrator can give up on this, signed in as a person: on /stopping, or with their session.',
      );
    return answerOnce(deps, call, once, async (unit) =>
      ok(presentCredential(await forceCloseLease(unit, id, body.reason))),
    );
  },
});

export const credentialRoutes = [list, renew, claim, forceClose];
