// The form in Slack in which somebody approves less, over whatever a request may leave to be narrowed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitsForm, narrowForm } from '../../activities/slack/modal.ts';
import { termsOf } from '../../commands/approvals/narrow.ts';
import { cardOf } from '../../commands/approvals/requests.ts';
import { readInteraction } from '../../commands/slack/deliveries.ts';
import { limitsSentOff } from '../../commands/slack/forms.ts';
import type { RequestRow } from '../../db/rows.ts';
import { freezeRoute } from '../../domain/approval.ts';
import { isNoLimit, offerOf } from '../../domain/narrow-form.ts';
import type { Narrowable } from '../../domain/narrowing.ts';
import { viewError } from '../fakes/slack-blocks.ts';
import { filledForm, submissionPayload } from '../fakes/slack-payloads.ts';
import { ruleTitled } from '../support/rules.ts';

const LEVELS = ['read', 'write', 'admin'];
const OPTIONS: Narrowable['options'] = {
  repositories: { kind: 'some_of', of: ['api', 'docs', 'web'] },
  permissions: { kind: 'levels', of: { contents: 'write', issues: 'admin' }, order: LEVELS },
};

/** As much of a row as the form reads; the rest is never looked at. */
const rowWith = (options: Narrowable['options'], rule = ruleTitled('Code')): RequestRow =>
  ({
    id: 'req_01m7zyrh2te0087w8444vwzp8a',
    state: 'pending',
    action: {
      subject: { type: 'agent', id: 'agt_1' },
      actor_chain: [{ type: 'agent', id: 'agt_1' }],
      action: 'credential:request',
      resource: { type: 'role', id: 'code' },
      parameters: { ttl_seconds: 900, not_before: '2026-11-21T12:00:00.000Z' },
      data_class: 'internal',
      destination: 'code',
      context: { task: 'tsk_1' },
    },
    digest: `sha256:${'a'.repeat(64)}`,
    ...{ narrowable: { options, starts_before: null }, narrowed: null, audience: 'gate' },
    names: {
      ...{ agent: 'orders-bot', owner: 'Olga', team: 'core', requester: 'orders-bot' },
      ...{ triggeredBy: null, actingFor: null },
    },
    ...{ whyHeld: [], risk: null, questions: [], expiresAt: '2026-11-21T10:00:00.000Z' },
    routes: [freezeRoute('code', { ...rule, uses: 5 })],
  }) as unknown as RequestRow;

const viewOf = (row: RequestRow) =>
  narrowForm(cardOf(row), offerOf(termsOf(row), row.narrowable), 'token');

/** What comes of a form that is sent off with these changes. */
function limitsOf(row: RequestRow, changes: Record<string, string | string[]>) {
  const view = viewOf(row);
  const delivered = readInteraction(submissionPayload(view, 'U0ADA', filledForm(view, changes)));
  if (delivered?.delivery.kind !== 'narrowing') throw new Error('the form was not understood');
  return limitsSentOff(row, delivered.delivery.fields);
}

describe('the form that approves less', () => {
  it('offers the times, the uses, the start and each option, as they are now', () => {
    const view = viewOf(rowWith(OPTIONS));
    expect(viewError(view, 'modal')).toBeNull();
    expect(Object.keys(filledForm(view, {}))).toEqual([
      ...['ttl_seconds', 'valid_seconds', 'uses', 'not_before'],
      ...['some.repositories', 'level.permissions.0', 'level.permissions.1', 'reason'],
    ]);
  });

  it('sent off as it was opened, it limits nothing', () => {
    expect(isNoLimit(limitsOf(rowWith(OPTIONS), {}))).toBe(true);
  });

  it('each field is a limit of its own, and nothing else changes', () => {
    const row = rowWith(OPTIONS);
    expect(limitsOf(row, { ttl_seconds: '60' })).toEqual({ ttl_seconds: 60 });
    expect(limitsOf(row, { uses: '2' })).toEqual({ uses: 2 });
    expect(limitsOf(row, { 'some.repositories': ['0', '2'] })).toEqual({
      options: { repositories: ['api', 'web'] },
    });
    expect(
      limitsOf(row, { 'level.permissions.0': 'none', 'level.permissions.1': 'up-to:read' }),
    ).toEqual({ options: { permissions: { issues: 'read' } } });
  });

  it('a level that is called none is not the same as none', () => {
    const row = rowWith({ p: { kind: 'levels', of: { a: 'full' }, order: ['none', 'full'] } });
    expect(limitsOf(row, { 'level.p.0': 'up-to:none' })).toEqual({ options: { p: { a: 'none' } } });
    expect(limitsOf(row, { 'level.p.0': 'none' })).toEqual({ options: { p: {} } });
  });

  it('is not offered where Slack would have to cut a name, or has no room for all of them', () => {
    const some = (...of: string[]) => rowWith({ r: { kind: 'some_of', of } });
    const fits = (row: RequestRow): boolean => fitsForm(offerOf(termsOf(row), row.narrowable));
    expect(fits(some('a'.repeat(75)))).toBe(true);
    expect(fits(some('a'.repeat(76)))).toBe(false);
    expect(fits(some('\u200b'.repeat(10)))).toBe(false);
    expect(fits(some(...Array.from({ length: 100 }, (_, at) => `r${at}`)))).toBe(true);
    expect(fits(some(...Array.from({ length: 101 }, (_, at) => `r${at}`)))).toBe(false);
    const of = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`p${at}`, 'read']));
    expect(fits(rowWith({ p: { kind: 'levels', of, order: LEVELS } }))).toBe(false);
  });

  it('whatever can be narrowed: where it is offered, Slack takes it', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 90 });
    const extent = fc.oneof(
      fc.record({
        kind: fc.constant('some_of' as const),
        of: fc.uniqueArray(name, { minLength: 1, maxLength: 120 }),
      }),
      fc.record({
        kind: fc.constant('levels' as const),
        of: fc.dictionary(name, fc.constantFrom(...LEVELS), { maxKeys: 110 }),
        order: fc.constant(LEVELS),
      }),
    );
    const options = fc.dictionary(fc.stringMatching(/^[a-z_]{1,20}$/), extent, { maxKeys: 4 });
    let offered = 0;
    fc.assert(
      fc.property(options, (some) => {
        const row = rowWith(some);
        if (!fitsForm(offerOf(termsOf(row), row.narrowable))) return;
        offered += 1;
        expect(viewError(viewOf(row), 'modal')).toBeNull();
        expect(isNoLimit(limitsOf(row, {}))).toBe(true);
      }),
      { numRuns: 200 },
    );
    expect(offered).toBeGreaterThan(20);
  });
});
