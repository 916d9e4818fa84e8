// Standing grants: asking people to agree to more than one use, within a bound, and opening what they agreed to.
import { and, asc, eq, gt, inArray } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, GrantRow, RequestRow } from '../../db/rows.ts';
import { standingGrant } from '../../db/schema/index.ts';
import { actionDigest, type Action } from '../../domain/action.ts';
import type { FrozenRoute } from '../../domain/approval.ts';
import { coverOf, OPEN_GRANT } from '../../domain/grant.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { GrantState } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { accessOf, type RoleDefinition } from '../access/kinds.ts';
import { lockActiveAgent } from '../agents/tasks.ts';
import { effectiveAction } from '../approvals/narrow.ts';
import {
  aboutRequest,
  findLiveDuplicate,
  openRequest,
  recordEvaluation,
} from '../approvals/requests.ts';
import { deniedBy, refuseWithoutReason, unknownRole } from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { newId, type Unit } from '../unit.ts';

export interface GrantAsk {
  agent: Id<'agent'>;
  role: string;
  uses: number;
  forSeconds: number;
  /** The longest that one credential may be asked for; what the role gives by default where it is not said. */
  ttlSeconds: number | null;
  purpose: string | null;
  options: JsonObject;
  reason: string | null;
}

/** Asks for a standing grant. It always waits for people: nothing stands by itself. */
export async function askForGrant(
  unit: Unit,
  deps: Deps,
  ask: GrantAsk,
): Promise<RequestRow | Refusal> {
  const agent = await lockActiveAgent(unit, ask.agent);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const definition = bundle.roles.get(ask.role);
  if (!definition) throw unknownRole(ask.role, [...bundle.roles.keys()]);
  refuseWithoutReason(ask, definition);
  const action = await grantAction(agent, ask, definition);
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  if (evaluation.decision === 'hold') {
    refuseBeyondRoutes(ask, evaluation.routes);
    const live = await findLiveDuplicate(unit, null, actionDigest(action));
    if (live) return live;
  }
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny') return deniedBy(judged);
  if (evaluation.decision === 'permit')
    return new Refusal(
      'standing_refused',
      `Nobody is asked about the role ${ask.role}: ask for a credential whenever one is needed.`,
    );
  const asked = { action, agent, task: null, reason: ask.reason, sealTo: null, callbackUrl: null };
  return openRequest(unit, asked, judged);
}

/** The grant as people are asked about it: the credential it leads to, how often, and for how long. */
async function grantAction(
  agent: AgentRow,
  ask: GrantAsk,
  definition: RoleDefinition,
): Promise<Action> {
  const access = accessOf(definition);
  const options = await access.readOptions(definition, ask.options);
  const ttl = ask.ttlSeconds ?? definition.ttl_seconds_default;
  if (ttl > definition.ttl_seconds_max)
    throw new Refusal(
      'ttl_too_long',
      `The role ${ask.role} lasts at most ${definition.ttl_seconds_max} seconds: ask for that or less.`,
      { ttl_seconds_max: definition.ttl_seconds_max },
    );
  const itself = { type: 'agent' as const, id: agent.id };
  return {
    // Only for what the agent does itself: what it is handed on is somebody else's.
    subject: itself,
    actor_chain: [itself],
    action: OPEN_GRANT,
    resource: { type: 'role', id: ask.role },
    parameters: {
      ttl_seconds: ttl,
      ...(definition.renew_seconds_max !== undefined && {
        renew_seconds_max: definition.renew_seconds_max,
      }),
      ...(Object.keys(options).length > 0 && { options }),
      uses: ask.uses,
      for_seconds: ask.forSeconds,
      purpose: ask.purpose,
    },
    data_class: definition.data_class,
    destination: access.destination(definition),
    context: { reason: ask.reason },
  };
}

/** Each route says how long and how often its approval may stand; one that says nothing allows none of it. */
function refuseBeyondRoutes(ask: GrantAsk, routes: readonly FrozenRoute[]): void {
  for (const { name, rule } of routes) {
    const { standing } = rule;
    if (!standing)
      throw new Refusal(
        'standing_refused',
        `The route "${name}" is asked about each use: it has no "standing" in routes.yaml, so ask for a credential each time.`,
      );
    if (ask.forSeconds > standing.max_seconds || ask.uses > standing.max_uses)
      throw new Refusal(
        'standing_refused',
        `The route "${name}" lets an approval stand for at most ${standing.max_seconds} seconds and ${standing.max_uses} uses: ask for that or less.`,
        { max_seconds: standing.max_seconds, max_uses: standing.max_uses },
      );
  }
}

/** Opens the grant that an approved request asked for; refuses where the agent is no longer what it was. */
export async function openGrant(
  unit: Unit,
  row: RequestRow,
  permit: Id<'permit'>,
): Promise<Refusal | null> {
  let agent;
  try {
    agent = await lockActiveAgent(unit, asAgent(row.agent));
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  // Whoever answered for it was barred from agreeing; whoever does by now was not.
  if (!row.involved.owners.includes(agent.owner))
    return new Refusal('wrong_state', 'The agent got another owner meanwhile: ask again.');
  const agreed = effectiveAction(row);
  const { uses, for_seconds: seconds } = agreed.parameters;
  const grant: GrantRow = {
    id: newId('grant'),
    agent: agent.id,
    owner: agent.owner,
    request: row.id,
    role: row.action.resource.id,
    ...coverOf(agreed),
    uses: Number(uses),
    used: 0,
    state: 'live',
    createdAt: unit.at,
    expiresAt: addSeconds(unit.at, Number(seconds)),
    warnedAt: null,
    because: null,
    endedAt: null,
  };
  await unit.sql.insert(standingGrant).values(grant);
  unit.emit('grant.opened', {
    ...aboutRequest(row),
    subject: grant.id,
    detail: {
      grant: grant.id,
      permit,
      uses: grant.uses,
      expires_at: grant.expiresAt,
      pattern: grant.pattern,
    },
    private: { bounds: { ...grant.bounds } },
  });
  // Its agent's workflow sees to its end.
  unit.wake('agent', agent.id, agent.id);
  unit.changed(grant.id);
  return null;
}

const asAgent = (id: Id<'agent'> | null): Id<'agent'> => {
  if (id === null) throw new Error('a grant was approved for no agent');
  return id;
};

export async function findGrant(query: Query | Transaction, id: string): Promise<GrantRow | null> {
  const [row] = await query
    .select()
    .from(standingGrant)
    .where(eq(standingGrant.id, asGrantId(id)));
  return row ?? null;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
export const asGrantId = (id: string): Id<'grant'> => id as Id<'grant'>;

export const listGrants = (
  query: Query,
  {
    agents,
    state,
    after,
    limit,
  }: {
    agents?: Id<'agent'>[];
    state?: GrantState | undefined;
    after: string | null;
    limit: number;
  },
): Promise<GrantRow[]> =>
  query
    .select()
    .from(standingGrant)
    .where(
      and(
        after === null ? undefined : gt(standingGrant.id, asGrantId(after)),
        agents && inArray(standingGrant.agent, agents),
        state && eq(standingGrant.state, state),
      ),
    )
    .orderBy(asc(standingGrant.id))
    .limit(limit);
