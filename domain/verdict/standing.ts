// Uses of standing grants: each judged against what people agreed to. A use is neither an unapproved effect nor an
// approval of its own; the grant is the one case that a person decided.
import { text, type Fact, type Facts, type GrantUse } from './facts.ts';
import { exceptionIn, named, NONE, type Finding } from './finding.ts';

/** Every use lay within its grant: after the deciding vote, in number, in time, for the same pattern, by one permit. */
export function standingUse({ uses }: Facts): Finding {
  const exceptions = uses.flatMap((each) => {
    const says = faultOf(each);
    const { found, use } = each;
    const events = [use, ...ofGrant(each, 'grant.opened')];
    const isUsed = ofPermit(each).length > 0;
    return says === null ? [] : [exceptionIn(found, 'standing_use', isUsed, says, events)];
  });
  const grants = new Set(uses.map(({ use }) => text(use.detail['grant'])));
  return {
    id: 'standing_use',
    population: uses.length,
    exceptions,
    unknown: [],
    threshold: NONE,
    says: `${uses.length - exceptions.length} of ${uses.length} uses of ${grants.size} standing grants were within what people had agreed to; each grant is one case, and no use is counted as an approval`,
  };
}

/** What the log says of the same grant. */
const ofGrant = ({ found, use }: GrantUse, name: Fact['name']): Fact[] =>
  found.standing.filter(
    (fact) => fact.name === name && fact.detail['grant'] === use.detail['grant'],
  );

const ofPermit = ({ found, use }: GrantUse): Fact[] =>
  found.standing.filter(
    ({ name, detail }) => name === 'permit.redeemed' && detail['permit'] === use.detail['permit'],
  );

function faultOf(each: GrantUse): string | null {
  const { found, use } = each;
  const approved = named(found, 'request.approved')[0];
  const [opened] = ofGrant(each, 'grant.opened');
  if (!approved || !opened || opened.index < approved.index || use.index < opened.index)
    return 'a standing grant was used before people agreed to it';
  const [ended] = ofGrant(each, 'grant.ended');
  if (ended && ended.index < use.index) return 'a standing grant was used after it had ended';
  const expires = text(opened.detail['expires_at']);
  if (expires === null || !(use.time < expires)) return 'a standing grant was used after its time';
  // Counted by the log's own order: what a use says of its number is only its word.
  const number = ofGrant(each, 'grant.used').filter(({ index }) => index <= use.index).length;
  const { uses } = opened.detail;
  if (!(typeof uses === 'number' && number <= uses))
    return 'a standing grant was used more often than people agreed to';
  if (use.detail['pattern_matches'] !== true)
    return 'a standing grant was used for something that it does not cover';
  if (use.detail['rules_unchanged'] !== true)
    return 'a standing grant was used under other rules than it was agreed to';
  const redeemed = ofPermit(each);
  if (redeemed.length > 1) return 'the permit of one use was redeemed twice';
  if (redeemed.some(({ actionRef }) => actionRef !== use.actionRef))
    return 'the permit of one use was redeemed for another action';
  return null;
}
