// What a verdict makes of broken glass: an exception with people who stand for it, or the way things are done.
import { describe, expect, it } from 'vitest';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { newLog, testIn, type LogBook } from '../support/leaves.ts';

interface How {
  voter?: string;
  quorum?: number;
  /** Null leaves the review open. */
  reviewer?: string | null;
  disposition?: string;
  /** Steps of the log before the review: ten seconds each. */
  wait?: number;
}

let emergencies = 0;

/** An emergency that psn_fay declares for the agent of psn_owner. */
function broken(log: LogBook, how: How = {}): string {
  emergencies += 1;
  const { voter = 'psn_sol', quorum = 2, reviewer = 'psn_ada', disposition = 'justified' } = how;
  const { request, about } = log.open({
    routeGroups: ['on-call'],
    action: 'credential:break_glass',
    requester: 'psn_fay',
  });
  const glass = { break_glass: `bkg_${emergencies}` };
  log.add('emergency.declared', { ...glass, person: 'psn_fay', quorum, continues: 0 }, about);
  const vote = log.vote(about, 'approve', { voter });
  const until = addSeconds(log.now, 900);
  log.add(
    'request.approved',
    { deciding_vote: vote, approved_by: [], approved_until: until },
    about,
  );
  log.add('permit.redeemed', { permit: 'prm', digest_matches: true, rules_unchanged: true }, about);
  const credential = `crd_${request}`;
  log.add('emergency.opened', { ...glass, people: ['psn_fay', voter], expires_at: until }, about);
  log.add('credential.intended', { credential, permit: 'prm' }, about);
  log.add('credential.issued', { credential, permit: 'prm' }, about);
  for (let step = 0; step < (how.wait ?? 0); step += 1)
    log.add('report.read', { report: 'x', by: null });
  if (reviewer !== null) reviewedBy(log, about, { ...glass, person: reviewer, disposition });
  return credential;
}

const reviewedBy = (log: LogBook, about: JsonObject, detail: JsonObject): void =>
  void log.add('emergency.reviewed', { effects_seen: 1, seconds: 60, ...detail }, about);

const book = (): LogBook => newLog().person('psn_sol', ['on-call']).person('psn_fay', ['on-call']);

describe('an emergency', () => {
  it('that somebody independent found justified is no exception, and is on a line of its own', () => {
    const log = book();
    log.wrote(broken(log));
    const verdict = log.judge();
    expect(testIn(verdict, 'break_glass')).toMatchObject({ population: 1, exceptions: 0 });
    for (const { id, exceptions } of verdict.layers.operation.tests)
      expect([id, exceptions]).toEqual([id, 0]);
    expect(verdict.grain).toBe('session');
  });

  it('is none of the cases that show whether people decide', () => {
    const log = book();
    log.approved();
    broken(log);
    expect(testIn(log.judge(), 'opened').population).toBe(1);
  });

  it('whose review is open is neither good nor bad until that is late', () => {
    const log = book();
    broken(log, { reviewer: null });
    expect(testIn(log.judge(), 'break_glass')).toMatchObject({
      state: 'insufficient_data',
      exceptions: 0,
    });
    expect(log.judge().needed.join('\n')).toContain('Emergencies: 1');
  });

  it.each<[string, How]>([
    ['of one person who confirmed it themselves', { voter: 'psn_fay' }],
    ['of fewer than its gate wants', { quorum: 3 }],
    ['reviewed by whoever declared it', { reviewer: 'psn_fay' }],
    ['reviewed by whoever confirmed it', { reviewer: 'psn_sol' }],
    ['reviewed by the owner of the agent', { reviewer: 'psn_owner' }],
    ['found misused', { disposition: 'misused' }],
    ['reviewed after 72 hours', { wait: 25_921 }],
  ])('%s is an exception', (_what, how) => {
    const log = book();
    broken(log, how);
    expect(testIn(log.judge(), 'break_glass').exceptions).toBe(1);
  });
});

describe('the emergency path became the process', () => {
  it('where more than a fifth of all uses, of five and more, go that way, however well reviewed', () => {
    const log = book();
    for (let use = 0; use < 16; use += 1) log.approved();
    for (let use = 0; use < 4; use += 1) broken(log);
    expect(log.judge().verdict).not.toBe('decorative');
    broken(log);
    expect(log.judge().verdict).toBe('decorative');
  });

  it('where more than half of three and more were not good, and not before', () => {
    const log = book();
    for (let use = 0; use < 30; use += 1) log.approved();
    broken(log, { disposition: 'misused' });
    broken(log, { disposition: 'misused' });
    expect(log.judge().verdict).not.toBe('decorative');
    broken(log);
    expect(log.judge().verdict).toBe('decorative');
  });

  it('not where a fifth of few uses do', () => {
    const log = book();
    log.approved();
    broken(log);
    expect(log.judge().verdict).not.toBe('decorative');
  });
});
