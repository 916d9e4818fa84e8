// What a verdict makes of a login that lay ready while we were down: nothing until it is used, and then an emergency
// of the two who held its halves.
import { describe, expect, it } from 'vitest';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { CONTROL, newLog, testIn, type LogBook } from '../support/leaves.ts';

interface How {
  collected?: string[];
  used?: boolean;
  reviewer?: string | null;
  disposition?: string;
  wait?: number;
  /** Seconds from its making to its end. */
  lasts?: number;
}

const KIT = 'kit_1';

/** A kit of two holders, agreed to by somebody else, asked for by psn_fay. */
function prepared(log: LogBook, how: How = {}): JsonObject {
  const { about } = log.open({
    routeGroups: ['data-owners'],
    action: 'break_glass:prepare',
    requester: 'psn_fay',
  });
  const vote = log.vote(about, 'approve', { voter: 'psn_ada' });
  const until = addSeconds(log.now, 900);
  log.add(
    'request.approved',
    { deciding_vote: vote, approved_by: [], approved_until: until },
    about,
  );
  log.add('permit.redeemed', { permit: 'prm', digest_matches: true, rules_unchanged: true }, about);
  const expires = addSeconds(log.now, how.lasts ?? 86_400);
  log.add('emergency.kit_intended', { kit: KIT, attempt: 1, expires_at: expires }, about);
  log.add('emergency.kit_made', { kit: KIT, attempt: 1, expires_at: expires }, about);
  for (const [at, person] of (how.collected ?? ['psn_fay', 'psn_sol']).entries())
    log.add('emergency.share_collected', { kit: KIT, person, seat: at + 1 }, about);
  return about;
}

function effect(log: LogBook, kit = KIT): void {
  log.add(
    'runtime.observed',
    {
      kind: 'effect',
      target: 'sample',
      grade: 'B',
      controls: [CONTROL],
      credential: null,
      login: 'kit',
      effect: 'write',
      outcome: 'ran',
      session_ref: 'sample/1',
      at: log.now,
      skew_ms: 5,
      statements: 1,
    },
    { subject: kit },
  );
}

function used(log: LogBook, how: How = {}): void {
  const about = prepared(log, how);
  effect(log);
  log.add('emergency.offline_used', { kit: KIT, people: ['psn_fay', 'psn_sol'] }, about);
  log.add('emergency.kit_ended', { kit: KIT, because: 'used' }, about);
  for (let step = 0; step < (how.wait ?? 0); step += 1)
    log.add('report.read', { report: 'x', by: null });
  const { reviewer = 'psn_ada', disposition = 'justified' } = how;
  if (reviewer !== null)
    log.add('emergency.reviewed', { person: reviewer, disposition, effects_seen: 1 }, about);
}

const book = (): LogBook =>
  newLog()
    .person('psn_ada', ['data-owners'])
    .person('psn_sol', ['on-call'])
    .person('psn_fay', ['on-call'])
    .sensor();

const completeness = (log: LogBook) => testIn(log.judge(), 'completeness');

describe('a login that lay ready', () => {
  it('and was never used is a case that people decided, and no emergency', () => {
    const log = book();
    prepared(log);
    const verdict = log.judge();
    expect(verdict.layers.operation.tests.map(({ id }) => id)).not.toContain('break_glass');
    expect(testIn(verdict, 'order')).toMatchObject({ population: 1, exceptions: 0 });
    expect(verdict.grain).toBe('session');
  });

  it('whose use somebody independent found justified is no exception, and what it did no bypass', () => {
    const log = book();
    used(log);
    expect(testIn(log.judge(), 'break_glass')).toMatchObject({ population: 1, exceptions: 0 });
    expect(completeness(log)).toMatchObject({ population: 1, exceptions: 0 });
  });

  it.each<[string, How]>([
    ['used before both halves were collected', { collected: ['psn_fay'] }],
    ['whose halves one person collected', { collected: ['psn_fay', 'psn_fay'] }],
    ['reviewed by a holder', { reviewer: 'psn_sol' }],
    ['reviewed by whoever asked for it', { reviewer: 'psn_fay' }],
    ['found misused', { disposition: 'misused' }],
    ['reviewed after 72 hours', { wait: 25_921 }],
    ['not reviewed for 72 hours', { wait: 25_921, reviewer: null }],
  ])('%s is an exception', (_what, how) => {
    const log = book();
    used(log, how);
    expect(testIn(log.judge(), 'break_glass').exceptions).toBe(1);
  });

  it('whose review is open counts neither way yet, and is asked for', () => {
    const log = book();
    used(log, { reviewer: null });
    expect(testIn(log.judge(), 'break_glass')).toMatchObject({ exceptions: 0 });
    expect(log.judge().needed.join('\n')).toContain('Emergencies: 1');
  });

  it('does nothing good after its end, nor after it was seen gone', () => {
    const late = book();
    prepared(late, { lasts: 10 });
    for (let step = 0; step < 100; step += 1) late.add('report.read', { report: 'x', by: null });
    effect(late);
    expect(completeness(late).exceptions).toBe(1);
    const gone = book();
    used(gone);
    effect(gone);
    expect(completeness(gone).exceptions).toBe(1);
  });

  it('that nobody agreed to is a bypass, whatever it is called', () => {
    const log = book();
    effect(log, 'kit_2');
    expect(completeness(log).exceptions).toBe(1);
  });
});
