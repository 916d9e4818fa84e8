// Whether those who decided were approvers, and others than those it was for.
import type { JsonObject } from '../json.ts';
import { object, objects, text, texts, type Case, type Fact, type Facts } from './facts.ts';
import { exceptionIn, NONE, wasUsed, type Finding } from './finding.ts';
import { groupsBehind, unfilledRoutes } from './seats.ts';
import type { VerdictCase } from './types.ts';

/** Whoever voted was an approver then, by the roster in the log and not by their own word. */
export function eligibility(facts: Facts): Finding {
  const votes = facts.cases.flatMap((found) => found.votes.map((vote) => ({ found, vote })));
  const unknown: VerdictCase[] = [];
  const exceptions = votes.flatMap(({ found, vote }) => {
    const groups = groupsBehind(found, vote, facts.roster, vote.index);
    if (groups === null) {
      unknown.push({
        request: found.request,
        events: [vote.id],
        says: 'when this voter became an approver is not in the log',
      });
      return [];
    }
    const asked = objects(found.opened.detail['routes']).flatMap((route) => groupsAsked(route));
    if (groups.some((group) => asked.includes(group))) return [];
    const says = 'a vote by somebody who was no approver';
    return [exceptionIn(found, 'eligibility', wasUsed(found), says, [vote])];
  });
  const unfilled = facts.cases.flatMap((found) => {
    const routes = unfilledRoutes(found, facts.roster) ?? [];
    if (routes.length === 0 || found.closed === null) return [];
    const says = 'approved without everybody whom its routes ask for';
    return [exceptionIn(found, 'eligibility', wasUsed(found), says, [found.closed])];
  });
  return {
    id: 'eligibility',
    population: votes.length,
    exceptions: [...exceptions, ...unfilled],
    unknown,
    threshold: NONE,
    says: `${votes.length - exceptions.length - unknown.length} of ${votes.length} votes came from approvers`,
  };
}

const groupsAsked = (route: JsonObject): string[] => [
  ...texts(route['groups']),
  ...objects(route['escalation']).flatMap((step) => texts(step['groups'])),
];

/** Nobody decided on what they asked for, own or set off. */
export function independence({ cases, roster }: Facts): Finding {
  const votes = cases.flatMap((found) => found.votes.map((vote) => ({ found, vote })));
  const unknown: VerdictCase[] = [];
  const exceptions = votes.flatMap(({ found, vote }) => {
    const heads = [
      text(vote.detail['person']) ?? '',
      ...texts([vote.detail['in_stead_of'] ?? null]),
    ];
    if (heads.some((head) => decidedForThemselves(found, head))) {
      const says = 'decided by somebody it was for';
      return [exceptionIn(found, 'independence', wasUsed(found), says, [vote])];
    }
    const letInBy = heads.flatMap((head) => roster.letInBy(head, vote.index));
    const doubt = whyDependent(found, letInBy);
    if (doubt !== null)
      unknown.push({ request: found.request, events: [found.opened.id, vote.id], says: doubt });
    return [];
  });
  const sure = votes.length - exceptions.length - unknown.length;
  return {
    id: 'independence',
    population: votes.length,
    exceptions,
    unknown,
    threshold: NONE,
    says: [
      `${sure} of ${votes.length} votes came from somebody else than whom it was for`,
      ...noted(votes, 'from the owner of the agent, as the route allows', ({ found, vote }) =>
        texts(found.opened.detail['owners']).includes(text(vote.detail['person']) ?? ''),
      ),
      ...noted(votes, 'on tasks that name no human', ({ found }) => {
        const { action, triggered_by_proof: proof } = found.opened.detail;
        return action === 'credential:request' && proof === 'none';
      }),
      ...noted(
        votes,
        'on what was asked for with the admin token, whose human is not known',
        ({ found }) => object(found.opened.detail['requester'])['type'] === 'service',
      ),
    ].join('; '),
  };
}

interface CastVote {
  found: Case;
  vote: Fact;
}

function noted(
  votes: readonly CastVote[],
  says: string,
  holds: (each: CastVote) => boolean,
): string[] {
  const count = votes.filter(holds).length;
  return count > 0 ? [`${count} ${says}`] : [];
}

function decidedForThemselves(found: Case, person: string): boolean {
  const { requester, triggered_by: triggeredBy, routes } = found.opened.detail;
  const barred = objects(routes).flatMap((route) => texts(route['barred']));
  return barred.includes(person) || object(requester)['id'] === person || triggeredBy === person;
}

/** Why it cannot be told that a vote was somebody else's; null where nothing speaks against it. */
function whyDependent(found: Case, letInBy: readonly string[]): string | null {
  const {
    requester,
    owners,
    triggered_by: triggeredBy,
    triggered_by_proof: proof,
  } = found.opened.detail;
  // A human whom the agent merely names may be the voter's other self, or nobody at all.
  if (proof === 'claimed') return 'who set this off is only claimed';
  const involved = [text(object(requester)['id']), ...texts(owners), text(triggeredBy)];
  // Whoever makes a way in for somebody could have gone in themselves.
  return letInBy.some((by) => isPerson(by) && involved.includes(by))
    ? 'somebody it was for made the voter’s way in'
    : null;
}

const isPerson = (id: string): boolean => id.startsWith('psn_');
