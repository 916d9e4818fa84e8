// @spec AuthZEN-1.0#section-6
// May this subject do this to that resource? One question, or several in one call.
import { z } from 'zod';
import {
  answerQuestions,
  isStillTold,
  type Asked,
  type Decision,
  type Semantic,
} from '../../commands/authzen/ask.ts';
import { answerOnce, type Answer, type OnceKey } from '../../commands/once.ts';
import { transact, type Call, type Unit } from '../../commands/unit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { invalid } from '../body.ts';
import { asMembers } from '../json-body.ts';
import { defineRoute, ok, type ApiDeps, type Incoming } from '../route.ts';
import { refuseAsText, TEXT_ANSWERS } from './refuse.ts';
import { decision, evaluationBody, evaluationsBody, readItem, readTuple } from './shapes.ts';

const ABOUT = {
  tag: 'AuthZEN',
  allow: ['agent', 'service'],
  refusals: ['log_unavailable'],
  events: [
    'evaluation.decided',
    'permit.redeemed',
    'permit.refused',
    'permit.voided',
    'request.consumed',
    'request.failed',
  ],
  refuse: refuseAsText,
} as const;

const evaluation = defineRoute({
  ...ABOUT,
  method: 'post',
  path: '/access/v1/evaluation',
  summary: 'May this subject do this to that resource? (AuthZEN 1.0)',
  description:
    'A no is a 200 as well, with its `reason`. An agent asks about itself; about others asks whom policy names under `enforcement_points`. What is said of an entity that is known here is ignored.',
  body: evaluationBody,
  answers: { 200: { description: 'The decision', schema: decision }, ...TEXT_ANSWERS },
  handle: (incoming, deps) =>
    answer(incoming, deps, [{ tuple: readTuple(incoming.body) }], 'execute_all', ([only]) =>
      asBody(only),
    ),
});

const evaluations = defineRoute({
  ...ABOUT,
  method: 'post',
  path: '/access/v1/evaluations',
  summary: 'Several such questions at once, answered in their order',
  description:
    'What stands at the top level is the default of every question. `options.evaluations_semantic` is one of `execute_all`, `deny_on_first_deny` and `permit_on_first_permit`. Without `evaluations` this is one question.',
  body: evaluationsBody,
  answers: {
    200: {
      description: 'The decisions, as far as the semantic went',
      schema: z.union([z.object({ evaluations: z.array(decision) }), decision]),
    },
    ...TEXT_ANSWERS,
  },
  handle: (incoming, deps) => {
    const { evaluations: items = [], options } = incoming.body;
    if (items.length === 0) {
      const only = readItem(incoming.body, {});
      if ('mistake' in only) throw invalid(`The body is not what this takes: ${only.mistake}.`);
      return answer(incoming, deps, [only], 'execute_all', ([first]) => asBody(first));
    }
    return answer(
      incoming,
      deps,
      items.map((item) => readItem(incoming.body, item)),
      options?.evaluations_semantic ?? 'execute_all',
      (decisions) => ({ evaluations: decisions.map(asBody) }),
    );
  },
});

const asBody = (told: Decision | undefined): JsonObject => ({
  // What was not answered is a no.
  decision: told?.decision ?? false,
  context: told?.context ?? {},
});

const answer = (
  { call, once }: Pick<Incoming<unknown, unknown>, 'call' | 'once'>,
  deps: ApiDeps,
  asked: readonly Asked[],
  semantic: Semantic,
  write: (decisions: readonly Decision[]) => JsonObject,
) =>
  givenOnce(deps, call, once, asked, async (unit) =>
    ok(write(await answerQuestions(unit, deps, asked, semantic))),
  );

/** The same call again is answered the same; but a yes only as long as it is one, for nothing keeps a yes (I6). */
async function givenOnce(
  deps: ApiDeps,
  call: Call,
  once: OnceKey | null,
  asked: readonly Asked[],
  work: (unit: Unit) => Promise<Answer>,
): Promise<Answer | Refusal> {
  const given = await answerOnce(deps, call, once, work);
  if (given instanceof Refusal || given.replayed !== true) return given;
  const decisions = decisionsIn(asMembers(given.body));
  return transact(deps, call, async (unit) =>
    (await isStillTold(unit, deps, asked, decisions)) ? given : work(unit),
  );
}

function decisionsIn({ decision: only, evaluations: several }: JsonObject): boolean[] {
  if (!Array.isArray(several)) return [only === true];
  return several.map((each) => asMembers(each)['decision'] === true);
}

export const evaluationRoutes = [evaluation, evaluations];
