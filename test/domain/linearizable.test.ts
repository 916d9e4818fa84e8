import { describe, expect, it } from 'vitest';
import { linearize, type Happening } from '../support/linearizable.ts';
import { requestModel, type RequestAnswer, type RequestCall } from '../support/request-model.ts';

const model = requestModel(2, 1_000_000);
const at = (
  call: RequestCall,
  code: RequestAnswer['code'],
  state: string | null,
  sentAt: number,
  answeredAt: number,
): Happening<RequestCall, RequestAnswer> => ({ call, answer: { code, state }, sentAt, answeredAt });
const vote = (person: string, decision: 'approve' | 'deny' = 'approve'): RequestCall => ({
  kind: 'vote',
  person,
  decision,
});
const cancel: RequestCall = { kind: 'cancel' };
const fulfil: RequestCall = { kind: 'fulfil' };

describe('what many callers saw at once', () => {
  it('is explained where some order explains it, whatever order the answers came in', () => {
    const seen = [
      at(vote('ada'), 'done', null, 0, 100),
      at(vote('bea'), 'done', null, 1, 90),
      at(vote('cid'), 'already_decided', 'approved', 2, 95),
      at(vote('ada'), 'already_voted', null, 3, 99),
      at(cancel, 'already_decided', 'consumed', 4, 98),
      at(fulfil, 'done', null, 5, 97),
      at(fulfil, 'nothing', null, 6, 96),
    ];
    expect(linearize(model, seen)).toHaveLength(seen.length);
  });

  it.each([
    ['two outcomes', [at(vote('ada', 'deny'), 'done', null, 0, 9), at(cancel, 'done', null, 0, 9)]],
    [
      'one vote counted twice',
      [at(vote('ada'), 'done', null, 0, 9), at(vote('ada'), 'done', null, 0, 9)],
    ],
    [
      'a permit redeemed twice',
      [
        at(vote('ada'), 'done', null, 0, 9),
        at(vote('bea'), 'done', null, 0, 9),
        at(fulfil, 'done', null, 0, 9),
        at(fulfil, 'done', null, 0, 9),
      ],
    ],
    [
      'something carried out on half a quorum',
      [at(vote('ada'), 'done', null, 0, 9), at(fulfil, 'done', null, 0, 9)],
    ],
    [
      'an answer from a past that was over',
      [at(cancel, 'done', null, 0, 1), at(vote('ada'), 'done', null, 2, 3)],
    ],
    ['an expiry before its time', [at({ kind: 'expire' }, 'done', 'expired', 0, 9)]],
    [
      'a winner nobody was',
      [at(cancel, 'done', null, 0, 9), at(vote('ada'), 'already_decided', 'denied', 0, 9)],
    ],
    [
      'an approval that was not carried out when somebody tried',
      [
        at(vote('ada'), 'done', null, 0, 1),
        at(vote('bea'), 'done', null, 0, 1),
        at(fulfil, 'nothing', null, 2, 3),
      ],
    ],
  ])('is refused when it is %s', (_what, seen) => {
    expect(linearize(model, seen)).toBeNull();
  });
});
