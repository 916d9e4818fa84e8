// @spec ARAP-1.0-draft-1#error-responses
// How the access request profile says no: problem documents whose types are its own, where it has one.
import type { Refusal, RefusalCode } from '../../domain/refusal.ts';
import { problemBody, problemHeaders, STATUS } from '../problem.ts';
import type { AnswerShape, AppContext } from '../route.ts';

const OWN: Partial<Record<RefusalCode, { type: string; status: 400 | 404 | 409 | 410 }>> = {
  not_requestable: { type: 'not_requestable', status: 400 },
  invalid_denial_binding: { type: 'invalid_denial_binding', status: 400 },
  expired_denial: { type: 'expired_denial', status: 410 },
  idempotency_mismatch: { type: 'duplicate_request', status: 409 },
  not_found: { type: 'unknown_task', status: 404 },
  already_decided: { type: 'invalid_task_state', status: 409 },
  request_expired: { type: 'invalid_task_state', status: 409 },
};

/** A refusal in the words of the profile. */
export function refuseAsAccessProblem(context: AppContext, refusal: Refusal): Response {
  const own = OWN[refusal.code];
  const body = problemBody(refusal, context.get('requestId'));
  return context.body(
    JSON.stringify(
      own
        ? {
            ...body,
            type: `urn:openid:authzen:access-request:error:${own.type}`,
            status: own.status,
          }
        : body,
    ),
    own?.status ?? STATUS[refusal.code],
    problemHeaders(refusal),
  );
}

const problem = (description: string): AnswerShape => ({
  description,
  contentType: 'application/problem+json',
});

/** Every status besides success, for the documents. */
export const PROBLEM_ANSWERS: Record<number, AnswerShape> = {
  400: problem('not_requestable, invalid_denial_binding, or no submission at all'),
  401: problem('Nobody, or not somebody we know'),
  403: problem('The caller may not ask this, or everything is stopped'),
  404: problem('unknown_task: there is no such task for this caller'),
  409: problem('duplicate_request, invalid_task_state, or nobody is there who could approve'),
  410: problem('expired_denial'),
  413: problem('The body is too large'),
  422: problem('The callback may not be called'),
  500: problem('Something went wrong here'),
  503: problem('There is no answer just now'),
};
