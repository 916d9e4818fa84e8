// In Slack nobody can sign: what takes more than a click there is only looked at there.
import { expect, it } from 'vitest';
import { mayDecideHere } from '../../activities/slack/card.ts';
import type { RequestRow } from '../../db/rows.ts';
import { freezeRoute, STRENGTHS } from '../../domain/approval.ts';
import { requestIn } from '../support/pages.ts';
import { ruleTitled } from '../support/rules.ts';

it('a request that wants a passkey has no buttons to decide in Slack, whatever else asks for it', () => {
  const { card } = requestIn({ kind: 'may' });
  const plain = { ...card, lines: [], warnings: [], title: 'Something' };
  const route = (strength: (typeof STRENGTHS)[number]) =>
    freezeRoute(strength, { ...ruleTitled('Route'), channels: ['slack', 'web'], strength });
  const decides = (...routes: ReturnType<typeof route>[]) =>
    mayDecideHere({ routes, risk: null as string | null } as RequestRow, plain);
  expect(STRENGTHS.map((strength) => decides(route(strength)))).toEqual([true, false, false]);
  expect(decides(route('session'), route('passkey'))).toBe(false);
});
