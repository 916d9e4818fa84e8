// What a change of policy means: whose access widens or narrows, which gates come and go, and what else is different
// about routes, roles, targets, modes and ways in. Layout, titles and names of rules are no change.
import { canonicalJson, type JsonValue } from '../../domain/json.ts';
import { accessOf, type RoleDefinition } from '../access/kinds.ts';
import { diffAccess, mattersOfBoth } from './access-diff.ts';
import type { PolicyBundle, Rule } from './bundle.ts';
import { coversWayIn, type WayIn } from './federation.ts';
import { routeChanges } from './route-change.ts';
import { couldMatch, nameOfMatter, scopedRules, type ScopedRule } from './scope.ts';
import { silencedBy } from './silenced.ts';
import { newWaivers } from './waivers.ts';
import { describeWayIn, openedBy } from './ways-in.ts';

/** One thing that means something else than before. */
export interface PolicyChange {
  /** For those who ask; `changed` where it is neither, or nobody can tell. */
  direction: 'wider' | 'narrower' | 'changed';
  about:
    | 'access'
    | 'route'
    | 'role'
    | 'target'
    | 'upstream'
    | 'purpose'
    | 'entity'
    | 'rule'
    | 'federation'
    | 'lifecycle';
  subject: string;
  /** Of access: for whom. */
  who?: string[];
  says: string;
}

export interface PolicyDiff {
  from: string;
  to: string;
  changes: PolicyChange[];
  /** Gates that would fall silent: their own approvers have to agree as well. */
  silenced: { routes: string[]; controls: string[] };
  /** How many questions both policies were asked. */
  asked: number;
  /** What could not be asked about in full. */
  cut: string[];
}

/** Compares two policies by what they mean. */
export function diffPolicies(current: PolicyBundle, next: PolicyBundle): PolicyDiff {
  const access = diffAccess(current, next);
  const { routes, controls } = silencedBy(current, next);
  return {
    from: current.version,
    to: next.version,
    changes: [
      ...access.changes,
      ...diffRoutes(current, next),
      ...diffRoles(current, next),
      ...diffRecords('target', current.targets, next.targets),
      ...diffRecords('upstream', current.upstreams, next.upstreams),
      ...diffRecords('purpose', current.purposes ?? NONE, next.purposes ?? NONE),
      ...diffRules(current, next),
      ...diffWaivers(current, next),
      ...diffWords(current, next, access.changes),
      ...diffFederation(current, next),
      ...diffLifecycle(current, next),
    ],
    silenced: { routes: routes.map(({ name }) => name), controls },
    asked: access.asked,
    cut: access.cut,
  };
}

const NONE: ReadonlyMap<string, object> = new Map();

function diffRoutes(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  const both = [...current.routes.values()].flatMap(({ name, rule }) => {
    const after = next.routes.get(name);
    const changes = after ? routeChanges(rule, after.rule) : [];
    return changes.map((each): PolicyChange => ({
      direction: each.direction,
      about: 'route',
      subject: name,
      says: `${each.name}: ${each.before} → ${each.after}`,
    }));
  });
  return [...both, ...comeAndGone('route', current.routes, next.routes)];
}

/** What is only in one of them. A route or a role alone gives nobody anything: what it gives is said of access. */
function comeAndGone(
  about: PolicyChange['about'],
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): PolicyChange[] {
  const missing = (
    from: ReadonlyMap<string, unknown>,
    to: ReadonlyMap<string, unknown>,
    says: string,
  ) =>
    [...from.keys()]
      .filter((name) => !to.has(name))
      .map((subject): PolicyChange => ({ direction: 'changed', about, subject, says }));
  return [...missing(after, before, 'is new'), ...missing(before, after, 'is gone')];
}

/** Members of a role of which more is more. */
const AMOUNTS: readonly string[] = [
  'ttl_seconds_max',
  'renew_seconds_max',
  'connection_limit',
  'concurrent',
];
/** What nobody's access depends on. */
const INERT: readonly string[] = ['title'];

function diffRoles(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  const both = [...current.roles].flatMap(([name, before]) => {
    const after = next.roles.get(name);
    return after ? diffRole(name, before, after) : [];
  });
  return [...both, ...comeAndGone('role', current.roles, next.roles)];
}

function diffRole(subject: string, before: RoleDefinition, after: RoleDefinition): PolicyChange[] {
  const change = (direction: PolicyChange['direction'], says: string): PolicyChange => ({
    direction,
    about: 'role',
    subject,
    says,
  });
  const was = accessOf(before).reaches(before);
  const is = accessOf(after).reaches(after);
  const gained = is.filter((each) => !was.includes(each));
  const lost = was.filter((each) => !is.includes(each));
  const reach = [
    ...(gained.length > 0 ? [change('wider', `reaches ${gained.join(', ')}`)] : []),
    ...(lost.length > 0 ? [change('narrower', `no longer reaches ${lost.join(', ')}`)] : []),
  ];
  const members = changedMembers(before, after).map(({ member, from, to }) =>
    change(roleDirection(member, from, to), `${member}: ${shown(from)} → ${shown(to)}`),
  );
  return [...reach, ...members];
}

function roleDirection(member: string, from: unknown, to: unknown): PolicyChange['direction'] {
  if (member === 'reason') return to === 'optional' ? 'wider' : 'narrower';
  if (!AMOUNTS.includes(member) || typeof from !== 'number' || typeof to !== 'number')
    return 'changed';
  return to > from ? 'wider' : 'narrower';
}

interface ChangedMember {
  member: string;
  from: unknown;
  to: unknown;
}

function changedMembers(before: object, after: object): ChangedMember[] {
  const was = new Map<string, unknown>(Object.entries(before));
  const is = new Map<string, unknown>(Object.entries(after));
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((member) => !INERT.includes(member))
    .map((member) => ({ member, from: was.get(member), to: is.get(member) }))
    .filter(({ from, to }) => shown(from) !== shown(to));
}

const shown = (value: unknown): string =>
  value === undefined ? 'none' : canonicalJson(asJson(value));

/** A definition was read from YAML: it is plain JSON. */
const asJson = (value: unknown): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue;

function diffRecords(
  about: PolicyChange['about'],
  before: ReadonlyMap<string, object>,
  after: ReadonlyMap<string, object>,
): PolicyChange[] {
  const both = [...before].flatMap(([subject, definition]) =>
    changedMembers(definition, after.get(subject) ?? definition).map(
      ({ member, from, to }): PolicyChange => ({
        direction: 'changed',
        about,
        subject,
        says: `${member}: ${shown(from)} → ${shown(to)}`,
      }),
    ),
  );
  return [...both, ...comeAndGone(about, before, after)];
}

/** How much a rule stands in the way, in each of its modes. */
const STANDS = { observe: 0, warn: 1, hold: 2 } as const;

function diffRules(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  return [...current.rules.values()].flatMap((before) => {
    const after = next.rules.get(before.id);
    return after ? diffRule(before, after) : [];
  });
}

function diffRule(before: Rule, after: Rule): PolicyChange[] {
  const changes: PolicyChange[] = [];
  const change = (direction: PolicyChange['direction'], says: string): void =>
    void changes.push({ direction, about: 'rule', subject: before.id, says });
  if (before.mode !== after.mode)
    change(
      STANDS[after.mode] < STANDS[before.mode] ? 'wider' : 'narrower',
      `mode: ${before.mode} → ${after.mode}`,
    );
  if (before.control !== after.control)
    change('changed', `control: ${before.control ?? 'none'} → ${after.control ?? 'none'}`);
  if (before.waives !== after.waives)
    change('changed', `waives: ${before.waives ?? 'none'} → ${after.waives ?? 'none'}`);
  if (before.sensor !== after.sensor)
    change(
      after.sensor === null ? 'wider' : before.sensor === null ? 'narrower' : 'changed',
      `sensor: ${before.sensor ?? 'none'} → ${after.sensor ?? 'none'}`,
    );
  if (before.risk !== after.risk)
    change('changed', `risk: ${before.risk ?? 'none'} → ${after.risk ?? 'none'}`);
  return changes;
}

function diffWaivers(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  const waiver = (
    direction: PolicyChange['direction'],
    subject: string,
    says: string,
  ): PolicyChange => ({ direction, about: 'rule', subject, says });
  return [
    ...newWaivers(current, next).map(({ rule, control }) =>
      waiver(
        'wider',
        rule,
        `lets whoever it permits past the control ${control}, whose own approvers have to agree`,
      ),
    ),
    ...newWaivers(next, current).map(({ rule, control }) =>
      waiver('narrower', rule, `no longer lets past the control ${control} as it did`),
    ),
  ];
}

/**
 * Rules that say something else without anybody being treated otherwise whom the rules tell apart: conditions can
 * compare anything, so that alone does not prove that nothing changes.
 */
function diffWords(
  current: PolicyBundle,
  next: PolicyBundle,
  access: readonly PolicyChange[],
): PolicyChange[] {
  const [before, after] = [scopedRules(current), scopedRules(next)];
  const subjects = new Set(access.map(({ subject }) => subject));
  const matters = mattersOfBoth(current, next);
  const isShown = (rule: ScopedRule): boolean =>
    matters.some((matter) => couldMatch(rule, matter) && subjects.has(nameOfMatter(matter)));
  const unlike = (rules: ScopedRule[], others: ScopedRule[], says: string): PolicyChange[] =>
    rules
      .filter((rule) => !others.some((other) => sameWords(rule, other)) && !isShown(rule))
      .map(({ id }) => ({ direction: 'changed', about: 'rule', subject: id, says }));
  const note = 'and nobody whom the rules tell apart is treated otherwise';
  return [
    ...unlike(after, before, `says something that no rule said, ${note}`),
    ...unlike(before, after, `is no longer said, ${note}`),
  ];
}

const sameWords = (one: ScopedRule, other: ScopedRule): boolean =>
  one.words === other.words && one.route === other.route;

function diffFederation(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  const opened = openedBy(current, next);
  const closed = new Set(openedBy(next, current));
  const changes = opened.map((way): PolicyChange => {
    const was = [...closed].find((each) => coversWayIn(way, each) || coversWayIn(each, way));
    if (!was) return wayChange('wider', way, 'may sign in now');
    closed.delete(was);
    const [isWider, isNarrower] = [coversWayIn(way, was), coversWayIn(was, way)];
    const direction = isWider === isNarrower ? 'changed' : isWider ? 'wider' : 'narrower';
    const before = inWords(was);
    const says =
      before === inWords(way)
        ? 'may sign in, and whom it trusts is defined otherwise'
        : `may sign in, and before it was ${before}`;
    return wayChange(direction, way, says);
  });
  return [
    ...changes,
    ...[...closed].map((way) => wayChange('narrower', way, 'may no longer sign in')),
  ];
}

const wayChange = (
  direction: PolicyChange['direction'],
  way: WayIn,
  says: string,
): PolicyChange => ({
  direction,
  about: 'federation',
  subject: way.agent,
  says: `${inWords(way)} ${says}`,
});

function inWords(way: WayIn): string {
  const { agent: _agent, digest: _digest, ...rest } = describeWayIn(way);
  return canonicalJson(rest);
}

function diffLifecycle(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  const [was, is] = [current.lifecycle, next.lifecycle].map((each) => each.orphan_grace_seconds);
  const grace: PolicyChange[] =
    was === is || was === undefined || is === undefined
      ? []
      : [
          {
            direction: is > was ? 'wider' : 'narrower',
            about: 'lifecycle',
            subject: 'orphan_grace_seconds',
            says: `${was} → ${is}`,
          },
        ];
  return [
    ...grace,
    ...diffRecords('federation', serversOf(current), serversOf(next)),
    ...diffPoints(current, next),
    ...diffRecords('entity', declaredIn(current), declaredIn(next)),
  ];
}

/** Who may ask about others, and vouches for what it says of them. */
function diffPoints(current: PolicyBundle, next: PolicyBundle): PolicyChange[] {
  const change = (agent: string, direction: 'wider' | 'narrower', says: string): PolicyChange => ({
    direction,
    about: 'federation',
    subject: `enforcement point ${agent}`,
    says,
  });
  const [was, is] = [current.enforcementPoints, next.enforcementPoints];
  return [
    ...[...is]
      .filter((each) => !was.has(each))
      .map((each) => change(each, 'wider', 'may ask about others now')),
    ...[...was]
      .filter((each) => !is.has(each))
      .map((each) => change(each, 'narrower', 'may only ask about itself')),
  ];
}

const declaredIn = ({ entities }: PolicyBundle): Map<string, object> =>
  new Map([...entities].map(([key, { attributes, parents }]) => [key, { ...attributes, parents }]));

const serversOf = ({ resourceServers }: PolicyBundle): Map<string, object> =>
  new Map(
    resourceServers.map(({ agent, audiences }) => [`resource server ${agent}`, { audiences }]),
  );
