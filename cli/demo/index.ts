// `npm run demo`: two teams' work in about a minute of real time, against the running server, through the API that
// everybody uses. The only thing it does that the API cannot is what a bypass is: a raw login to the target.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseJson } from '../../domain/json.ts';
import { object, text } from '../../domain/verdict/facts.ts';
import type { Client, Verdict } from '../../sdk/index.ts';
import { startFakeSlack } from '../../test/fakes/slack.ts';
import { asAutomation } from '../commands/session.ts';
import type { Terminal } from '../commands/terminal.ts';
import { StartError } from '../embedded/process.ts';
import { enlist, invite } from './cast.ts';
import { pause, playOrders } from './orders.ts';
import { playPayouts } from './payouts.ts';

export async function playDemo(terminal: Terminal): Promise<void> {
  const automation = await asAutomation(terminal);
  const legacyUrl = await legacyLogin(terminal);
  const began = performance.now();
  const say = (line: string): void =>
    terminal.print(`${((performance.now() - began) / 1000).toFixed(0).padStart(3)} s  ${line}`);
  const slack = await startFakeSlack({
    interactionsUrl: new URL('/slack/interactions', automation.url).href,
  });
  try {
    await automation.slack.connect({
      channel: slack.channel,
      signingSecret: slack.signingSecret,
      botToken: slack.botToken,
      apiUrl: slack.apiUrl,
    });
    say('Slack is connected (a local one that checks what the real one checks)');
    await play(automation, slack, legacyUrl, say);
    await waitForSensor(automation, began);
    for (const control of ['orders-write', 'payouts-write'])
      printVerdict(terminal, await automation.controls.verdict(control), automation.url);
  } finally {
    await automation.slack.disconnect().catch(() => undefined);
    await slack.close();
  }
}

async function play(
  automation: Client,
  slack: Awaited<ReturnType<typeof startFakeSlack>>,
  legacyUrl: string,
  say: (line: string) => void,
): Promise<void> {
  // Slack users are somebody's for good, so every run brings its own.
  const danaInSlack = `U${randomBytes(5).toString('hex').toUpperCase()}`;
  const ada = await invite(automation, { name: 'Ada (security)', groups: ['admins'] });
  const olga = await invite(automation, {
    name: 'Olga (owns both agents)',
    groups: ['engineering'],
  });
  const dana = await invite(automation, {
    name: 'Dana (data owner)',
    groups: ['data-owners'],
    slackUserId: danaInSlack,
  });
  const piet = await invite(automation, { name: 'Piet (payouts)', groups: ['payout-approvers'] });
  const ruth = await invite(automation, { name: 'Ruth (payouts)', groups: ['payout-approvers'] });
  const cast = { owner: olga, admittedBy: ada };
  const orders = await enlist(automation, {
    ...cast,
    name: 'orders-bot',
    team: 'orders',
    purpose: 'order support',
  });
  const payouts = await enlist(automation, {
    ...cast,
    name: 'payouts-bot',
    team: 'payouts',
    purpose: 'customer payouts',
  });
  say(`${orders.name} and ${payouts.name} are registered, and admitted by ${ada.name}`);
  await playOrders({ automation, agent: orders, dana, danaInSlack, olga, slack, say });
  await playPayouts({ agent: payouts, piet, ruth, legacyUrl, say });
}

/** The sample's shared login, which `start` leaves in its state folder. */
async function legacyLogin({ env }: Terminal): Promise<string> {
  const file = path.resolve(env['COUNTERSIGN_STATE'] || '.countersign', 'sample.json');
  const found = await readFile(file, 'utf8').catch(() => null);
  const url = found === null ? null : text(object(parseJson(found))['legacy_url']);
  if (url === null)
    throw new StartError(
      'the demo plays on the sample database that npm start brings along: start it here first, with npm start.',
    );
  return url;
}

const SENSOR_MS = 15_000;

/** The observer reads the target's log within a second or two; verdicts read what is in the log by then. */
async function waitForSensor(automation: Client, began: number): Promise<void> {
  const deadline = performance.now() + SENSOR_MS;
  const since = new Date(Date.now() - (performance.now() - began)).toISOString();
  while (performance.now() < deadline) {
    const verdict = await automation.controls.verdict('payouts-write', { from: since });
    const seen = verdict.layers.operation.tests.find((test) => test.id === 'completeness');
    if (seen && seen.exceptions >= 2) return;
    await pause(500);
  }
}

const HEADLINE: Record<Verdict['verdict'], string> = {
  real: 'REAL',
  decorative: 'DECORATIVE',
  insufficient_evidence: 'INSUFFICIENT EVIDENCE',
};

function printVerdict(terminal: Terminal, verdict: Verdict, url: string): void {
  const { control, grain, simulated, layers, needed } = verdict;
  const marks = [`by ${grain}`, ...(simulated ? ['played by demo agents'] : [])].join(', ');
  const lines = [
    '',
    `${control}: ${HEADLINE[verdict.verdict]}  (${marks})`,
    ...layers.operation.tests.map(
      (test) => `  ${MARK[test.state]} ${test.id.padEnd(20)} ${test.says}`,
    ),
    ...layers.operation.tests
      .flatMap((test) => test.cases)
      .slice(0, 4)
      .map((each) => `      ! ${each.says}`),
    '  What would settle it:',
    ...needed.map((line) => `    - ${line}`),
    `  ${new URL(`/controls/${control}`, url).href}`,
  ];
  for (const line of lines) terminal.print(line);
}

const MARK = { effective: '✓', deficient: '✗', insufficient_data: '?' } as const;
