// Who acts for whom: an agent with its sub-agents, and what was handed on from any of them.
import { inArray, or, sql, type SQL } from 'drizzle-orm';
import { agent, credential } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';

/** An agent and everything below it in the registry. */
const below = (head: Id<'agent'>): SQL => sql`(
  with recursive below(id) as (
    select ${head}::text collate "C"
    union select child.id from agent child join below on child.parent = below.id)
  select id from below)`;

/** The agents of a chain, from one agent downwards. */
export const agentsOfChain = (head: Id<'agent'>): SQL => inArray(agent.id, below(head));

/** Everything that was given in a chain: to its agents, and to whomever one of them handed work on. */
export const credentialsOfChain = (head: Id<'agent'>): SQL | undefined =>
  or(
    inArray(credential.agent, below(head)),
    sql`${credential.chain} && array${below(head)}::text[]`,
  );
