// The operation layer: did the control stand in the way each time? Each test walks every case and says what it
// found, with the leaves it rests on. Nothing here samples, and nothing reads what is not public.
import { addMs } from '../instant.ts';
import type { JsonObject } from '../json.ts';
import {
  object,
  objects,
  text,
  texts,
  type Case,
  type Effect,
  type Fact,
  type Facts,
  type Lease,
} from './facts.ts';
import { RULE } from './rule.ts';
import type { VerdictCase } from './types.ts';

/** How a violation came about: what repeats by the same mechanism is not an accident. */
export interface Exception {
  /** Test × surface × rule: two exceptions of one mechanism make it reproducible. */
  mechanism: string;
  /** Whether something ran, rather than a record being wrong. */
  effect: boolean;
  case: VerdictCase;
}

export interface Finding {
  id: string;
  population: number;
  exceptions: Exception[];
  /** What could not be classified; counted against the control where it claims to be real. */
  unknown: VerdictCase[];
  threshold: string;
  says: string;
}

const NONE = 'no exception';

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
  ];
}

const named = (found: Case, ...names: Fact['name'][]): Fact[] =>
  found.facts.filter((fact) => names.includes(fact.name));

const ruleOf = (found: Case): string =>
  objects(found.opened.detail['routes'])
    .map((route) => text(route['rule_digest']) ?? '')
    .join('+');

const surfaceOf = (found: Case): string => {
  const { action, resource } = found.opened.detail;
  return `${text(action) ?? ''} ${text(object(resource)['id']) ?? ''}`;
};

/** Whether anything came of it: a vote that should not have counted bypassed nothing while nothing ran. */
const wasUsed = (found: Case): boolean =>
  named(found, 'permit.redeemed', 'credential.issued', 'receipt.recorded').length > 0;

function exceptionIn(
  found: Case,
  test: string,
  effect: boolean,
  says: string,
  facts: readonly Fact[],
): Exception {
  return {
    mechanism: `${test} × ${surfaceOf(found)} × ${ruleOf(found)}`,
    effect,
    case: { request: found.request, events: facts.map((fact) => fact.id), says },
  };
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

/** What ran is what was approved is what was shown: one action reference all along. */
function binding({ cases }: Facts): Finding {
  const used = cases.filter((found) => named(found, 'permit.redeemed').length > 0);
  const exceptions = used.flatMap((found) => {
    const bound = named(found, 'vote.cast', 'request.approved', 'permit.issued', 'permit.redeemed');
    const strayed = bound.filter((fact) => fact.actionRef !== found.opened.actionRef);
    if (strayed.length > 0)
      return [exceptionIn(found, 'binding', true, 'another action was approved or run', strayed)];
    const unseen = found.votes.filter((vote) => vote.detail['shown_covers_action'] !== true);
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
    unknown: [],
    threshold: NONE,
    says: `${used.length - exceptions.length} of ${used.length} used approvals are bound to what was shown`,
  };
}

/** No effect without an approval before it, as seen by the target itself or a sensor on it. */
function completeness(facts: Facts): Finding {
  const { effects, sensors } = facts;
  const judged = effects.map((effect) => ({ effect, ...judgeEffect(facts, effect) }));
  const exceptions = judged.flatMap(({ effect, fault, found }) =>
    fault === null
      ? []
      : [
          {
            mechanism: `completeness × ${effect.target} × ${effect.login} × ${found ? ruleOf(found) : 'no request'}`,
            effect: true,
            case: { request: found?.request ?? null, events: [effect.fact.id], says: fault },
          },
        ],
  );
  const unknown = judged.flatMap(({ effect, doubt, found }) =>
    doubt === null
      ? []
      : [{ request: found?.request ?? null, events: [effect.fact.id], says: doubt }],
  );
  const matched = effects.length - exceptions.length - unknown.length;
  return {
    id: 'completeness',
    population: effects.length,
    exceptions,
    unknown,
    threshold: `${NONE}; planted effects seen with a lower bound of .95 (59 of 59)`,
    says:
      sensors.size === 0
        ? 'no independent sensor was heard of, so nothing is known of effects outside the gate'
        : `${matched} of ${effects.length} effects seen in ${[...sensors.keys()].join(', ')} had an approval before them; how much the sensor misses is not measured`,
  };
}

interface Judged {
  found: Case | null;
  fault: string | null;
  doubt: string | null;
}

function judgeEffect(facts: Facts, effect: Effect): Judged {
  const lease = facts.leases.get(effect.credential ?? '');
  // Whenever it was opened: an effect in this period may rest on an approval from before it.
  const found = facts.known.get(lease?.request ?? '') ?? null;
  const judged = (fault: string | null, doubt: string | null = null): Judged => ({
    found,
    fault,
    doubt,
  });
  const isApproved = found !== null && named(found, 'request.approved').length > 0;
  // What an approved session ran is that session's, read or not; anybody else's could have been anything.
  if (effect.effect === 'opaque' && !isApproved) return judged(null, opaqueDoubt(effect));
  if (!lease)
    return judged(`a ${effect.effect} by a login that no approval led to (${effect.login})`);
  if (!found) return judged(`a ${effect.effect} under a credential that nobody approved for this`);
  const approved = named(found, 'request.approved')[0];
  if (!approved) return judged(`a ${effect.effect} under a request that was never approved`);
  // Clocks of two machines: what lies within the skew can be told neither way.
  if (addMs(effect.at, effect.skewMs) < approved.time)
    return judged(`a ${effect.effect} before its approval`);
  if (addMs(effect.at, -effect.skewMs) < approved.time)
    return judged(null, 'too close to its approval to say which came first');
  return judged(faultAfter(effect, lease), doubtAfter(effect, lease));
}

const opaqueDoubt = ({ unexplainedRows }: Effect): string =>
  unexplainedRows === null
    ? 'a statement that cannot be read ran past the gate’s tables'
    : `${unexplainedRows} rows were written that no statement in the log explains`;

/** Ending a login takes a moment; what runs later than that ran without leave. */
const GRACE_MS = RULE.revocation_seconds * 1000;

function faultAfter(effect: Effect, { until, ended }: Lease): string | null {
  const earliest = addMs(effect.at, -effect.skewMs);
  if (ended !== null && earliest > ended)
    return `a ${effect.effect} after its credential was seen gone`;
  if (until !== null && earliest > addMs(until, GRACE_MS))
    return `a ${effect.effect} after its credential had expired or was to be revoked`;
  return null;
}

const doubtAfter = (effect: Effect, lease: Lease): string | null =>
  faultAfter(effect, lease) === null &&
  lease.until !== null &&
  addMs(effect.at, effect.skewMs) > lease.until
    ? 'while its credential was being ended'
    : null;

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

/** One approval, one use. */
function singleUse({ cases }: Facts): Finding {
  const used = cases.filter((found) => named(found, 'permit.redeemed').length > 0);
  const exceptions = used.flatMap((found) => {
    const redeemed = named(found, 'permit.redeemed');
    const collected = named(found, 'credential.collected');
    const issued = named(found, 'credential.issued');
    const abandoned = named(found, 'credential.abandoned');
    if (redeemed.length > 1)
      return [exceptionIn(found, 'single_use', true, 'one permit was redeemed twice', redeemed)];
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
    says: `${used.length - exceptions.length} of ${used.length} approvals were used once`,
  };
}

/** Whoever voted was an approver then, by the roster in the log and not by their own word. */
function eligibility(facts: Facts): Finding {
  const votes = facts.cases.flatMap((found) => found.votes.map((vote) => ({ found, vote })));
  const unknown: VerdictCase[] = [];
  const exceptions = votes.flatMap(({ found, vote }) => {
    const person = text(vote.detail['person']) ?? '';
    const groups = facts.roster.groupsAt(person, vote.index);
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
  return {
    id: 'eligibility',
    population: votes.length,
    exceptions,
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
function independence({ cases, roster }: Facts): Finding {
  const votes = cases.flatMap((found) => found.votes.map((vote) => ({ found, vote })));
  const unknown: VerdictCase[] = [];
  const exceptions = votes.flatMap(({ found, vote }) => {
    const person = text(vote.detail['person']) ?? '';
    if (decidedForThemselves(found, person)) {
      const says = 'decided by somebody it was for';
      return [exceptionIn(found, 'independence', wasUsed(found), says, [vote])];
    }
    const doubt = whyDependent(found, roster.letInBy(person, vote.index));
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

/** Time running out is nobody's yes. */
function expiryNotApproval({ cases }: Facts): Finding {
  const expired = cases.filter((found) =>
    found.facts.some(
      (fact) => fact.name === 'request.expired' && fact.detail['had_approval'] !== true,
    ),
  );
  const late = cases.filter((found) => {
    const approved = named(found, 'request.approved')[0];
    const expires = text(found.opened.detail['expires_at']);
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
