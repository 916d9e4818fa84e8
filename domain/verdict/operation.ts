// The operation layer: did the control stand in the way each time? Each test walks every case and says what it
// found, with the leaves it rests on. Nothing here samples, and nothing reads what is not public.
import { completeness } from './completeness.ts';
import { brokenGlass, emergenciesIn } from './emergency.ts';
import { text, type Case, type Fact, type Facts } from './facts.ts';
import { exceptionIn, named, NONE, wasUsed, type Finding } from './finding.ts';
import { standingUse } from './standing.ts';
import type { VerdictCase } from './types.ts';
import { eligibility, independence } from './voters.ts';

export function operationFindings(facts: Facts): Finding[] {
  return [
    order(facts),
    binding(facts),
    completeness(facts),
    refusalHeld(facts),
    singleUse(facts),
    eligibility(facts),
    independence(facts),
    expiryNotApproval(facts),
    // Only where there was any: a control that nothing stands under has nothing to say of it.
    ...(facts.uses.length > 0 ? [standingUse(facts)] : []),
    ...(emergenciesIn(facts).length > 0 ? [brokenGlass(facts)] : []),
  ];
}

/** Used only after the deciding vote, by the log's own order. */
function order({ cases }: Facts): Finding {
  const uses = cases.flatMap((found) =>
    named(found, 'permit.redeemed', 'credential.issued').map((use) => ({ found, use })),
  );
  const exceptions = uses.flatMap(({ found, use }) => {
    const approved = named(found, 'request.approved')[0];
    const deciding = found.votes.find(
      (vote) => vote.detail['vote'] === approved?.detail['deciding_vote'],
    );
    if (approved && deciding && deciding.index < approved.index && approved.index < use.index)
      return [];
    const says = approved ? 'used before it was approved' : 'used without an approval';
    return [exceptionIn(found, 'order', true, says, [use, ...(approved ? [approved] : [])])];
  });
  return {
    id: 'order',
    population: uses.length,
    exceptions,
    unknown: [],
    threshold: NONE,
    says: `${uses.length - exceptions.length} of ${uses.length} uses came after the deciding vote`,
  };
}

/**
 * What ran is what was approved, and that is what was shown or less: one reference to what was asked for all along, and
 * one to what was left of it from the deciding vote to its use.
 */
function binding({ cases }: Facts): Finding {
  const used = cases.filter((found) => named(found, 'permit.redeemed').length > 0);
  const exceptions = used.flatMap((found) => {
    const bound = named(found, 'vote.cast', 'request.approved', 'permit.issued', 'permit.redeemed');
    const strayed = bound.filter((fact) => fact.actionRef !== found.opened.actionRef);
    if (strayed.length > 0)
      return [exceptionIn(found, 'binding', true, 'another action was approved or run', strayed)];
    const drifted = driftedFrom(found);
    if (drifted.length > 0)
      return [
        exceptionIn(found, 'binding', true, 'more was approved or run than was left', drifted),
      ];
    const unseen = found.votes.filter(
      (vote) =>
        vote.detail['shown_covers_action'] !== true || vote.detail['within_shown'] === false,
    );
    if (unseen.length > 0)
      return [exceptionIn(found, 'binding', true, 'a voter was not shown all of it', unseen)];
    const differing = named(found, 'permit.redeemed', 'receipt.recorded').filter(
      (fact) => fact.detail['digest_matches'] !== true,
    );
    if (differing.length > 0)
      return [exceptionIn(found, 'binding', true, 'the digest did not match when used', differing)];
    return [];
  });
  return {
    id: 'binding',
    population: used.length,
    exceptions,
    unknown: used.flatMap(usesUntold),
    threshold: NONE,
    says: `${used.length - exceptions.length} of ${used.length} used approvals are bound to what was shown`,
  };
}

/** Uses by somebody else of which nobody said in time what ran, nor ever since. */
function usesUntold(found: Case): VerdictCase[] {
  const told = named(found, 'receipt.recorded').map(({ detail }) => text(detail['effect']));
  return named(found, 'finding.raised').flatMap(({ id, detail }) =>
    detail['kind'] === 'receipt_missing' && !told.includes(text(detail['redemption']))
      ? [{ request: found.request, events: [id], says: 'used, and nobody said what ran' }]
      : [],
  );
}

/** Where what was left after narrowing does not stay the same; without any narrowing it is what was asked for. */
function driftedFrom(found: Case): Fact[] {
  const approved = named(found, 'request.approved')[0];
  const deciding = found.votes.find(
    (vote) => vote.detail['vote'] === approved?.detail['deciding_vote'],
  );
  if (!approved || !deciding) return [];
  const isNarrowed = found.votes.some((vote) => vote.detail['narrows'] === true);
  const left = isNarrowed ? text(deciding.detail['approves_ref']) : found.opened.actionRef;
  const refOf = (fact: Fact): string | null =>
    text(fact.detail[fact === deciding ? 'approves_ref' : 'effective_ref']) ??
    (isNarrowed ? null : fact.actionRef);
  return [deciding, approved, ...named(found, 'permit.issued', 'permit.redeemed')].filter(
    (fact) => refOf(fact) !== left || (fact === approved && fact.detail['within_votes'] === false),
  );
}

const REFUSED = ['request.denied', 'request.expired', 'request.cancelled'] as const;

/** Nothing that was refused, expired or withdrawn was run. */
function refusalHeld(facts: Facts): Finding {
  const refused = facts.cases.filter(
    (found) => found.closed !== null && REFUSED.some((name) => name === found.closed?.name),
  );
  const exceptions = refused.flatMap((found) => {
    const uses = named(found, 'permit.redeemed', 'credential.issued', 'receipt.recorded');
    const ran = facts.effects.filter(
      (effect) => facts.leases.get(effect.credential ?? '')?.request === found.request,
    );
    const events = [...uses, ...ran.map((effect) => effect.fact)];
    if (events.length === 0) return [];
    return [exceptionIn(found, 'refusal_held', true, 'refused, and run all the same', events)];
  });
  return {
    id: 'refusal_held',
    population: refused.length,
    exceptions,
    unknown: [],
    threshold: NONE,
    says: `${refused.length - exceptions.length} of ${refused.length} refusals held`,
  };
}

/** How often people let their approval be used: once, where nothing else was said. */
function usesAllowed(found: Case): number {
  const uses = named(found, 'permit.issued')[0]?.detail['uses'];
  return typeof uses === 'number' ? uses : 1;
}

/** One approval, one use, or as many as were agreed to. */
function singleUse({ cases }: Facts): Finding {
  const used = cases.filter((found) => named(found, 'permit.redeemed').length > 0);
  const exceptions = used.flatMap((found) => {
    const redeemed = named(found, 'permit.redeemed');
    const collected = named(found, 'credential.collected');
    const issued = named(found, 'credential.issued');
    const abandoned = named(found, 'credential.abandoned');
    if (redeemed.length > usesAllowed(found))
      return [exceptionIn(found, 'single_use', true, 'a permit was redeemed too often', redeemed)];
    if (collected.length > 1)
      return [
        exceptionIn(found, 'single_use', true, 'one approval was collected twice', collected),
      ];
    if (issued.length - abandoned.length > 1)
      return [
        exceptionIn(found, 'single_use', true, 'one approval led to two credentials', issued),
      ];
    return [];
  });
  return {
    id: 'single_use',
    population: used.length,
    exceptions,
    unknown: [],
    threshold: NONE,
    says: `${used.length - exceptions.length} of ${used.length} approvals were used once, or as often as was agreed`,
  };
}

const QUESTIONS = ['question.asked', 'question.answered', 'question.lapsed'] as const;

/** When a case would have run out by what the log said then: a question may have stopped its clock for a while. */
function expiryAt(found: Case, index: number): string | null {
  const last = named(found, ...QUESTIONS).findLast((fact) => fact.index < index);
  return text((last ?? found.opened).detail['expires_at']);
}

/** Time running out is nobody's yes. */
function expiryNotApproval({ cases }: Facts): Finding {
  const expired = cases.filter((found) =>
    found.facts.some(
      (fact) => fact.name === 'request.expired' && fact.detail['had_approval'] !== true,
    ),
  );
  const late = cases.filter((found) => {
    const approved = named(found, 'request.approved')[0];
    const expires = approved ? expiryAt(found, approved.index) : null;
    return approved !== undefined && expires !== null && !(approved.time < expires);
  });
  const exceptions = [
    ...expired
      .filter((found) => named(found, 'request.approved', 'permit.issued').length > 0)
      .map((found) =>
        exceptionIn(
          found,
          'expiry_not_approval',
          wasUsed(found),
          'expired and approved',
          found.facts.filter((fact) => fact.name.startsWith('request.')),
        ),
      ),
    ...late.map((found) =>
      exceptionIn(
        found,
        'expiry_not_approval',
        wasUsed(found),
        'approved after it had expired',
        named(found, 'request.approved'),
      ),
    ),
  ];
  return {
    id: 'expiry_not_approval',
    population: expired.length,
    exceptions,
    unknown: [],
    threshold: NONE,
    says: `${expired.length} requests expired, and an expiry never counted as an approval`,
  };
}
