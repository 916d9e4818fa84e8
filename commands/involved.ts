// Whom a request is for, so that none of them decides on it, and whether anybody is left who may.
import { and, arrayOverlaps, eq, or, sql } from 'drizzle-orm';
import type { AgentRow } from '../db/rows.ts';
import { person, request } from '../db/schema/index.ts';
import { barredBy, groupsAfter, type FrozenRoute, type Involved } from '../domain/approval.ts';
import { Refusal } from '../domain/refusal.ts';
import { mayVote } from './principal.ts';
import type { Unit } from './unit.ts';

export async function whoIsInvolved(
  unit: Unit,
  asked: { agent: AgentRow | null; task: { triggeredBy: string | null } | null },
): Promise<Involved> {
  const { principal } = unit.call;
  return {
    requester: principal.kind === 'person' ? principal.id : null,
    owners: asked.agent ? await standingBehind(unit, asked.agent) : [],
    triggeredBy: asked.task?.triggeredBy ?? null,
  };
}

/**
 * The people behind an agent: its owner, and whoever brought its keys, by registering it, by asking for another, or by
 * proposing a way in. Who holds a key can act as the agent, whomever they named as its owner (I4).
 */
async function standingBehind(unit: Unit, agent: AgentRow): Promise<string[]> {
  const keyed = await unit.sql
    .select({ by: request.requester })
    .from(request)
    .where(
      and(
        eq(request.state, 'consumed'),
        or(
          and(eq(request.agent, agent.id), sql`${request.action} ->> 'action' = 'agent:add_key'`),
          and(
            sql`${request.action} ->> 'action' = 'policy:activate'`,
            sql`${request.action} #> '{parameters,opens}' @> ${JSON.stringify([{ agent: agent.name }])}::jsonb`,
          ),
        ),
      ),
    );
  const people = [agent.registeredBy, ...keyed.map(({ by }) => by)]
    .filter(({ type }) => type === 'person')
    .map(({ id }) => id);
  return [...new Set([agent.owner, ...people])];
}

/** A route that leaves nobody eligible is refused at once, not when it expires. */
export async function refuseWithoutApprovers(
  unit: Unit,
  { name, rule }: FrozenRoute,
  involved: Involved,
): Promise<void> {
  const groups = groupsAfter(rule, rule.expiry_seconds);
  const people = await unit.sql
    .select({ id: person.id, roles: person.roles })
    .from(person)
    .where(and(eq(person.state, 'active'), arrayOverlaps(person.groups, groups)));
  const barred = barredBy(rule, involved);
  const eligible = people.filter(({ id, roles }) => !barred.includes(id) && mayVote(roles));
  if (eligible.length < rule.quorum)
    throw new Refusal(
      'no_approver',
      `The route "${name}" needs ${rule.quorum} with the role approver from ${groups.join(', ')}, and ${eligible.length} eligible: ask an administrator to add approvers.`,
    );
}
