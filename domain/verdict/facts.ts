// What the leaves say about one control, gathered once: its cases, and the effects that independent eyes saw.
import { eventName, type EventName } from '../event.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import { text, type Case, type Fact, type Lease } from './fact.ts';
import { addKit, kitBehind, offlineUseOf } from './offline.ts';

export { text } from './fact.ts';
export type { Case, Fact, Lease } from './fact.ts';

/** A leaf with its place in the log. */
export interface Leaf {
  index: number;
  /** The leaf's text, parsed. */
  event: JsonObject;
}

/** One use of a standing grant, which rests on the request that people agreed to it in. */
export interface GrantUse {
  found: Case;
  use: Fact;
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
  /** Every control that stands in front of what it touched. */
  controls: string[];
  /** Rows that were counted as written and that no statement explains; null for a statement. */
  unexplainedRows: number | null;
}

export interface Facts {
  cases: Case[];
  effects: Effect[];
  /** Sensors that were heard of, by target: every time one said that it is alive. */
  sensors: Map<string, string[]>;
  /** What a sensor said of itself when it could not see, by target. */
  blind: Map<string, Fact[]>;
  /** Logins that reach past the control, as last counted, by target. */
  standing: Map<string, { count: number; fact: Fact }>;
  /** Leases by id. */
  leases: Map<string, Lease>;
  /** Every case of the control by its request, whenever it was opened. */
  known: ReadonlyMap<string, Case>;
  /** The cases of other controls, by request. */
  others: ReadonlyMap<string, Case>;
  activations: Fact[];
  /** Uses of standing grants under the control. */
  uses: GrantUse[];
  /** Cases whose login lay ready for when we are down, and was used. */
  offline: Case[];
  /** When the period ends: what had to be done by then. */
  until: string;
  /** What policy let past the control, by evaluation. */
  waived: Map<string, WaivedPass>;
  /** Where in the log each passkey was added. */
  passkeys: Map<string, number>;
  roster: Roster;
}

/** An evaluation that found the control waived, and by which rules. */
export interface WaivedPass {
  fact: Fact;
  rules: string[];
}

/** Who was in which group, and through whose hands they came in: from the leaves, not from anybody's word. */
interface Roster {
  groupsAt(person: string, index: number): string[] | null;
  isActiveAt(person: string, index: number): boolean;
  /** Who was on call by a source, as it last said up to here. */
  onCallAt(source: string, index: number): string[];
  /**
   * Whether somebody stood in for somebody who was away: in force when they voted, said before that, and not taken
   * back up to the place where it counts.
   */
  standsIn(person: string, away: string, at: string, said: number, until: number): boolean;
  /** Who invited this person, made them a sign-in link or bound their Slack user, up to here. */
  letInBy(person: string, index: number): string[];
}

/** Every control that the leaves speak of. */
export function controlsIn(leaves: Iterable<Leaf>): string[] {
  const controls = new Set<string>();
  for (const leaf of leaves) {
    const fact = factOf(leaf);
    if (fact?.name === 'request.opened' || fact?.name === 'runtime.observed')
      for (const control of texts(fact.detail['controls'])) controls.add(control);
  }
  return [...controls].toSorted();
}

export const texts = (value: JsonValue | undefined): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];

export const object = (value: JsonValue | undefined): JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};

export const objects = (value: JsonValue | undefined): JsonObject[] =>
  Array.isArray(value) ? value.map(object) : [];

export const number = (value: JsonValue | undefined): number =>
  typeof value === 'number' ? value : 0;

const CLOSING: readonly EventName[] = [
  'request.approved',
  'request.denied',
  'request.expired',
  'request.cancelled',
];

/** Gathers what concerns one control, and of others what tells whether theirs was the gate that something went through. */
export function gather(leaves: Iterable<Leaf>, control: string): Facts {
  const facts: Facts = {
    cases: [],
    effects: [],
    sensors: new Map(),
    blind: new Map(),
    standing: new Map(),
    leases: new Map(),
    known: new Map(),
    others: new Map(),
    activations: [],
    uses: [],
    offline: [],
    until: '',
    waived: new Map(),
    passkeys: new Map(),
    roster: asRoster(newRoster()),
  };
  const cases = new Map<string, Case>();
  const others = new Map<string, Case>();
  const roster = newRoster();
  const permits = new Map<string, string>();
  for (const leaf of leaves) {
    const fact = factOf(leaf);
    if (!fact) continue;
    const isOwn = texts(fact.detail['controls']).includes(control);
    if (fact.name === 'request.opened') addCase(isOwn ? cases : others, fact);
    else if (fact.request !== null)
      addToCase(cases.get(fact.request) ?? others.get(fact.request), fact);
    notePermit(permits, fact);
    addElsewhere(facts, roster, permits, fact, control);
  }
  facts.cases = [...cases.values()];
  facts.uses = facts.cases.flatMap((found) =>
    found.standing.filter(({ name }) => name === 'grant.used').map((use) => ({ found, use })),
  );
  facts.offline = facts.cases.filter((found) => offlineUseOf(found) !== undefined);
  facts.known = cases;
  facts.others = others;
  facts.roster = asRoster(roster);
  return facts;
}

interface RosterEntries {
  groups: Map<string, { index: number; groups: string[]; isActive: boolean }[]>;
  /** What sources said of who is on call. */
  called: Map<string, { index: number; people: string[] }[]>;
  /** Absences by whoever stands in, with where they were taken back. */
  absences: Map<string, AbsenceEntry[]>;
  /** Ways in, with who made them. */
  doors: Map<string, { index: number; by: string }[]>;
}

interface AbsenceEntry {
  index: number;
  id: string;
  away: string;
  from: string;
  to: string;
  back: number;
}

const newRoster = (): RosterEntries => ({
  groups: new Map(),
  called: new Map(),
  absences: new Map(),
  doors: new Map(),
});

const asRoster = ({ groups, called, absences, doors }: RosterEntries): Roster => ({
  groupsAt: (person, index) => before(groups.get(person), index).at(-1)?.groups ?? null,
  isActiveAt: (person, index) => before(groups.get(person), index).at(-1)?.isActive ?? false,
  onCallAt: (source, index) => before(called.get(source), index).at(-1)?.people ?? [],
  standsIn: (person, away, at, said, until) =>
    before(absences.get(person), said).some(
      (each) => each.away === away && each.from <= at && at < each.to && each.back > until,
    ),
  letInBy: (person, index) => before(doors.get(person), index).map(({ by }) => by),
});

const before = <T extends { index: number }>(entries: readonly T[] | undefined, index: number) =>
  (entries ?? []).filter((entry) => entry.index < index);

const push = <T>(lists: Map<string, T[]>, key: string, entry: T): void => {
  const list = lists.get(key);
  if (list) list.push(entry);
  else lists.set(key, [entry]);
};

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
    policyVersion: text(data['policy_version']),
    detail: object(data['detail']),
  };
}

function addCase(cases: Map<string, Case>, fact: Fact): void {
  if (fact.request === null) return;
  cases.set(fact.request, {
    request: fact.request,
    simulated: fact.detail['simulated'] === true,
    opened: fact,
    votes: [],
    closed: null,
    facts: [fact],
    standing: [],
  });
}

function addToCase(found: Case | undefined, fact: Fact): void {
  if (!found) return;
  // Each use of a grant is another action under another permit: judged as a use, and not as a second redemption.
  if (text(fact.detail['grant']) !== null) return void found.standing.push(fact);
  found.facts.push(fact);
  if (fact.name === 'vote.cast') found.votes.push(fact);
  if (CLOSING.includes(fact.name)) found.closed ??= fact;
}

/** A credential from a grant names the permit of its use, and that the request which people agreed to. */
function notePermit(permits: Map<string, string>, { name, request, detail }: Fact): void {
  const permit = text(detail['permit']);
  if (name === 'grant.used' && permit !== null && request !== null) permits.set(permit, request);
}

function addElsewhere(
  facts: Facts,
  roster: RosterEntries,
  permits: ReadonlyMap<string, string>,
  fact: Fact,
  control: string,
): void {
  switch (fact.name) {
    case 'person.passkey_added':
      facts.passkeys.set(text(fact.detail['passkey']) ?? '', fact.index);
      break;
    case 'policy.activated':
      facts.activations.push(fact);
      break;
    case 'person.invited':
    case 'person.changed':
    case 'person.link_made':
      addToRoster(roster, fact);
      break;
    case 'person.away':
    case 'person.back':
    case 'duty.looked':
      addDuty(roster, fact);
      break;
    case 'credential.intended':
    case 'credential.issued':
    case 'credential.renew_intended':
    case 'credential.revoke_intended':
    case 'credential.revoked':
    case 'credential.abandoned':
      addToLease(facts.leases, permits, fact);
      break;
    case 'emergency.kit_intended':
    case 'emergency.kit_end_intended':
    case 'emergency.kit_ended':
      addKit(facts.leases, fact);
      break;
    case 'evaluation.decided':
      addWaived(facts.waived, fact, control);
      break;
    case 'runtime.observed':
      addObservation(facts, fact, control);
      break;
    default:
  }
}

function addWaived(waived: Map<string, WaivedPass>, fact: Fact, control: string): void {
  const rules = objects(fact.detail['waived'])
    .filter((each) => each['control'] === control)
    .flatMap((each) => text(each['rule']) ?? []);
  if (rules.length > 0) waived.set(text(fact.detail['evaluation']) ?? '', { fact, rules });
}

function addToRoster(roster: RosterEntries, fact: Fact): void {
  const { subject: person, index, detail } = fact;
  if (fact.name !== 'person.link_made') {
    const left = detail['state'] === 'deactivated';
    const groups = left ? [] : texts(detail['groups']);
    push(roster.groups, person, { index, groups, isActive: !left });
  }
  const by = text(object(doorOf(fact))['id']);
  if (by !== null) push(roster.doors, person, { index, by });
}

function addDuty(roster: RosterEntries, { name, index, detail }: Fact): void {
  const person = text(detail['stand_in']) ?? '';
  if (name === 'duty.looked') {
    push(roster.called, text(detail['source']) ?? '', { index, people: texts(detail['people']) });
  } else if (name === 'person.back') {
    const known = roster.absences.get(person)?.find(({ id }) => id === detail['absence']);
    if (known) known.back = index;
  } else {
    push(roster.absences, person, {
      index,
      id: text(detail['absence']) ?? '',
      away: text(detail['person']) ?? '',
      from: text(detail['starts_at']) ?? '',
      to: text(detail['ends_at']) ?? '',
      back: Infinity,
    });
    // Whoever hands a vote to somebody else lets them in.
    const by = text(object(detail['by'])['id']);
    if (by !== null) push(roster.doors, person, { index, by });
  }
}

/** Who made a way in: by inviting, by a new link, or by saying which Slack user somebody is. */
function doorOf({ name, detail }: Fact): JsonValue | undefined {
  if (name === 'person.invited') return detail['invited_by'];
  if (name === 'person.link_made') return detail['made_by'];
  return detail['slack_changed'] === true ? detail['changed_by'] : undefined;
}

function addToLease(
  leases: Map<string, Lease>,
  permits: ReadonlyMap<string, string>,
  fact: Fact,
): void {
  const id = text(fact.detail['credential']) ?? '';
  const lease: Lease = leases.get(id) ?? {
    request: fact.request ?? permits.get(text(fact.detail['permit']) ?? '') ?? null,
    evaluation: null,
    issued: false,
    until: null,
    ended: null,
  };
  leases.set(id, lease);
  lease.evaluation ??= text(fact.detail['evaluation']);
  lease.issued ||= fact.name === 'credential.issued';
  switch (fact.name) {
    case 'credential.intended':
    case 'credential.issued':
    case 'credential.renew_intended':
      lease.until = text(fact.detail['expires_at']) ?? lease.until;
      break;
    case 'credential.revoke_intended':
      lease.until = earlier(lease.until, fact.time);
      break;
    default:
      lease.ended = fact.time;
  }
}

const earlier = (a: string | null, b: string): string => (a !== null && a < b ? a : b);

function addObservation(facts: Facts, fact: Fact, control: string): void {
  const { detail } = fact;
  const target = text(detail['target']) ?? '';
  const kind = text(detail['kind']);
  // Only what the target itself or a sensor on it says counts as having been seen.
  const grade = text(detail['grade']);
  if (grade !== 'A' && grade !== 'B') return;
  if (kind === 'sensor_started' || kind === 'sensor_alive') push(facts.sensors, target, fact.time);
  if (kind === 'sensor_blind') push(facts.blind, target, fact);
  const controls = texts(detail['controls']);
  if (!controls.includes(control)) return;
  if (kind === 'standing_access')
    facts.standing.set(target, { count: number(detail['statements']), fact });
  if (kind === 'effect' && detail['outcome'] === 'ran')
    facts.effects.push({
      fact,
      at: text(detail['at']) ?? fact.time,
      skewMs: number(detail['skew_ms']),
      target,
      login: text(detail['login']) ?? 'other',
      effect: text(detail['effect']) ?? 'opaque',
      credential: text(detail['credential']) ?? kitBehind(fact),
      controls,
      unexplainedRows: text(detail['session_ref'])?.endsWith('/row-counts')
        ? number(detail['statements'])
        : null,
    });
}
