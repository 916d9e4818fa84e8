// What was asked of people in a period, from the rows and the record: how much each decided, which rules asked, and what
// that would justify changing.
import { and, desc, eq, gte, inArray, lt, lte } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { PersonRow, RequestRow } from '../../db/rows.ts';
import { event, eventPrivate, person, request, vote } from '../../db/schema/index.ts';
import { routesFor } from '../../domain/approval.ts';
import {
  loadsByRule,
  mostAtOnce,
  mostPerDay,
  mostPerHour,
  type ApproverLoad,
  type AttentionCase,
  type AttentionReport,
  type PolicyNow,
} from '../../domain/attention.ts';
import { eventType } from '../../domain/event.ts';
import type { Id } from '../../domain/id.ts';
import { parseJson, type JsonValue } from '../../domain/json.ts';
import { object, text, texts } from '../../domain/verdict/facts.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { mayVote } from '../principal.ts';

/** Of a period with more requests, the newest are looked at. */
const REQUESTS_MAX = 5_000;

export interface AttentionAsked {
  from: string;
  to: string;
  now: string;
  /** Whether people are told by name. */
  isNamed: boolean;
}

/** Reads what a period asked of people. */
export async function readAttention(
  query: Query,
  bundle: PolicyBundle,
  asked: AttentionAsked,
): Promise<AttentionReport> {
  const { from, to } = asked;
  const found = await query
    .select()
    .from(request)
    .where(and(gte(request.createdAt, from), lt(request.createdAt, to)))
    .orderBy(desc(request.createdAt))
    .limit(REQUESTS_MAX + 1);
  const rows = found.slice(0, REQUESTS_MAX);
  const rules = await rulesBehind(query, rows);
  const limits = await limitsOf(query, rows);
  const cases = rows.map((row) =>
    caseOf(row, rules.get(row.evaluation) ?? [], limits.get(row.id) ?? null),
  );
  return {
    from,
    to,
    requests: rows.length,
    cut: found.length > REQUESTS_MAX,
    approvers: await approvers(query, bundle, rows, asked),
    rules: loadsByRule(cases, policyNow(bundle)),
  };
}

const policyNow = ({ roles, routes }: PolicyBundle): PolicyNow => ({
  ttlSecondsMax: new Map([...roles].map(([name, role]) => [name, role.ttl_seconds_max])),
  unreminded: new Set(
    [...routes.values()]
      .filter(({ rule }) => rule.remind_at.length === 0 && rule.escalation.length === 0)
      .map(({ name }) => name),
  ),
});

function caseOf(row: RequestRow, rules: string[], limits: JsonValue): AttentionCase {
  const { resource } = row.action;
  const { ttl_seconds: ttl } = object(limits);
  return {
    request: row.id,
    rules,
    routes: row.routes.map(({ name }) => name),
    role: resource.type === 'role' ? resource.id : null,
    openedAt: row.createdAt,
    decidedAt: row.decidedBy === null ? null : row.decidedAt,
    outcome: outcomeOf(row),
    narrowedTtlSeconds: typeof ttl === 'number' ? ttl : null,
    isNarrowed: Object.keys(object(limits)).length > 0,
  };
}

/** What people answered, whatever came of it afterwards. */
function outcomeOf({ state, decidedBy }: RequestRow): AttentionCase['outcome'] {
  if (state === 'pending') return 'open';
  if (state === 'denied') return 'denied';
  if (decidedBy !== null) return 'approved';
  return state === 'expired' ? 'expired' : 'withdrawn';
}

/** The rules that held each request, by its evaluation: the record says it, the rows do not. */
async function rulesBehind(
  query: Query,
  rows: readonly RequestRow[],
): Promise<Map<string, string[]>> {
  if (rows.length === 0) return new Map();
  const times = rows.map(({ createdAt }) => createdAt).toSorted();
  const held = await query
    .select({ leaf: event.leaf })
    .from(event)
    .where(
      and(
        eq(event.type, eventType('evaluation.decided')),
        // An evaluation and the request it opens are one transaction.
        gte(event.time, times[0] ?? ''),
        lte(event.time, times.at(-1) ?? ''),
      ),
    );
  return new Map(held.map(({ leaf }) => reasonsIn(leaf)));
}

function reasonsIn(leaf: string): [string, string[]] {
  const { subject, data } = object(parseJson(leaf));
  return [text(subject) ?? '', texts(object(object(data)['detail'])['reasons'])];
}

/** What approvers left of what was asked for, where they took something away. */
async function limitsOf(
  query: Query,
  rows: readonly RequestRow[],
): Promise<Map<string, JsonValue>> {
  if (rows.length === 0) return new Map();
  const found = await query
    .select({ request: event.request, value: eventPrivate.value })
    .from(event)
    .innerJoin(eventPrivate, eq(eventPrivate.event, event.id))
    .where(
      and(
        eq(event.type, eventType('request.approved')),
        eq(eventPrivate.field, 'limits'),
        inArray(
          event.request,
          rows.map(({ id }) => id),
        ),
      ),
    );
  return new Map(found.map(({ request: id, value }) => [id ?? '', value ?? null]));
}

async function approvers(
  query: Query,
  bundle: PolicyBundle,
  rows: readonly RequestRow[],
  asked: AttentionAsked,
): Promise<ApproverLoad[]> {
  const people = (await query.select().from(person)).filter(({ roles }) => mayVote(roles));
  const votes = await query
    .select({ person: vote.person, at: vote.at, routes: request.routes })
    .from(vote)
    .innerJoin(request, eq(request.id, vote.request))
    .where(and(gte(vote.at, asked.from), lt(vote.at, asked.to)));
  const reminded = await reminders(query, asked);
  const loads = people.map((who) => {
    const own = votes.filter(({ person: id }) => id === who.id);
    const waiting = rows.filter((row) => isAsked(who, row));
    const spans = waiting.map((row) => ({ from: row.createdAt, until: endOf(row, asked.now) }));
    return {
      person: who.id,
      name: who.name,
      votes: own.length,
      most_votes_per_hour: mostPerHour(own.map(({ at }) => at)),
      most_open_at_once: mostAtOnce(spans),
      reminders: waiting.reduce((sum, { id }) => sum + (reminded.get(id) ?? 0), 0),
      over_budget: overBudget(bundle, own),
    };
  });
  return loads
    .filter(({ votes: n, most_open_at_once: most }) => n > 0 || most > 0)
    .toSorted((one, other) => other.votes - one.votes || (one.person < other.person ? -1 : 1))
    .map((load, at) => ({
      ...load,
      alias: `approver ${at + 1}`,
      person: asked.isNamed ? load.person : null,
      name: asked.isNamed ? load.name : null,
    }));
}

/** Whether somebody was among those to be asked from the start, as their groups are now. */
const isAsked = (who: PersonRow, { routes, involved }: RequestRow): boolean =>
  routesFor({ id: who.id, groups: who.groups, active: who.state === 'active' }, routes, involved, 0)
    .length > 0;

const endOf = ({ state, decidedAt, expiresAt }: RequestRow, now: string): string => {
  const end = state === 'pending' ? now : (decidedAt ?? expiresAt);
  return end < expiresAt ? end : expiresAt;
};

function overBudget(
  { routes }: PolicyBundle,
  votes: readonly { at: string; routes: RequestRow['routes'] }[],
): ApproverLoad['over_budget'] {
  return [...routes.values()].flatMap(({ name, rule }) => {
    const budget = rule.attention_budget?.per_approver_per_day;
    if (budget === undefined) return [];
    const on = votes.filter(({ routes: asked }) => asked.some((route) => route.name === name));
    const most = mostPerDay(on.map(({ at }) => at));
    return most > budget ? [{ route: name, most_per_day: most, budget }] : [];
  });
}

/** How often people were reminded of each request. */
async function reminders(query: Query, { from, to }: AttentionAsked): Promise<Map<string, number>> {
  const sent = await query
    .select({ request: event.request })
    .from(event)
    .where(
      and(eq(event.type, eventType('request.reminded')), gte(event.time, from), lt(event.time, to)),
    );
  const counts = new Map<string, number>();
  for (const { request: id } of sent) counts.set(id ?? '', (counts.get(id ?? '') ?? 0) + 1);
  return counts;
}

/** What the reader decided on the routes of a request within the last day, where that is more than they plan for. */
export async function overBudgetNow(
  query: Pick<Query, 'select'>,
  row: Pick<RequestRow, 'routes'>,
  who: Id<'person'>,
  since: string,
): Promise<{ route: string; votes: number; budget: number }[]> {
  const budgets = row.routes.flatMap(({ name, rule }) =>
    rule.attention_budget
      ? [{ route: name, budget: rule.attention_budget.per_approver_per_day }]
      : [],
  );
  if (budgets.length === 0) return [];
  const votes = await query
    .select({ routes: request.routes })
    .from(vote)
    .innerJoin(request, eq(request.id, vote.request))
    .where(and(eq(vote.person, who), gte(vote.at, since)));
  return budgets
    .map(({ route, budget }) => {
      const on = votes.filter(({ routes }) => routes.some(({ name }) => name === route));
      return { route, budget, votes: on.length };
    })
    .filter(({ votes: n, budget }) => n > budget);
}
