// Requests that wait for people, and what people and requesters do about them.
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { noteSeen, waitsForAgent } from '../commands/approvals/ask.ts';
import { collectCredential } from '../commands/approvals/collect.ts';
import { decide, recordViewing, type Ballot } from '../commands/approvals/decide.ts';
import { offerStatement } from '../commands/approvals/offer-statement.ts';
import { alreadyDecided, cancelRequest } from '../commands/approvals/request-ends.ts';
import { asRequestId, findRequest } from '../commands/approvals/requests.ts';
import { decidableBy } from '../commands/approvals/waiting.ts';
import { waitUntil } from '../commands/changes.ts';
import { answerOnce } from '../commands/once.ts';
import type { Principal } from '../commands/principal.ts';
import { databaseTime, transact } from '../commands/unit.ts';
import type { RequestRow } from '../db/rows.ts';
import { request } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { limitsAsJson } from '../domain/narrowing.ts';
import { Refusal } from '../domain/refusal.ts';
import { readPublicKey } from '../keys/public-key.ts';
import { pageOf, readCursor } from './cursor.ts';
import { asJsonObject } from './json-body.ts';
import {
  statement as signedStatement,
  usedPasskey as usedPasskeyShape,
} from './passkey-schemas.ts';
import { presentStatement, usedPasskey } from './passkeys.ts';
import { asPerson } from './people.ts';
import { presentIssued, presentRequest, presentVote } from './present.ts';
import { accepted, created, defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './schemas.ts';
import { asAgent } from './tasks.ts';
import { voteBody } from './vote-schemas.ts';

/** A vote, and what a passkey signed for it if one did. */
const signedVoteBody = voteBody.extend({ passkey: usedPasskeyShape.optional() });

/** Requests are few next to what they lead to; a page of those one may decide is picked from this many. */
const SCANNED_MAX = 2_000;

const list = defineRoute({
  method: 'get',
  path: '/v1/requests',
  tag: 'Requests',
  summary: 'List requests: a person sees the pending ones they may decide, an agent its own',
  allow: ['person', 'agent', 'service'],
  query: z.strictObject({ ...shape.listQuery, state: z.enum(statesOf('request')).optional() }),
  answers: { 200: { description: 'A page of requests', schema: shape.listOf(shape.request) } },
  refusals: [],
  events: [],
  handle: async ({ principal, query }, deps) => {
    const now = await databaseTime(deps.db.query);
    const after = readCursor(deps.keys.cursors, 'requests', query.cursor);
    const rows = await deps.db.query
      .select()
      .from(request)
      .where(
        and(
          query.state ? eq(request.state, query.state) : undefined,
          principal?.kind === 'agent' ? eq(request.agent, principal.id) : undefined,
          after === null ? undefined : gt(request.id, asRequestId(after)),
        ),
      )
      .orderBy(asc(request.id))
      .limit(SCANNED_MAX);
    const mine =
      query.state === 'pending' && principal?.kind === 'person'
        ? await decidableBy(deps.db.query, principal, rows, now)
        : rows;
    const page = pageOf(mine, query.limit, (row) => row.id, deps.keys.cursors, 'requests');
    const data = await Promise.all(
      page.rows.map((row) => presentRequest(deps.db.query, row, deps.publicUrl, now)),
    );
    return ok({ data, next_cursor: page.next });
  },
});

export async function visibleRequest(
  deps: ApiDeps,
  principal: Principal | null,
  id: string | undefined,
): Promise<RequestRow> {
  const row = await findRequest(deps.db.query, id ?? '');
  if (!row || (principal?.kind === 'agent' && principal.id !== row.agent))
    throw new Refusal('not_found', 'There is no such request.');
  return row;
}

const show = defineRoute({
  method: 'get',
  path: '/v1/requests/{id}',
  tag: 'Requests',
  summary:
    'One request. With Prefer: wait, answered when it is no longer pending, or asks its agent something new',
  allow: ['agent', 'person', 'service'],
  answers: { 200: { description: 'The request', schema: shape.request } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ principal, call, params, waitSeconds }, deps) => {
    const first = await visibleRequest(deps, principal, params['id']);
    if (principal?.kind === 'person')
      await transact(deps, call, (unit) => recordViewing(unit, first.id));
    const isAgent = principal?.kind === 'agent';
    const row = await waitUntil(
      deps.changes,
      first.id,
      waitSeconds,
      () => findRequest(deps.db.query, first.id),
      (seen) => seen?.state !== 'pending' || (isAgent && hasNews(seen)),
    );
    if (isAgent && row && hasNews(row))
      await transact(deps, call, (unit) => noteSeen(unit, first.id));
    const now = await databaseTime(deps.db.query);
    return ok(await presentRequest(deps.db.query, row ?? first, deps.publicUrl, now));
  },
});

/** Whether the agent is asked something that it has not read. */
const hasNews = (row: RequestRow): boolean => waitsForAgent(row).some(({ seen }) => !seen);
const spokenIn = (body: z.infer<typeof voteBody>) => ({
  decision: body.decision,
  shown: body.shown,
  reason: body.reason ?? null,
  disposition: body.disposition ?? ('stop' as const),
  inSteadOf: body.in_stead_of ?? null,
  narrow: body.narrow ?? null,
});

const statement = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/statement',
  tag: 'Requests',
  summary: 'What a passkey is to sign for one decision, in exactly these words; it decides nothing',
  allow: ['member'],
  body: voteBody,
  answers: {
    201: { description: 'The statement, and options for the browser', schema: signedStatement },
  },
  refusals: [
    'not_found',
    'already_decided',
    'shown_mismatch',
    'stronger_auth_required',
    'passkey_refused',
    'too_soon',
    'log_unavailable',
  ],
  // Nothing is decided until the vote comes with what was signed.
  events: [],
  handle: ({ principal, call, once, params, body }, deps) => {
    const { narrow, ...words } = spokenIn(body);
    const spoken = { ...words, limits: narrow && limitsAsJson(narrow) };
    return answerOnce(deps, call, once, async (unit) => {
      const asked = { request: params['id'] ?? '', ...spoken };
      const offered = await offerStatement(unit, asPerson(principal), asked);
      return created(presentStatement(deps, offered, spoken));
    });
  },
});

const vote = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/votes',
  tag: 'Requests',
  summary: 'Approve or deny. Only a signed-in person can; every refusal is an event',
  // Others get as far as the one function that decides, which refuses them by name and logs it.
  allow: ['person', 'agent', 'service'],
  body: signedVoteBody,
  answers: {
    201: {
      description: 'The vote, and the request as it is now',
      schema: z.object({ vote: z.looseObject({ id: z.string() }), request: shape.request }),
    },
  },
  refusals: [
    'not_found',
    'human_required',
    'self_approval',
    'not_eligible',
    'not_your_turn',
    'stronger_auth_required',
    'passkey_refused',
    'already_decided',
    'request_expired',
    'already_voted',
    'shown_mismatch',
    'narrowing_refused',
  ],
  events: [
    'vote.cast',
    'attention.exceeded',
    'vote.refused',
    'request.stage_opened',
    'request.approved',
    'request.denied',
    'request.expired',
    'permit.issued',
    'person.passkey_regressed',
  ],
  handle: ({ call, once, params, body }, deps) => {
    const ballot: Ballot = {
      // Not looked up first: whom a request is hidden from, the one that decides refuses by name, and logs it.
      request: params['id'] ?? '',
      ...spokenIn(body),
      channel: 'api',
      passkey: body.passkey ? usedPasskey(deps, body.passkey) : null,
    };
    return answerOnce(deps, call, once, async (unit) => {
      const decided = await decide(unit, deps, ballot);
      if (decided instanceof Refusal) return decided;
      const seen = await presentRequest(unit.sql, decided.request, deps.publicUrl, unit.at);
      return created({ vote: presentVote(decided.vote), request: seen });
    });
  },
});

/** How long collecting waits for an approved credential that is just being issued. */
const COLLECT_WAIT_SECONDS = 5;

const collect = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/collect',
  tag: 'Requests',
  summary: 'Collect what was approved: exactly that, once',
  allow: ['agent'],
  body: shape.collectBody,
  answers: {
    201: {
      description: 'The credential; sealed opens with your key',
      schema: shape.issuedCredential,
    },
  },
  refusals: [
    'not_found',
    'not_approved',
    'not_started',
    'already_collected',
    'digest_mismatch',
    'policy_changed',
    'task_not_running',
    'approval_lapsed',
    'seal_key_invalid',
    'owner_not_ready',
    'secret_not_put',
    'secret_in_use',
    'secret_tainted',
    'target_unavailable',
    'sensor_silent',
  ],
  events: [
    'credential.collected',
    'request.consumed',
    'permit.refused',
    'permit.voided',
    'request.expired',
    'request.failed',
    'credential.intended',
    'credential.resealed',
    'credential.revoke_intended',
  ],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const agent = asAgent(principal).id;
    const { id } = await visibleRequest(deps, principal, params['id']);
    const collection = {
      request: id,
      agent,
      action: body.action ? asJsonObject(body.action) : null,
      sealTo: body.seal_to
        ? await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid')
        : null,
    };
    await waitForIssue(deps, id);
    return collectCredential(deps, call, once, collection, (row) => created(presentIssued(row)));
  },
});

/** Waits a moment for what was approved to be issued. */
export async function waitForIssue(deps: ApiDeps, id: RequestRow['id']): Promise<void> {
  const read = async () => {
    const row = await findRequest(deps.db.query, id);
    const now = await databaseTime(deps.db.query);
    return row && presentRequest(deps.db.query, row, deps.publicUrl, now);
  };
  await waitUntil(
    deps.changes,
    id,
    COLLECT_WAIT_SECONDS,
    read,
    (seen) => seen?.['state'] !== 'approved' || seen['collectable'] === true || startsLater(seen),
  );
}

/** What begins later than this could wait for is not waited for. */
const startsLater = ({ starts_at: start }: JsonObject): boolean =>
  typeof start === 'string' && Date.now() + COLLECT_WAIT_SECONDS * 1000 < Date.parse(start);

const cancel = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/cancel',
  tag: 'Requests',
  summary: 'Withdraw a request that nobody has decided; only whoever asked can',
  allow: ['agent', 'member', 'service'],
  body: shape.emptyBody,
  answers: { 200: { description: 'The cancelled request', schema: shape.request } },
  refusals: ['not_found', 'already_decided', 'forbidden'],
  events: ['request.cancelled', 'request.expired'],
  handle: async ({ principal, call, once, params }, deps) => {
    const row = await visibleRequest(deps, principal, params['id']);
    if (!isRequester(principal, row))
      throw new Refusal(
        'forbidden',
        'Only whoever asked can withdraw a request: an approver denies it instead.',
      );
    return answerOnce(deps, call, once, async (unit) => {
      const cancelled = await cancelRequest(unit, row.id);
      if (cancelled instanceof Refusal) return cancelled;
      return ok(await presentRequest(unit.sql, cancelled, deps.publicUrl, unit.at));
    });
  },
});

function isRequester(principal: Principal | null, row: RequestRow): boolean {
  return principal?.kind === row.requester.type && principal.id === row.requester.id;
}

const remind = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/remind',
  tag: 'Requests',
  summary: 'Remind the approvers now; refused when they were told a moment ago',
  allow: ['agent', 'member', 'service'],
  body: shape.emptyBody,
  answers: { 202: { description: 'They are being told', schema: shape.request } },
  refusals: ['not_found', 'too_soon', 'already_decided'],
  events: ['request.reminded'],
  handle: async ({ principal, call, once, params }, deps) => {
    const { id } = await visibleRequest(deps, principal, params['id']);
    return answerOnce(deps, call, once, async (unit) => {
      const row = await findRequest(unit.sql, id);
      if (!row) throw new Refusal('not_found', 'There is no such request.');
      if (row.state !== 'pending') throw await alreadyDecided(unit.sql, row);
      if (!(await deps.remindApprovers(row.id)))
        throw new Refusal(
          'too_soon',
          'The approvers were told a moment ago: give them a few minutes.',
        );
      return accepted(await presentRequest(unit.sql, row, deps.publicUrl, unit.at));
    });
  },
});

export const requestRoutes = [list, show, statement, vote, collect, cancel, remind];
