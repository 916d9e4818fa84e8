// Ways in as people agree to them. Whoever may sign in as an agent is as good as a key of it, so a policy that opens
// a way in needs those who would have to agree to a key.
import { eq } from 'drizzle-orm';
import { agent } from '../../db/schema/index.ts';
import type { Action } from '../../domain/action.ts';
import type { FrozenRoute } from '../../domain/approval.ts';
import type { JsonObject } from '../../domain/json.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import type { PolicyBundle } from './bundle.ts';
import type { PersonsWord, WayIn } from './federation.ts';
import { evaluateAction } from './questions.ts';
import { gatesOver } from './scope.ts';
import type { Silenced } from './silenced.ts';

/** What a new policy opens, and what the active one says to it. */
export interface Opened {
  ways: readonly WayIn[];
  /** Whose word it takes that was not taken before. */
  people: readonly PersonsWord[];
  /** Whose approvers have to agree. */
  gates: Silenced;
  /** Why it may not be opened at all: the active policy lets nobody add a key to this agent. */
  denied: string[];
}

/** The ways in of `next` that `current` does not have as they are: changed ones are new ones. */
export function openedBy(current: PolicyBundle, next: PolicyBundle): WayIn[] {
  const known = new Set(current.federation.waysIn.map(({ digest }) => digest));
  return next.federation.waysIn.filter(({ digest }) => !known.has(digest));
}

/** Agents for which somebody's word counts that did not: whom it names is no longer asked for the same things (I4). */
function wordsOpenedBy(current: PolicyBundle, next: PolicyBundle): PersonsWord[] {
  const known = new Set(current.federation.people.map(({ digest }) => digest));
  return next.federation.people.filter(({ digest }) => !known.has(digest));
}

/** Asks the active policy about every way in that another one opens. */
export async function judgeOpened(
  unit: Unit,
  current: PolicyBundle,
  next: PolicyBundle,
): Promise<Opened> {
  const ways = openedBy(current, next);
  const routes: FrozenRoute[] = [];
  const controls: string[] = [];
  const denied: string[] = [];
  const people = wordsOpenedBy(current, next);
  const agents = [...ways.map((way) => way.agent), ...people.flatMap((word) => word.agents)];
  for (const name of new Set(agents)) {
    const judged = await judgeFor(unit, current, name);
    routes.push(...judged.routes);
    controls.push(...judged.controls);
    if (judged.isDenied) denied.push(name);
  }
  const distinct = [...new Map(routes.map((route) => [route.name, route])).values()];
  return { ways, people, gates: { routes: distinct, controls: [...new Set(controls)] }, denied };
}

async function judgeFor(
  unit: Unit,
  current: PolicyBundle,
  name: string,
): Promise<Silenced & { isDenied: boolean }> {
  const [row] = await unit.sql.select().from(agent).where(eq(agent.name, name));
  // Nothing is known yet of an agent that does not exist: every gate that could be asked about it is.
  if (!row) return { ...gatesOver(current, 'agent:add_key'), isDenied: false };
  const asker = partyOf(unit.call.principal);
  const action: Action = {
    subject: asker,
    actor_chain: [asker],
    action: 'agent:add_key',
    resource: { type: 'agent', id: row.id },
    parameters: { name },
    data_class: null,
    destination: null,
    context: { purpose: row.purpose },
  };
  const { decision, routes, controls } = await evaluateAction(unit.sql, current, action);
  return { routes, controls, isDenied: decision === 'deny' };
}

/** A way in, in the words of its file. */
export function describeWayIn(way: WayIn): JsonObject {
  const common = { agent: way.agent, digest: way.digest };
  switch (way.kind) {
    case 'issuer': {
      const { subject, claims, issuer } = way;
      return 'whole' in subject
        ? { ...common, issuer, subject: subject.whole, claims }
        : { ...common, issuer, subject_prefix: subject.prefix, claims };
    }
    case 'spiffe':
      return { ...common, spiffe_id: way.spiffeId };
    case 'certificate':
      return { ...common, certificate_authority: way.authority, [way.name.is]: way.name.value };
  }
}

/** Whose word counts, in the words of the file. */
export const describeWord = ({
  digest,
  person,
  issuer,
  subject,
  agents,
}: PersonsWord): JsonObject => ({
  ...{ digest, person, issuer, subject, agents: [...agents] },
});

/** The ways in that a policy has for the agent of this name. */
export const waysInOf = (bundle: PolicyBundle, name: string): JsonObject[] =>
  bundle.federation.waysIn.filter((way) => way.agent === name).map(describeWayIn);
