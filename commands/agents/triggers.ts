// What set a task off: a person's own word, an event that a configured source signed, or only what the agent says.
import { asc, eq, gt } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { TaskRow, TriggerSourceRow } from '../../db/rows.ts';
import { triggerSource, usedAssertion } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { namedSource, readTriggerEvent } from '../../keys/trigger-event.ts';
import type { Deps } from '../deps.ts';
import { partyOf, type OnBehalf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

/** A person's word that they set off a task of one agent: our own token, good once and for minutes. */
export const TRIGGER_PROOF = 'trigger+jwt';
export const TRIGGER_PROOF_SECONDS = 300;

interface Said {
  triggered_by?: string | undefined;
  trigger_proof?: string | undefined;
}

interface Shown {
  /** Whether it is shown that `triggered_by`, or an event without anybody, set the task off. */
  proven: boolean;
  /** The signed event, where there is one. */
  trigger: TaskRow['trigger'];
}

/** What a task's trigger_proof shows. One that shows something else than what is said is refused. */
export async function readTrigger(
  unit: Unit,
  deps: Deps,
  agent: Id<'agent'>,
  said: Said,
): Promise<Shown> {
  const { trigger_proof: proof } = said;
  if (proof === undefined) return { proven: false, trigger: null };
  const source = namedSource(proof);
  return source === null
    ? readWord(unit, deps, agent, said.triggered_by, proof)
    : readEvent(unit, agent, said.triggered_by, proof, source);
}

async function readWord(
  unit: Unit,
  deps: Deps,
  agent: Id<'agent'>,
  triggeredBy: string | undefined,
  proof: string,
): Promise<Shown> {
  const { issuer } = unit.installation;
  const claims = await deps.tokens.verify(proof, TRIGGER_PROOF, issuer, agent);
  const { sub, jti, exp } = claims ?? {};
  if (sub === undefined || sub !== triggeredBy || jti === undefined || exp === undefined)
    throw new Refusal(
      'trigger_unproven',
      'This trigger_proof does not show that triggered_by set off a task of this agent.',
    );
  await useOnce(unit, agent, jti, exp);
  return { proven: true, trigger: null };
}

async function readEvent(
  unit: Unit,
  agent: Id<'agent'>,
  triggeredBy: string | undefined,
  proof: string,
  named: string,
): Promise<Shown> {
  const [source] = await unit.sql
    .select()
    .from(triggerSource)
    .where(eq(triggerSource.id, asSourceId(named)));
  const event = source && readTriggerEvent(proof, source.id, source.jwk, agent);
  if (!event)
    throw new Refusal(
      'trigger_unproven',
      'This trigger_proof is no event that a known source signed for this agent in the last five minutes.',
    );
  const { human } = event;
  if (human !== undefined && human !== triggeredBy)
    throw new Refusal(
      'trigger_unproven',
      'This event names another human than triggered_by: send the one it names.',
    );
  await useOnce(unit, agent, `${source.id}/${event.jti}`, event.exp);
  return {
    // An event that names nobody says nothing about whoever the agent names.
    proven: human === triggeredBy,
    trigger: { source: source.id, ...event.event },
  };
}

/** The one task that a token on behalf of a person starts. */
export async function useWord(unit: Unit, { tokenId, expiresAt }: OnBehalf): Promise<void> {
  if (!(await isFirstUse(unit, 'on-behalf', tokenId, expiresAt)))
    throw new Refusal(
      'trigger_unproven',
      'This token already started its task: exchange another token of the person for another one.',
    );
}

async function useOnce(unit: Unit, agent: Id<'agent'>, jti: string, exp: number): Promise<void> {
  if (!(await isFirstUse(unit, agent, jti, new Date(exp * 1000).toISOString())))
    throw new Refusal('trigger_unproven', 'This trigger_proof was already used: get a new one.');
}

async function isFirstUse(
  unit: Unit,
  source: string,
  jti: string,
  expiresAt: string,
): Promise<boolean> {
  const [fresh] = await unit.sql
    .insert(usedAssertion)
    .values({ source, jti, expiresAt })
    .onConflictDoNothing()
    .returning();
  return fresh !== undefined;
}

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

/** Adds a source whose signed events are believed. */
export async function addTriggerSource(
  unit: Unit,
  name: string,
  key: PublicKey,
): Promise<TriggerSourceRow> {
  const by = byWhom(unit);
  const row: TriggerSourceRow = {
    id: newId('triggerSource'),
    name,
    jwk: key.jwk,
    thumbprint: key.thumbprint,
    createdBy: by,
    createdAt: unit.at,
  };
  await unit.sql.insert(triggerSource).values(row);
  unit.emit('trigger.source_added', {
    subject: row.id,
    detail: { source: row.id, thumbprint: row.thumbprint, by },
    private: { name },
  });
  return row;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asSourceId = (id: string): Id<'triggerSource'> => id as Id<'triggerSource'>;

export const listTriggerSources = (
  query: Query,
  after: string | null,
  limit: number,
): Promise<TriggerSourceRow[]> =>
  query
    .select()
    .from(triggerSource)
    .where(after === null ? undefined : gt(triggerSource.id, asSourceId(after)))
    .orderBy(asc(triggerSource.id))
    .limit(limit);

export async function removeTriggerSource(unit: Unit, id: string): Promise<void> {
  const [gone] = await unit.sql
    .delete(triggerSource)
    .where(eq(triggerSource.id, asSourceId(id)))
    .returning();
  if (!gone) throw new Refusal('not_found', 'There is no such source.');
  unit.emit('trigger.source_removed', {
    subject: gone.id,
    detail: { source: gone.id, by: byWhom(unit) },
    private: {},
  });
}
