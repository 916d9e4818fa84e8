// Completeness: what the target itself saw happen, held against the approvals that should have come before.
import { addMs } from '../instant.ts';
import { texts, type Case, type Effect, type Facts, type Lease } from './facts.ts';
import { named, NONE, ruleOf, type Finding } from './finding.ts';
import { RULE } from './rule.ts';
import { passOf } from './waived.ts';

/** No effect without an approval before it, as seen by the target itself or a sensor on it. */
export function completeness(facts: Facts): Finding {
  const { sensors } = facts;
  const all = facts.effects.map((effect) => ({ effect, ...judgeEffect(facts, effect) }));
  // Two gates can stand in front of one table. Who came through the other, as it asks, did not go past this one; who
  // came through neither went past both.
  const elsewhere = all.filter(
    ({ found, fault, doubt }) =>
      found !== null && facts.others.has(found.request) && fault === null && doubt === null,
  );
  // Whether the waiver was agreed to is a test of its own; it is neither an approval nor a way round.
  const waived = all.filter(
    ({ effect, fault, doubt }) =>
      fault === null && doubt === null && passOf(facts, effect.credential) !== null,
  );
  const judged = all.filter((each) => !elsewhere.includes(each) && !waived.includes(each));
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
  const matched = judged.length - exceptions.length - unknown.length;
  return {
    id: 'completeness',
    population: judged.length,
    exceptions,
    unknown,
    threshold: `${NONE}; planted effects seen with a lower bound of .95 (59 of 59)`,
    says:
      sensors.size === 0
        ? 'no independent sensor was heard of, so nothing is known of effects outside the gate'
        : `${matched} of ${judged.length} effects seen in ${[...sensors.keys()].join(', ')} had an approval before them${besides(elsewhere)}${byWaiver(waived.length)}; how much the sensor misses is not measured`,
  };
}

const byWaiver = (count: number): string =>
  count === 0 ? '' : `, and ${count} more passed by a waiver of policy`;

function besides(elsewhere: readonly { found: Case | null }[]): string {
  if (elsewhere.length === 0) return '';
  const controls = elsewhere.flatMap(({ found }) => texts(found?.opened.detail['controls']));
  const names = [...new Set(controls)].toSorted().join(', ');
  return `, and ${elsewhere.length} more went through another gate in front of the same (${names})`;
}

interface Judged {
  found: Case | null;
  fault: string | null;
  doubt: string | null;
}

function judgeEffect(facts: Facts, effect: Effect): Judged {
  const lease = facts.leases.get(effect.credential ?? '');
  // Whenever it was opened: an effect in this period may rest on an approval from before it.
  const found =
    facts.known.get(lease?.request ?? '') ?? otherGate(facts, effect, lease?.request ?? '');
  const judged = (fault: string | null, doubt: string | null = null): Judged => ({
    found,
    fault,
    doubt,
  });
  const isApproved = found !== null && named(found, 'request.approved').length > 0;
  // What an approved session ran is that session's, read or not; anybody else's could have been anything.
  if (effect.effect === 'opaque' && !isApproved) return judged(null, opaqueDoubt(effect));
  if (lease && passOf(facts, effect.credential) !== null)
    return judged(faultAfter(effect, lease), doubtAfter(effect, lease));
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

/** The case of another control, if that one stands in front of what was touched as well. */
function otherGate({ others }: Facts, { controls }: Effect, request: string): Case | null {
  const found = others.get(request);
  const theirs = texts(found?.opened.detail['controls']);
  return found && theirs.some((control) => controls.includes(control)) ? found : null;
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
