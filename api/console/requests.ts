// The inbox, requests, and voting on the web. A vote goes through the one function that decides.
import { and, count, desc, eq, inArray, lt, or, sql } from 'drizzle-orm';
import { decide, recordViewing, type Ballot } from '../../commands/approvals/decide.ts';
import { offerStatement } from '../../commands/approvals/offer-statement.ts';
import { asRequestId } from '../../commands/approvals/requests.ts';
import { waitingFor, WAITING_MAX } from '../../commands/approvals/waiting.ts';
import { isAdmin, type PersonPrincipal } from '../../commands/principal.ts';
import type { UsedPasskey } from '../../commands/sign-in/passkeys.ts';
import { transact } from '../../commands/unit.ts';
import type { Query } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { agent, credential, person, request } from '../../db/schema/index.ts';
import { JsonError, parseJson, type JsonValue } from '../../domain/json.ts';
import { ALIVE, statesOf } from '../../domain/lifecycle.ts';
import { limitsAsJson } from '../../domain/narrowing.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import type { Draft, Refused } from '../../web/request-data.ts';
import { RequestPage } from '../../web/request.tsx';
import { InboxPage, RequestsPage, type Inbox } from '../../web/requests.tsx';
import { invalid } from '../body.ts';
import { pageOf, readCursor } from '../cursor.ts';
import { usedPasskey as usedPasskeyShape } from '../passkey-schemas.ts';
import { presentStatement, usedPasskey } from '../passkeys.ts';
import { STATUS } from '../problem.ts';
import { visibleRequest } from '../requests.ts';
import {
  field,
  page,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { parseFields } from './forms.ts';
import { draftFrom, limitsFrom } from './narrow-form.ts';
import { requestView, summariesOf } from './request-view.ts';

const OWN_SHOWN = 10;

const inbox: ConsoleRoute = {
  method: 'get',
  path: '/',
  who: 'person',
  handle: async (visit, deps) => {
    const { query } = deps.db;
    const who = reader(visit);
    const { now } = visit.shell;
    const waiting = await waitingFor(query, who, now);
    const agents = await ownAgents(query, who);
    const own = await query
      .select()
      .from(request)
      .where(
        or(
          sql`${request.requester}->>'id' = ${who.id}`,
          agents.length === 0
            ? undefined
            : inArray(
                request.agent,
                agents.map((each) => each.id),
              ),
        ),
      )
      .orderBy(desc(request.id))
      .limit(OWN_SHOWN);
    const found: Inbox = {
      waiting: await summariesOf(query, waiting, now),
      capped: waiting.length >= WAITING_MAX,
      own: await summariesOf(query, own, now),
      agents,
      installation: await counts(query),
      publicUrl: deps.publicUrl,
      isAdmin: isAdmin(who),
    };
    return page(InboxPage({ shell: visit.shell, inbox: found }));
  },
};

const AGENTS_SHOWN = 50;

async function ownAgents(query: Query, who: PersonPrincipal) {
  const alive = query
    .select({ agent: credential.agent, number: count().as('number') })
    .from(credential)
    .where(inArray(credential.state, [...ALIVE]))
    .groupBy(credential.agent)
    .as('alive');
  const rows = await query
    .select({ id: agent.id, name: agent.name, state: agent.state, alive: alive.number })
    .from(agent)
    .leftJoin(alive, eq(alive.agent, agent.id))
    .where(eq(agent.owner, who.id))
    .orderBy(desc(agent.id))
    .limit(AGENTS_SHOWN);
  return rows.map((row) => ({ ...row, alive: row.alive ?? 0 }));
}

async function counts(query: Query): Promise<Inbox['installation']> {
  const number = async (table: typeof agent | typeof person | typeof request): Promise<number> =>
    query.$count(table);
  return {
    agents: await number(agent),
    people: await number(person),
    requests: await number(request),
  };
}

const PAGE_SIZE = 50;

const list: ConsoleRoute = {
  method: 'get',
  path: '/requests',
  who: 'person',
  handle: async ({ shell, query }, deps) => {
    const asked = query.get('state');
    const states = statesOf('request');
    const state = states.find((each) => each === asked) ?? null;
    const name = `requests-newest/${state ?? ''}`;
    const before = readCursor(deps.keys.cursors, name, query.get('cursor') ?? undefined);
    const rows = await deps.db.query
      .select()
      .from(request)
      .where(
        and(
          state === null ? undefined : eq(request.state, state),
          before === null ? undefined : lt(request.id, asRequestId(before)),
        ),
      )
      .orderBy(desc(request.id))
      .limit(PAGE_SIZE + 1);
    const found = pageOf(rows, PAGE_SIZE, (row) => row.id, deps.keys.cursors, name);
    const next = new URLSearchParams({
      ...(state !== null && { state }),
      ...(found.next !== null && { cursor: found.next }),
    });
    return page(
      RequestsPage({
        shell,
        rows: await summariesOf(deps.db.query, found.rows, shell.now),
        state,
        states,
        next: found.next === null ? null : `/requests?${next.toString()}`,
      }),
    );
  },
};

const show: ConsoleRoute = {
  method: 'get',
  path: '/requests/{id}',
  who: 'person',
  handle: async (visit, deps) => {
    const row = await visibleRequest(deps, visit.person, visit.params['id']);
    await transact(deps, visit.call, (unit) => recordViewing(unit, row.id));
    return showRequest(visit, deps, null, 200);
  },
};

/** The page of a request, with what was refused on it or what would change. */
export async function showRequest(
  visit: Visit,
  deps: ConsoleDeps,
  refused: Refused | null,
  status: 200 | (typeof STATUS)[RefusalCode],
  draft: Draft | null = null,
): Promise<Response> {
  const row = await visibleRequest(deps, visit.person, visit.params['id']);
  const view = await requestView(deps, row, reader(visit), visit.shell.now);
  return page(RequestPage({ shell: visit.shell, view, refused, draft }), status);
}

const ADVICE: Partial<Record<RefusalCode, string>> = {
  self_approval:
    'Nobody approves for themselves, whatever groups they are in. Ask somebody else who is named under “Why it is held”.',
  not_eligible:
    'Ask an administrator to put you into one of the groups named under “Why it is held”.',
  not_your_turn:
    'Its stages come one after the other. Once the one that is open is complete, you find it in your inbox.',
  stronger_auth_required:
    'Where a passkey is asked for, sign with it on this page, with scripts allowed; add one under your name if you have none. Otherwise sign in again, with a passkey or a new link, and decide within five minutes.',
  passkey_refused: 'Nothing was decided. Read what you decide once more, and sign again.',
  already_decided: 'Somebody was faster. What came of it is below; your vote was not counted.',
  already_voted: 'Your first vote stands. It is listed below.',
  request_expired:
    'It was closed as expired, which is nobody’s denial. The agent can ask again, and you will find it in your inbox.',
  shown_mismatch:
    'Something about it changed since you opened the page. What it is now is below: read it again before you decide.',
  human_required: 'Sign in as a person and vote again.',
  question_refused: 'Decide, or deny it and say what has to be different.',
  wrong_state: 'Somebody answered it already, or its time is over.',
  narrowing_refused: 'Leave less of it than there is now, or approve it as it is.',
};

const vote: ConsoleRoute = {
  method: 'post',
  path: '/requests/{id}',
  sameAs: 'post /v1/requests/{id}/votes',
  who: 'person',
  handle: async (visit, deps) => {
    const row = await visibleRequest(deps, visit.person, visit.params['id']);
    if (field(visit, 'decision') === 'preview') return showDraft(visit, deps, row);
    const { id } = row;
    const ballot = ballotFrom(visit, id, deps);
    const decided = await transact(deps, visit.call, (unit) => decide(unit, deps, ballot));
    if (!(decided instanceof Refusal)) return redirect(`/requests/${id}`);
    return showRequest(visit, deps, refusedBy(decided, visit), STATUS[decided.code]);
  },
};

/** A refusal as the page says it. */
export const refusedBy = ({ code, message }: Refusal, visit: Visit): Refused => ({
  code,
  says: message,
  advice: ADVICE[code] ?? 'Load the page again and look at it once more.',
  reason: field(visit, 'reason'),
});

/** What approving less would change, before anybody decides it. */
async function showDraft(visit: Visit, deps: ConsoleDeps, row: RequestRow): Promise<Response> {
  const draft = draftFrom(visit, row);
  if (draft instanceof Refusal)
    return showRequest(visit, deps, refusedBy(draft, visit), STATUS[draft.code]);
  return showRequest(visit, deps, null, 200, draft);
}

/** What the page's script had a passkey sign; empty where no script ran. */
function passkeyFrom(visit: Visit, deps: ConsoleDeps): UsedPasskey | null {
  const sent = field(visit, 'passkey');
  if (sent === '') return null;
  return usedPasskey(deps, parseFields(usedPasskeyShape, jsonIn(sent)));
}

function jsonIn(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof JsonError) throw invalid('The field of the passkey is not JSON.');
    throw error;
  }
}

/** The script of the page asks what its form would have signed: read by the same rules as the form itself. */
const statement: ConsoleRoute = {
  method: 'post',
  path: '/requests/{id}/statement',
  sameAs: 'post /v1/requests/{id}/statement',
  who: 'member',
  handle: async (visit, deps) => {
    const { id } = await visibleRequest(deps, visit.person, visit.params['id']);
    const { decision, disposition, reason, shown, narrow } = ballotFrom(visit, id, deps);
    const limits = narrow && limitsAsJson(narrow);
    const spoken = { decision, disposition, reason, limits };
    const offered = await transact(deps, visit.call, (unit) =>
      offerStatement(unit, reader(visit), { request: id, shown, ...spoken }),
    );
    return visit.context.json(presentStatement(deps, offered, spoken), 201);
  },
};

const REASON_MAX = 2000;

function ballotFrom(visit: Visit, id: string, deps: ConsoleDeps): Ballot {
  const decision = field(visit, 'decision');
  if (decision !== 'approve' && decision !== 'deny')
    throw invalid('Press one of the two buttons of the page.');
  const reason = field(visit, 'reason');
  if (reason.length > REASON_MAX)
    throw invalid(`A reason has at most ${REASON_MAX} characters: yours has ${reason.length}.`);
  return {
    request: id,
    decision,
    shown: field(visit, 'shown'),
    reason: reason === '' ? null : reason,
    disposition: field(visit, 'disposition') === 'revise' ? 'revise' : 'stop',
    channel: 'web',
    narrow: limitsFrom(visit),
    passkey: passkeyFrom(visit, deps),
  };
}

export const requestPages = [inbox, list, show, vote, statement];
