// Who could ask for something, as far as the rules of a policy tell askers apart: every value that a rule compares
// something with, and one that none of them names. Asked once for each, a policy has said all it can say about most.
import type { CedarValueJson, EntityJson, Expr, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicyBundle } from './bundle.ts';
import type { Question } from './evaluate.ts';
import { resourceEntity } from './recorded-questions.ts';
import { couldMatch, type Matter, type ScopedRule } from './scope.ts';

type Value = string | number | boolean;

/** One asker: what rules see of it that they compare with anything. */
export type Asker = ReadonlyMap<string, Value>;

/** More askers than this are not told apart for one subject. */
const ASKERS_MAX = 400;
/** What stands for every value that no rule names. */
export const ANY_OTHER = '(any other)';
const YET_ANOTHER = '(yet another)';

/** The texts that a rule compares a fact about a question with; patterns are not among them. */
export function literalsComparedWith({ scope }: ScopedRule, path: string): string[] {
  const named = new Map<string, Set<Value>>();
  for (const { body } of scope.conditions) visit(body, named, false);
  return [...(named.get(path) ?? [])].filter(
    (value): value is string =>
      typeof value === 'string' && value !== ANY_OTHER && value !== YET_ANOTHER,
  );
}

/** The facts about a question that can be varied, and what they are where nothing is said. */
const CONTEXTS: Record<string, Record<string, Value>> = {
  'credential:request': { purpose: ANY_OTHER, triggered_by_proof: 'none', ttl_seconds: 60 },
  'statement:run': { purpose: ANY_OTHER, triggered_by_proof: 'none', effect: 'read' },
  'http:call': { purpose: ANY_OTHER, triggered_by_proof: 'none', call: '', params: '', query: '' },
  'token:exchange': { gate: 'subject', depth: 1, is_sub_agent: false, purpose: ANY_OTHER },
};
const ENUMS: Record<string, readonly Value[]> = {
  'context.triggered_by_proof': ['none', 'claimed', 'verified'],
  'context.effect': ['read', 'write', 'define', 'access', 'opaque'],
  'context.gate': ['subject', 'actor'],
  'context.is_sub_agent': [false, true],
};
const ABOUT_AGENTS = ['name', 'kind', 'team', 'owner.groups', 'owner.roles'];
const ABOUT_PEOPLE = ['groups', 'roles'];

/** Everybody whom two policies could tell apart when they ask for this; `isCut` when there are too many. */
export function askersFor(
  matter: Matter,
  rules: readonly ScopedRule[],
  calls: readonly string[],
  purposes: readonly string[] = [],
): { askers: Asker[]; isCut: boolean } {
  const named = new Map<string, Set<Value>>();
  for (const rule of rules) if (couldMatch(rule, matter)) collect(rule, named);
  // What policies are asked by nobody but agents, or by people and by automation.
  const isAsker = (value: Value): boolean =>
    /^Agent::./.test(String(value)) === isAskedByAgents(matter);
  const askerIds = [...(named.get('principal') ?? []), 'Service::automation'].filter(isAsker);
  named.set('principal', new Set(askerIds));
  if ('upstream' in matter) named.set('context.call', new Set(calls));
  if (purposes.length > 0) note(named, 'context.purpose', purposes);
  const sides = pathsOf(matter).map((path): [string, Value[]] => [
    path,
    [...(named.get(path) ?? [])],
  ]);
  let askers: Map<string, Value>[] = [new Map<string, Value>()];
  let isCut = false;
  for (const [path, values] of sides.filter(([, found]) => found.length > 0)) {
    const most = path === 'context.call' ? [] : [defaultOf(matter, path)];
    const all = [...new Set([...most, ...(ENUMS[path] ?? []), ...values])];
    const wider = askers.flatMap((asker) => all.map((value) => new Map(asker).set(path, value)));
    isCut ||= wider.length > ASKERS_MAX;
    askers = wider.slice(0, ASKERS_MAX);
  }
  return { askers, isCut };
}

const isAskedByAgents = ({ action }: Matter): boolean => action in CONTEXTS;

function pathsOf(matter: Matter): string[] {
  const context = Object.keys(CONTEXTS[matter.action] ?? {}).map((name) => `context.${name}`);
  const about = isAskedByAgents(matter) ? ABOUT_AGENTS : ABOUT_PEOPLE;
  const isAboutAgent = matter.action === 'token:exchange' || matter.action.startsWith('agent:');
  return [
    'principal',
    ...about.map((name) => `principal.${name}`),
    ...(isAboutAgent ? ABOUT_AGENTS.map((name) => `resource.${name}`) : []),
    ...context,
  ];
}

function defaultOf({ action }: Matter, path: string): Value {
  const [from = '', name = ''] = path.split('.');
  return from === 'context' ? (CONTEXTS[action]?.[name] ?? ANY_OTHER) : ANY_OTHER;
}

/** Notes what a rule compares with what. */
function collect({ scope }: ScopedRule, named: Map<string, Set<Value>>): void {
  const { principal, conditions } = scope;
  if ('entity' in principal) note(named, 'principal', [idOf(principal.entity)]);
  for (const { body } of conditions) visit(body, named);
}

const idOf = (entity: TypeAndId | { __entity: TypeAndId }): string => {
  const { type, id } = '__entity' in entity ? entity.__entity : entity;
  return `${type}::${id}`;
};

const note = (named: Map<string, Set<Value>>, path: string, values: readonly Value[]): void => {
  named.set(path, new Set([...(named.get(path) ?? []), ...values]));
};

function visit(expression: Expr, named: Map<string, Set<Value>>, samples = true): void {
  const path = pathOf(expression);
  if (path !== null) {
    // Named without being compared: whatever it is there, a boolean is all that stands alone.
    note(named, path, ENUMS[path] ?? []);
    return;
  }
  for (const [operator, operands] of Object.entries(asTree(expression))) {
    const { left, right, pattern } = operands;
    if (left && right) compare(operator, left, right, named);
    const matched = left === undefined ? null : pathOf(left);
    if (samples && pattern && matched !== null) note(named, matched, [sampleOf(pattern)]);
    for (const each of partsOf(operands)) visit(each, named, samples);
  }
}

function compare(operator: string, left: Expr, right: Expr, named: Map<string, Set<Value>>): void {
  const [one, other] = [pathOf(left), pathOf(right)];
  if (one !== null && other !== null) {
    // Alike and unlike: both have to occur.
    note(named, one, [ANY_OTHER]);
    note(named, other, [ANY_OTHER, YET_ANOTHER]);
  }
  const beside = operator.startsWith('<') || operator.startsWith('>');
  const around = (value: Value): Value[] =>
    beside && typeof value === 'number' ? [value - 1, value, value + 1] : [value];
  if (one !== null) note(named, one, valuesOf(right).flatMap(around));
  if (other !== null) note(named, other, valuesOf(left).flatMap(around));
}

/** `principal.owner.groups` and the like; null for anything else. */
function pathOf(expression: Expr): string | null {
  const tree = asTree(expression);
  const { Var: variable } = tree as { Var?: unknown };
  if (typeof variable === 'string') return variable;
  const member = tree['.'];
  if (!member?.left || member.attr === undefined) return null;
  const from = pathOf(member.left);
  return from === null ? null : `${from}.${member.attr}`;
}

/** The literals of an expression. */
function valuesOf(expression: Expr): Value[] {
  const tree = asTree(expression) as { Value?: CedarValueJson; Set?: Expr[] };
  if (tree.Set) return tree.Set.flatMap(valuesOf);
  const { Value: value } = tree;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return [value];
  return typeof value === 'object' && value !== null && '__entity' in value
    ? [idOf(asEntity(value))]
    : [];
}

const sampleOf = (pattern: readonly unknown[]): string =>
  pattern
    .map((part) =>
      typeof part === 'object' && part !== null && 'Literal' in part ? String(part.Literal) : 'x',
    )
    .join('');

interface Operands {
  left?: Expr;
  right?: Expr;
  arg?: Expr;
  attr?: string;
  pattern?: readonly unknown[];
  if?: Expr;
  then?: Expr;
  else?: Expr;
}

const partsOf = (operands: Operands | Expr[]): Expr[] =>
  Array.isArray(operands)
    ? operands
    : [
        operands.left,
        operands.right,
        operands.arg,
        operands.if,
        operands.then,
        operands.else,
      ].filter((part) => part !== undefined);

/** An expression is an object with one member, the operator, whose value holds its operands. */
const asTree = (expression: Expr) => expression as unknown as Record<string, Operands>;
/** Cedar writes an entity in no other way. */
const asEntity = (value: object) => value as { __entity: TypeAndId };

/** The question that an asker puts to a policy; null where that policy has no such role to ask for. */
export function questionBy(bundle: PolicyBundle, matter: Matter, asker: Asker): Question | null {
  const entities: EntityJson[] = [];
  const principal = principalOf(matter, asker, entities);
  const resource = resourceOf(bundle, matter, asker, entities);
  if (!resource) return null;
  const defaults = CONTEXTS[matter.action] ?? {};
  const said = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, asker.get(`context.${name}`) ?? value]),
  );
  const context = 'upstream' in matter ? callOf(bundle, matter.upstream, said) : said;
  return context && { principal, action: matter.action, resource, context, entities };
}

/** A call as its upstream defines it; null where it has none of this name. */
function callOf(
  bundle: PolicyBundle,
  upstream: string,
  { params, query, ...said }: Record<string, Value>,
): Question['context'] | null {
  const call = bundle.upstreams.get(upstream)?.calls[String(said['call'])];
  const some = (value: Value | undefined): string[] =>
    typeof value === 'string' && value !== '' ? [value] : [];
  return call
    ? {
        ...said,
        method: call.method,
        effect: call.effect,
        params: some(params),
        query: some(query),
      }
    : null;
}

function principalOf(matter: Matter, asker: Asker, entities: EntityJson[]): TypeAndId {
  const named = String(asker.get('principal') ?? '');
  const [type = '', id = ''] = named.split('::');
  if (isAskedByAgents(matter))
    return addAgent(entities, 'principal', type === 'Agent' && id !== '' ? id : 'asker', asker);
  if (type === 'Service') return addTo(entities, { type, id }, {});
  return addPerson(entities, type === 'Person' && id !== '' ? id : 'asker', 'principal', asker);
}

function resourceOf(
  bundle: PolicyBundle,
  matter: Matter,
  asker: Asker,
  entities: EntityJson[],
): TypeAndId | null {
  if ('role' in matter || 'upstream' in matter) {
    const uid =
      'role' in matter
        ? { type: 'Role', id: matter.role }
        : { type: 'Upstream', id: matter.upstream };
    const found = resourceEntity(bundle, uid);
    entities.push(...found);
    return found.length > 0 ? uid : null;
  }
  const { action } = matter;
  if (action === 'policy:activate') return addTo(entities, { type: 'Policy', id: 'any' }, {});
  if (action === 'kill:lift') return addTo(entities, { type: 'Stop', id: 'any' }, {});
  return addAgent(entities, 'resource', 'other', asker);
}

function addAgent(entities: EntityJson[], side: string, id: string, asker: Asker): TypeAndId {
  const owner = addPerson(entities, `owner of ${id}`, `${side}.owner`, asker);
  const said = (name: string): Value => asker.get(`${side}.${name}`) ?? ANY_OTHER;
  return addTo(
    entities,
    { type: 'Agent', id },
    { name: said('name'), kind: said('kind'), team: said('team'), owner: { __entity: owner } },
  );
}

function addPerson(entities: EntityJson[], id: string, side: string, asker: Asker): TypeAndId {
  const said = (name: string): Value[] => {
    const value = asker.get(`${side}.${name}`);
    return value === undefined || value === ANY_OTHER ? [] : [value];
  };
  return addTo(entities, { type: 'Person', id }, { roles: said('roles'), groups: said('groups') });
}

function addTo(entities: EntityJson[], uid: TypeAndId, attrs: EntityJson['attrs']): TypeAndId {
  entities.push({ uid, attrs, parents: [] });
  return uid;
}
