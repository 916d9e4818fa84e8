// Handing work on: an agent makes a token for one other agent under one of its tasks, and that agent exchanges it
// for one of its own (RFC 8693). Nothing that is handed on is wider, or lasts longer, than what it comes from.
import type { AgentRow, TaskRow } from '../../db/rows.ts';
import type { Action } from '../../domain/action.ts';
import { areRolesWithin, CHAIN_LENGTH_MAX, whyNoLink } from '../../domain/delegation.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { recordEvaluation } from '../approvals/requests.ts';
import { lockRunningTask } from '../credentials/credentials.ts';
import { takeStatusPlace, type StatusPlace } from '../credentials/token-status.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { evaluateAction } from '../policy/questions.ts';
import { useUp, type Proof, type Standing } from '../sign-in/agent-sign-in.ts';
import type { Unit } from '../unit.ts';
import { findAgent } from './agents.ts';
import { lockActiveAgent, lockActiveChain, lockRunningParent, partiesOf } from './tasks.ts';

/** How long a token waits to be exchanged, and how long what it is exchanged for starts tasks. */
const DELEGATION_SECONDS_MAX = 900;

/** What is signed into a token of a chain. */
export interface ChainToken {
  chain: Id<'agent'>[];
  task: Id<'task'>;
  roles: string[] | null;
  standing: Standing;
  /** Since when what it stands on has been shown. */
  signedInAt: string;
  expiresAt: string;
  status: StatusPlace;
}

export interface Handover {
  task: string;
  /** The agent that hands on, and what its own token stands on. */
  agent: Id<'agent'>;
  standing: Standing;
  signedInAt: string;
  /** The agent that it hands on to. */
  to: string;
  /** Null hands on every role that the task has. */
  roles: string[] | null;
  ttlSeconds: number;
  tokenId: string;
}

/** Hands part of a task on to one other agent. Whether that may take it is asked when it does. */
export async function delegateTask(unit: Unit, order: Handover): Promise<ChainToken> {
  const from = await lockActiveAgent(unit, order.agent);
  const owner = await lockRunningTask(unit, order.task, from.id);
  await lockActiveChain(unit, owner.chain.slice(1));
  const to = await findAgent(unit.sql, order.to);
  if (to?.state !== 'active')
    throw new Refusal(
      'delegation_refused',
      'There is no active agent of this id to hand on to: admit it first.',
    );
  refuseBadLink(owner.chain, to.id);
  const roles = order.roles ?? owner.roles;
  if (!areRolesWithin(roles, owner.roles))
    throw new Refusal(
      'delegation_refused',
      `This task has the roles ${owner.roles?.join(', ') ?? ''}, and hands on no other: leave the rest out.`,
    );
  const expiresAt = until(unit, Math.min(order.ttlSeconds, DELEGATION_SECONDS_MAX), owner);
  unit.emit('task.delegated', {
    subject: owner.id,
    task: owner.id,
    agent: from.id,
    actor_chain: partiesOf(owner.chain),
    human: owner.triggeredBy,
    detail: { token_id: order.tokenId, to: to.id, roles, expires_at: expiresAt },
    private: {},
  });
  const token = {
    chain: owner.chain,
    task: owner.id,
    roles,
    standing: order.standing,
    signedInAt: order.signedInAt,
    expiresAt,
  };
  return { ...token, status: await placeFor(unit, order.tokenId, token) };
}

const until = (unit: Unit, seconds: number, { deadlineAt }: TaskRow): string =>
  earliest(addSeconds(unit.at, seconds), deadlineAt);

const placeFor = (
  unit: Unit,
  jti: string,
  { chain, standing, task: of, expiresAt }: Omit<ChainToken, 'status'>,
): Promise<StatusPlace> =>
  takeStatusPlace(unit, { jti, credential: null, agents: chain, standing, task: of, expiresAt });

function refuseBadLink(chain: readonly Id<'agent'>[], actor: string): void {
  const why = whyNoLink(chain, actor);
  if (why === 'cycle')
    throw new Refusal(
      'delegation_refused',
      'This agent is already in the chain, and would act for itself: hand on to another.',
    );
  if (why === 'too_deep')
    throw new Refusal(
      'delegation_refused',
      `A chain has at most ${CHAIN_LENGTH_MAX} agents, and this one is full: let the work be done by one that is in it.`,
    );
}

/** A token that was handed on, verified, with whoever now wants to act on it. */
export interface Exchange {
  actor: AgentRow;
  proof: Proof;
  subject: {
    jti: string;
    chain: Id<'agent'>[];
    task: Id<'task'>;
    roles: string[] | null;
    /** The only agent that may exchange it. */
    mayAct: string;
    expiresAt: string;
  };
  /** What is asked for; null is all that was handed on. */
  roles: string[] | null;
  tokenId: string;
}

export type Exchanged =
  | { outcome: 'exchanged'; token: ChainToken }
  | { outcome: 'replayed' }
  /** A refusal is an outcome: what was evaluated stays recorded, and the client's proof is used up. */
  | { outcome: 'refused'; says: string };

/** Exchanges what was handed on for a token of whoever it was handed to. */
export async function exchangeToken(
  unit: Unit,
  deps: Deps,
  exchange: Exchange,
): Promise<Exchanged> {
  const { proof } = exchange;
  if (proof.once && !(await useUp(unit, proof.once))) return { outcome: 'replayed' };
  try {
    return await exchangeProven(unit, deps, exchange);
  } catch (error) {
    if (error instanceof Refusal) return { outcome: 'refused', says: error.message };
    throw error;
  }
}

async function exchangeProven(
  unit: Unit,
  deps: Deps,
  { actor, proof, subject, roles, tokenId }: Exchange,
): Promise<Exchanged> {
  if (subject.mayAct !== actor.id)
    throw new Refusal(
      'delegation_refused',
      'This token was handed on to another agent: ask for one of your own.',
    );
  await lockActiveChain(unit, [actor.id, ...subject.chain]);
  const owner = await lockRunningParent(unit, subject.task);
  refuseBadLink(subject.chain, actor.id);
  const refused = await refusedAtGates(unit, deps, actor, subject.chain, owner);
  if (refused !== null) return { outcome: 'refused', says: refused };
  const once = { source: 'token-exchange', jti: subject.jti, expiresAt: subject.expiresAt };
  if (!(await useUp(unit, once)))
    throw new Refusal(
      'delegation_refused',
      'This token was already exchanged, and is good once: have the work handed on again.',
    );
  const chain = [actor.id, ...subject.chain];
  const token = {
    chain,
    task: owner.id,
    roles: roles ?? subject.roles,
    standing: proof.standing,
    signedInAt: unit.at,
    expiresAt: earliest(until(unit, DELEGATION_SECONDS_MAX, owner), subject.expiresAt),
  };
  unit.emit('token.exchanged', {
    subject: owner.id,
    task: owner.id,
    agent: actor.id,
    actor_chain: partiesOf(chain),
    human: owner.triggeredBy,
    detail: {
      token_id: tokenId,
      subject_token_id: subject.jti,
      roles: token.roles,
      expires_at: token.expiresAt,
    },
    private: {},
  });
  return {
    outcome: 'exchanged',
    token: { ...token, status: await placeFor(unit, tokenId, token) },
  };
}

/**
 * Both gates: may each agent so far be acted for by this one, and may this one act for the last? Says who was refused,
 * or null. A gate that waits for people cannot be waited for here, and is a no.
 */
async function refusedAtGates(
  unit: Unit,
  deps: Deps,
  actor: AgentRow,
  chain: readonly Id<'agent'>[],
  owner: TaskRow,
): Promise<string | null> {
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const [last] = chain;
  const gates = [
    ...chain.map((id) => gateOf('subject', id, actor.id, { actor, chain, owner })),
    ...(last === undefined ? [] : [gateOf('actor', actor.id, last, { actor, chain, owner })]),
  ];
  for (const gate of gates) {
    const says = await refusedAt(unit, bundle, gate);
    if (says !== null) return says;
  }
  return null;
}

async function refusedAt(unit: Unit, bundle: PolicyBundle, gate: Action): Promise<string | null> {
  const evaluation = await evaluateAction(unit.sql, bundle, gate);
  recordEvaluation(unit, gate, evaluation);
  if (evaluation.decision === 'permit') return null;
  const [why = 'no policy permits it'] = evaluation.says;
  const who =
    gate.parameters['gate'] === 'subject'
      ? `Policy does not let ${gate.subject.id} hand on to ${gate.resource.id}`
      : `Policy does not let ${gate.subject.id} act for ${gate.resource.id}`;
  return `${who}: ${evaluation.decision === 'hold' ? 'people would have to agree, which cannot be waited for here' : why}.`;
}

function gateOf(
  gate: 'subject' | 'actor',
  from: Id<'agent'>,
  to: Id<'agent'>,
  { actor, chain, owner }: { actor: AgentRow; chain: readonly Id<'agent'>[]; owner: TaskRow },
): Action {
  const asker = { type: 'agent' as const, id: from };
  return {
    subject: asker,
    actor_chain: [asker],
    action: 'token:exchange',
    resource: { type: 'agent', id: to },
    parameters: {
      gate,
      depth: chain.length + 1,
      is_sub_agent: actor.parent !== null && chain.includes(actor.parent),
    },
    data_class: null,
    destination: null,
    context: { task: owner.id, purpose: owner.purpose },
  };
}
