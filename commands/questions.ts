// Turns an action into a question for Cedar, from the rows as they are now: the same way when something is
// first asked and when its approval is redeemed, so that the second look sees what changed.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import { eq } from 'drizzle-orm';
import { agent, person } from '../db/schema/index.ts';
import type { Action, Party } from '../domain/action.ts';
import type { Id } from '../domain/id.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../domain/json.ts';
import { evaluate, togetherAs, type Evaluation, type Question } from './evaluate.ts';
import type { PolicyBundle } from './policy-bundle.ts';
import { resourceEntity } from './recorded-questions.ts';
import { sensorsFor, type Reader } from './sensors.ts';

/**
 * Asks the bundle about an action as things stand in this transaction: once for everybody in the chain, for nobody
 * may do through another what they may not do themselves. A no to any of them is a no.
 */
export async function evaluateAction(
  tx: Reader,
  bundle: PolicyBundle,
  action: Action,
): Promise<Evaluation> {
  const askers = action.actor_chain.length > 0 ? action.actor_chain : [action.subject];
  const sensors = await sensorsFor(tx, bundle);
  const answers: Evaluation[] = [];
  for (const asker of askers) {
    const question = await questionFor(tx, bundle, action, asker);
    answers.push(evaluate(bundle, { ...question, ...sensors }));
  }
  return togetherAs(answers);
}

async function questionFor(
  tx: Reader,
  bundle: PolicyBundle,
  action: Action,
  asker: Party,
): Promise<Question> {
  const entities = new Map<string, EntityJson>();
  const principal = await addParty(tx, entities, asker);
  const resource = await addResource(tx, entities, bundle, action);
  return {
    principal,
    action: action.action,
    resource,
    context: contextOf(action),
    entities: [...entities.values()],
  };
}

function contextOf(action: Action): Question['context'] {
  if (action.action === 'token:exchange') return exchangeContext(action);
  const { purpose, triggered_by_proof: proof } = action.context;
  const { ttl_seconds: ttl, effect } = action.parameters;
  const common = {
    purpose: typeof purpose === 'string' ? purpose : '',
    triggered_by_proof: typeof proof === 'string' ? proof : 'none',
  };
  switch (action.action) {
    case 'credential:request':
      return { ...common, ttl_seconds: typeof ttl === 'number' ? ttl : 0 };
    case 'statement:run':
      return { ...common, effect: typeof effect === 'string' ? effect : 'opaque' };
    case 'http:call':
      return { ...common, ...callContext(action.parameters) };
    default:
      return {};
  }
}

/** What a policy sees of a call: which one it is, and what was filled in. */
export function callContext({
  call,
  method,
  effect,
  params,
  query,
}: JsonObject): Question['context'] {
  const said = (member: JsonValue | undefined): string =>
    typeof member === 'string' ? member : '';
  return {
    call: said(call),
    method: said(method),
    effect: said(effect),
    params: pairsOf(params),
    query: pairsOf(query),
  };
}

/** Sound to compare with: no name has a "=" in it. */
const pairsOf = (values: JsonValue | undefined): string[] =>
  typeof values === 'object' && values !== null
    ? Object.entries(values).map(
        ([name, value]) => `${name}=${typeof value === 'string' ? value : canonicalJson(value)}`,
      )
    : [];

function exchangeContext({ parameters, context }: Action): Question['context'] {
  const { gate, depth, is_sub_agent: isSubAgent } = parameters;
  const { purpose } = context;
  return {
    gate: typeof gate === 'string' ? gate : '',
    depth: typeof depth === 'number' ? depth : 0,
    is_sub_agent: isSubAgent === true,
    purpose: typeof purpose === 'string' ? purpose : '',
  };
}

async function addParty(
  tx: Reader,
  entities: Map<string, EntityJson>,
  party: Party,
): Promise<TypeAndId> {
  if (party.type === 'agent') return addAgent(tx, entities, party.id);
  if (party.type === 'person') return addPerson(tx, entities, party.id);
  return add(entities, { type: 'Service', id: party.id }, {});
}

async function addResource(
  tx: Reader,
  entities: Map<string, EntityJson>,
  bundle: PolicyBundle,
  { resource }: Action,
): Promise<TypeAndId> {
  if (resource.type === 'agent') return addAgent(tx, entities, resource.id);
  if (resource.type === 'stop') return add(entities, { type: 'Stop', id: resource.id }, {});
  if (resource.type === 'policy') return add(entities, { type: 'Policy', id: resource.id }, {});
  const uid = { type: resource.type === 'upstream' ? 'Upstream' : 'Role', id: resource.id };
  const [found] = resourceEntity(bundle, uid);
  return add(entities, uid, found?.attrs);
}

async function addAgent(
  tx: Reader,
  entities: Map<string, EntityJson>,
  id: string,
): Promise<TypeAndId> {
  const [row] = await tx
    .select()
    .from(agent)
    .where(eq(agent.id, id as Id<'agent'>));
  if (!row) return { type: 'Agent', id };
  const owner = await addPerson(tx, entities, row.owner);
  return add(
    entities,
    { type: 'Agent', id },
    {
      name: row.name,
      kind: row.kind,
      team: row.team,
      owner: { __entity: owner },
    },
  );
}

async function addPerson(
  tx: Reader,
  entities: Map<string, EntityJson>,
  id: string,
): Promise<TypeAndId> {
  const [row] = await tx
    .select()
    .from(person)
    .where(eq(person.id, id as Id<'person'>));
  return add(entities, { type: 'Person', id }, row && { roles: row.roles, groups: row.groups });
}

/** Without attributes an entity stays unknown to the engine, which then errs, which is a no. */
function add(
  entities: Map<string, EntityJson>,
  uid: TypeAndId,
  attrs: EntityJson['attrs'] | undefined,
): TypeAndId {
  if (attrs) entities.set(`${uid.type}::${uid.id}`, { uid, attrs, parents: [] });
  return uid;
}
