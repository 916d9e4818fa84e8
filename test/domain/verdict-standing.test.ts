// What a verdict makes of standing grants: uses within the bound are no approvals and no violations; any other is one.
import { describe, expect, it } from 'vitest';
import { addSeconds } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { newLog, testIn, type LogBook } from '../support/leaves.ts';

interface Opened {
  about: JsonObject;
  grant: string;
}

/** A grant that people agreed to. */
function granted(book: LogBook, uses = 2, seconds = 3_600): Opened {
  const { request, about } = book.open();
  const vote = book.vote(about, 'approve');
  const until = addSeconds(book.now, 900);
  book.add(
    'request.approved',
    { deciding_vote: vote, approved_by: [], approved_until: until },
    about,
  );
  book.add(
    'permit.redeemed',
    { permit: `prm_${request}`, digest_matches: true, rules_unchanged: true, grant: null },
    about,
  );
  const grant = `grn_${request}`;
  book.add(
    'grant.opened',
    {
      grant,
      permit: `prm_${request}`,
      uses,
      expires_at: addSeconds(book.now, seconds),
      pattern: 'sha256:p',
    },
    about,
  );
  return { about, grant };
}

let permits = 0;

/** A use of it that led to a credential. */
function used(book: LogBook, { about, grant }: Opened, more: JsonObject = {}): string {
  permits += 1;
  const permit = `prm_use_${permits}`;
  const credential = `crd_use_${permits}`;
  const use = { ...about, action_ref: `sha256:use-${permits}` };
  const detail = { grant, use: 1, uses: 2, permit, pattern_matches: true, rules_unchanged: true };
  book.add('grant.used', { ...detail, ...more }, use);
  book.add('permit.issued', { permit, grant, uses: 1 }, use);
  book.add('permit.redeemed', { permit, grant, digest_matches: true, rules_unchanged: true }, use);
  book.add('credential.intended', { credential, permit });
  book.add('credential.issued', { credential, permit });
  return credential;
}

describe('uses of a standing grant', () => {
  it('within what was agreed are no exception, on their own line, and no test takes them for approvals', () => {
    const log = newLog();
    const grant = granted(log);
    log.wrote(used(log, grant));
    log.wrote(used(log, grant));
    const verdict = log.judge();
    expect(testIn(verdict, 'standing_use')).toMatchObject({
      state: 'effective',
      population: 2,
      exceptions: 0,
    });
    expect(testIn(verdict, 'completeness')).toMatchObject({ population: 2, exceptions: 0 });
    expect(testIn(verdict, 'order')).toMatchObject({ population: 1, exceptions: 0 });
    expect(testIn(verdict, 'single_use')).toMatchObject({ population: 1, exceptions: 0 });
    expect(testIn(verdict, 'binding')).toMatchObject({ population: 1, exceptions: 0 });
  });

  it('are not spoken of where nothing stands', () => {
    const log = newLog();
    log.approved();
    const { tests } = log.judge().layers.operation;
    expect(tests.map(({ id }) => id)).not.toContain('standing_use');
  });

  it.each<[string, (log: LogBook) => void]>([
    [
      'more of them than were agreed to, whatever number each claims',
      (log) => {
        const grant = granted(log, 1);
        used(log, grant);
        used(log, grant);
      },
    ],
    ['one after its time', (log) => void used(log, granted(log, 2, 5))],
    [
      'one after it was taken back',
      (log) => {
        const grant = granted(log);
        log.add('grant.ended', { grant: grant.grant, state: 'revoked' }, grant.about);
        used(log, grant);
      },
    ],
    [
      'one of a grant that nobody agreed to',
      (log) => {
        const { request, about } = log.open();
        used(log, { about, grant: `grn_${request}` });
      },
    ],
    ['one for something else', (log) => void used(log, granted(log), { pattern_matches: false })],
    ['one under other rules', (log) => void used(log, granted(log), { rules_unchanged: false })],
    [
      'one whose permit was redeemed twice',
      (log) => {
        const grant = granted(log);
        used(log, grant);
        const again = { permit: `prm_use_${permits}`, grant: grant.grant };
        log.add('permit.redeemed', again, { ...grant.about, action_ref: `sha256:use-${permits}` });
      },
    ],
  ])('are violations: %s', (_what, happen) => {
    const log = newLog();
    happen(log);
    expect(testIn(log.judge(), 'standing_use').exceptions).toBe(1);
  });

  it('make a control decorative when they pass it again and again', () => {
    const log = newLog();
    const grant = granted(log, 1);
    for (let time = 0; time < 3; time += 1) used(log, grant);
    expect(log.judge().verdict).toBe('decorative');
  });

  it('are counted in the period they lie in, though the grant is from before', () => {
    const log = newLog();
    const grant = granted(log);
    const from = log.now;
    used(log, grant);
    expect(testIn(log.judge('orders-write', from), 'standing_use').population).toBe(1);
  });
});
