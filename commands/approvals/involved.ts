// Whom a request is for, so that none of them decides on it, and whether anybody is left who may.
import { and, arrayOverlaps, eq, gt, inArray, isNull, or, sql } from 'drizzle-orm';
import type { AgentRow, PersonRow } from '../../db/rows.ts';
import { agent, agentKey, joinToken, person, request } from '../../db/schema/index.ts';
import { ACCESS_ACTION, tupleOf } from '../../domain/access-tuple.ts';
import type { Action } from '../../domain/action.ts';
import { groupsOn, type FrozenRoute, type Involved } from '../../domain/approval.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { groupsEver, isGroupOfPeople, isReachable, seatsInWords } from '../../domain/seats.ts';
import type { Unit } from '../unit.ts';
import { asVoter, readOnCall, type Called } from './approvers.ts';

export async function whoIsInvolved(
  unit: Unit,
  asked: {
    action: Pick<Action, 'actor_chain' | 'action' | 'parameters'>;
    agent: AgentRow | null;
    task: { triggeredBy: string | null } | null;
  },
): Promise<Involved> {
  const { principal } = unit.call;
  const [askedAbout = null, ...alike] = await peopleAskedAbout(unit, asked.action);
  const owners = new Set<string>(alike);
  for (const each of await agentsInvolved(unit, asked))
    for (const person of await standingBehind(unit, each)) owners.add(person);
  return {
    requester: principal.kind === 'person' ? principal.id : askedAbout,
    owners: [...new Set([...owners, ...ownerToBe(asked.action)])],
    // Whoever set off a task set off all that was delegated from it, so this is one person for the whole chain.
    triggeredBy: asked.task?.triggeredBy ?? null,
  };
}

/** The humans who would get what an enforcement point asks for: by an id of ours, or by an address that we know. */
async function peopleAskedAbout(
  unit: Unit,
  { action, parameters }: Pick<Action, 'action' | 'parameters'>,
): Promise<Id<'person'>[]> {
  if (action !== ACCESS_ACTION) return [];
  const { id, properties } = tupleOf({ parameters }).subject;
  const { email } = properties;
  const addresses = [id, ...(typeof email === 'string' ? [email] : [])];
  const rows = await unit.sql
    .select({ id: person.id })
    .from(person)
    .where(
      or(
        eq(person.id, asPersonId(id)),
        inArray(
          sql`lower(${person.email})`,
          addresses.map((address) => address.toLowerCase()),
        ),
      ),
    )
    .orderBy(person.id);
  return rows.map((row) => row.id);
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPersonId = (id: string): Id<'person'> => id as Id<'person'>;

/** Whoever is to answer for an agent from now on gains by that, and does not decide on it. */
function ownerToBe({ action, parameters }: Pick<Action, 'action' | 'parameters'>): string[] {
  const { owner } = parameters;
  return action === 'agent:change_owner' && typeof owner === 'string' ? [owner] : [];
}

/** The agent it is about, every link of the chain that asks, and whose sub-agents any of them are. */
async function agentsInvolved(
  unit: Unit,
  { action, agent: about }: { action: Pick<Action, 'actor_chain'>; agent: AgentRow | null },
): Promise<AgentRow[]> {
  const found = new Map<string, AgentRow>(about ? [[about.id, about]] : []);
  let missing = [
    ...action.actor_chain.filter(({ type }) => type === 'agent').map(({ id }) => id),
    ...(about?.parent ? [about.parent] : []),
  ].filter((id) => !found.has(id));
  while (missing.length > 0) {
    const rows = await unit.sql
      .select()
      .from(agent)
      .where(inArray(agent.id, missing.map(asId)));
    for (const row of rows) found.set(row.id, row);
    missing = rows.flatMap(({ parent }) => (parent !== null && !found.has(parent) ? parent : []));
  }
  return [...found.values()];
}

/** Parties of an action were rows of ours when it was made. */
const asId = (id: string): Id<'agent'> => id as Id<'agent'>;

/**
 * The people behind an agent: its owner, and whoever brought its keys, by registering it, by asking for another, or by
 * proposing a way in. Who holds a key can act as the agent, whomever they named as its owner (I4).
 */
async function standingBehind(unit: Unit, row: AgentRow): Promise<string[]> {
  const keyed = await unit.sql
    .select({ by: agentKey.broughtBy })
    .from(agentKey)
    .where(eq(agentKey.agent, row.id));
  // Whoever has a token that is still good can bring one at any moment.
  const tokens = await unit.sql
    .select({ by: joinToken.madeBy })
    .from(joinToken)
    .where(
      and(
        eq(joinToken.agent, row.id),
        isNull(joinToken.usedAt),
        isNull(joinToken.withdrawnAt),
        gt(joinToken.expiresAt, unit.at),
      ),
    );
  const opened = await unit.sql
    .select({ by: request.requester })
    .from(request)
    .where(
      and(
        eq(request.state, 'consumed'),
        sql`${request.action} ->> 'action' = 'policy:activate'`,
        sql`${request.action} #> '{parameters,opens}' @> ${JSON.stringify([{ agent: row.name }])}::jsonb`,
      ),
    );
  const people = [row.registeredBy, ...[...keyed, ...tokens, ...opened].map(({ by }) => by)]
    .filter(({ type }) => type === 'person')
    .map(({ id }) => id);
  return [...new Set([row.owner, ...people])];
}

/**
 * A route that leaves too few eligible is refused at once, not when it expires: every seat of every stage has to find
 * somebody of its own. Whoever is away can still decide, and whoever stands in for them fills no seat besides.
 */
export async function refuseWithoutApprovers(
  unit: Unit,
  route: FrozenRoute,
  involved: Involved,
): Promise<JsonObject> {
  const { name, rule } = route;
  const called = await readOnCall(unit.sql, [route], unit.at);
  const owner = route.resource_owner ?? '';
  const groups = [...groupsEver(rule).filter(isGroupOfPeople), ...(owner === '' ? [] : [owner])];
  const people = await unit.sql
    .select()
    .from(person)
    .where(
      and(
        eq(person.state, 'active'),
        or(
          groups.length > 0 ? arrayOverlaps(person.groups, groups) : undefined,
          inArray(person.id, [...called.values()].flat()),
          sql`lower(${person.email}) = lower(${owner})`,
        ),
      ),
    );
  const eligible = people
    .map((who) => asVoter(who, [route], called))
    .map((voter) => ({ id: voter.id, groups: groupsOn(voter, rule, involved) }))
    .filter((sitter) => sitter.groups.length > 0);
  if (isReachable(rule, eligible, rule.expiry_seconds)) return dutiesAt(route, called, people);
  const silent = [...called].filter(([, each]) => each.length === 0).map(([group]) => group);
  throw new Refusal(
    'no_approver',
    `The route "${name}" needs ${seatsInWords(rule)}, each a person of their own with the role approver, and those who are eligible are too few: ask an administrator to add approvers.${
      silent.length > 0 ? ` Nobody is known to be ${silent.join(' or ')} now.` : ''
    }`,
  );
}

/** Who had which duty when a request was opened, by their ids: what its event says of it. */
function dutiesAt(
  { resource_owner: owner }: FrozenRoute,
  called: Called,
  people: readonly PersonRow[],
): JsonObject {
  const who = people.find(({ email }) => email?.toLowerCase() === owner?.toLowerCase())?.id ?? null;
  return {
    ...(called.size > 0 && { on_call: Object.fromEntries(called) }),
    ...(typeof owner === 'string' && {
      resource_owner: owner.includes('@') ? { person: who } : { group: owner },
    }),
  };
}
