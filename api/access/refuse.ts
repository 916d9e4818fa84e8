// @spec AuthZEN-1.0#section-10.1.5
// How the Authorization API says that it could not answer: a status, and one sentence as text.
import type { Refusal } from '../../domain/refusal.ts';
import { STATUS, problemHeaders } from '../problem.ts';
import type { AnswerShape, AppContext } from '../route.ts';

/** A refusal as a sentence. */
export const refuseAsText = (context: AppContext, refusal: Refusal): Response =>
  context.body(refusal.message, STATUS[refusal.code], {
    ...problemHeaders(refusal),
    'content-type': 'text/plain; charset=utf-8',
  });

const sentence = (description: string): AnswerShape => ({
  description,
  contentType: 'text/plain',
});

/** Every status besides 200, for the documents. */
export const TEXT_ANSWERS: Record<number, AnswerShape> = {
  400: sentence('The question is not one: the text says what is wrong'),
  401: sentence('Nobody, or not somebody we know'),
  403: sentence('The caller may not ask this'),
  409: sentence('The first call with this Idempotency-Key is still being worked on'),
  413: sentence('The body is too large'),
  422: sentence('This Idempotency-Key was used for a call with another body'),
  500: sentence('Something went wrong here'),
  503: sentence('There is no answer just now: take it for a no'),
};
