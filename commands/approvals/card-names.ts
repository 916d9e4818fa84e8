// The names on a card, as they are when a request is opened.
import { eq, inArray } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import type { AgentRow } from '../../db/rows.ts';
import { agent, person } from '../../db/schema/index.ts';
import type { Action, Party } from '../../domain/action.ts';
import type { CardNames } from '../../domain/card.ts';
import type { Id } from '../../domain/id.ts';

interface Named {
  action: Action;
  agent: AgentRow | null;
  task: { triggeredBy: Id<'person'> | null; proof: string } | null;
}

/** Whom the card of a new request names. */
export async function namesOf(tx: Transaction, asked: Named, requester: Party): Promise<CardNames> {
  const ids = [asked.agent?.owner, asked.task?.triggeredBy, requester.id].filter(
    (id): id is Id<'person'> => typeof id === 'string' && id.startsWith('psn_'),
  );
  const rows = await tx
    .select({ id: person.id, name: person.name })
    .from(person)
    .where(inArray(person.id, ids));
  const name = (id: string | null | undefined): string | null =>
    rows.find((row) => row.id === id)?.name ?? null;
  return {
    agent: asked.agent?.name ?? null,
    owner: name(asked.agent?.owner),
    team: asked.agent?.team ?? null,
    requester:
      requester.type === 'agent'
        ? await nameOfAgent(tx, asked, requester.id)
        : (name(requester.id) ?? requester.id),
    triggeredBy: asked.task?.triggeredBy
      ? `${name(asked.task.triggeredBy) ?? asked.task.triggeredBy} (${asked.task.proof})`
      : null,
    actingFor: await namesBehind(tx, asked.action),
  };
}

/** Whoever asks need not be whom it is about: an enforcement point asks about others. */
async function nameOfAgent(tx: Transaction, asked: Named, id: string): Promise<string> {
  if (asked.agent?.id === id) return asked.agent.name;
  const [row] = await tx
    .select({ name: agent.name })
    .from(agent)
    .where(eq(agent.id, id as Id<'agent'>));
  return row?.name ?? id;
}

/** Everybody in the chain behind whoever asks, with who owns them. */
async function namesBehind(
  tx: Transaction,
  { actor_chain: chain }: Action,
): Promise<string | null> {
  const behind = chain.slice(1).map(({ id }) => id);
  if (behind.length === 0) return null;
  const rows = await tx
    .select({ id: agent.id, name: agent.name, owner: person.name })
    .from(agent)
    .innerJoin(person, eq(agent.owner, person.id))
    .where(inArray(agent.id, behind as Id<'agent'>[]));
  return behind
    .map((id) => {
      const row = rows.find((each) => each.id === id);
      return row ? `${row.name} (owned by ${row.owner})` : id;
    })
    .join(', for ');
}
