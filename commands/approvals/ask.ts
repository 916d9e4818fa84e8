// Questions about a request: asked by whoever may decide it, answered by its agent or a human behind it. A question is
// no vote and never counts as one; answering gives nobody a vote either.
import { and, eq } from 'drizzle-orm';
import type { RequestRow } from '../../db/rows.ts';
import { request, vote } from '../../db/schema/index.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import {
  ADDRESSEES,
  askRuleOf,
  QUESTIONS_MAX,
  type Addressee,
  type Question,
} from '../../domain/question.ts';
import { Refusal } from '../../domain/refusal.ts';
import { partyOf, type Principal } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';
import { INELIGIBLE, whyNotTheirs } from './decide.ts';
import { alreadyDecided, expireLocked } from './request-ends.ts';
import { aboutRequest, endWith, lapseQuestions, lockRequest, withQuestions } from './requests.ts';

export interface Asking {
  request: string;
  to: Addressee;
  text: string;
}

/** A question, and the request as it is with it. */
export interface AboutQuestion {
  question: Question;
  request: RequestRow;
}

/** Asks. A returned refusal is an outcome: the expiry it found is kept. */
export async function askQuestion(unit: Unit, asking: Asking): Promise<AboutQuestion | Refusal> {
  const { principal } = unit.call;
  if (principal.kind !== 'person')
    throw new Refusal(
      'human_required',
      'Only a person who is signed in can ask: on the page of the request.',
    );
  const row = await lockRequest(unit, asking.request);
  const now = await unit.readClock();
  const why = await whyNotTheirs(unit, row, principal);
  if (why) throw new Refusal(why, INELIGIBLE[why]);
  const over = await whyOver(unit, row, now);
  if (over) return over;
  const [earlier] = await unit.sql
    .select()
    .from(vote)
    .where(and(eq(vote.request, row.id), eq(vote.person, principal.id)));
  if (earlier)
    throw new Refusal(
      'already_voted',
      'You have voted on this, and a vote stays: leave the question to somebody who has not.',
    );
  refuseUnlessAnswerable(row, asking.to);
  const { clock, answer_within_seconds: within } = askRuleOf(row.routes.map(({ rule }) => rule));
  const question: Question = {
    id: newId('question'),
    by: { person: principal.id, name: principal.name },
    to: asking.to,
    text: asking.text,
    state: 'open',
    asked_at: now,
    answer_by: addSeconds(now, within),
    closed_at: null,
    answer: null,
    clock,
    seen: false,
    told: false,
  };
  return ask(unit, row, question);
}

async function ask(unit: Unit, row: RequestRow, question: Question): Promise<AboutQuestion> {
  const until = endWith(row, [...row.questions, question]);
  // Nobody waits for an answer that could not be acted on.
  const bounded = { ...question, answer_by: earliest(question.answer_by, until) };
  const asked = await withQuestions(unit, row, [...row.questions, bounded]);
  unit.emit('question.asked', {
    ...aboutRequest(row),
    detail: {
      question: bounded.id,
      person: bounded.by.person,
      to: bounded.to,
      clock: bounded.clock,
      answer_by: bounded.answer_by,
      expires_at: asked.expiresAt,
    },
    private: { text: bounded.text },
  });
  return { question: bounded, request: asked };
}

async function whyOver(unit: Unit, row: RequestRow, now: string): Promise<Refusal | null> {
  if (row.state !== 'pending') throw await alreadyDecided(unit.sql, row);
  if (now < row.expiresAt) return null;
  await expireLocked(unit, row);
  return new Refusal(
    'request_expired',
    'This request expired without a decision: whoever asked can ask again.',
  );
}

/** Who can be asked about this request: an agent that can read it, and the people it names. */
export function addresseesOf({ requester, agent, involved }: RequestRow): Addressee[] {
  const there = {
    agent: requester.type === 'agent' && requester.id === agent,
    owner: involved.owners.length > 0,
    triggerer: involved.triggeredBy !== null,
  };
  return ADDRESSEES.filter((to) => there[to]);
}

function refuseUnlessAnswerable(row: RequestRow, to: Addressee): void {
  const there = addresseesOf(row);
  if (!there.includes(to))
    throw new Refusal(
      'question_refused',
      `Nobody could answer as ${to} here; there is: ${there.join(', ') || 'nobody'}.`,
    );
  if (row.questions.length >= QUESTIONS_MAX)
    throw new Refusal(
      'question_refused',
      `This was asked ${QUESTIONS_MAX} questions already: decide, or deny it with what has to be different.`,
    );
}

export interface Answering {
  request: string;
  question: string;
  text: string;
}

/** Answers. A returned refusal is an outcome: what it found to be over is kept. */
export async function answerQuestion(
  unit: Unit,
  { request: id, question: wanted, text }: Answering,
): Promise<AboutQuestion | Refusal> {
  const { principal } = unit.call;
  const row = await lockRequest(unit, id);
  const now = await unit.readClock();
  const question = row.questions.find((each) => each.id === wanted);
  if (!question) throw new Refusal('not_found', 'There is no such question.');
  if (!mayAnswer(principal, row, question))
    throw new Refusal('forbidden', 'This question is for somebody else: to says whom.');
  const over = await whyOver(unit, row, now);
  if (over) return over;
  if (question.state !== 'open' || !(now < question.answer_by)) {
    await lapseQuestions(unit, row, (each) => !(now < each.answer_by), 'no_answer');
    const state = question.state === 'open' ? 'lapsed' : question.state;
    return new Refusal('wrong_state', `This question is ${state}: nobody waits for an answer.`, {
      state,
    });
  }
  const by = partyOf(principal);
  const name = principal.kind === 'person' ? principal.name : (row.names.agent ?? by.id);
  const answered: Question = {
    ...question,
    state: 'answered',
    closed_at: now,
    answer: { by, name, text },
  };
  const moved = await withQuestions(unit, row, replaced(row.questions, answered));
  unit.emit('question.answered', {
    ...aboutRequest(row),
    detail: {
      question: answered.id,
      by: { type: by.type, id: by.id },
      expires_at: moved.expiresAt,
    },
    private: { text },
  });
  return { question: answered, request: moved };
}

const replaced = (questions: readonly Question[], by: Question): Question[] =>
  questions.map((each) => (each.id === by.id ? by : each));

/** Whether a question is for this caller to answer. */
export function mayAnswer(principal: Principal, row: RequestRow, { to }: Question): boolean {
  switch (to) {
    case 'agent':
      return principal.kind === 'agent' && principal.id === row.agent;
    case 'owner':
      return principal.kind === 'person' && row.involved.owners.includes(principal.id);
    case 'triggerer':
      return principal.kind === 'person' && row.involved.triggeredBy === principal.id;
  }
}

/** Closes the questions that nobody answered in time. */
export async function lapseUnanswered(unit: Unit, id: string): Promise<void> {
  const row = await lockRequest(unit, id);
  const now = await unit.readClock();
  if (row.state === 'pending')
    await lapseQuestions(unit, row, (each) => !(now < each.answer_by), 'no_answer');
}

/** Questions that wait for the agent. */
export const waitsForAgent = ({ questions }: RequestRow): Question[] =>
  questions.filter(({ state, to }) => state === 'open' && to === 'agent');

/** Remembers that the agent has read what it was asked: each question ends its waiting once. */
export const noteSeen = (unit: Unit, id: string): Promise<void> =>
  mark(unit, id, (each) => (each.to === 'agent' ? { ...each, seen: true } : each));

/** Remembers that word of a question went out. */
export const noteTold = (unit: Unit, id: string, question: string): Promise<void> =>
  mark(unit, id, (each) => (each.id === question ? { ...each, told: true } : each));

async function mark(unit: Unit, id: string, change: (each: Question) => Question): Promise<void> {
  const row = await lockRequest(unit, id);
  const questions = row.questions.map(change);
  await unit.sql.update(request).set({ questions }).where(eq(request.id, row.id));
}
