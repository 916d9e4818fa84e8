// @spec ARAP-1.0-draft-1#access-request-submission
// Taking a denial to people, seeing how it stands, and giving it up.
import { z } from 'zod';
import { cancelRequest } from '../../commands/approvals/request-ends.ts';
import { findRequest } from '../../commands/approvals/requests.ts';
import { approvalOf } from '../../commands/authzen/approval.ts';
import { isAccessRequest, requestAccess } from '../../commands/authzen/request.ts';
import { waitUntil } from '../../commands/changes.ts';
import { answerOnce } from '../../commands/once.ts';
import type { Principal } from '../../commands/principal.ts';
import type { Query, Transaction } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { taskStatus } from '../../domain/access-tuple.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { invalid } from '../body.ts';
import { accepted, defineRoute, ok, type ApiDeps } from '../route.ts';
import { checkNewCallback } from '../tasks.ts';
import { PROBLEM_ANSWERS, refuseAsAccessProblem } from './problem.ts';
import { evaluationBody, readTuple } from './shapes.ts';

const word = z.string().min(1).max(500);
const until = z.iso.datetime({ offset: true });

const submission = evaluationBody.extend({
  denial: z.looseObject({
    evaluation_id: word.optional(),
    expires_at: until,
    binding_token: z.string().optional(),
  }),
  requested_access: z
    .looseObject({ requested_until: until.optional(), emergency: z.boolean().optional() })
    .optional(),
  callback: z
    .looseObject({
      endpoint: z.string().max(2_000),
      state: z.unknown().optional(),
      events: z.array(word).max(10).optional(),
    })
    .optional(),
  client: z.looseObject({ name: word.optional(), id: word.optional() }).optional(),
  items: z.undefined({ error: 'one question at a time: submit each denial by itself' }).optional(),
});

const task = z.object({
  task: z.object({
    id: z.string(),
    status: z.string(),
    status_endpoint: z.string(),
    expires_at: z.string(),
    links: z.object({ cancel: z.string() }),
  }),
  result: z
    .object({
      mode: z.literal('reevaluate'),
      approval: z.object({
        id: z.string(),
        approved_at: z.string(),
        approved_until: z.string(),
      }),
    })
    .optional(),
});

const ABOUT = {
  tag: 'AuthZEN',
  allow: ['agent', 'service'],
  refuse: refuseAsAccessProblem,
} as const;

const submit = defineRoute({
  ...ABOUT,
  method: 'post',
  path: '/access/v1/requests',
  summary: 'Take a denial to people (AuthZEN access request profile, draft)',
  description:
    'For a denial whose `context.access_request` says that this is possible: the same subject, action, resource and context, with `denial.evaluation_id` and `denial.expires_at` as they were told. `context.business_justification` is shown to approvers as a claim. The same question again is the same task while that is live.',
  body: submission,
  answers: {
    202: {
      description: 'The task; ask its status_endpoint, or wait to be called',
      schema: task,
      headers: { Location: 'The status endpoint' },
    },
    ...PROBLEM_ANSWERS,
  },
  refusals: [
    'not_requestable',
    'invalid_denial_binding',
    'expired_denial',
    'callback_refused',
    'no_approver',
    'stopped',
    'log_unavailable',
  ],
  events: ['request.opened', 'access.requested', 'evaluation.decided'],
  handle: async ({ call, once, body }, deps) => {
    const { denial, callback } = body;
    // None of ours: we never hand one out.
    if (denial.binding_token !== undefined || denial.evaluation_id === undefined)
      throw new Refusal(
        'invalid_denial_binding',
        'A denial here is bound by its evaluation_id alone: send that, and no binding_token.',
      );
    const evaluation = denial.evaluation_id;
    await checkNewCallback(deps, once, callback && { url: callback.endpoint });
    return answerOnce(deps, call, once, async (unit) => {
      const row = await requestAccess(unit, deps, {
        tuple: readTuple(body),
        denial: { evaluation, expiresAt: denial.expires_at },
        wish: wishIn(body),
        callback: callback
          ? {
              url: callback.endpoint,
              about: { state: asJson(callback.state), events: callback.events ?? null },
            }
          : null,
      });
      if (row instanceof Refusal) return row;
      return accepted(await present(unit.sql, row, deps.publicUrl), {
        location: endpointOf(row, deps.publicUrl),
      });
    });
  },
});

/** Bodies are read as JSON. */
const asJson = (state: unknown): JsonValue => (state ?? null) as JsonValue;

function wishIn({ context = {}, requested_access: access, client }: z.infer<typeof submission>) {
  const { business_justification: why } = context;
  if (why !== undefined && (typeof why !== 'string' || why.length > 2_000))
    throw invalid('context.business_justification is a text of at most 2000 characters.');
  const asked = access?.requested_until;
  return {
    justification: why ?? null,
    requested_until: asked === undefined ? null : new Date(asked).toISOString(),
    emergency: access?.emergency === true,
    client: client?.name ?? client?.id ?? null,
  };
}

const show = defineRoute({
  ...ABOUT,
  method: 'get',
  path: '/access/v1/requests/{id}',
  summary: 'How a task stands; once approved, what to evaluate again with',
  description:
    'With `Prefer: wait` it answers when the task is no longer pending. An approval is no access: evaluate again, with `result.approval` as `context.approval`.',
  answers: { 200: { description: 'The task', schema: task }, ...PROBLEM_ANSWERS },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, params, waitSeconds }, deps) => {
    const first = await ownRequest(deps, principal, params['id']);
    const row = await waitUntil(
      deps.changes,
      first.id,
      waitSeconds,
      () => findRequest(deps.db.query, first.id),
      (seen) => seen?.state !== 'pending',
    );
    const seen = row ?? first;
    const pause = seen.state === 'pending' ? { 'retry-after': POLL_SECONDS } : {};
    return ok(await present(deps.db.query, seen, deps.publicUrl), pause);
  },
});

/** What a caller that polls is asked to wait. */
const POLL_SECONDS = '5';

const cancel = defineRoute({
  ...ABOUT,
  method: 'post',
  path: '/access/v1/requests/{id}/cancel',
  summary: 'Give up a task that nobody has decided',
  body: z.looseObject({
    reason: z.string().max(200).optional(),
    comment: z.string().max(2_000).optional(),
  }),
  answers: { 200: { description: 'The cancelled task', schema: task }, ...PROBLEM_ANSWERS },
  refusals: ['not_found', 'already_decided'],
  events: ['request.cancelled', 'request.expired'],
  handle: async ({ principal, call, once, params }, deps) => {
    const { id } = await ownRequest(deps, principal, params['id']);
    return answerOnce(deps, call, once, async (unit) => {
      const row = await cancelRequest(unit, id);
      return row instanceof Refusal ? row : ok(await present(unit.sql, row, deps.publicUrl));
    });
  },
});

/** A task of another caller is, for this one, none at all. */
async function ownRequest(
  deps: ApiDeps,
  principal: Principal | null,
  id: string | undefined,
): Promise<RequestRow> {
  const row = await findRequest(deps.db.query, id ?? '');
  const isOwn = row?.requester.type === principal?.kind && row?.requester.id === principal?.id;
  if (!row || !isOwn || !isAccessRequest(row))
    throw new Refusal('not_found', 'There is no such task for this caller.');
  return row;
}

const endpointOf = ({ id }: RequestRow, publicUrl: string): string =>
  `${publicUrl}/access/v1/requests/${id}`;

async function present(
  sql: Query | Transaction,
  row: RequestRow,
  publicUrl: string,
): Promise<JsonObject> {
  const endpoint = endpointOf(row, publicUrl);
  const status = taskStatus(row);
  const approval = status === 'approved' ? await approvalOf(sql, row) : null;
  return {
    task: {
      id: row.id,
      status,
      status_endpoint: endpoint,
      expires_at: row.approvedUntil ?? row.expiresAt,
      links: { cancel: `${endpoint}/cancel` },
    },
    ...(approval && { result: { mode: 'reevaluate', approval } }),
  };
}

export const accessRequestRoutes = [submit, show, cancel];
