// Loads what the pages about agents and tasks show.
import { and, desc, eq, inArray, lt } from 'drizzle-orm';
import { keysOf } from '../../commands/agents/agent-keys.ts';
import { aliveUnder } from '../../commands/agents/tasks.ts';
import { FORCE_CLOSE_ATTEMPTS } from '../../commands/credentials/lease-ends.ts';
import { isAdmin, mayAudit, type PersonPrincipal } from '../../commands/principal.ts';
import { openJoinTokens } from '../../commands/sign-in/join.ts';
import type { Query } from '../../db/client.ts';
import type { AgentRow, CredentialRow, TaskRow } from '../../db/rows.ts';
import { agent, credential, person, request, task } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import type { AgentView } from '../../web/agent.tsx';
import type { AgentLine } from '../../web/agents.tsx';
import type { CredentialLine } from '../../web/credentials.tsx';
import type { TaskView } from '../../web/task.tsx';
import { agentNames, personNames } from './names.ts';
import { summariesOf } from './request-view.ts';

/** Rows of each list on a page about one agent or task; the log has the rest. */
const SHOWN = 50;

/** Agents, newest first. */
export const newestAgents = (
  query: Query,
  before: Id<'agent'> | null,
  limit: number,
): Promise<AgentRow[]> =>
  query
    .select()
    .from(agent)
    .where(and(before === null ? undefined : lt(agent.id, before)))
    .orderBy(desc(agent.id))
    .limit(limit);

/** Agents as the list shows them. */
export async function agentLines(query: Query, rows: readonly AgentRow[]): Promise<AgentLine[]> {
  const name = await personNames(
    query,
    rows.map((row) => row.owner),
  );
  return Promise.all(
    rows.map(async (row) => ({
      id: row.id,
      name: row.name,
      kind: row.kind,
      state: row.state,
      owner: name(row.owner),
      team: row.team,
      alive: await aliveOf(query, row.id),
      lastUsedAt: row.lastUsedAt,
    })),
  );
}

const aliveOf = (query: Query, id: Id<'agent'>): Promise<number> =>
  query.$count(credential, and(eq(credential.agent, id), inArray(credential.state, [...ALIVE])));

/** Everything the page of one agent shows. */
export async function agentView(
  query: Query,
  row: AgentRow,
  reader: PersonPrincipal,
  now: string,
): Promise<AgentView> {
  const [line] = await agentLines(query, [row]);
  if (!line) throw new Error('an agent has a line');
  const tasks = await query
    .select()
    .from(task)
    .where(eq(task.agent, row.id))
    .orderBy(desc(task.id))
    .limit(SHOWN);
  const leases = await query
    .select()
    .from(credential)
    .where(eq(credential.agent, row.id))
    .orderBy(desc(credential.id))
    .limit(SHOWN);
  const requests = await query
    .select()
    .from(request)
    .where(eq(request.agent, row.id))
    .orderBy(desc(request.id))
    .limit(SHOWN);
  return {
    ...line,
    purpose: row.purpose,
    spiffeId: row.spiffeId,
    retiring: row.retiring && row.state !== 'retired',
    createdAt: row.createdAt,
    rotationDueAt: row.rotationDueAt,
    reviewDueAt: row.reviewDueAt,
    request: row.request,
    keys: (await keysOf(query, row.id)).map(({ id, thumbprint, state, createdAt, retireAt }) => ({
      id,
      thumbprint,
      state,
      createdAt,
      retireAt,
    })),
    joinTokens: (await openJoinTokens(query, row.id, now)).map((each) => ({
      id: each.id,
      request: each.request,
      createdAt: each.createdAt,
      expiresAt: each.expiresAt,
    })),
    orphanedAt: row.orphanedAt,
    tasks: tasks.map(({ id, purpose, state, createdAt, deadlineAt }) => ({
      id,
      purpose,
      state,
      createdAt,
      deadlineAt,
    })),
    credentials: leases.map(credentialLine),
    requests: await summariesOf(query, requests, now),
    isAdmin: isAdmin(reader),
    audits: mayAudit(reader),
  };
}

/** A credential as tables show it. */
export const credentialLine = (row: CredentialRow): CredentialLine => ({
  id: row.id,
  role: row.role,
  issuer: row.issuer,
  target: row.target,
  state: row.state,
  request: row.request,
  grant: row.grant,
  task: row.task,
  issuedAt: row.issuedAt,
  expiresAt: row.expiresAt,
  lastUsedAt: row.lastUsedAt,
  endedAt: row.endedAt,
  because: row.because,
  attempts: row.attempts,
  nextTryAt: row.nextTryAt,
  lastError: row.lastError,
  seenGone: row.seenGone,
});

/** Everything the page of one task shows. */
export async function taskView(
  query: Query,
  row: TaskRow,
  reader: PersonPrincipal,
  now: string,
): Promise<TaskView> {
  const agentName = await agentNames(query, [row.agent]);
  const personName = await personNames(query, [row.triggeredBy]);
  const [holder] = await query.select().from(agent).where(eq(agent.id, row.agent));
  const leases = await query
    .select()
    .from(credential)
    .where(eq(credential.task, row.id))
    .orderBy(desc(credential.id))
    .limit(SHOWN);
  const requests = await query
    .select()
    .from(request)
    .where(eq(request.task, row.id))
    .orderBy(desc(request.id))
    .limit(SHOWN);
  return {
    id: row.id,
    purpose: row.purpose,
    state: row.state,
    reason: row.reason,
    agent: { id: row.agent, name: agentName(row.agent) },
    trigger: row.triggeredBy === null ? 'No person' : personName(row.triggeredBy),
    proof: row.triggeredByProof,
    policyVersion: row.policyVersion,
    deadlineAt: row.deadlineAt,
    createdAt: row.createdAt,
    endedAt: row.endedAt,
    alive: await aliveUnder(query, row.id),
    credentials: leases.map(credentialLine),
    requests: await summariesOf(query, requests, now),
    forceCloseAttempts: isAdmin(reader) ? FORCE_CLOSE_ATTEMPTS : Infinity,
    mayRevoke: isAdmin(reader) || holder?.owner === reader.id,
    isAdmin: isAdmin(reader),
    audits: mayAudit(reader),
  };
}

/** People who can own an agent. */
export const activePeople = (query: Query): Promise<{ id: string; name: string }[]> =>
  query
    .select({ id: person.id, name: person.name })
    .from(person)
    .where(eq(person.state, 'active'))
    .orderBy(person.name)
    .limit(500);
