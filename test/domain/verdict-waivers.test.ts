// What a waiver lets past a control is neither approved nor a way round: it is counted on its own, and stands or falls
// with who agreed to the waiver.
import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../domain/verdict/types.ts';
import { newLog, testIn, type LogBook } from '../support/leaves.ts';

const CONTROL = 'orders-write';
const DIGEST = 'sha256:agreed';

/** A policy becomes active; with a waiver, and with the request by which people agreed to it. */
function activate(
  log: LogBook,
  version: string,
  waiver: string | null,
  request: string | null,
): void {
  const waives = waiver === null ? [] : [{ rule: 'past', control: CONTROL, digest: waiver }];
  log.add('policy.activated', { replaces: 'x', by: null, waives }, { subject: version, request });
}

/** People of a control agree to a change of policy. */
function agreed(log: LogBook, control = CONTROL): string {
  const { request, about } = log.open({ control });
  const vote = log.vote(about, 'approve');
  log.add(
    'request.approved',
    { deciding_vote: vote, approved_by: [], approved_until: null },
    about,
  );
  return request;
}

let evaluations = 0;

/** Somebody is let past; returns the credential. */
function pass(log: LogBook, policy: string, more: { isIssued?: boolean } = {}): string {
  evaluations += 1;
  const evaluation = `evl_${evaluations}`;
  log.add(
    'evaluation.decided',
    { evaluation, controls: [], waived: [{ control: CONTROL, rule: 'past' }] },
    { policy_version: policy, decision: 'permit' },
  );
  const credential = `crd_past_${evaluations}`;
  log.add('credential.intended', { credential, evaluation });
  if (more.isIssued !== false) log.add('credential.issued', { credential, permit: null });
  return credential;
}

function good(): LogBook {
  const log = newLog();
  activate(log, 'v1', DIGEST, agreed(log));
  return log;
}

const waivedIn = (verdict: Verdict) => testIn(verdict, 'waived');

describe('effects under a waiver that this control’s people agreed to', () => {
  it('are counted as passed by waiver: not as approved, and not as a bypass', () => {
    const log = good();
    log.wrote(pass(log, 'v1'));
    log.wrote(pass(log, 'v1'));
    for (let times = 0; times < 4; times += 1) log.wrote(log.approved());
    const verdict = log.judge();
    expect(testIn(verdict, 'completeness')).toMatchObject({ population: 4, exceptions: 0 });
    expect(testIn(verdict, 'completeness').says).toContain('2 more passed by a waiver');
    expect(waivedIn(verdict)).toMatchObject({ population: 7, exceptions: 0, state: 'effective' });
    expect(waivedIn(verdict).says).toBe(
      '2 of 7 actions were asked of nobody here: 2 passed by the waiver past (2 effects of theirs were seen)',
    );
    expect(verdict.verdict).toBe('insufficient_evidence');
  });

  it('are counted before the period as well, where their waiver was used before it', () => {
    const log = good();
    const credential = pass(log, 'v1');
    const from = log.now;
    log.wrote(credential);
    const verdict = log.judge(CONTROL, from);
    expect(testIn(verdict, 'completeness').exceptions).toBe(0);
    expect(waivedIn(verdict).population).toBe(0);
  });

  it('that come after their credential ended are what they always were', () => {
    const log = good();
    const credential = pass(log, 'v1');
    log.revoked(credential);
    log.wrote(credential);
    log.add('report.read', { report: 'x', by: null });
    expect(testIn(log.judge(), 'completeness').exceptions).toBe(1);
  });

  it('stay agreed to through later policies that leave the waiver as it is', () => {
    const log = good();
    activate(log, 'v2', DIGEST, null);
    log.wrote(pass(log, 'v2'));
    expect(waivedIn(log.judge()).exceptions).toBe(0);
  });

  it('count nothing that was never issued', () => {
    const log = good();
    pass(log, 'v1', { isIssued: false });
    expect(waivedIn(log.judge()).says).toBe('0 of 1 actions were asked of nobody here');
  });
});

describe('a control of which most is waived', () => {
  it('is not called real unnoticed: its line is unmet, and says how many', () => {
    const log = good();
    for (let times = 0; times < 3; times += 1) pass(log, 'v1');
    const verdict = log.judge();
    expect(waivedIn(verdict)).toMatchObject({ state: 'insufficient_data', exceptions: 0 });
    expect(verdict.needed.join('\n')).toContain(
      'Waivers: 3 of 4 actions were asked of nobody here',
    );
  });

  it('says nothing of waivers where there are none', () => {
    const log = newLog();
    log.approved();
    expect(log.judge().layers.operation.tests.map(({ id }) => id)).not.toContain('waived');
    expect(log.judge().needed.join('\n')).not.toContain('Waivers');
  });
});

describe('a waiver that its control’s people did not agree to is an exception', () => {
  const unagreed: [string, (log: LogBook) => string][] = [
    [
      'that came with an installation',
      (log) => {
        activate(log, 'v1', DIGEST, null);
        return 'v1';
      },
    ],
    [
      'that the people of another control agreed to',
      (log) => {
        activate(log, 'v1', DIGEST, agreed(log, 'policy-change'));
        return 'v1';
      },
    ],
    [
      'that was changed since they did',
      (log) => {
        activate(log, 'v1', DIGEST, agreed(log));
        activate(log, 'v2', 'sha256:wider', null);
        return 'v2';
      },
    ],
    [
      'that was taken back and came again',
      (log) => {
        activate(log, 'v1', DIGEST, agreed(log));
        activate(log, 'v2', null, null);
        activate(log, 'v3', DIGEST, null);
        return 'v3';
      },
    ],
    ['that no policy had', () => 'v9'],
    [
      'to which they had not yet agreed',
      (log) => {
        const { request, about } = log.open();
        activate(log, 'v1', DIGEST, request);
        const vote = log.vote(about, 'approve');
        log.add(
          'request.approved',
          { deciding_vote: vote, approved_by: [], approved_until: null },
          about,
        );
        return 'v1';
      },
    ],
  ];

  it.each(unagreed)('%s', (_how, prepare) => {
    const log = newLog();
    const version = prepare(log);
    log.wrote(pass(log, version));
    const verdict = log.judge();
    expect(waivedIn(verdict)).toMatchObject({ exceptions: 1, state: 'deficient' });
    log.wrote(pass(log, version));
    // What repeats by one mechanism with a real effect is what decorative means.
    expect(log.judge().verdict).toBe('decorative');
  });
});
