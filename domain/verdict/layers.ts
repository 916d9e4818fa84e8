// The other three layers, as far as the log can speak for them today. What nothing has tested is said to be
// untested: silence is never a pass.
import { secondsBetween } from '../instant.ts';
import { upperBound } from './binomial.ts';
import { text, type Case, type Fact, type Facts } from './facts.ts';
import { RULE } from './rule.ts';
import { votesCorroborated } from './signed.ts';
import type { VerdictTest } from './types.ts';

const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

export function designTests(facts: Facts, period: { from: string; to: string }): VerdictTest[] {
  const standing = [...facts.standing.entries()].filter(([, { count }]) => count > 0);
  const logins = standing.reduce((sum, [, { count }]) => sum + count, 0);
  const later = facts.activations
    .filter(({ time }) => time >= period.from && time < period.to)
    .slice();
  const unapproved = later.filter(
    (fact) => fact.detail['replaces'] !== null && fact.request === null,
  );
  return [
    {
      id: 'probes',
      state: 'insufficient_data',
      population: 0,
      exceptions: 0,
      threshold:
        'each probe refused, and its valid twin let through, once per build and per 30 days',
      says: 'nobody has tried to break this gate',
      cases: [],
    },
    {
      id: 'standing_access',
      state:
        facts.standing.size === 0 ? 'insufficient_data' : logins > 0 ? 'deficient' : 'effective',
      population: facts.standing.size,
      exceptions: logins,
      threshold: 'no login reaches past the gate unless it is declared',
      says:
        facts.standing.size === 0
          ? 'no target’s catalog was read, so it is not known who could reach past the gate'
          : `${plural(logins, 'standing login')} could do the same without asking`,
      cases: standing.map(([target, { count, fact }]) => ({
        request: null,
        events: [fact.id],
        says: `${plural(count, 'login')} of ${target}`,
      })),
    },
    {
      id: 'policy_changes',
      state: unapproved.length > 0 ? 'deficient' : 'effective',
      population: later.length,
      exceptions: unapproved.length,
      threshold: 'every change of policy approved',
      says: `${later.length - unapproved.length} of ${plural(later.length, 'activation')} of a policy were the first one or approved`,
      cases: unapproved.map((fact) => ({
        request: null,
        events: [fact.id],
        says: 'a policy was activated without an approval',
      })),
    },
  ];
}

export function deliberationTests(cases: readonly Case[]): VerdictTest[] {
  const votes = cases.flatMap((found) => found.votes);
  const opened = votes.filter((vote) => text(vote.detail['opened_at']) !== null);
  const unobservable = votes.filter((vote) => vote.detail['channel'] === 'slack');
  const denials = votes.filter((vote) => vote.detail['decision'] === 'deny');
  return [
    {
      id: 'canaries',
      state: 'insufficient_data',
      population: 0,
      exceptions: 0,
      threshold: `${RULE.canaries_min} seeded requests, refused with a lower bound of ${RULE.canaries_lower_bound}`,
      says: 'no seeded request has tested whether anybody looks',
      cases: [],
    },
    {
      id: 'opened',
      state: votes.length === 0 ? 'insufficient_data' : 'effective',
      population: votes.length,
      exceptions: 0,
      threshold: 'printed, never decisive',
      says: `${opened.length} of ${plural(votes.length, 'vote')} followed a look at the request; ${unobservable.length} came through a channel where that cannot be seen`,
      cases: [],
    },
    {
      id: 'refusals',
      state: votes.length === 0 ? 'insufficient_data' : 'effective',
      population: votes.length,
      exceptions: 0,
      threshold: 'printed, never decisive',
      says: `${denials.length} of ${plural(votes.length, 'vote')} refused; at most ${upperBound(denials.length, votes.length, 0.95)} of all would be, with .95 confidence`,
      cases: [],
    },
  ];
}

export function evidenceTests(facts: Facts, period: { from: string; to: string }): VerdictTest[] {
  const targets = [...facts.sensors.entries()];
  const blindIn = (target: string): Fact[] => facts.blind.get(target) ?? [];
  const silent = targets.filter(
    ([target, times]) => isSilent(times, period) || blindIn(target).length > 0,
  );
  return [
    {
      id: 'witness',
      state: 'insufficient_data',
      population: 0,
      exceptions: 0,
      threshold: 'a checkpoint after the period, cosigned by a witness the operator does not run',
      says: 'no outside witness has cosigned this log',
      cases: [],
    },
    {
      id: 'sensors_alive',
      // A silent sensor proves nothing wrong: what it would have seen is simply not tested.
      state: targets.length === 0 || silent.length > 0 ? 'insufficient_data' : 'effective',
      population: targets.length,
      exceptions: silent.length,
      threshold: `never silent for more than ${RULE.sensor_silence_seconds} seconds`,
      says:
        targets.length === 0
          ? 'no independent sensor was heard of'
          : `${targets.length - silent.length} of ${plural(targets.length, 'sensor')} never fell silent`,
      cases: silent.map(([target]) => ({
        request: null,
        events: blindIn(target).map(({ id }) => id),
        says:
          blindIn(target).length > 0
            ? `the sensor of ${target} could not see`
            : `the sensor of ${target} was silent`,
      })),
    },
    votesCorroborated(facts),
  ];
}

function isSilent(times: readonly string[], period: { from: string; to: string }): boolean {
  const marks = [period.from, ...times, period.to];
  return marks.some((time, at) => {
    const before = marks[at - 1];
    return before !== undefined && secondsBetween(before, time) > RULE.sensor_silence_seconds;
  });
}
