import { describe, expect, it } from 'vitest';
import { addSeconds } from '../../domain/instant.ts';
import { canonicalJson } from '../../domain/json.ts';
import { verdictJson } from '../../domain/verdict/judge.ts';
import { LogBook, newLog, testIn, type CaseOptions } from '../support/leaves.ts';

/** Work as it should be: asked, approved, done, refused once. */
function worked(): LogBook {
  const log = newLog();
  for (let times = 0; times < 3; times += 1) {
    const credential = log.approved();
    log.wrote(credential);
    log.revoked(credential);
  }
  log.refused();
  log.expired();
  return log;
}

const OPERATION = [
  'order',
  'binding',
  'completeness',
  'refusal_held',
  'single_use',
  'eligibility',
  'independence',
  'expiry_not_approval',
];

describe('a control that is worked properly', () => {
  it('has no exception, and is still not called real: most of what real takes is untested', () => {
    const verdict = worked().judge();
    expect(verdict.layers.operation.tests.map((test) => test.id)).toEqual(OPERATION);
    for (const id of OPERATION) expect([id, testIn(verdict, id).exceptions]).toEqual([id, 0]);
    expect(testIn(verdict, 'completeness').state).toBe('insufficient_data');
    expect(verdict.verdict).toBe('insufficient_evidence');
    expect(verdict.interim).toBe(true);
    expect(verdict.needed.join('\n')).toMatch(/witness[\s\S]*Probes[\s\S]*Planted[\s\S]*Canaries/);
  });

  it('counts what it tested: every case, nothing sampled', () => {
    const verdict = worked().judge();
    const population = (id: string): number => testIn(verdict, id).population;
    expect(OPERATION.map((id) => [id, population(id)])).toEqual([
      ['order', 6],
      ['binding', 3],
      ['completeness', 3],
      ['refusal_held', 2],
      ['single_use', 3],
      ['eligibility', 4],
      ['independence', 4],
      ['expiry_not_approval', 1],
    ]);
  });

  it('comes to the same bytes again', () => {
    const log = worked();
    expect(canonicalJson(verdictJson(log.judge()))).toBe(canonicalJson(verdictJson(log.judge())));
  });
});

describe('each operation test catches its violation', () => {
  const flaws: [string, CaseOptions][] = [
    ['order', { flaw: 'used before approval' }],
    ['binding', { flaw: 'other action' }],
    ['binding', { flaw: 'not shown all' }],
    ['binding', { flaw: 'digest differs' }],
    ['single_use', { flaw: 'redeemed twice' }],
    ['single_use', { flaw: 'collected twice' }],
    ['eligibility', { routeGroups: ['somebody-else'] }],
    ['independence', { voter: 'psn_ada', barred: ['psn_ada'] }],
    ['expiry_not_approval', { flaw: 'approved late' }],
  ];
  it.each(flaws)('%s: %o', (id, options) => {
    const log = newLog();
    log.approved(options);
    const verdict = log.judge();
    expect(testIn(verdict, id).state).toBe('deficient');
    expect(testIn(verdict, id).cases[0]?.events.length).toBeGreaterThan(0);
    for (const other of OPERATION.filter((each) => each !== id))
      expect([other, testIn(verdict, other).exceptions]).toEqual([other, 0]);
  });

  const less = { narrows: true, voted: 'sha256:less', approved: 'sha256:less', run: 'sha256:less' };
  it('binding: what was narrowed and run as it was left is no exception', () => {
    const log = newLog();
    log.approved({ left: less });
    expect(testIn(log.judge(), 'binding')).toMatchObject({ population: 1, exceptions: 0 });
  });

  it.each<[string, Partial<typeof less> & { within_votes?: boolean; within_shown?: boolean }]>([
    ['more was run than was left', { run: 'sha256:ref' }],
    ['more was approved than the deciding vote left', { approved: 'sha256:ref' }],
    ['something was left out, and nobody narrowed', { narrows: false }],
    ['the approval is wider than a vote', { within_votes: false }],
    ['a vote approved more than it was shown', { within_shown: false }],
  ])('binding: %s', (_says, flaw) => {
    const log = newLog();
    log.approved({ left: { ...less, ...flaw } });
    expect(testIn(log.judge(), 'binding')).toMatchObject({ state: 'deficient', exceptions: 1 });
  });

  it('expiry_not_approval: a question that stopped the clock moves the end, by what the log says', () => {
    const until = addSeconds('2026-11-01T00:00:00.000Z', 20_000);
    for (const [askedUntil, exceptions] of [
      [until, 0],
      ['2026-11-01T01:00:00.000Z', 1],
    ] as const) {
      const log = newLog();
      log.approved({ flaw: 'approved late', askedUntil });
      expect(testIn(log.judge(), 'expiry_not_approval').exceptions).toBe(exceptions);
    }
  });

  it('refusal_held: what was refused was run all the same', () => {
    const log = newLog();
    log.refused({ runAllTheSame: true });
    expect(testIn(log.judge(), 'refusal_held').state).toBe('deficient');
  });

  it('eligibility: a vote after its person lost the group, by the roster in the log', () => {
    const log = newLog().change('psn_ada', []);
    log.approved();
    expect(testIn(log.judge(), 'eligibility').state).toBe('deficient');
  });

  it('eligibility: a vote by somebody who was deactivated', () => {
    const log = newLog().change('psn_ada', ['data-owners'], 'deactivated');
    log.approved();
    expect(testIn(log.judge(), 'eligibility').state).toBe('deficient');
  });

  it('independence: a trigger that is only claimed is unclear, whoever voted', () => {
    const log = newLog();
    log.approved({ proof: 'claimed' });
    const test = testIn(log.judge(), 'independence');
    expect([test.state, test.exceptions, test.cases.length]).toEqual(['insufficient_data', 0, 1]);
  });
});

describe('a permit that somebody else uses', () => {
  const judged = (options: CaseOptions) => {
    const log = newLog();
    log.approved(options);
    return log.judge();
  };

  it('may be used as often as people agreed to, and no more', () => {
    const twice = { flaw: 'redeemed twice' } as const;
    expect(testIn(judged({ ...twice, uses: 2 }), 'single_use').exceptions).toBe(0);
    expect(testIn(judged({ ...twice, uses: 1 }), 'single_use').state).toBe('deficient');
  });

  it('leaves it unclear what ran while nobody says, and a late word clears that', () => {
    const silent = testIn(judged({ flaw: 'nobody said what ran' }), 'binding');
    expect([silent.state, silent.exceptions, silent.cases.length]).toEqual([
      'insufficient_data',
      0,
      1,
    ]);
    expect(testIn(judged({ lateReceipt: true }), 'binding').cases).toEqual([]);
  });
});

describe('I4: independence', () => {
  it('cannot be told of a voter whose account or link somebody made whom it was for', () => {
    const invited = newLog().person('psn_sock', ['data-owners'], 'psn_owner');
    invited.approved({ voter: 'psn_sock' });
    const linked = newLog().link('psn_ada', 'psn_owner');
    linked.approved();
    for (const log of [invited, linked])
      expect(testIn(log.judge(), 'independence')).toMatchObject({
        state: 'insufficient_data',
        exceptions: 0,
        cases: [{ says: 'somebody it was for made the voter’s way in' }],
      });
  });

  it('does not suffer from links made by others, or later', () => {
    const log = newLog().link('psn_ada', 'psn_other');
    log.approved();
    log.link('psn_ada', 'psn_owner');
    expect(testIn(log.judge(), 'independence').state).toBe('effective');
  });
});

describe('completeness', () => {
  it('D17: an effect by a login that no approval led to is a bypass', () => {
    const log = newLog();
    log.wrote(null);
    expect(testIn(log.judge(), 'completeness').exceptions).toBe(1);
  });

  it('an effect before its approval, and one after its end, are bypasses', () => {
    const log = newLog();
    const early = log.now;
    const credential = log.approved();
    log.wrote(credential, { at: early });
    log.revoked(credential);
    log.wrote(credential);
    expect(testIn(log.judge(), 'completeness').exceptions).toBe(2);
  });

  it('I3: an effect long after its credential was to be revoked is a bypass, gone or not', () => {
    const log = newLog();
    const credential = log.approved();
    log.wrote(credential);
    log.revoking(credential);
    log.wrote(credential);
    log.wrote(credential);
    expect(testIn(log.judge(), 'completeness')).toMatchObject({ population: 3, exceptions: 1 });
  });

  it('an effect while its credential is being ended is unclear', () => {
    const log = newLog();
    const credential = log.approved();
    log.revoking(credential);
    log.wrote(credential);
    const test = testIn(log.judge(), 'completeness');
    expect([test.exceptions, test.cases.map(({ says }) => says)]).toEqual([
      0,
      ['while its credential was being ended'],
    ]);
  });

  it('an effect is judged by its approval, though that is older than the period', () => {
    const log = newLog();
    const credential = log.approved();
    const from = log.now;
    log.wrote(credential);
    log.wrote(credential);
    const verdict = log.judge('orders-write', from);
    expect(testIn(verdict, 'completeness')).toMatchObject({ population: 2, exceptions: 0 });
    expect(verdict.verdict).toBe('insufficient_evidence');
  });

  it('an effect within the clocks’ skew of its approval is unclear, not a bypass', () => {
    const log = newLog();
    const credential = log.approved();
    log.wrote(credential, { skew_ms: 3_600_000 });
    const test = testIn(log.judge(), 'completeness');
    expect([test.exceptions, test.cases.length]).toEqual([0, 1]);
  });

  it('what came through another gate in front of the same table did not go past this one', () => {
    const both = { controls: ['orders-write', 'orders-admin'] };
    const log = newLog();
    log.wrote(log.approved(), both);
    log.wrote(log.approved({ control: 'orders-admin' }), both);
    const test = testIn(log.judge(), 'completeness');
    expect(test).toMatchObject({ population: 1, exceptions: 0, cases: [] });
    expect(test.says).toContain('1 more went through another gate');
    expect(testIn(log.judge('orders-admin'), 'completeness')).toMatchObject({
      population: 1,
      exceptions: 0,
    });
  });

  it('another gate is none where it stands in front of something else, or was gone past', () => {
    const both = { controls: ['orders-write', 'orders-admin'] };
    const log = newLog();
    log.wrote(log.approved({ control: 'payouts' }), both);
    const early = log.now;
    const credential = log.approved({ control: 'orders-admin' });
    log.wrote(credential, { ...both, at: early });
    log.revoked(credential);
    log.wrote(credential, both);
    log.wrote(`crd_${log.open({ control: 'orders-admin' }).request}`, both);
    for (const control of ['orders-write', 'orders-admin'])
      expect(testIn(log.judge(control), 'completeness')).toMatchObject({
        population: 4,
        exceptions: 4,
      });
  });

  it('a blocked attempt is evidence for the control, not against it', () => {
    const log = newLog();
    log.wrote(null, { outcome: 'refused' });
    expect(testIn(log.judge(), 'completeness').population).toBe(0);
  });

  it('what our own gate or the agent says is not independent, and counts for nothing', () => {
    const log = newLog();
    log.wrote(null, { grade: 'C' });
    log.wrote(null, { grade: 'D' });
    expect(testIn(log.judge(), 'completeness').population).toBe(0);
  });

  it('rows that no statement explains are unclear, and say how many', () => {
    const log = newLog();
    log.wrote(null, { effect: 'opaque', session_ref: 'sample/row-counts', statements: 3 });
    expect(testIn(log.judge(), 'completeness').cases[0]?.says).toBe(
      '3 rows were written that no statement in the log explains',
    );
  });

  it('a statement that cannot be read is its session’s, where that was approved', () => {
    const log = newLog();
    log.wrote(log.approved(), { effect: 'opaque' });
    const test = testIn(log.judge(), 'completeness');
    expect([test.population, test.exceptions, test.cases.length]).toEqual([1, 0, 0]);
  });

  it('a statement that cannot be read is unclear', () => {
    const log = newLog();
    log.wrote(null, { effect: 'opaque' });
    const test = testIn(log.judge(), 'completeness');
    expect([test.exceptions, test.cases.length]).toEqual([0, 1]);
  });
});

describe('decorative', () => {
  it('takes two exceptions of one mechanism: one alone may be an accident', () => {
    const log = worked();
    log.wrote(null);
    expect(log.judge().verdict).toBe('insufficient_evidence');
    log.wrote(null);
    expect(log.judge().verdict).toBe('decorative');
  });

  it('is what refusals that were run come to', () => {
    const log = newLog();
    log.refused({ runAllTheSame: true });
    log.refused({ runAllTheSame: true });
    expect(log.judge().verdict).toBe('decorative');
  });

  it('is never said for a wrong record without an effect', () => {
    const log = newLog();
    log.refused({ routeGroups: ['somebody-else'] });
    log.refused({ routeGroups: ['somebody-else'] });
    expect(log.judge().verdict).toBe('insufficient_evidence');
  });

  it('is what approvals by people who were no approvers come to, once they are used', () => {
    const log = newLog();
    log.approved({ routeGroups: ['somebody-else'] });
    log.approved({ routeGroups: ['somebody-else'] });
    expect(log.judge().verdict).toBe('decorative');
  });

  it('names standing access that reaches past the gate as a weakness of the design', () => {
    const log = newLog().sensor(2);
    const verdict = log.judge();
    expect(testIn(verdict, 'standing_access').state).toBe('deficient');
    expect(verdict.verdict).toBe('insufficient_evidence');
  });
});

describe('a sensor', () => {
  const asleep = (log: LogBook): void => {
    for (let at = 0; at < 100; at += 1) log.add('report.read', { report: 'x', by: null });
  };

  it('that fell silent leaves the path untested, which is not the same as clean', () => {
    const log = newLog();
    asleep(log);
    log.sensor();
    const verdict = log.judge();
    expect(testIn(verdict, 'sensors_alive')).toMatchObject({
      state: 'insufficient_data',
      exceptions: 1,
    });
    expect(verdict.needed.some((line) => line.startsWith('Unbroken eyes: 1 sensor '))).toBe(true);
  });

  it('that began long after the period did was silent until then', () => {
    const log = new LogBook().person('psn_ada', ['data-owners']);
    asleep(log);
    log.sensor();
    expect(testIn(log.judge(), 'sensors_alive').exceptions).toBe(1);
  });

  it('that said it could not see leaves the path untested, however often it was alive', () => {
    const log = newLog();
    log.wrote(null, { kind: 'sensor_blind', controls: [], effect: null, outcome: null });
    const test = testIn(log.judge(), 'sensors_alive');
    expect([test.state, test.cases.map(({ says }) => says)]).toEqual([
      'insufficient_data',
      ['the sensor of sample could not see'],
    ]);
  });

  it('that was never silent is alive', () => {
    expect(testIn(newLog().judge(), 'sensors_alive').state).toBe('effective');
  });
});

describe('simulated cases', () => {
  it('alone give a verdict that says so', () => {
    const log = newLog();
    log.approved({ simulated: true });
    expect(log.judge().simulated).toBe(true);
  });

  it('beside real ones count for nothing', () => {
    const log = newLog();
    log.approved();
    const played = log.approved({ simulated: true });
    log.wrote(played);
    const verdict = log.judge();
    expect(verdict.simulated).toBe(false);
    expect(testIn(verdict, 'binding')).toMatchObject({ population: 1, exceptions: 0 });
    expect(testIn(verdict, 'completeness').population).toBe(0);
  });

  it('beside real ones count against the control all the same: a demo hides nothing', () => {
    const log = newLog();
    log.approved();
    for (const _ of [1, 2]) log.wrote(log.approved({ simulated: true, flaw: 'other action' }));
    const verdict = log.judge();
    expect(testIn(verdict, 'binding').exceptions).toBe(2);
    expect(verdict.verdict).toBe('decorative');
  });

  it('do not hide a bypass, which nobody can mark as played', () => {
    const log = newLog();
    log.approved({ simulated: true });
    log.wrote(null);
    log.wrote(null);
    expect(log.judge().verdict).toBe('decorative');
  });
});

describe('the period and the control', () => {
  it('leave out what lies outside, and what belongs to another control', () => {
    const log = worked();
    log.wrote(null);
    log.wrote(null);
    expect(
      log.judge('payouts-write').layers.operation.tests.every((test) => test.population === 0),
    ).toBe(true);
  });
});
