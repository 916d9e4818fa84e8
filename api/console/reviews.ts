// Reviews and the report they are made from.
import {
  decideLine,
  findReview,
  lifecycleLines,
  listReviews,
  openReview,
  type LifecycleLine,
  type ProvenLine,
} from '../../commands/agents/reviews.ts';
import { answerOnce } from '../../commands/once.ts';
import { isAdmin, mayAudit } from '../../commands/principal.ts';
import { transact } from '../../commands/unit.ts';
import type { ReviewRow } from '../../db/rows.ts';
import { Refusal } from '../../domain/refusal.ts';
import {
  ReviewPage,
  ReviewsPage,
  type HeldLine,
  type ReviewLine,
  type ReviewSummary,
} from '../../web/reviews.tsx';
import { recordReading } from '../reviews.ts';
import { created } from '../route.ts';
import * as shape from '../schemas.ts';
import {
  field,
  onceOf,
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { asMade, attempt, newOnce, parseFields, saidBy } from './forms.ts';
import { personNames } from './names.ts';

const summaryOf = (row: ReviewRow): ReviewSummary => ({
  id: row.id,
  title: row.title,
  state: row.state,
  createdAt: row.createdAt,
  dueAt: row.dueAt,
  closedAt: row.closedAt,
});

const heldLine = (line: LifecycleLine): HeldLine => ({
  agent: line.agent,
  agentName: line.agent_name,
  agentState: line.agent_state,
  ownerName: line.owner_name,
  team: line.team,
  orphaned: line.orphaned,
  rotationOverdue: line.rotation_overdue,
  keyAgeDays: line.key_age_days,
  role: line.role,
  credential: line.credential,
  credentialState: line.credential_state,
  ageSeconds: line.age_seconds,
  lastUsedAt: line.credential_last_used_at ?? line.agent_last_used_at,
  task: line.task,
});

/** Snapshots are lines of the report, as `openReview` froze them. */
const frozenLine = (snapshot: unknown): LifecycleLine => snapshot as LifecycleLine;

async function showReviews(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const { query } = deps.db;
  const who = reader(visit);
  const lines = mayAudit(who) ? await lifecycleLines(query, visit.shell.now) : null;
  if (lines) await recordReading(deps, visit.call, who, 'lifecycle');
  return pageAfter(
    ReviewsPage({
      shell: visit.shell,
      reviews: (await listReviews(query)).map(summaryOf),
      lines: lines && lines.map(heldLine),
      isAdmin: isAdmin(who),
      once: newOnce(),
      said: refusal && saidBy(refusal),
    }),
    refusal,
  );
}

const list: ConsoleRoute = {
  method: 'get',
  path: '/reviews',
  who: 'person',
  handle: (visit, deps) => showReviews(visit, deps, null),
};

const DAY_SECONDS = 86_400;

const open: ConsoleRoute = {
  method: 'post',
  path: '/reviews',
  sameAs: 'post /v1/reviews',
  who: 'admin',
  handle: async (visit, deps) => {
    const answer = await attempt(async () => {
      const body = parseFields(shape.reviewBody, {
        title: field(visit, 'title'),
        due_seconds: Number(field(visit, 'days')) * DAY_SECONDS,
      });
      return answerOnce(deps, visit.call, onceOf(visit), async (unit) =>
        created({ id: (await openReview(unit, body)).id }),
      );
    });
    if (answer instanceof Refusal) return showReviews(visit, deps, answer);
    return redirect(`/reviews/${asMade(answer.body).id}`);
  },
};

const lineOf = (line: ProvenLine, name: (id: string) => string): ReviewLine => ({
  id: line.id,
  held: heldLine(frozenLine(line.snapshot)),
  recommendation: line.recommendation,
  basis: line.basis,
  decision: line.decision,
  decidedBy: line.decidedBy && name(line.decidedBy),
  decidedAt: line.decidedAt,
  reason: line.reason,
  proof: line.proof && { state: line.proof.state, seenGoneAt: line.proof.seen_gone_at },
});

async function showReview(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const found = await findReview(deps.db.query, visit.params['id'] ?? '');
  if (!found) throw new Refusal('not_found', 'There is no such review.');
  const name = await personNames(
    deps.db.query,
    found.lines.map((line) => line.decidedBy),
  );
  return pageAfter(
    ReviewPage({
      shell: visit.shell,
      view: {
        ...summaryOf(found.review),
        scopeDigest: found.review.scopeDigest,
        lines: found.lines.map((line) => lineOf(line, name)),
      },
      said: refusal && saidBy(refusal),
    }),
    refusal,
  );
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/reviews/{id}',
  who: 'person',
  handle: (visit, deps) => showReview(visit, deps, null),
};

const decide: ConsoleRoute = {
  method: 'post',
  path: '/reviews/{id}/lines/{line}',
  sameAs: 'post /v1/reviews/{id}/lines/{line}',
  who: 'member',
  handle: async (visit, deps) => {
    const id = visit.params['id'] ?? '';
    const done = await attempt(async () => {
      const { decision } = parseFields(shape.lineBody, { decision: field(visit, 'decision') });
      const reason = field(visit, 'reason') || null;
      return transact(deps, visit.call, (unit) =>
        decideLine(unit, id, visit.params['line'] ?? '', { decision, reason }),
      );
    });
    return done instanceof Refusal ? showReview(visit, deps, done) : redirect(`/reviews/${id}`);
  },
};

export const reviewPages = [list, open, show, decide];
