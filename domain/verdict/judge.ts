// The decision rule: real, decorative, or not enough evidence. A pure function of leaves, so that anybody with
// the leaves comes to the same bytes.
import { BREAK_GLASS } from '../break-glass.ts';
import { PREPARE_KIT } from '../glass-kit.ts';
import { OPEN_GRANT } from '../grant.ts';
import type { JsonObject } from '../json.ts';
import { becameTheProcess, isEmergency } from './emergency.ts';
import { gather, text, type Case, type Facts, type Leaf } from './facts.ts';
import type { Exception, Finding } from './finding.ts';
import { deliberationTests, designTests, evidenceTests } from './layers.ts';
import { offlineUseOf } from './offline.ts';
import { operationFindings } from './operation.ts';
import { RULE, RULE_SET } from './rule.ts';
import type { Grain, Judgement, LayerState, Verdict, VerdictLayer, VerdictTest } from './types.ts';
import { isWaivable, waived, waivedShare } from './waived.ts';

export interface Asked {
  control: string;
  period: { from: string; to: string };
  log: { size: number; root: string };
}

export function judge(leaves: Iterable<Leaf>, asked: Asked): Verdict {
  const all = within(gather(leaves, asked.control), asked.period);
  const simulated = all.cases.length > 0 && all.cases.every((found) => found.simulated);
  const facts = simulated ? all : withoutPlayed(all);
  const findings = [
    ...operationFindings(facts),
    ...(isWaivable(facts, asked.control) ? [waived(facts, asked)] : []),
  ];
  const layers = {
    design: layerOf(designTests(facts, asked.period)),
    operation: layerOf(findings.map(testOf)),
    deliberation: layerOf(deliberationTests(humanCases(facts))),
    evidence: layerOf(evidenceTests(facts, asked.period)),
  };
  const verdict = decide(facts, findings);
  return {
    control: asked.control,
    grain: grainOf(facts.cases),
    period: asked.period,
    simulated,
    interim: true,
    log: asked.log,
    rule_set: RULE_SET,
    verdict,
    layers,
    needed: needed(facts, findings, simulated, layers.evidence.tests, asked.period),
  };
}

/** Rates and shares are about what people were asked in the ordinary way. */
const humanCases = ({ cases }: Facts): Case[] => cases.filter((found) => !isEmergency(found));

/** Cases opened and effects seen within the period; the roster and the leases from all that came before. */
function within(facts: Facts, { from, to }: Asked['period']): Facts {
  const inside = (at: string): boolean => at >= from && at < to;
  return {
    ...facts,
    cases: facts.cases.filter((found) => inside(found.opened.time)),
    effects: facts.effects.filter((effect) => inside(effect.at)),
    uses: facts.uses.filter(({ use }) => inside(use.time)),
    // Judged when it was used, however long ago it was agreed to.
    offline: [...facts.known.values()].filter((found) => inside(offlineUseOf(found)?.time ?? '')),
    until: to,
    // Eyes on a path the control does not stand in front of see nothing of it.
    sensors: new Map(
      [...facts.sensors]
        .filter(([target]) => facts.standing.has(target))
        .map(([target, times]) => [target, times.filter((time) => inside(time))]),
    ),
    blind: new Map(
      [...facts.blind].map(([target, said]) => [target, said.filter(({ time }) => inside(time))]),
    ),
  };
}

/**
 * What was played is no evidence for a control beside what was real. A violation is one whoever committed it: else
 * calling an agent a demo would hide what it does.
 */
function withoutPlayed(facts: Facts): Facts {
  if (![...facts.known.values()].some(({ simulated }) => simulated)) return facts;
  const violated = new Set(
    operationFindings(facts).flatMap(({ exceptions }) =>
      exceptions.map((each) => each.case.request),
    ),
  );
  const kept = ({ simulated, request }: Case): boolean => !simulated || violated.has(request);
  return {
    ...facts,
    cases: facts.cases.filter(kept),
    uses: facts.uses.filter(({ found }) => kept(found)),
    effects: facts.effects.filter((effect) => {
      const found = facts.known.get(facts.leases.get(effect.credential ?? '')?.request ?? '');
      return found === undefined || kept(found);
    }),
  };
}

function testOf(finding: Finding): VerdictTest {
  return {
    id: finding.id,
    state: stateOf(finding),
    population: finding.population,
    exceptions: finding.exceptions.length,
    threshold: finding.threshold,
    says: finding.says,
    cases: [...finding.exceptions.map((exception) => exception.case), ...finding.unknown],
  };
}

function stateOf(finding: Finding): LayerState {
  if (finding.exceptions.length > 0) return 'deficient';
  // What its sensor misses has not been measured, so completeness can be refuted but not yet shown.
  if (finding.id === 'completeness' || finding.population === 0 || finding.unknown.length > 0)
    return 'insufficient_data';
  return 'effective';
}

function layerOf(tests: VerdictTest[]): VerdictLayer {
  const states = tests.map((test) => test.state);
  if (states.includes('deficient')) return { state: 'deficient', tests };
  return { state: states.includes('insufficient_data') ? 'insufficient_data' : 'effective', tests };
}

/**
 * Decorative only by what ran: a way past the gate that was used again and again, refusals that were run, or an
 * emergency that became the process.
 * Real is not within reach of operation tests alone.
 */
function decide(facts: Facts, findings: readonly Finding[]): Judgement {
  const refusedRun =
    findings.find((finding) => finding.id === 'refusal_held')?.exceptions.length ?? 0;
  // Bad emergencies have a rule of their own: each has people who stand for it.
  const others = findings.filter(({ id }) => id !== 'break_glass');
  const bypassed = mechanisms(others).some(
    (exceptions) =>
      exceptions.length >= RULE.reproducible_exceptions && exceptions.some(({ effect }) => effect),
  );
  return bypassed || refusedRun >= RULE.refused_effects || becameTheProcess(facts)
    ? 'decorative'
    : 'insufficient_evidence';
}

/** Exceptions by the way they came about. */
function mechanisms(findings: readonly Finding[]): Exception[][] {
  const grouped = new Map<string, Exception[]>();
  for (const exception of findings.flatMap((finding) => finding.exceptions))
    grouped.set(exception.mechanism, [...(grouped.get(exception.mechanism) ?? []), exception]);
  return [...grouped.values()];
}

/** Actions that end in a credential, which is then used freely. */
const SESSIONS: readonly (string | null)[] = [
  'credential:request',
  OPEN_GRANT,
  BREAK_GLASS,
  PREPARE_KIT,
];

function grainOf(cases: readonly Case[]): Grain {
  const actions = cases.map((found) => text(found.opened.detail['action']));
  return actions.length > 0 && actions.every((action) => !SESSIONS.includes(action))
    ? 'action'
    : 'session';
}

/** The unmet lines of the rule for "real", each with what would settle it. */
function needed(
  facts: Facts,
  findings: readonly Finding[],
  simulated: boolean,
  evidence: readonly VerdictTest[],
  period: Asked['period'],
): string[] {
  const past = waivedShare(facts, period);
  const population = (id: string): number =>
    findings.find((finding) => finding.id === id)?.population ?? 0;
  const exceptions = findings.flatMap((finding) => finding.exceptions).length;
  const unknownIn = (id: string): number =>
    findings.find((finding) => finding.id === id)?.unknown.length ?? 0;
  const silent = evidence.find(({ id }) => id === 'sensors_alive')?.exceptions ?? 0;
  const standing = [...facts.standing.values()].reduce((sum, { count }) => sum + count, 0);
  const human = humanCases(facts);
  const unreviewed = unknownIn('break_glass');
  const approvers = new Set(
    human.flatMap((found) => found.votes.map((vote) => vote.detail['person'])),
  );
  const lines: (string | false)[] = [
    simulated && 'Every case was played by demo agents: real work has to come first.',
    'An outside witness: a checkpoint after the period, cosigned by a party the operator does not run.',
    'Probes: each way around this gate tried and refused, with a valid request let through beside it.',
    facts.sensors.size === 0 &&
      'Independent eyes: an observer on every target this control stands in front of (observer_url_from in roles.yaml).',
    silent > 0 &&
      `Unbroken eyes: ${silent} sensor${silent === 1 ? '' : 's'} fell silent for over ${RULE.sensor_silence_seconds} seconds, or could not see; ask again for a period without such a gap.`,
    `Planted effects: ${RULE.planted_effects_min} known effects, all seen, so that it is known how much the sensor misses.`,
    standing > 0 &&
      `Standing access: ${standing} login${standing === 1 ? '' : 's'} can do the same without asking; take the privilege away, or declare the login under application_logins.`,
    past.isMost &&
      `Waivers: ${past.passed} of ${past.all} actions were asked of nobody here; narrow the waivers, or judge what is left of this control as the smaller thing it is.`,
    exceptions > 0 &&
      `Exceptions: ${exceptions} to be closed, each with its cause, a look back and somebody independent to accept it.`,
    unknownIn('completeness') > 0 &&
      `Unclear effects: ${unknownIn('completeness')} too close to their approval, or by statements that cannot be read; synchronise the clocks, and take such statements away.`,
    unknownIn('independence') > 0 &&
      `Unclear independence: ${unknownIn('independence')} votes on tasks whose human is only claimed (send a trigger_proof), or by people whose way in somebody involved made (let another administrator invite and link them).`,
    unknownIn('eligibility') > 0 &&
      `Unclear roster: ${unknownIn('eligibility')} votes by people whose groups are not in the log.`,
    unreviewed > 0 &&
      `Emergencies: ${unreviewed} whose review is open; have each closed by somebody independent within 72 hours.`,
    `Canaries: ${RULE.canaries_min} seeded requests that should be refused, caught with a lower bound of ${RULE.canaries_lower_bound}, over ${RULE.approvers_min} approvers (${approvers.size} voted so far).`,
    population('order') === 0 && 'Use: at least one approval that was carried out.',
    population('refusal_held') === 0 && 'Refusal: at least one refusal that held.',
    human.length < RULE.cases_min &&
      `Cases: ${RULE.cases_min - human.length} more, or all ${human.length} performed again by an outsider.`,
    evidence.some(({ id, state }) => id === 'votes_corroborated' && state !== 'effective') &&
      `Votes: all that decided on what is critical and ${RULE.votes_by_key_min * 100} % of the others signed with a passkey (strength: passkey), or borne out by the identity provider or Slack’s own audit log.`,
    'What it stands on: policy activation, roster, gate build, log and database administration, and clock, each assessed.',
  ];
  return lines.filter((line) => line !== false);
}

/** A verdict as plain JSON, members in the order of the type. */
export function verdictJson(verdict: Verdict): JsonObject {
  return {
    ...verdict,
    period: { ...verdict.period },
    log: { ...verdict.log },
    layers: Object.fromEntries(
      Object.entries(verdict.layers).map(([name, layer]) => [
        name,
        {
          state: layer.state,
          tests: layer.tests.map((test) => ({
            ...test,
            cases: test.cases.map((each) => ({ ...each })),
          })),
        },
      ]),
    ),
  };
}
