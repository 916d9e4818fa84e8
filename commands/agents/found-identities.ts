// What people decide about identities that were found: somebody answers for one from now on, or it stays as it is.
import { and, asc, eq, gt, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { AgentRow, FoundRow } from '../../db/rows.ts';
import {
  agent,
  foundIdentity,
  person,
  targetLook,
  type FOUND_STATES,
} from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { Deps } from '../deps.ts';
import { partyOf } from '../principal.ts';
import { registerJoining } from '../sign-in/join.ts';
import type { Unit } from '../unit.ts';
import { registerAgent, type Registration } from './agents.ts';
import { against } from './record-look.ts';

/** An identity with the names of whoever it leads to. */
export interface FoundRead {
  row: FoundRow;
  guessedName: string | null;
  agentName: string | null;
  agentState: AgentRow['state'] | null;
}

const reading = (query: Query | Transaction) =>
  query
    .select({
      row: foundIdentity,
      guessedName: person.name,
      agentName: agent.name,
      agentState: agent.state,
    })
    .from(foundIdentity)
    .leftJoin(person, eq(person.id, foundIdentity.guessedOwner))
    .leftJoin(agent, eq(agent.id, foundIdentity.agent));

export async function readFound(
  query: Query | Transaction,
  wanted: {
    target?: string | undefined;
    state?: (typeof FOUND_STATES)[number] | undefined;
    /** Only what was new, changed or gone when its target was last asked. */
    isDifferent?: boolean;
  },
  after: string | null,
  limit: number,
): Promise<FoundRead[]> {
  return reading(query)
    .where(
      and(
        wanted.target === undefined ? undefined : eq(foundIdentity.target, wanted.target),
        wanted.state === undefined ? undefined : eq(foundIdentity.state, wanted.state),
        wanted.isDifferent === true ? isDifferentSinceLastLook : undefined,
        after === null ? undefined : gt(foundIdentity.id, asFoundId(after)),
      ),
    )
    .orderBy(asc(foundIdentity.id))
    .limit(limit);
}

const isDifferentSinceLastLook = sql`exists (select from ${targetLook}
  where ${targetLook.target} = ${foundIdentity.target}
    and ${targetLook.answeredAt} = ${foundIdentity.differentAt})`;

export async function findFound(query: Query | Transaction, id: string): Promise<FoundRead | null> {
  const [read] = await reading(query).where(eq(foundIdentity.id, asFoundId(id)));
  return read ?? null;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asFoundId = (id: string): Id<'foundIdentity'> => id as Id<'foundIdentity'>;

async function lockFound(unit: Unit, id: string): Promise<FoundRow> {
  const [row] = await unit.sql
    .select()
    .from(foundIdentity)
    .where(eq(foundIdentity.id, asFoundId(id)))
    .for('update');
  if (!row) throw new Refusal('not_found', 'There is no such identity.');
  return row;
}

function refuseDecided(row: FoundRow, states: readonly FoundRow['state'][]): void {
  if (!states.includes(row.state))
    throw new Refusal(
      'wrong_state',
      `This identity is ${row.state}: this takes one that is ${states.join(' or ')}.`,
      { state: row.state },
    );
}

/** What we ourselves work through is nobody's to take over. */
export const isOurs = ({ facts }: Pick<FoundRow, 'facts'>): boolean =>
  facts.serves === 'issuer' || facts.serves === 'observer';

function refuseServants(row: FoundRow): void {
  if (isOurs(row))
    throw new Refusal(
      'wrong_state',
      'Countersign itself works through this identity, so no agent takes over from it.',
      { state: row.state },
    );
}

type Adoption = Omit<Registration, 'joinUntil'>;
type Joining = Exclude<Awaited<ReturnType<typeof registerJoining>>, Refusal>;

/** Registers the agent that takes over. It is admitted like any other; the login in the target is left as it is. */
export async function adoptIdentity(
  unit: Unit,
  deps: Deps,
  id: string,
  registration: Adoption,
  /** How long its join token is good; null where it has its key already. */
  joinSeconds: number | null,
): Promise<{ agent: AgentRow; joining: Joining | null } | Refusal> {
  const row = await lockFound(unit, id);
  refuseDecided(row, ['unmanaged', 'ignored']);
  refuseServants(row);
  const made =
    joinSeconds === null
      ? await registerAgent(unit, deps, { ...registration, joinUntil: null })
      : await registerJoining(unit, deps, registration, joinSeconds);
  if (made instanceof Refusal) return made;
  const joining = 'token' in made ? made : null;
  const adopted = 'token' in made ? made.agent : made;
  const by = partyOf(unit.call.principal);
  await unit.sql
    .update(foundIdentity)
    .set({
      state: 'adopted',
      agent: adopted.id,
      decidedBy: by,
      decidedAt: unit.at,
      reason: null,
      accepted: [],
    })
    .where(eq(foundIdentity.id, row.id));
  unit.emit('identity.adopted', {
    subject: row.id,
    agent: adopted.id,
    detail: { found: row.id, target: row.target, agent: adopted.id, by: { ...by } },
    private: { name: row.name },
  });
  return { agent: adopted, joining };
}

/** Leaves it as it is, with what is known against it now; more than that asks again. */
export async function ignoreIdentity(unit: Unit, id: string, reason: string): Promise<void> {
  const row = await lockFound(unit, id);
  refuseDecided(row, ['unmanaged']);
  const by = partyOf(unit.call.principal);
  await unit.sql
    .update(foundIdentity)
    .set({
      state: 'ignored',
      decidedBy: by,
      decidedAt: unit.at,
      reason,
      accepted: against(row),
    })
    .where(eq(foundIdentity.id, row.id));
  unit.emit('identity.ignored', {
    subject: row.id,
    detail: { found: row.id, target: row.target, risks: row.risks, by: { ...by } },
    private: { name: row.name, reason },
  });
}
