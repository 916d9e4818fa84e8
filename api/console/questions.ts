// Asking about a request on its page, and answering there.
import { answerQuestion, askQuestion, type AboutQuestion } from '../../commands/approvals/ask.ts';
import { transact, type Unit } from '../../commands/unit.ts';
import { Refusal } from '../../domain/refusal.ts';
import { STATUS } from '../problem.ts';
import { answerBody, askBody } from '../request-schemas.ts';
import { visibleRequest } from '../requests.ts';
import { field, redirect, type ConsoleDeps, type ConsoleRoute, type Visit } from './console.ts';
import { attempt, parseFields } from './forms.ts';
import { refusedBy, showRequest } from './requests.ts';

const ask: ConsoleRoute = {
  method: 'post',
  path: '/requests/{id}/questions',
  sameAs: 'post /v1/requests/{id}/questions',
  who: 'member',
  handle: (visit, deps) => {
    const request = visit.params['id'] ?? '';
    const { to, text } = parseFields(askBody, {
      to: field(visit, 'to'),
      text: field(visit, 'text'),
    });
    return toldOn(visit, deps, (unit) => askQuestion(unit, { request, to, text }));
  },
};

const answer: ConsoleRoute = {
  method: 'post',
  path: '/requests/{id}/questions/{question}/answer',
  sameAs: 'post /v1/requests/{id}/questions/{question}/answer',
  who: 'member',
  handle: (visit, deps) => {
    const { id: request = '', question = '' } = visit.params;
    const { text } = parseFields(answerBody, { text: field(visit, 'text') });
    return toldOn(visit, deps, (unit) => answerQuestion(unit, { request, question, text }));
  },
};

/** Back to the request, or to it with why nothing changed. */
async function toldOn(
  visit: Visit,
  deps: ConsoleDeps,
  work: (unit: Unit) => Promise<AboutQuestion | Refusal>,
): Promise<Response> {
  const { id } = await visibleRequest(deps, visit.person, visit.params['id']);
  const told = await attempt(() => transact(deps, visit.call, work));
  if (!(told instanceof Refusal)) return redirect(`/requests/${id}`);
  return showRequest(visit, deps, refusedBy(told, visit), STATUS[told.code]);
}

export const questionPages = [ask, answer];
