// Whether an approval had everybody its routes ask for, counted again from the leaves: each seat by a human of its own,
// each of them an approver when it was decided.
import { isNoun } from '../id.ts';
import { secondsBetween } from '../instant.ts';
import type { JsonObject, JsonValue } from '../json.ts';
import {
  onCallGroup,
  progressOf,
  RESOURCE_OWNER,
  seatKinds,
  sourcesIn,
  stagesOf,
  type SeatRule,
  type StageRule,
} from '../seats.ts';
import { number, object, objects, text, texts, type Case, type Fact, type Facts } from './facts.ts';

type Roster = Facts['roster'];

/** The part of a rule that a leaf says. */
const ruleIn = (route: JsonObject): SeatRule => ({
  groups: texts(route['groups']),
  quorum: number(route['quorum']),
  ...seatsIn(route['seats']),
  ...(Array.isArray(route['stages']) && { stages: objects(route['stages']).map(stageIn) }),
  ...(route['same_person'] === 'allowed' && { same_person: 'allowed' as const }),
  escalation: objects(route['escalation']).map((step) => {
    const stands = text(step['for']);
    return {
      after_seconds: number(step['after_seconds']),
      groups: texts(step['groups']),
      ...(stands !== null && { for: stands }),
    };
  }),
});

const stageIn = (stage: JsonObject): StageRule => ({
  title: null,
  groups: texts(stage['groups']),
  quorum: number(stage['quorum']),
  ...seatsIn(stage['seats']),
});

function seatsIn(seats: JsonValue | undefined): { seats?: Record<string, number> } {
  if (seats === undefined) return {};
  return {
    seats: Object.fromEntries(
      Object.entries(object(seats)).map(([group, n]) => [group, number(n)]),
    ),
  };
}

/**
 * The groups that count for a vote at a place of the log: of whoever cast it, or of whom they stood in for, with what
 * duties gave them then. Null where the log does not say; none for a stand-in whom nobody made one.
 */
export function groupsBehind(
  { opened }: Case,
  vote: Fact,
  roster: Roster,
  index: number,
): string[] | null {
  const person = text(vote.detail['person']) ?? '';
  const away = text(vote.detail['in_stead_of']);
  if (away !== null && !roster.standsIn(person, away, vote.time, vote.index, index)) return [];
  const who = away ?? person;
  const groups = roster.groupsAt(who, index);
  // Whoever left while somebody stood in for them has left; so has a stand-in.
  const own = away === null ? groups : roster.groupsAt(person, index);
  if (groups === null || own === null) return null;
  if (!roster.isActiveAt(who, index) || !roster.isActiveAt(person, index)) return [];
  const routes = objects(opened.detail['routes']);
  const sources = routes.flatMap((route) => sourcesIn(ruleIn(route)));
  const called = sources.filter((source) => roster.onCallAt(source, index).includes(who));
  const owns = routes.some((route) => {
    const owner = object(route['resource_owner']);
    return owner['person'] === who || groups.includes(text(owner['group']) ?? '');
  });
  return [...groups, ...called.map(onCallGroup), ...(owns ? [RESOURCE_OWNER] : [])];
}

/** The routes whose seats were not filled when the request was approved. Null where the log does not say who was in what. */
export function unfilledRoutes(found: Case, roster: Roster): string[] | null {
  const { closed, opened } = found;
  if (closed?.name !== 'request.approved') return [];
  const elapsed = secondsBetween(opened.time, closed.time);
  const approving = found.votes.filter(
    ({ detail, index }) => detail['decision'] === 'approve' && index < closed.index,
  );
  const behind = new Map<Fact, string[]>();
  for (const vote of approving) {
    const groups = groupsBehind(found, vote, roster, closed.index);
    if (groups === null) return null;
    behind.set(vote, groups);
  }
  return objects(opened.detail['routes'])
    .filter((route) => !isFilled(route, approving, behind, elapsed))
    .map((route) => text(route['name']) ?? '');
}

function isFilled(
  route: JsonObject,
  votes: readonly Fact[],
  behind: ReadonlyMap<Fact, string[]>,
  elapsedSeconds: number,
): boolean {
  const name = text(route['name']) ?? '';
  const rule = ruleIn(route);
  const counted = distinct(
    votes.filter(
      (vote) =>
        texts(vote.detail['routes']).includes(name) &&
        headsOf(vote).every((head) => isNoun('person', head)),
    ),
  );
  return stagesOf(rule).every((stage, at) => {
    const sitters = counted
      .filter((vote) => {
        const castIn = number(object(vote.detail['stages'])[name]);
        return rule.same_person === 'allowed' ? castIn <= at : castIn === at;
      })
      .map((vote) => ({ id: headsOf(vote)[0] ?? '', groups: behind.get(vote) ?? [] }));
    return progressOf(stage, seatKinds(stage, rule.escalation, elapsedSeconds), sitters).isComplete;
  });
}

/** Whoever voted, and whom they voted for. */
const headsOf = ({ detail }: Fact): string[] =>
  [text(detail['person']), text(detail['in_stead_of'])].filter((head) => head !== null);

/** One vote for each human: somebody's own before one that another cast for them. */
function distinct(votes: readonly Fact[]): Fact[] {
  const heard = new Set<string>();
  return votes
    .toSorted((a, b) => headsOf(a).length - headsOf(b).length || a.index - b.index)
    .filter((vote) => {
      const heads = headsOf(vote);
      if (heads.some((head) => heard.has(head))) return false;
      for (const head of heads) heard.add(head);
      return true;
    });
}
