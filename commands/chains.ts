// Who acts for whom: an agent with everything that was delegated to others on its behalf.
import { eq, type SQL } from 'drizzle-orm';
import { agent, credential } from '../db/schema/index.ts';
import type { Id } from '../domain/id.ts';

/** The agents of a chain, from one agent downwards. */
export const agentsOfChain = (head: Id<'agent'>): SQL | undefined => eq(agent.id, head);

/** Everything that was given in a chain, to whomever. */
export const credentialsOfChain = (head: Id<'agent'>): SQL | undefined =>
  eq(credential.agent, head);
