// An agent acting for a person: their token is exchanged for one of the agent's that says so, and starts one task.
import { and, eq } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { AgentRow } from '../../db/rows.ts';
import { person } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { lockActiveAgent, partiesOf } from '../agents/tasks.ts';
import { takeStatusPlace, type StatusPlace } from '../credentials/token-status.ts';
import { activeBundle, readActiveBundle, type PolicyCache } from '../policy/policies.ts';
import type { Unit } from '../unit.ts';
import { useUp, type Proof, type Standing } from './agent-sign-in.ts';
import type { GivenWord } from './foreign-people.ts';

/** How long what a word is exchanged for starts a task. */
const SECONDS_MAX = 900;

export interface PersonExchange {
  actor: AgentRow;
  proof: Proof;
  given: GivenWord;
  /** Null is no limit. */
  roles: string[] | null;
  tokenId: string;
}

/** What is signed into a token that an agent acts for a person with. */
export interface PersonToken {
  agent: Id<'agent'>;
  person: Id<'person'>;
  word: Digest;
  roles: string[] | null;
  standing: Standing;
  signedInAt: string;
  expiresAt: string;
  status: StatusPlace;
}

export type PersonExchanged =
  | { outcome: 'exchanged'; token: PersonToken }
  | { outcome: 'replayed' }
  /** A refusal is an outcome: the client's proof is used up. */
  | { outcome: 'refused'; says: string };

/** Exchanges the word of a person, which is good once, for a token of the agent that brings it. */
export async function exchangePersonsWord(
  unit: Unit,
  policies: PolicyCache,
  exchange: PersonExchange,
): Promise<PersonExchanged> {
  const { proof } = exchange;
  if (proof.once && !(await useUp(unit, proof.once))) return { outcome: 'replayed' };
  try {
    return { outcome: 'exchanged', token: await exchangeProven(unit, policies, exchange) };
  } catch (error) {
    if (error instanceof Refusal) return { outcome: 'refused', says: error.message };
    throw error;
  }
}

async function exchangeProven(
  unit: Unit,
  policies: PolicyCache,
  { actor, proof, given, roles, tokenId }: PersonExchange,
): Promise<PersonToken> {
  await lockActiveAgent(unit, actor.id);
  const { word, used } = given;
  const [who] = await unit.sql
    .select({ state: person.state })
    .from(person)
    .where(eq(person.id, word.person))
    .for('share');
  if (who?.state !== 'active')
    throw new Refusal(
      'forbidden',
      'The person of this token is nobody known and active here: have an administrator invite them under the address that it names.',
    );
  // The policy that it was judged by may be another one by now.
  const { federation } = await activeBundle(unit, policies, 'share');
  if (!federation.people.some(({ digest }) => digest === word.digest))
    throw new Refusal(
      'forbidden',
      'The policy no longer lets this agent act for this person: ask whoever keeps federation.yaml.',
    );
  if (!(await useUp(unit, used)))
    throw new Refusal(
      'forbidden',
      'This subject_token was already used, and is good once: get another one of the person.',
    );
  const expiresAt = earliest(addSeconds(unit.at, SECONDS_MAX), given.expiresAt);
  const token = {
    ...{ agent: actor.id, person: word.person, word: word.digest, roles },
    ...{ standing: proof.standing, signedInAt: unit.at, expiresAt },
  };
  unit.emit('token.exchanged_for_person', {
    subject: actor.id,
    agent: actor.id,
    actor_chain: partiesOf([actor.id]),
    human: word.person,
    detail: { token_id: tokenId, word: word.digest, roles, expires_at: expiresAt },
    private: { issuer: word.issuer, subject: word.subject },
  });
  const status = await takeStatusPlace(unit, {
    ...{ jti: tokenId, credential: null, agents: [actor.id], task: null },
    ...{ standing: proof.standing, expiresAt },
  });
  return { ...token, status };
}

/** Whether an agent may still act for a person by a word that was given: both are as they were, and so is policy. */
export async function isWordGood(
  query: Query,
  policies: PolicyCache,
  { agent, person: who, word }: { agent: AgentRow; person: string; word: string },
): Promise<boolean> {
  const { federation } = await readActiveBundle(query, policies);
  const isPolicy = federation.people.some(
    (each) => each.digest === word && each.person === who && each.agents.includes(agent.name),
  );
  if (!isPolicy) return false;
  const [row] = await query
    .select({ id: person.id })
    .from(person)
    .where(and(eq(person.id, who as Id<'person'>), eq(person.state, 'active')));
  return row !== undefined;
}
