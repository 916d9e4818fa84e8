// Questions about a request, and their answers.
import { z } from 'zod';
import { answerQuestion, askQuestion } from '../commands/approvals/ask.ts';
import { answerOnce } from '../commands/once.ts';
import { Refusal } from '../domain/refusal.ts';
import { presentQuestion, presentRequest } from './present.ts';
import { answerBody, askBody, question } from './request-schemas.ts';
import { visibleRequest } from './requests.ts';
import { created, defineRoute } from './route.ts';
import * as shape from './schemas.ts';

const answers = {
  201: {
    description: 'The question, and the request as it is now',
    schema: z.object({ question, request: shape.request }),
  },
};

const ask = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/questions',
  tag: 'Requests',
  summary: 'Ask the agent, its owner or whoever set off the task, before you decide',
  description:
    'Whoever may vote may ask. A question is no vote; it is part of what everybody is shown from then on, so a vote on the card without it is refused. What it does to the time to decide is up to the route.',
  allow: ['member'],
  body: askBody,
  answers,
  refusals: [
    'not_found',
    'human_required',
    'self_approval',
    'not_eligible',
    'already_decided',
    'already_voted',
    'request_expired',
    'question_refused',
  ],
  events: ['question.asked', 'question.lapsed', 'request.expired'],
  handle: async ({ call, once, params, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const about = await askQuestion(unit, { request: params['id'] ?? '', ...body });
      if (about instanceof Refusal) return about;
      const seen = await presentRequest(unit.sql, about.request, deps.publicUrl, unit.at);
      return created({ question: presentQuestion(about.question), request: seen });
    }),
});

const answer = defineRoute({
  method: 'post',
  path: '/v1/requests/{id}/questions/{question}/answer',
  tag: 'Requests',
  summary: 'Answer a question that was put to you; approvers read it as what you claim',
  allow: ['agent', 'member'],
  body: answerBody,
  answers,
  refusals: ['not_found', 'forbidden', 'already_decided', 'request_expired', 'wrong_state'],
  events: ['question.answered', 'question.lapsed', 'request.expired'],
  handle: async ({ principal, call, once, params, body }, deps) => {
    const { id } = await visibleRequest(deps, principal, params['id']);
    const answering = { request: id, question: params['question'] ?? '', text: body.text };
    return answerOnce(deps, call, once, async (unit) => {
      const about = await answerQuestion(unit, answering);
      if (about instanceof Refusal) return about;
      const seen = await presentRequest(unit.sql, about.request, deps.publicUrl, unit.at);
      return created({ question: presentQuestion(about.question), request: seen });
    });
  },
});

export const questionRoutes = [ask, answer];
