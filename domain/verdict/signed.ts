// Whether those who decided did it with a key that they hold, and not by a session that somebody else may have had.
import { object, text, texts, type Case, type Fact, type Facts } from './facts.ts';
import { RULE } from './rule.ts';
import type { VerdictTest } from './types.ts';

interface Deciding {
  found: Case;
  vote: Fact;
}

type Hold = 'held' | 'added_later' | 'none';

/**
 * What was signed is checked by whoever verifies the bundle, with the signatures; here it is counted. A passkey that was
 * added only after the request was opened may be its reason: it does not count.
 */
export function votesCorroborated(facts: Facts): VerdictTest {
  const votes = facts.cases.flatMap(decidingVotes);
  const by = (hold: Hold): Deciding[] => votes.filter((each) => holdOf(each, facts) === hold);
  const held = by('held').length;
  const others = [...by('added_later'), ...by('none')];
  const isCritical = ({ found }: Deciding): boolean =>
    RULE.critical_risks.some((risk) => risk === found.opened.detail['risk']);
  const isEnough =
    votes.length > 0 &&
    held / votes.length >= RULE.votes_by_key_min &&
    !others.some((each) => isCritical(each));
  return {
    id: 'votes_corroborated',
    state: isEnough ? 'effective' : 'insufficient_data',
    population: votes.length,
    exceptions: others.length,
    threshold: `deciding votes by a key their human holds, or borne out by the identity provider: all on what is critical, ${RULE.votes_by_key_min} of the others`,
    says:
      votes.length === 0
        ? 'no vote decided anything'
        : `${held} of ${votes.length} deciding votes were signed with a passkey that was there before the request${noteOn(by('added_later').length)}`,
    cases: others.map((each) => ({
      request: each.found.request,
      events: [each.vote.id],
      says: `${isCritical(each) ? 'critical, and ' : ''}${SAYS[holdOf(each, facts)]}`,
    })),
  };
}

const SAYS: Record<Hold, string> = {
  held: 'signed with a passkey',
  added_later: 'signed with a passkey that was added after the request was opened',
  none: 'decided without a key its human holds',
};

const noteOn = (later: number): string =>
  later === 0 ? '' : `; ${later} with one that was added after it`;

/** Of an approved request the approvals that counted; of a denied one the denial. */
function decidingVotes(found: Case): Deciding[] {
  const { closed } = found;
  if (closed?.name !== 'request.approved' && closed?.name !== 'request.denied') return [];
  const approvers = texts(closed.detail['approved_by']);
  const deciding = text(closed.detail['deciding_vote']);
  return found.votes
    .filter(
      ({ index, detail }) =>
        index < closed.index &&
        (text(detail['vote']) === deciding || approvers.includes(text(detail['person']) ?? '')),
    )
    .map((vote) => ({ found, vote }));
}

function holdOf({ found, vote }: Deciding, { passkeys }: Facts): Hold {
  if (vote.detail['strength'] !== 'passkey') return 'none';
  const added = passkeys.get(text(object(vote.detail['step_up'])['passkey']) ?? '');
  if (added === undefined) return 'none';
  return added < found.opened.index ? 'held' : 'added_later';
}
