// Judges the question of an enforcement point as things stand now: the same way when it is first asked, when its
// approval is used, and when policy changes underneath.
import type { EntityJson } from '@cedar-policy/cedar-wasm/nodejs';
import { and, eq } from 'drizzle-orm';
import { agent, person, task } from '../../db/schema/index.ts';
import { tupleOf, type Named, type Tuple } from '../../domain/access-tuple.ts';
import type { Action } from '../../domain/action.ts';
import type { Id } from '../../domain/id.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { ENGINE_REFUSED } from '../policy/engine.ts';
import { OWN_TYPES } from '../policy/entities.ts';
import { evaluate, type Evaluation } from '../policy/evaluate.ts';
import { addAgent, addPerson, type Reader } from '../policy/party-entities.ts';
import { resourceEntity } from '../policy/recorded-questions.ts';
import { sensorsFor } from '../record/sensors.ts';
import { NO_QUESTION, questionAbout, whyNotApplicable, type NoQuestion } from './question.ts';

/** How an action of ours is judged. */
type JudgeOwn = (tx: Reader, bundle: PolicyBundle, action: Action) => Promise<Evaluation>;

/** What only our own doors do. Asking about it here says what they would say, and opens none of them. */
const OWN_ACTIONS: ReadonlySet<string> = new Set([
  'credential:request',
  'statement:run',
  'http:call',
  'token:exchange',
  'agent:admit',
  'agent:add_key',
  'agent:change_owner',
  'policy:activate',
  'kill:lift',
]);

/** Whether an action is done by us, and so never by whoever asks about it. */
export const isOwnAction = (name: string): boolean => OWN_ACTIONS.has(name);

/** What the bundle says of a question. */
export async function evaluateAccess(
  tx: Reader,
  bundle: PolicyBundle,
  action: Action,
  judgeOwn: JudgeOwn,
): Promise<Evaluation> {
  const tuple = tupleOf(action);
  const refusal = whyNotApplicable(bundle, tuple);
  if (refusal) return denied(bundle, refusal);
  if (isOwnAction(tuple.action.name)) return evaluateOwn(tx, bundle, tuple, judgeOwn);
  const subject = await factsAbout(tx, bundle, tuple.subject);
  if (subject === 'unknown') return denied(bundle, 'unknown_subject');
  if (subject?.isActive === false) return denied(bundle, 'subject_not_active');
  const resource = await factsAbout(tx, bundle, tuple.resource);
  // Whether what it is done to is active is for the rules to say.
  if (resource === 'unknown') return denied(bundle, 'unknown_resource');
  const question = questionAbout(bundle, tuple, {
    subject: subject?.entities ?? null,
    resource: resource?.entities ?? null,
  });
  return typeof question === 'string'
    ? denied(bundle, question)
    : withoutEngineWords(evaluate(bundle, { ...question, ...(await sensorsFor(tx, bundle)) }));
}

interface Facts {
  entities: EntityJson[];
  isActive: boolean;
}

/** Facts from our own tables; null for what is not ours. */
async function factsAbout(
  tx: Reader,
  bundle: PolicyBundle,
  { type, id }: Named,
): Promise<Facts | null | 'unknown'> {
  if (!OWN_TYPES.has(type)) return null;
  const entities = new Map<string, EntityJson>();
  let state: string | null = null;
  if (type === 'Agent') {
    state = await stateOfAgent(tx, id);
    await addAgent(tx, entities, id);
  } else if (type === 'Person') {
    const [row] = await tx
      .select({ state: person.state })
      .from(person)
      .where(eq(person.id, asPersonId(id)));
    state = row?.state ?? null;
    await addPerson(tx, entities, id);
  }
  const found = [...entities.values(), ...resourceEntity(bundle, { type, id })];
  return found.length > 0 ? { entities: found, isActive: state === 'active' } : 'unknown';
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asPersonId = (id: string): Id<'person'> => id as Id<'person'>;

async function stateOfAgent(tx: Reader, id: string): Promise<string | null> {
  const [row] = await tx
    .select({ state: agent.state })
    .from(agent)
    .where(eq(agent.id, id as Id<'agent'>));
  return row?.state ?? null;
}

/** A role that an agent would ask for: with our facts of its task, or as under a task that says nothing of itself. */
async function evaluateOwn(
  tx: Reader,
  bundle: PolicyBundle,
  tuple: Tuple,
  judgeOwn: JudgeOwn,
): Promise<Evaluation> {
  const { subject, resource } = tuple;
  if (tuple.action.name !== 'credential:request') return denied(bundle, 'own_action');
  const state = await stateOfAgent(tx, subject.id);
  if (state !== 'active')
    return denied(bundle, state === null ? 'unknown_subject' : 'subject_not_active');
  const role = bundle.roles.get(resource.id);
  if (!role) return denied(bundle, 'unknown_resource');
  const under = await taskOf(tx, tuple);
  if (under === 'unknown_task') return denied(bundle, under);
  return judgeOwn(tx, bundle, {
    subject: { type: 'agent', id: subject.id },
    actor_chain: under?.chain.map((id) => ({ type: 'agent' as const, id })) ?? [],
    action: 'credential:request',
    resource: { type: 'role', id: resource.id },
    parameters: { ttl_seconds: role.ttl_seconds_default },
    data_class: role.data_class,
    destination: null,
    context: {
      purpose: under?.purpose ?? '',
      triggered_by_proof: under?.triggeredByProof ?? 'none',
    },
  });
}

/** The task that the properties of the action name; null where they name none. */
async function taskOf(tx: Reader, { subject, action }: Tuple) {
  const { task: named } = action.properties;
  if (named === undefined) return null;
  if (typeof named !== 'string') return 'unknown_task' as const;
  const [row] = await tx
    .select()
    .from(task)
    .where(
      and(
        eq(task.id, named as Id<'task'>),
        eq(task.agent, subject.id as Id<'agent'>),
        eq(task.state, 'running'),
      ),
    );
  return row ?? ('unknown_task' as const);
}

/** A denial that the engine was not needed for. */
const denied = (bundle: PolicyBundle, reason: NoQuestion): Evaluation => ({
  decision: 'deny',
  policyVersion: bundle.version,
  reasons: [reason],
  says: [NO_QUESTION[reason]],
  routes: [],
  controls: [],
  risk: null,
  observed: [],
  waived: [],
  unseen: [],
  asked: [],
});

/** What the engine says of a question that it refuses may quote the caller, and reasons are public. */
function withoutEngineWords(evaluation: Evaluation): Evaluation {
  const isRefused = evaluation.reasons.some((reason) => reason.startsWith(ENGINE_REFUSED));
  return isRefused
    ? {
        ...evaluation,
        reasons: ['properties_do_not_fit'],
        says: [NO_QUESTION.properties_do_not_fit],
      }
    : evaluation;
}
