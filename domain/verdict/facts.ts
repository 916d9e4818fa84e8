// What the leaves say about one control, gathered once: its cases, and the effects that independent eyes saw.
import { eventName, type EventName } from '../event.ts';
import type { JsonObject, JsonValue } from '../json.ts';

/** A leaf with its place in the log. */
export interface Leaf {
  index: number;
  /** The leaf's text, parsed. */
  event: JsonObject;
}

/** One event as the tests read it: only what is public. */
export interface Fact {
  index: number;
  id: string;
  name: EventName;
  time: string;
  subject: string;
  request: string | null;
  actionRef: string | null;
  detail: JsonObject;
}

/** A request under the control, with everything that came of it. */
export interface Case {
  request: string;
  simulated: boolean;
  opened: Fact;
  votes: Fact[];
  /** How the waiting ended, if it did. */
  closed: Fact | null;
  facts: Fact[];
}

/** Something that ran in a target, as the target's own log or a sensor on it says. */
export interface Effect {
  fact: Fact;
  at: string;
  skewMs: number;
  target: string;
  login: string;
  effect: string;
  credential: string | null;
}

export interface Facts {
  cases: Case[];
  effects: Effect[];
  /** Sensors that were heard of, by target: every time one said that it is alive. */
  sensors: Map<string, string[]>;
  /** Logins that reach past the control, as last counted, by target. */
  standing: Map<string, { count: number; fact: Fact }>;
  /** Leases by id, with the request they carry out. */
  leases: Map<string, { request: string | null; ended: string | null }>;
  activations: Fact[];
  roster: Roster;
}

/** Who was in which group, when: from the leaves, not from anybody's word at the time of voting. */
export interface Roster {
  groupsAt(person: string, index: number): string[] | null;
}

export function text(value: JsonValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

export const texts = (value: JsonValue | undefined): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];

export const object = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

export const objects = (value: JsonValue | undefined): JsonObject[] =>
  Array.isArray(value) ? value.map(object) : [];

const CLOSING: readonly EventName[] = [
  'request.approved',
  'request.denied',
  'request.expired',
  'request.cancelled',
];

/** Gathers what concerns one control. Leaves of other controls are read and passed over. */
export function gather(leaves: Iterable<Leaf>, control: string): Facts {
  const facts: Facts = {
    cases: [],
    effects: [],
    sensors: new Map(),
    standing: new Map(),
    leases: new Map(),
    activations: [],
    roster: { groupsAt: () => null },
  };
  const cases = new Map<string, Case>();
  const roster = new Map<string, { index: number; groups: string[] }[]>();
  for (const leaf of leaves) {
    const fact = factOf(leaf);
    if (!fact) continue;
    if (fact.name === 'request.opened') addCase(cases, fact, control);
    else if (fact.request !== null) addToCase(cases.get(fact.request), fact);
    addElsewhere(facts, roster, fact, control);
  }
  facts.cases = [...cases.values()];
  facts.roster = { groupsAt: (person, index) => groupsAt(roster.get(person), index) };
  return facts;
}

function factOf({ index, event }: Leaf): Fact | null {
  const name = eventName(text(event['type']) ?? '');
  if (name === null) return null;
  const data = object(event['data']);
  return {
    index,
    id: text(event['id']) ?? '',
    name,
    time: text(event['time']) ?? '',
    subject: text(event['subject']) ?? '',
    request: text(data['request']),
    actionRef: text(data['action_ref']),
    detail: object(data['detail']),
  };
}

function addCase(cases: Map<string, Case>, fact: Fact, control: string): void {
  if (fact.request === null || !texts(fact.detail['controls']).includes(control)) return;
  cases.set(fact.request, {
    request: fact.request,
    simulated: fact.detail['simulated'] === true,
    opened: fact,
    votes: [],
    closed: null,
    facts: [fact],
  });
}

function addToCase(found: Case | undefined, fact: Fact): void {
  if (!found) return;
  found.facts.push(fact);
  if (fact.name === 'vote.cast') found.votes.push(fact);
  if (CLOSING.includes(fact.name)) found.closed ??= fact;
}

function addElsewhere(
  facts: Facts,
  roster: Map<string, { index: number; groups: string[] }[]>,
  fact: Fact,
  control: string,
): void {
  const { detail } = fact;
  switch (fact.name) {
    case 'policy.activated':
      facts.activations.push(fact);
      break;
    case 'person.invited':
    case 'person.changed':
      addToRoster(roster, fact);
      break;
    case 'credential.intended':
      facts.leases.set(text(detail['credential']) ?? '', { request: fact.request, ended: null });
      break;
    case 'credential.revoked':
    case 'credential.abandoned':
      endLease(facts, fact);
      break;
    case 'runtime.observed':
      addObservation(facts, fact, control);
      break;
    default:
  }
}

function addToRoster(roster: Map<string, { index: number; groups: string[] }[]>, fact: Fact): void {
  const person = fact.subject;
  const left = fact.detail['state'] === 'deactivated';
  const known = roster.get(person) ?? [];
  known.push({ index: fact.index, groups: left ? [] : texts(fact.detail['groups']) });
  roster.set(person, known);
}

function groupsAt(
  known: readonly { index: number; groups: string[] }[] | undefined,
  index: number,
): string[] | null {
  return known?.findLast((entry) => entry.index < index)?.groups ?? null;
}

function endLease(facts: Facts, fact: Fact): void {
  const id = text(fact.detail['credential']) ?? '';
  const lease = facts.leases.get(id);
  if (lease) lease.ended = fact.time;
}

function addObservation(facts: Facts, fact: Fact, control: string): void {
  const { detail } = fact;
  const target = text(detail['target']) ?? '';
  const kind = text(detail['kind']);
  // Only what the target itself or a sensor on it says counts as having been seen.
  const grade = text(detail['grade']);
  if (grade !== 'A' && grade !== 'B') return;
  if (kind === 'sensor_started' || kind === 'sensor_alive')
    facts.sensors.set(target, [...(facts.sensors.get(target) ?? []), fact.time]);
  if (!texts(detail['controls']).includes(control)) return;
  if (kind === 'standing_access')
    facts.standing.set(target, { count: numberOf(detail['statements']), fact });
  if (kind === 'effect' && detail['outcome'] === 'ran')
    facts.effects.push({
      fact,
      at: text(detail['at']) ?? fact.time,
      skewMs: numberOf(detail['skew_ms']),
      target,
      login: text(detail['login']) ?? 'other',
      effect: text(detail['effect']) ?? 'opaque',
      credential: text(detail['credential']),
    });
}

const numberOf = (value: JsonValue | undefined): number => (typeof value === 'number' ? value : 0);
