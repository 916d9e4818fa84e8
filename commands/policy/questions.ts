// Turns an action into a question for Cedar, from the rows as they are now: the same way when something is
// first asked and when its approval is redeemed, so that the second look sees what changed.
import type { EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import { ACCESS_ACTION } from '../../domain/access-tuple.ts';
import type { Action, Party } from '../../domain/action.ts';
import { BREAK_GLASS, routePast } from '../../domain/break-glass.ts';
import { PREPARE_KIT } from '../../domain/glass-kit.ts';
import { OPEN_GRANT } from '../../domain/grant.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { evaluateAccess } from '../authzen/judge.ts';
import { evaluatePreparing } from '../exceptions/kit-gates.ts';
import { sensorsFor } from '../record/sensors.ts';
import type { PolicyBundle } from './bundle.ts';
import { evaluate, togetherAs, type Evaluation, type Question } from './evaluate.ts';
import { addAgent, addEntity, addPerson, type Reader } from './party-entities.ts';
import { resourceEntity } from './recorded-questions.ts';

/**
 * Asks the bundle about an action as things stand in this transaction: once for everybody in the chain, for nobody
 * may do through another what they may not do themselves. A no to any of them is a no.
 */
export async function evaluateAction(
  tx: Reader,
  bundle: PolicyBundle,
  action: Action,
): Promise<Evaluation> {
  if (action.action === PREPARE_KIT) return evaluatePreparing(bundle, action.resource.id);
  if (action.action === ACCESS_ACTION) return evaluateAccess(tx, bundle, action, evaluateAction);
  const judged = judgedAs(action);
  const askers = judged.actor_chain.length > 0 ? judged.actor_chain : [judged.subject];
  const sensors = await sensorsFor(tx, bundle);
  const answers: Evaluation[] = [];
  for (const asker of askers) {
    const question = await questionFor(tx, bundle, judged, asker);
    answers.push(evaluate(bundle, { ...question, ...sensors }));
  }
  const together = togetherAs(answers);
  return action.action === BREAK_GLASS ? pastGates(together) : together;
}

/** In an emergency those beside each gate are asked instead; a gate without them stays closed. */
function pastGates(evaluation: Evaluation): Evaluation {
  if (evaluation.decision !== 'hold') return evaluation;
  const past = evaluation.routes.map(routePast);
  const routes = past.filter((route) => route !== null);
  const says = evaluation.says.map((each) => `BREAK-GLASS past: ${each}`);
  if (routes.length === past.length) return { ...evaluation, routes, says, risk: 'critical' };
  const reasons = ['a gate in front of this has no break_glass'];
  return { ...evaluation, decision: 'deny', reasons, says: reasons, routes: [], controls: [] };
}

/** What leads to a credential is judged as asking for it: policy has no second word for the same access. */
function judgedAs(action: Action): Action {
  if (action.action === BREAK_GLASS) return { ...action, action: 'credential:request' };
  if (action.action !== OPEN_GRANT) return action;
  const { purpose = null } = action.parameters;
  return { ...action, action: 'credential:request', context: { ...action.context, purpose } };
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
  return addEntity(entities, { type: 'Service', id: party.id }, {});
}

async function addResource(
  tx: Reader,
  entities: Map<string, EntityJson>,
  bundle: PolicyBundle,
  { resource }: Action,
): Promise<TypeAndId> {
  if (resource.type === 'agent') return addAgent(tx, entities, resource.id);
  if (resource.type === 'stop') return addEntity(entities, { type: 'Stop', id: resource.id }, {});
  if (resource.type === 'policy')
    return addEntity(entities, { type: 'Policy', id: resource.id }, {});
  const uid = { type: resource.type === 'upstream' ? 'Upstream' : 'Role', id: resource.id };
  const [found] = resourceEntity(bundle, uid);
  return addEntity(entities, uid, found?.attrs);
}
