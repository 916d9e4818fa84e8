// Rows as callers see them.
import { and, count, eq, inArray } from 'drizzle-orm';
import { keysOf } from '../commands/agents/agent-keys.ts';
import { aliveUnder } from '../commands/agents/tasks.ts';
import { effectiveAction } from '../commands/approvals/narrow.ts';
import { cardOf, votesOn } from '../commands/approvals/requests.ts';
import { tallyOf } from '../commands/approvals/tally.ts';
import type { Answer } from '../commands/once.ts';
import { databaseTime } from '../commands/unit.ts';
import type { Query, Transaction } from '../db/client.ts';
import type {
  AgentRow,
  JoinTokenRow,
  KeyRow,
  TaskRow,
  CredentialRow,
  RequestRow,
  RunRow,
  VoteRow,
  PersonRow,
} from '../db/rows.ts';
import { credential } from '../db/schema/index.ts';
import { asJson } from '../domain/action.ts';
import { groupsAfter, type Tally } from '../domain/approval.ts';
import { shownDigest } from '../domain/card.ts';
import { secondsBetween } from '../domain/instant.ts';
import type { JsonObject } from '../domain/json.ts';
import { ALIVE } from '../domain/lifecycle.ts';
import { limitsAsJson, startOf } from '../domain/narrowing.ts';
import type { Question } from '../domain/question.ts';
import type { StageProgress } from '../domain/seats.ts';

export const presentPerson = (row: PersonRow): JsonObject => ({
  id: row.id,
  name: row.name,
  roles: row.roles,
  groups: row.groups,
  state: row.state,
});

export const presentKey = (row: KeyRow): JsonObject => ({
  id: row.id,
  thumbprint: row.thumbprint,
  state: row.state,
  retire_at: row.retireAt,
});

/** With the token's own text: only in the answer to whoever had it made. */
export const presentJoinToken = ({
  row,
  token,
}: {
  row: JoinTokenRow;
  token: string;
}): JsonObject => ({ id: row.id, token, expires_at: row.expiresAt });

export async function presentAgent(query: Query | Transaction, row: AgentRow): Promise<JsonObject> {
  const keys = await keysOf(query, row.id);
  const [alive] = await query
    .select({ number: count() })
    .from(credential)
    .where(and(eq(credential.agent, row.id), inArray(credential.state, [...ALIVE])));
  return {
    id: row.id,
    name: row.name,
    kind: row.kind,
    owner: row.owner,
    parent: row.parent,
    team: row.team,
    purpose: row.purpose,
    state: row.state,
    retiring: row.retiring,
    spiffe_id: row.spiffeId,
    keys: keys.map(presentKey),
    request: row.request,
    alive: alive?.number ?? 0,
    created_at: row.createdAt,
    last_used_at: row.lastUsedAt,
    rotation_due_at: row.rotationDueAt,
    review_due_at: row.reviewDueAt,
    orphaned_at: row.orphanedAt,
  };
}

export async function presentTask(query: Query | Transaction, row: TaskRow): Promise<JsonObject> {
  return {
    id: row.id,
    agent: row.agent,
    parent: row.parent,
    chain: row.chain,
    roles: row.roles,
    purpose: row.purpose,
    triggered_by: row.triggeredBy,
    triggered_by_proof: row.triggeredByProof,
    trigger: row.trigger,
    state: row.state,
    policy_version: row.policyVersion,
    deadline_at: row.deadlineAt,
    created_at: row.createdAt,
    ended_at: row.endedAt,
    alive: await aliveUnder(query, row.id),
  };
}

export const presentCredential = (row: CredentialRow): JsonObject => ({
  id: row.id,
  task: row.task,
  role: row.role,
  issuer: row.issuer,
  state: row.state,
  issued_at: row.issuedAt,
  expires_at: row.expiresAt,
  last_used_at: row.lastUsedAt,
  revocable: row.revocable,
  request: row.request,
  grant: row.grant,
  attempts: row.attempts,
  next_try_at: row.nextTryAt,
  last_error: row.lastError,
  because: row.because,
  ended_at: row.endedAt,
  leaked_at: row.leakedAt,
  seconds_to_dead:
    row.leakedAt === null || row.endedAt === null
      ? null
      : Math.max(0, secondsBetween(row.leakedAt, row.endedAt)),
  seen_gone: row.seenGone,
});

export const presentRun = (row: RunRow): JsonObject => ({
  id: row.id,
  task: row.task,
  role: row.role,
  upstream: row.upstream,
  call: row.call,
  effect: row.effect,
  state: row.state,
  outcome: row.outcome,
  code: row.code,
  rows: row.rows,
  sends: row.sends,
  status: row.status,
  bytes: row.bytes,
  is_cut: row.isCut,
  is_masked: row.isMasked,
  result_digest: row.resultDigest,
  digest: row.digest,
  request: row.request,
  credential: row.credential,
  created_at: row.createdAt,
  finished_at: row.finishedAt,
});

/** With the sealed result: only for whoever asked for it. */
export const presentRan = (row: RunRow): JsonObject => ({
  ...presentRun(row),
  sealed: row.state === 'running' ? null : row.sealed,
});

/** With the sealed material: only in the answer to whoever asked for it. */
export const presentIssued = (row: CredentialRow): JsonObject => ({
  ...presentCredential(row),
  sealed: row.sealed,
});

export async function presentRequest(
  query: Query | Transaction,
  row: RequestRow,
  publicUrl: string,
  now: string,
): Promise<JsonObject> {
  const votes = await votesOn(query, row.id);
  const tally = await tallyOf(query, row, now);
  const elapsed = (Date.parse(now) - Date.parse(row.createdAt)) / 1000;
  return {
    id: row.id,
    state: row.state,
    action: asJson(row.action),
    digest: row.digest,
    shown: shownDigest(cardOf(row)),
    controls: row.controls,
    routes: row.routes.map(({ name, rule, rule_digest }) => ({
      name,
      groups: groupsAfter(rule, elapsed),
      quorum: rule.quorum,
      approvals: tally.approvals[name] ?? 0,
      rule_digest,
      stages: (tally.stages[name] ?? []).map((stage, at) => presentStage(stage, tally, name, at)),
    })),
    votes: votes.map(presentVote),
    created_at: row.createdAt,
    expires_at: row.expiresAt,
    decided_at: row.decidedAt,
    approved_until: row.approvedUntil,
    starts_at: startOf(effectiveAction(row)),
    narrowed: row.narrowed && {
      by: [...new Set(row.narrowed.by.map((each) => each.person))],
      limits: limitsAsJson(row.narrowed.limits),
      action: asJson(row.narrowed.action),
      digest: row.narrowed.digest,
    },
    questions: row.questions.map(presentQuestion),
    collectable: await isCollectable(query, row, now),
    url: `${publicUrl}/requests/${row.id}`,
    credential: row.credential,
    denial: row.denial && { reason: row.denial.reason, disposition: row.denial.disposition },
  };
}

const presentStage = (
  { title, quorum, approvals, seats, isComplete }: StageProgress,
  { open }: Tally,
  route: string,
  at: number,
): JsonObject => ({
  title,
  state: isComplete ? 'complete' : at === open[route] ? 'open' : 'waiting',
  quorum,
  approvals,
  seats: seats.map((seat) => ({
    groups: seat.groups,
    quorum: seat.quorum,
    approvals: seat.approvals,
  })),
});

/** A question, without who else was told of it. */
export const presentQuestion = (question: Question): JsonObject => ({
  id: question.id,
  by: question.by.person,
  to: question.to,
  text: question.text,
  state: question.state,
  asked_at: question.asked_at,
  answer_by: question.answer_by,
  answer: question.answer && {
    by: { type: question.answer.by.type, id: question.answer.by.id },
    text: question.answer.text,
    at: question.closed_at,
  },
});

export const presentVote = (row: VoteRow): JsonObject => ({
  id: row.id,
  person: row.person,
  decision: row.decision,
  channel: row.channel,
  at: row.at,
  in_stead_of: row.inSteadOf,
});

async function isCollectable(
  query: Query | Transaction,
  row: RequestRow,
  now: string,
): Promise<boolean> {
  if (row.state !== 'approved' || row.credential === null || row.approvedUntil === null)
    return false;
  if (!(now < row.approvedUntil)) return false;
  const [lease] = await query
    .select({ state: credential.state })
    .from(credential)
    .where(eq(credential.id, row.credential));
  return lease?.state === 'active';
}

/** The answer to something that waits for people: the request, why it waits, and where to look. */
export async function presentHeld(
  query: Query | Transaction,
  row: RequestRow,
  publicUrl: string,
  more: JsonObject = {},
): Promise<Answer> {
  const request = await presentRequest(query, row, publicUrl, await databaseTime(query));
  return {
    status: 202,
    body: { request, denial: { reasons: row.whyHeld }, ...more },
    headers: { location: `/v1/requests/${row.id}` },
  };
}
