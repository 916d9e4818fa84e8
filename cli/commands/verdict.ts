// Whether a control is real or decorative, as a page of text.
import type { Verdict, VerdictTest } from '../../sdk/index.ts';
import { cell, when } from './terminal.ts';

const HEADLINE: Record<Verdict['verdict'], string> = {
  real: 'REAL: people decided, and nothing got past them.',
  decorative: 'DECORATIVE: it does not stand in the way.',
  insufficient_evidence: 'INSUFFICIENT EVIDENCE: nobody can tell yet.',
};

export function verdictText(verdict: Verdict): string {
  const { period, log } = verdict;
  return [
    `${cell(verdict.control)}: ${HEADLINE[verdict.verdict]}`,
    `From ${when(period.from)} to ${when(period.to)}; what was approved: one ${verdict.grain} at a time.`,
    `Log of ${log.size} with root ${cell(log.root)}; rules ${cell(verdict.rule_set)}.`,
    ...(verdict.simulated
      ? ['Every case was played by demo agents: no verdict on production.']
      : []),
    ...(verdict.interim ? ['Interim: no outside witness has confirmed the log yet.'] : []),
    ...Object.entries(verdict.layers).flatMap(([name, layer]) => [
      '',
      `${name}: ${spaced(layer.state)}`,
      ...layer.tests.flatMap(testLines),
    ]),
    ...neededLines(verdict),
  ].join('\n');
}

const spaced = (state: string): string => state.replaceAll('_', ' ');

function testLines(test: VerdictTest): string[] {
  const counts = `${test.exceptions} of ${test.population}, threshold ${cell(test.threshold)}`;
  return [
    `  ${cell(test.id)}: ${spaced(test.state)} (${counts})`,
    `    ${cell(test.says)}`,
    ...test.cases.map(
      ({ request, events, says }) =>
        `    - ${cell([says, request, ...events].filter((part) => part !== null).join(' '))}`,
    ),
  ];
}

const neededLines = ({ needed }: Verdict): string[] =>
  needed.length === 0 ? [] : ['', 'Needed:', ...needed.map((line) => `  - ${cell(line)}`)];
