// Emergency access: declared by a person, confirmed by others through the one function that decides, opened past the
// gate for a while, and blocked from then on until somebody independent has reviewed it.
import { and, arrayOverlaps, desc, eq, isNotNull, isNull, or, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, BreakGlassRow, RequestRow, VoteRow } from '../../db/rows.ts';
import { breakGlass, event, person } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import { isStrongEnough, type FrozenRoute } from '../../domain/approval.ts';
import { BREAK_GLASS, isBlocked, REVIEW_SECONDS, routePast } from '../../domain/break-glass.ts';
import { eventType } from '../../domain/event.ts';
import { isNoun, type Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal, type RefusalCode } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { accessOf } from '../access/kinds.ts';
import { findTask, lockActiveAgent, lockActiveChain } from '../agents/tasks.ts';
import {
  aboutRequest,
  findLiveDuplicate,
  openRequest,
  recordEvaluation,
  votesOn,
} from '../approvals/requests.ts';
import {
  credentialAction,
  deniedBy,
  lockRunningTask,
  unknownRole,
  wishOf,
} from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import type { Evaluation } from '../policy/evaluate.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { mayVote, type PersonPrincipal } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

export interface Declaration {
  task: string;
  role: string;
  sealTo: PublicKey;
  ttlSeconds: number | null;
  options: JsonObject;
  reason: string;
  incident: string | null;
}

export interface Declared {
  row: BreakGlassRow;
  request: RequestRow;
}

/** Declares an emergency. A returned refusal is an outcome: that somebody tried is an event. */
export async function declareEmergency(
  unit: Unit,
  deps: Deps,
  who: PersonPrincipal,
  declaration: Declaration,
): Promise<Declared | Refusal> {
  const found = await findTask(unit.sql, declaration.task);
  if (!found) throw new Refusal('not_found', 'There is no such task.');
  const agent = await lockActiveAgent(unit, found.agent);
  const owner = await lockRunningTask(unit, found.id, agent.id);
  await lockActiveChain(unit, owner.chain.slice(1));
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const definition = bundle.roles.get(declaration.role);
  if (!definition) throw unknownRole(declaration.role, [...bundle.roles.keys()]);
  const options = await accessOf(definition).readOptions(definition, declaration.options);
  const plain = credentialAction(owner, declaration, wishOf(declaration, definition, options));
  const asked = await evaluateAction(unit.sql, bundle, plain);
  await takeEmergencies(unit);
  await unit.readClock();
  const gates = asked.routes.map(({ name }) => name);
  const people: Id<'person'>[] = [who.id];
  const wanted = { agent: agent.id, gates, people, incident: declaration.incident };
  const refusal = whyNotTheirs(who, asked) ?? (await whyNotNow(unit, asked.routes, wanted));
  if (refusal) return noteRefused(unit, agent, who, refusal);
  const action: Action = {
    ...plain,
    action: BREAK_GLASS,
    parameters: {
      ...plain.parameters,
      incident: declaration.incident,
      // Shown to whoever confirms, and another emergency than the one before.
      continues: await usesOf(unit, declaration.incident),
    },
  };
  // Declared by two at once, it is one: the second may confirm it.
  const live = await findLiveDuplicate(unit, owner.id, actionDigest(action));
  const declared = live && (await emergencyOf(unit.sql, live.id));
  if (declared) return { row: declared, request: live };
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision !== 'hold') return deniedBy(judged);
  const opening = {
    action,
    agent,
    task: {
      id: owner.id,
      triggeredBy: owner.triggeredBy,
      proof: owner.triggeredByProof,
      deadlineAt: owner.deadlineAt,
    },
    reason: declaration.reason,
    sealTo: declaration.sealTo.jwk,
    callbackUrl: null,
    spent: await spentBy(unit, who.id),
  };
  const request = await openRequest(unit, opening, judged);
  const row = await noteDeclared(unit, { request, declaration, routes: asked.routes, wanted });
  return { row, request };
}

/** Declarations and openings take turns: two at once would each find nothing unreviewed. */
export const takeEmergencies = async (unit: Unit): Promise<void> => {
  await unit.sql.execute(sql`select pg_advisory_xact_lock(hashtextextended('break-glass', 0))`);
};

/** Whether this person may break the glass of every gate there is in front of the role. */
function whyNotTheirs(who: PersonPrincipal, asked: Evaluation): Refusal | null {
  const no = (code: RefusalCode, says: string): Refusal => new Refusal(code, says);
  if (asked.decision === 'deny')
    return no('denied', 'Policy denies this to the agent, which no emergency changes.');
  if (asked.decision === 'permit')
    return no('break_glass_refused', 'Nobody is asked about this role: the agent can ask for it.');
  const closed = asked.routes.find(({ rule }) => !rule.break_glass);
  if (closed)
    return no(
      'break_glass_refused',
      `The route "${closed.name}" has no "break_glass" in routes.yaml: its approvers have to be asked.`,
    );
  const mine = (route: FrozenRoute): boolean =>
    route.rule.break_glass?.groups.some((group) => who.groups.includes(group)) ?? false;
  if (!mayVote(who.roles) || !asked.routes.every(mine))
    return no(
      'not_eligible',
      'An emergency is declared by approvers of the groups that break_glass of its route names.',
    );
  const past = asked.routes.flatMap((route) => routePast(route) ?? []);
  if (!past.every(({ rule }) => isStrongEnough(who.strength, rule.strength)))
    return no('stronger_auth_required', 'Sign in again first: an emergency takes a fresh session.');
  return null;
}

async function whyNotNow(
  unit: Unit,
  routes: readonly FrozenRoute[],
  wanted: Parameters<typeof isBlocked>[0],
): Promise<Refusal | null> {
  if (isBlocked(wanted, await unreviewed(unit.sql))) return reviewOpen();
  for (const { name, rule } of routes) {
    const [last] = await unit.sql
      .select()
      .from(breakGlass)
      .where(and(isNotNull(breakGlass.openedAt), arrayOverlaps(breakGlass.gates, [name])))
      .orderBy(desc(breakGlass.openedAt))
      .limit(1);
    const cooled = addSeconds(last?.openedAt ?? unit.at, rule.break_glass?.cooldown_seconds ?? 0);
    const goesOn = wanted.incident !== null && last?.incident === wanted.incident;
    if (last && !goesOn && unit.at < cooled)
      return new Refusal(
        'too_soon',
        `The glass of "${name}" was broken a while ago, and may be again at ${cooled}.`,
        { not_before: cooled },
      );
  }
  return null;
}

/** What whoever wants another emergency is told meanwhile. */
export const reviewOpen = (): Refusal =>
  new Refusal(
    'review_open',
    'An emergency of this agent, this gate or one of these people was not reviewed yet: have it reviewed first. One incident may go on under its own id, with people who were not in it before.',
  );

/** Uses that were opened and that nobody has reviewed. */
export const unreviewed = (query: Query | Transaction): Promise<BreakGlassRow[]> =>
  query
    .select()
    .from(breakGlass)
    .where(and(isNotNull(breakGlass.openedAt), isNull(breakGlass.closedAt)))
    .orderBy(breakGlass.id);

/**
 * Who cannot be the other human: people with an unreviewed use; those whom the one who declares it let in, by inviting
 * them or making them a link, who could be that one's own second account; and whoever let that one in.
 */
async function spentBy(unit: Unit, declarer: Id<'person'>): Promise<string[]> {
  const used = (await unreviewed(unit.sql)).flatMap(({ people }) => people);
  const others = await boundByDoor(unit, declarer);
  return [...new Set([...used, ...others])].filter((id) => id !== declarer && isNoun('person', id));
}

/** Whom somebody let in, and who let them in: either could be the same human with another account. */
export async function boundByDoor(unit: Unit, who: Id<'person'>): Promise<string[]> {
  const doors = [...(await invitations(unit)), ...(await laterDoors(unit))];
  return doors.flatMap(({ person: id, by }) => (by === who ? [id] : id === who ? [by] : []));
}

interface Door {
  person: string;
  by: string;
}

async function invitations(unit: Unit): Promise<Door[]> {
  const rows = await unit.sql.select({ id: person.id, by: person.invitedBy }).from(person);
  return rows.map(({ id, by }) => ({ person: id, by: by.id }));
}

/** Links that somebody made for another, and Slack users that somebody bound to another: as the record has them. */
function laterDoors(unit: Unit): Promise<Door[]> {
  const leaf = sql`${event.leaf}::jsonb`;
  const isLink = eq(event.type, eventType('person.link_made'));
  const isBinding = and(
    eq(event.type, eventType('person.changed')),
    sql`${leaf} #>> '{data,detail,slack_changed}' = 'true'`,
  );
  return unit.sql
    .select({
      person: sql<string>`${leaf} ->> 'subject'`,
      by: sql<string>`coalesce(${leaf} #>> '{data,detail,made_by,id}', ${leaf} #>> '{data,detail,changed_by,id}', '')`,
    })
    .from(event)
    .where(or(isLink, isBinding));
}

function noteRefused(unit: Unit, agent: AgentRow, who: PersonPrincipal, refusal: Refusal): Refusal {
  unit.emit('emergency.refused', {
    subject: agent.id,
    agent: agent.id,
    decision: 'refused',
    detail: { code: refusal.code, person: who.id },
    private: {},
  });
  return refusal;
}

interface Noting {
  request: RequestRow;
  declaration: Declaration;
  routes: readonly FrozenRoute[];
  wanted: Parameters<typeof isBlocked>[0] & { agent: Id<'agent'>; people: Id<'person'>[] };
}

async function noteDeclared(
  unit: Unit,
  { request, declaration, routes, wanted }: Noting,
): Promise<BreakGlassRow> {
  const { agent, gates, people, incident } = wanted;
  const row: BreakGlassRow = {
    id: newId('breakGlass'),
    request: request.id,
    agent,
    task: asTask(request),
    kit: null,
    role: declaration.role,
    gates: [...gates],
    reviewers: [...new Set(routes.flatMap(({ rule }) => rule.groups))],
    people,
    incident,
    continues: await usesOf(unit, incident),
    createdAt: unit.at,
    openedAt: null,
    reviewDueAt: null,
    remindedAt: null,
    closedAt: null,
    closedBy: null,
    disposition: null,
    findings: null,
    effects: null,
  };
  await unit.sql.insert(breakGlass).values(row);
  unit.emit('emergency.declared', {
    ...aboutRequest(request),
    subject: row.id,
    posture: { risk: 'critical' },
    detail: {
      break_glass: row.id,
      person: people[0] ?? null,
      gates: row.gates,
      quorum: Math.max(...routes.map(({ rule }) => rule.break_glass?.quorum ?? 0)),
      continues: row.continues,
    },
    private: { reason: declaration.reason, incident },
  });
  unit.changed(row.id);
  return row;
}

const asTask = ({ task }: RequestRow): Id<'task'> => {
  if (task === null) throw new Error('an emergency hangs off a task');
  return task;
};

async function usesOf(unit: Unit, incident: string | null): Promise<number> {
  if (incident === null) return 0;
  const ofIt = and(eq(breakGlass.incident, incident), isNotNull(breakGlass.openedAt));
  return unit.sql.$count(breakGlass, ofIt);
}

/** The emergency that an approved request is about, if it may be opened: looked at again, for others were quicker. */
export async function lockEmergency(
  unit: Unit,
  request: RequestRow,
): Promise<BreakGlassRow | Refusal | null> {
  if (request.action.action !== BREAK_GLASS) return null;
  await takeEmergencies(unit);
  const row = await emergencyOf(unit.sql, request.id);
  if (!row) throw new Error(`the emergency of ${request.id} is lost`);
  if (row.openedAt !== null) return row;
  const votes = await votesOn(unit.sql, request.id);
  const confirmed = votes.filter(({ decision }) => decision === 'approve');
  const people = [...new Set([...row.people, ...confirmed.flatMap(headsOfVote)])];
  const others = (await unreviewed(unit.sql)).filter(({ id }) => id !== row.id);
  return isBlocked({ ...row, people }, others) ? reviewOpen() : { ...row, people };
}

/** Whoever cast a vote, and whoever they cast it for: both used it. */
const headsOfVote = ({ person: by, inSteadOf }: VoteRow): Id<'person'>[] =>
  inSteadOf === null ? [by] : [by, inSteadOf];

/** Opens it: access is given in this transaction, and its review is open from here on. */
export async function openEmergency(
  unit: Unit,
  row: BreakGlassRow,
  request: RequestRow,
  until: string,
): Promise<void> {
  if (row.openedAt !== null) return;
  const openedAt = await unit.readClock();
  const reviewDueAt = addSeconds(openedAt, REVIEW_SECONDS);
  await unit.sql
    .update(breakGlass)
    .set({ openedAt, reviewDueAt, people: row.people })
    .where(eq(breakGlass.id, row.id));
  unit.emit('emergency.opened', {
    ...aboutRequest(request),
    subject: row.id,
    posture: { risk: 'critical' },
    detail: {
      break_glass: row.id,
      people: row.people,
      continues: row.continues,
      expires_at: until,
      review_due_at: reviewDueAt,
    },
    private: {},
  });
  // Its agent's workflow remembers the review.
  if (row.agent !== null) unit.wake('agent', row.agent, row.agent);
  unit.changed(row.id);
}

async function emergencyOf(
  query: Query | Transaction,
  request: Id<'request'>,
): Promise<BreakGlassRow | null> {
  const [row] = await query.select().from(breakGlass).where(eq(breakGlass.request, request));
  return row ?? null;
}
