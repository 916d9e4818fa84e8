// What was asked of people, and what their answers would justify changing.
import type { Command } from 'commander';
import type { AttentionReport } from '../../sdk/index.ts';
import { printResult, resultCommand, time, type OutputFlags } from './command.ts';
import { asAutomation } from './session.ts';
import { cell, table, type Terminal } from './terminal.ts';

export function attentionCommand(report: Command, terminal: Terminal): void {
  resultCommand(report, 'attention', 'who decides how much, which rules ask, and what to propose')
    .option('--from <time>', 'the beginning of the period; 30 days ago if not said', time)
    .option('--to <time>', 'its end', time)
    .action(async ({ from, to, ...flags }: OutputFlags & { from?: string; to?: string }) => {
      const found = await (await asAutomation(terminal)).reports.attention({ from, to });
      printResult(terminal, flags, found, () => inWords(found));
    });
}

type RuleLoad = AttentionReport['rules'][number];

function inWords({ requests, cut, approvers, rules }: AttentionReport): string {
  const people = table(
    ['APPROVER', 'VOTES', 'MOST PER HOUR', 'MOST OPEN', 'REMINDERS', 'OVER BUDGET'],
    approvers.map((each) => [
      each.name ?? each.alias,
      each.votes,
      each.most_votes_per_hour,
      each.most_open_at_once,
      each.reminders,
      each.over_budget
        .map(({ route, most_per_day: most, budget }) => `${route}: ${most} of ${budget} a day`)
        .join(', '),
    ]),
  );
  const asked = table(
    ['RULE', 'REQUESTS', 'SECONDS TO DECIDE', 'DENIED', 'NARROWED', 'EXPIRED'],
    rules.map((rule) => [
      rule.rule,
      rule.requests,
      rule.median_seconds_to_decide,
      shareInWords(rule.denied),
      shareInWords(rule.narrowed),
      shareInWords(rule.expired),
    ]),
  );
  const proposals = rules.flatMap((each) => each.proposals);
  return [
    `${requests} requests${cut ? ', the newest of more' : ''}.`,
    '',
    people,
    '',
    asked,
    ...rules.flatMap(({ rule, note }) => (note === null ? [] : ['', cell(`${rule}: ${note}`)])),
    ...proposals.flatMap(({ says, diff }) => ['', cell(says), ...diff.split('\n').map(cell)]),
    ...(proposals.length > 0
      ? ['', 'Nothing was changed: edit the policy and push it, if you agree.']
      : []),
  ].join('\n');
}

/** Never a bare rate. */
function shareInWords({ k, n, lower, upper, enough }: RuleLoad['denied']): string {
  if (n === 0) return '-';
  return `${k} of ${n} ${enough ? `(${lower}–${upper})` : '(too few to say)'}`;
}
