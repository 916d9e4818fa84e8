// Lifecycle reviews: what agents exist, who owns them, what they hold and when it was last used; and a campaign
// in which people keep or revoke each line of a scope that was frozen when it began.
import { and, desc, eq, inArray, isNull, or } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { ReviewRow, ReviewLineRow } from '../../db/rows.ts';
import {
  agent,
  agentKey,
  credential,
  person,
  review,
  reviewLine,
  task,
} from '../../db/schema/index.ts';
import { digestOf } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { revokeCredential } from '../credentials/credentials.ts';
import { onlyReads, partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { killAgent } from './agents.ts';

/** One line of the report: an agent and one thing it holds, or an agent that holds nothing. */
export interface LifecycleLine {
  agent: Id<'agent'>;
  agent_name: string;
  agent_state: string;
  kind: string;
  team: string;
  owner: string;
  owner_name: string;
  owner_active: boolean;
  /** Nobody answers for this agent any more. */
  orphaned: boolean;
  key_age_days: number | null;
  rotation_overdue: boolean;
  agent_last_used_at: string | null;
  credential: Id<'credential'> | null;
  role: string | null;
  credential_state: string | null;
  issued_at: string | null;
  expires_at: string | null;
  credential_last_used_at: string | null;
  age_seconds: number | null;
  task: string | null;
  task_purpose: string | null;
}

/** Agents beyond this many are left for the next page of a report. */
const LINES_MAX = 5_000;

/** Everything that is alive, and every agent that could come back to life. */
export async function lifecycleLines(
  query: Query | Transaction,
  now: string,
): Promise<LifecycleLine[]> {
  const agents = await query
    .select({ agent, owner: person })
    .from(agent)
    .innerJoin(person, eq(agent.owner, person.id))
    .where(inArray(agent.state, ['requested', 'active', 'suspended']))
    .orderBy(agent.id)
    .limit(LINES_MAX);
  const keys = await query.select().from(agentKey).where(eq(agentKey.state, 'active'));
  const leases = await query
    .select({ credential, purpose: task.purpose })
    .from(credential)
    .innerJoin(task, eq(credential.task, task.id))
    .where(
      or(
        inArray(credential.state, [...ALIVE]),
        // Given up by a person's word: for all that anybody knows, it still works.
        and(eq(credential.state, 'force_closed'), eq(credential.seenGone, false)),
      ),
    )
    .orderBy(credential.id);
  return agents.flatMap(({ agent: row, owner }) => {
    const newest = keys
      .filter((key) => key.agent === row.id)
      .map((key) => key.createdAt)
      .toSorted()
      .at(-1);
    const common = agentColumns(row, owner, newest ?? null, now);
    const held = leases.filter((lease) => lease.credential.agent === row.id);
    if (held.length === 0) return [{ ...common, ...NOTHING_HELD }];
    return held.map((lease) => ({
      ...common,
      ...leaseColumns(lease.credential, lease.purpose, now),
    }));
  });
}

type AgentColumns = Omit<LifecycleLine, keyof typeof NOTHING_HELD>;

const NOTHING_HELD = {
  credential: null,
  role: null,
  credential_state: null,
  issued_at: null,
  expires_at: null,
  credential_last_used_at: null,
  age_seconds: null,
  task: null,
  task_purpose: null,
};

function agentColumns(
  row: typeof agent.$inferSelect,
  owner: typeof person.$inferSelect,
  newestKeyAt: string | null,
  now: string,
): AgentColumns {
  return {
    agent: row.id,
    agent_name: row.name,
    agent_state: row.retiring ? 'retiring' : row.state,
    kind: row.kind,
    team: row.team,
    owner: owner.id,
    owner_name: owner.name,
    owner_active: owner.state === 'active',
    orphaned: owner.state !== 'active',
    key_age_days:
      newestKeyAt === null ? null : Math.floor(secondsBetween(newestKeyAt, now) / 86_400),
    rotation_overdue: row.rotationDueAt !== null && row.rotationDueAt <= now,
    agent_last_used_at: row.lastUsedAt,
  };
}

function leaseColumns(
  row: typeof credential.$inferSelect,
  purpose: string,
  now: string,
): Omit<LifecycleLine, keyof AgentColumns> {
  return {
    credential: row.id,
    role: row.role,
    credential_state: row.state,
    issued_at: row.issuedAt,
    expires_at: row.expiresAt,
    credential_last_used_at: row.lastUsedAt,
    age_seconds: row.issuedAt === null ? null : secondsBetween(row.issuedAt, now),
    task: row.task,
    task_purpose: purpose,
  };
}

const secondsBetween = (from: string, to: string): number =>
  Math.max(0, Math.floor((Date.parse(to) - Date.parse(from)) / 1000));

/** An agent unused for this long is proposed for revocation. */
const IDLE_DAYS = 30;

/** What the evidence suggests, and why. It is frozen with the line and decides nothing. */
function recommend(
  line: LifecycleLine,
  now: string,
): { recommendation: 'keep' | 'revoke'; basis: string } {
  if (line.orphaned) return { recommendation: 'revoke', basis: 'its owner is no longer active' };
  if (line.credential_state === 'revoke_failed')
    return { recommendation: 'revoke', basis: 'revoking it has failed and is being retried' };
  if (line.rotation_overdue)
    return { recommendation: 'revoke', basis: 'its key is overdue for rotation' };
  const used = line.credential_last_used_at ?? line.agent_last_used_at;
  if (used === null && line.credential === null)
    return { recommendation: 'revoke', basis: 'it was never used' };
  if (used !== null && secondsBetween(used, now) > IDLE_DAYS * 86_400)
    return { recommendation: 'revoke', basis: `not used for over ${IDLE_DAYS} days` };
  return { recommendation: 'keep', basis: used === null ? 'just issued' : `last used ${used}` };
}

export interface ReviewOpening {
  title: string;
  due_seconds: number;
}

/** Opens a campaign over everything there is now. The scope does not change afterwards. */
export async function openReview(unit: Unit, opening: ReviewOpening): Promise<ReviewRow> {
  const lines = await lifecycleLines(unit.sql, unit.at);
  const openedBy = partyOf(unit.call.principal);
  const row: ReviewRow = {
    id: newId('review'),
    title: opening.title,
    state: 'open',
    scopeDigest: digestOf('countersign/review-scope/v1', lines.map(asJson)),
    openedBy,
    createdAt: unit.at,
    dueAt: addSeconds(unit.at, opening.due_seconds),
    closedAt: null,
  };
  await unit.sql.insert(review).values(row);
  if (lines.length > 0)
    await unit.sql.insert(reviewLine).values(
      lines.map((line) => ({
        id: newId('reviewLine'),
        review: row.id,
        agent: line.agent,
        credential: line.credential,
        snapshot: asJson(line),
        ...recommend(line, unit.at),
      })),
    );
  unit.emit('review.opened', {
    subject: row.id,
    detail: {
      lines: lines.length,
      scope_digest: row.scopeDigest,
      due_at: row.dueAt,
      opened_by: { type: openedBy.type, id: openedBy.id },
    },
    private: { title: row.title },
  });
  unit.wake('review', row.id);
  return row;
}

const asJson = (line: LifecycleLine): JsonObject => ({ ...line });

export interface LineDecision {
  decision: 'keep' | 'revoke';
  reason: string | null;
}

/** A person keeps or revokes one line. Nobody certifies what they own. */
export async function decideLine(
  unit: Unit,
  reviewId: string,
  lineId: string,
  { decision, reason }: LineDecision,
): Promise<ReviewLineRow> {
  const { principal } = unit.call;
  if (principal.kind !== 'person')
    throw new Refusal(
      'human_required',
      'Only a person who is signed in can decide on a review: on its page.',
    );
  if (onlyReads(principal.roles))
    throw new Refusal(
      'forbidden',
      'Auditors read reviews and decide nothing in them: somebody who does more than audit has to.',
    );
  const row = await lockReview(unit, reviewId);
  if (row.state !== 'open')
    throw new Refusal('already_decided', 'This review is closed: open another one.');
  const [line] = await unit.sql
    .select()
    .from(reviewLine)
    .where(and(eq(reviewLine.review, row.id), eq(reviewLine.id, asLineId(lineId))))
    .for('update');
  if (!line) throw new Refusal('not_found', 'This review has no such line.');
  if (line.decision !== null)
    throw new Refusal('already_decided', `This line was already decided: ${line.decision}.`, {
      state: line.decision,
      decided_by: line.decidedBy,
    });
  const [owned] = await unit.sql.select().from(agent).where(eq(agent.id, line.agent));
  if (decision === 'keep' && owned?.owner === principal.id)
    throw new Refusal('self_approval', 'You own this agent: somebody else has to say it is kept.');
  const decided = { decision, reason, decidedBy: principal.id, decidedAt: unit.at };
  await unit.sql.update(reviewLine).set(decided).where(eq(reviewLine.id, line.id));
  if (decision === 'revoke') await carryOutRevocation(unit, line, reason);
  unit.emit('review.decided', {
    subject: row.id,
    agent: line.agent,
    decision,
    detail: {
      line: line.id,
      line_of: row.id,
      decision,
      person: principal.id,
      credential: line.credential,
    },
    private: { reason },
  });
  unit.wake('review', row.id);
  return { ...line, ...decided };
}

const asLineId = (id: string): Id<'reviewLine'> => id as Id<'reviewLine'>;

/** A credential is revoked; a line without one is about the agent itself, which is stopped. */
async function carryOutRevocation(
  unit: Unit,
  line: ReviewLineRow,
  reason: string | null,
): Promise<void> {
  if (line.credential === null) await killAgent(unit, line.agent, reason);
  else await revokeCredential(unit, line.credential, 'review', reason);
}

async function lockReview(unit: Unit, id: string): Promise<ReviewRow> {
  const [row] = await unit.sql
    .select()
    .from(review)
    .where(eq(review.id, asReviewId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such review.');
  return row;
}

const asReviewId = (id: string): Id<'review'> => id as Id<'review'>;

/** Closes a review whose time is over, or whose every line is decided and every revocation seen done. */
export async function closeReview(unit: Unit, id: string): Promise<ReviewRow> {
  const row = await lockReview(unit, id);
  if (row.state === 'closed') return row;
  const lines = await unit.sql.select().from(reviewLine).where(eq(reviewLine.review, row.id));
  const of = (decision: string | null): number =>
    lines.filter((line) => line.decision === decision).length;
  await unit.sql
    .update(review)
    .set({ state: 'closed', closedAt: unit.at })
    .where(eq(review.id, row.id));
  unit.emit('review.closed', {
    subject: row.id,
    detail: { kept: of('keep'), revoked: of('revoke'), undecided: of(null) },
    private: {},
  });
  return { ...row, state: 'closed', closedAt: unit.at };
}

export async function findReview(
  query: Query | Transaction,
  id: string,
): Promise<{ review: ReviewRow; lines: ProvenLine[] } | null> {
  const [row] = await query
    .select()
    .from(review)
    .where(eq(review.id, asReviewId(id)));
  if (!row) return null;
  const lines = await query
    .select({ line: reviewLine, credential, agent })
    .from(reviewLine)
    .leftJoin(credential, eq(reviewLine.credential, credential.id))
    .innerJoin(agent, eq(reviewLine.agent, agent.id))
    .where(eq(reviewLine.review, row.id))
    .orderBy(reviewLine.id);
  return {
    review: row,
    lines: lines.map(({ line, credential: lease, agent: holder }) => ({
      ...line,
      proof: line.decision === 'revoke' ? proofOf(lease, holder.state) : null,
    })),
  };
}

/** What is known of a revocation that was decided: not that it was chosen, but that it happened. */
interface RevocationProof {
  state: string;
  seen_gone_at: string | null;
}

export type ProvenLine = ReviewLineRow & { proof: RevocationProof | null };

function proofOf(
  lease: typeof credential.$inferSelect | null,
  agentState: string,
): RevocationProof {
  if (!lease) return { state: agentState, seen_gone_at: null };
  return { state: lease.state, seen_gone_at: lease.endedAt };
}

export const listReviews = (query: Query): Promise<ReviewRow[]> =>
  query.select().from(review).orderBy(desc(review.id)).limit(100);

/** Whether nothing in a review is left to decide. */
export async function isReviewDone(query: Query | Transaction, id: Id<'review'>): Promise<boolean> {
  const [open] = await query
    .select({ id: reviewLine.id })
    .from(reviewLine)
    .where(and(eq(reviewLine.review, id), isNull(reviewLine.decision)))
    .limit(1);
  return open === undefined;
}
