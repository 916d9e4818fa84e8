// Broken glass: each use of emergency access is an exception with people who stand for it, good only once somebody
// independent has looked at it. Where it is how work gets done, the gate beside it is decoration.
import { BREAK_GLASS } from '../break-glass.ts';
import { secondsBetween } from '../instant.ts';
import { object, text, texts, type Case, type Fact, type Facts } from './facts.ts';
import { exceptionIn, named, type Finding } from './finding.ts';
import { holdersOf, offlineUseOf } from './offline.ts';
import { RULE } from './rule.ts';

/** Whether a case was an emergency, and not something that people were asked in the ordinary way. */
export const isEmergency = ({ opened }: Case): boolean => opened.detail['action'] === BREAK_GLASS;

/** The emergencies in which access was given: those that were declared, and those while we were down. */
export const emergenciesIn = ({ cases, offline }: Facts): Case[] => [
  ...cases.filter((found) => isEmergency(found) && named(found, 'emergency.opened').length > 0),
  ...offline,
];

/** Every emergency was that of enough people, and was found justified in time by somebody else. */
export function brokenGlass(facts: Facts): Finding {
  const used = emergenciesIn(facts);
  const judged = used.map((found) => ({
    found,
    fault: faultOf(found),
    open: isReviewOpen(facts, found),
  }));
  const exceptions = judged.flatMap(({ found, fault, open }) =>
    fault === null || open ? [] : [exceptionIn(found, 'break_glass', true, fault, factsOf(found))],
  );
  const unknown = judged.flatMap(({ found, open }) =>
    open
      ? [
          {
            request: found.request,
            events: factsOf(found).map(({ id }) => id),
            says: 'an emergency whose review is still open',
          },
        ]
      : [],
  );
  const good = used.length - exceptions.length - unknown.length;
  return {
    id: 'break_glass',
    population: used.length,
    exceptions,
    unknown,
    threshold: `justified in each review within ${RULE.review_seconds} seconds; at most ${RULE.break_glass_share_max} of all uses once there are ${RULE.break_glass_uses_min}`,
    says: `${good} of ${used.length} emergencies were found justified by somebody independent, in time; ${used.length} of ${usesIn(facts)} uses went past the gate this way`,
  };
}

const factsOf = (found: Case): Fact[] =>
  named(
    found,
    'emergency.declared',
    'emergency.opened',
    'emergency.share_collected',
    'emergency.offline_used',
    'emergency.reviewed',
  );

/** When its review began. */
const openingOf = (found: Case): Fact | undefined =>
  named(found, 'emergency.opened', 'emergency.offline_used')[0];

const reviewOf = (found: Case): Fact | undefined => named(found, 'emergency.reviewed')[0];

/** Nobody has reviewed it, and nobody had to by now. */
function isReviewOpen(facts: Facts, found: Case): boolean {
  const opened = openingOf(found);
  if (!opened || reviewOf(found)) return false;
  return secondsBetween(opened.time, facts.until) <= RULE.review_seconds;
}

const faultOf = (found: Case): string | null => {
  const used = offlineUseOf(found);
  return used ? offlineFault(found, used) : declaredFault(found);
};

function declaredFault(found: Case): string | null {
  const declared = named(found, 'emergency.declared')[0];
  const opened = named(found, 'emergency.opened')[0];
  if (!declared || !opened || opened.index < declared.index)
    return 'access past the gate without anybody who declared it';
  const people = peopleOf(found, declared);
  const { quorum } = declared.detail;
  // Written so that a quorum that is not said is not met.
  if (!(typeof quorum === 'number' && people.size >= Math.max(2, quorum)))
    return 'an emergency of fewer people than its gate wants';
  return reviewFault(found, opened, people);
}

/** It takes both halves, and so two people; one that was used before both had theirs was used by somebody else. */
function offlineFault(found: Case, used: Fact): string | null {
  const people = holdersOf(found, used);
  if (people.size < 2) return 'a login that lay ready was used before two people held its halves';
  const requester = text(object(found.opened.detail['requester'])['id']);
  return reviewFault(found, used, new Set([...people, ...(requester === null ? [] : [requester])]));
}

/** Whether somebody who had no part in it found it justified, in time. */
function reviewFault(found: Case, opened: Fact, people: ReadonlySet<string>): string | null {
  const reviewed = reviewOf(found);
  if (!reviewed) return 'an emergency that nobody has reviewed in time';
  if (!(secondsBetween(opened.time, reviewed.time) <= RULE.review_seconds))
    return 'an emergency that was reviewed too late';
  const by = text(reviewed.detail['person']) ?? '';
  const { owners, triggered_by: triggeredBy } = found.opened.detail;
  if (by === '' || people.has(by) || texts(owners).includes(by) || triggeredBy === by)
    return 'an emergency that was reviewed by somebody of their own';
  if (reviewed.detail['disposition'] !== 'justified')
    return `an emergency that was found ${text(reviewed.detail['disposition']) ?? 'otherwise'} when it was reviewed`;
  return null;
}

/** Whoever declared it, and everybody whose approval is in the log: by their votes, not by what the opening says. */
function peopleOf(found: Case, declared: Fact): Set<string> {
  const voters = found.votes
    .filter(({ detail }) => detail['decision'] === 'approve')
    .flatMap(({ detail }) => [text(detail['person']), text(detail['in_stead_of'])]);
  const requester = text(object(found.opened.detail['requester'])['id']);
  const all = [text(declared.detail['person']), requester, ...voters];
  return new Set(all.filter((each) => each !== null));
}

/** Everything that passed this gate in any way. */
const usesIn = (facts: Facts): number =>
  facts.uses.length +
  facts.cases.filter((found) => named(found, 'permit.redeemed').length > 0).length;

/** Whether going past the gate is how work is done: too large a share of uses, or too many that were not good. */
export function becameTheProcess(facts: Facts): boolean {
  const { population, exceptions, unknown } = brokenGlass(facts);
  const share = population / Math.max(1, usesIn(facts));
  const reviewed = population - unknown.length;
  return (
    (population >= RULE.break_glass_uses_min && share > RULE.break_glass_share_max) ||
    (reviewed >= RULE.break_glass_reviews_min && exceptions.length > reviewed / 2)
  );
}
