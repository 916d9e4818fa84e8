// Completeness: what the target itself saw happen, held against the approvals that should have come before.
import { addMs } from '../instant.ts';
import type { Case, Effect, Facts, Lease } from './facts.ts';
import { named, NONE, ruleOf, type Finding } from './finding.ts';
import { RULE } from './rule.ts';

/** No effect without an approval before it, as seen by the target itself or a sensor on it. */
export function completeness(facts: Facts): Finding {
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
