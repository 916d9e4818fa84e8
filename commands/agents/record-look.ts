// Writing down what targets said, and what that changes. A target that did not answer changes nothing of what is known
// about it: not seen is not gone.
import { and, count, eq, getTableColumns, sql, type SQL } from 'drizzle-orm';
import type { AgentRow, FoundRow, LookRow } from '../../db/rows.ts';
import { agent, credential, foundIdentity, person, targetLook } from '../../db/schema/index.ts';
import {
  changesOf,
  guessOwner,
  keyOf,
  risksOf,
  type Candidate,
  type Census,
  type Change,
  type Found,
  type Gap,
} from '../../domain/found-identity.ts';
import type { Id } from '../../domain/id.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

/** What one target said. */
export interface Look extends Omit<Census, 'found'> {
  target: string;
  at: string;
  /** A short, stable word for why it said nothing; null where it did. */
  code: string | null;
  /** What says that it was ours to ask; null where it was not asked. */
  claim: string | null;
  found: (Found & { around: string[] })[];
  /** When its observer last saw a login at work, by name. */
  usedAt: ReadonlyMap<string, string>;
}

/** What looking at one target came to. */
export interface Discovered {
  target: string;
  code: string | null;
  identities: number;
  found: number;
  changed: number;
  gone: number;
  unmanaged: number;
  leftOut: number;
  gaps: readonly Gap[];
}

/** Writes down what targets said, and what that changes. */
export async function recordLooks(unit: Unit, looks: readonly Look[]): Promise<Discovered[]> {
  const people = await unit.sql
    .select({ id: person.id, name: person.name, email: person.email })
    .from(person)
    .where(eq(person.state, 'active'));
  const summaries: Discovered[] = [];
  // In one order, so that two who look at once take turns and do not wait for one another.
  for (const look of looks.toSorted((a, b) => (a.target < b.target ? -1 : 1)))
    summaries.push(await recordLook(unit, look, people));
  return summaries;
}

interface Known {
  row: FoundRow;
  /** Of the agent that it was adopted as. */
  agentState: AgentRow['state'] | null;
}

interface Surroundings {
  people: Candidate<Id<'person'>>[];
  neighbours: Id<'person'>[];
  usedAt: ReadonlyMap<string, string>;
}

const SOMETHING_ELSE = { found: 0, changed: 0, gone: 0, leftOut: 0, gaps: [] };

async function recordLook(
  unit: Unit,
  look: Look,
  people: Candidate<Id<'person'>>[],
): Promise<Discovered> {
  const { target, code } = look;
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`discovery/${target}`}, 0))`,
  );
  if (look.claim === null)
    return { target, code, ...SOMETHING_ELSE, ...(await countsAt(unit, target)) };
  if (code !== null) await recordSilence(unit, look, code);
  const differences = code === null ? await recordCensus(unit, look, people) : SOMETHING_ELSE;
  return { target, code, ...differences, ...(await countsAt(unit, target)) };
}

/** What is known of the target stays as it is. */
async function recordSilence(unit: Unit, { target, at, claim }: Look, code: string): Promise<void> {
  const row = await endAsking(unit, target, claim, { askedAt: at, code });
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('target.discovery_failed', {
    subject: target,
    detail: { target, code, answered_at: row?.answeredAt ?? null, by: { type, id } },
    private: {},
  });
}

/** Lets others ask again. Who asks since our time was over keeps the target to themselves. */
async function endAsking(
  unit: Unit,
  target: string,
  claim: string | null,
  set: Partial<LookRow>,
): Promise<LookRow | undefined> {
  const [row] = await unit.sql
    .update(targetLook)
    .set({
      ...set,
      askingUntil: sql`nullif(${targetLook.askingUntil}, ${claim}::timestamptz)`,
    })
    .where(eq(targetLook.target, target))
    .returning();
  return row;
}

type Differences = Pick<Discovered, 'found' | 'changed' | 'gone' | 'leftOut' | 'gaps'>;

async function recordCensus(
  unit: Unit,
  look: Look,
  people: Candidate<Id<'person'>>[],
): Promise<Differences> {
  const { target, at, leftOut, gaps } = look;
  const known = await knownAt(unit, target);
  // Somebody who looked after us was here before us: what we saw is older than what is written.
  if ([...known.values()].some(({ row }) => row.lastSeenAt > at)) {
    await endAsking(unit, target, look.claim, {});
    return SOMETHING_ELSE;
  }
  const around = { people, neighbours: await ownersAt(unit, target), usedAt: look.usedAt };
  const kept = look.found.map((each) => judge(look, each, known.get(keyOf(each)), around));
  await keepRows(
    unit,
    kept.map(({ row }) => row),
  );
  for (const each of kept) emitDifference(unit, each);
  const differences = {
    found: kept.filter(({ because }) => because !== null).length,
    changed: kept.filter(({ because, changes }) => because === null && changes.length > 0).length,
    gone: await markGone(unit, look, known),
  };
  const identities = look.found.length;
  await endAsking(unit, target, look.claim, {
    ...differences,
    ...{ identities, leftOut, gaps, code: null, askedAt: at, answeredAt: at },
  });
  const { type, id } = partyOf(unit.call.principal);
  unit.emit('target.discovered', {
    subject: target,
    detail: {
      ...{ target, identities, ...differences },
      left_out: leftOut,
      gaps: gaps.map(({ kind, code }) => `${kind} ${code}`),
      by: { type, id },
    },
    private: {},
  });
  return { ...differences, leftOut, gaps };
}

async function knownAt(unit: Unit, target: string): Promise<Map<string, Known>> {
  const rows = await unit.sql
    .select({ row: foundIdentity, agentState: agent.state })
    .from(foundIdentity)
    .leftJoin(agent, eq(agent.id, foundIdentity.agent))
    .where(eq(foundIdentity.target, target))
    .for('update', { of: foundIdentity });
  return new Map(rows.map((each) => [keyOf(each.row), each]));
}

/** People whose agents use the target. */
async function ownersAt(unit: Unit, target: string): Promise<Id<'person'>[]> {
  const rows = await unit.sql
    .selectDistinct({ owner: agent.owner })
    .from(credential)
    .innerJoin(agent, eq(agent.id, credential.agent))
    .where(and(eq(credential.target, target), eq(agent.state, 'active')));
  return rows.map(({ owner }) => owner);
}

/** Why an identity needs somebody's decision, anew or for the first time; null where it does not. */
type Because = 'new' | 'back' | 'remade' | 'abandoned' | 'riskier';

function whyDecide(
  known: Known | undefined,
  reference: string,
  against: readonly string[],
): Because | null {
  if (!known) return 'new';
  const { row, agentState } = known;
  if (row.state === 'gone') return 'back';
  // Another one has the name now: what was decided was not about this one.
  if (row.reference !== reference) return 'remade';
  if (row.state === 'adopted' && (agentState === 'rejected' || agentState === 'retired'))
    return 'abandoned';
  if (row.state === 'ignored' && against.some((each) => !row.accepted.includes(each)))
    return 'riskier';
  return null;
}

const DECIDED_NOTHING = {
  state: 'unmanaged',
  agent: null,
  decidedBy: null,
  decidedAt: null,
  reason: null,
  accepted: [],
} satisfies Partial<FoundRow>;

/** Everything that speaks against leaving it as it is. */
export const against = ({ risks, around }: Pick<FoundRow, 'risks' | 'around'>): string[] => [
  ...risks,
  ...around.map((control) => `around ${control}`),
];

interface Kept {
  row: FoundRow;
  because: Because | null;
  changes: Change[];
}

/** What an identity is from now on, and what about it is different. */
function judge(
  look: Look,
  { name, kind, reference, facts, around }: Look['found'][number],
  known: Known | undefined,
  { people, neighbours, usedAt }: Surroundings,
): Kept {
  const before = known?.row;
  const isSame = before?.reference === reference && before.state !== 'gone';
  const firstSeenAt = isSame ? before.firstSeenAt : look.at;
  const used = latest(
    facts.isConnected || (isSame && hasBeenUsed(before.facts.uses, facts.uses)) ? look.at : null,
    facts.usedAt,
    // Names outlive logins: what was seen before this one came was another's.
    before && !isSame ? null : (usedAt.get(name) ?? null),
    isSame ? before.usedAt : null,
  );
  const risks = risksOf({ kind, facts }, { usedAt: used, firstSeenAt, around, now: look.at });
  const because = whyDecide(known, reference, against({ risks, around }));
  const changes = isSame ? changesOf(before, { facts, risks, around }) : [];
  const difference = isSame ? (changes.length > 0 ? 'changed' : null) : 'new';
  const guess = guessOwner({ name, comment: facts.comment }, people, neighbours);
  const row: FoundRow = {
    ...(before ?? { ...DECIDED_NOTHING, id: newId('foundIdentity') }),
    ...{ target: look.target, name, kind, reference, facts, risks, around, firstSeenAt },
    lastSeenAt: look.at,
    usedAt: used,
    difference: difference ?? before?.difference ?? 'new',
    differentAt: difference === null ? (before?.differentAt ?? look.at) : look.at,
    changes: difference === null ? (before?.changes ?? []) : changes,
    guessedOwner: guess?.person ?? null,
    guessedBecause: guess?.because ?? null,
    ...(because !== null && DECIDED_NOTHING),
  };
  return { row, because, changes };
}

/** A count that began anew, with its server, began at nothing. */
const hasBeenUsed = (before: number | null, now: number | null): boolean =>
  now !== null && now > 0 && before !== null && now !== before;

/** Rows of one statement: PostgreSQL takes no more than 65,535 values in one. */
const PORTION = 500;

async function keepRows(unit: Unit, rows: readonly FoundRow[]): Promise<void> {
  for (let from = 0; from < rows.length; from += PORTION)
    await unit.sql
      .insert(foundIdentity)
      .values(rows.slice(from, from + PORTION))
      .onConflictDoUpdate({ target: foundIdentity.id, set: AS_GIVEN });
}

/** Every column as the statement has it for the row in question. */
const AS_GIVEN: Record<string, SQL> = Object.fromEntries(
  Object.entries(getTableColumns(foundIdentity)).map(([key, { name }]) => [
    key,
    sql.raw(`excluded."${name}"`),
  ]),
);

/** One that needs somebody's decision, or is not what it was, is an event. */
function emitDifference(unit: Unit, { row, because, changes }: Kept): void {
  const { id, target, kind, name, risks, around } = row;
  if (because !== null)
    unit.emit('identity.found', {
      subject: id,
      detail: { found: id, target, kind, because, risks, around },
      private: { name },
    });
  else if (changes.length > 0)
    unit.emit('identity.changed', {
      subject: id,
      detail: { found: id, target, kind, changes, risks, around },
      private: { name },
    });
}

const latest = (...times: (string | null)[]): string | null =>
  times
    .filter((time) => time !== null)
    .toSorted()
    .at(-1) ?? null;

/** Of kinds that the target did not list, and in a list that was cut, nobody can say that one is gone. */
async function markGone(
  unit: Unit,
  look: Look,
  known: ReadonlyMap<string, Known>,
): Promise<number> {
  if (look.leftOut > 0) return 0;
  const there = new Set(look.found.map(keyOf));
  const untold = new Set(look.gaps.map(({ kind }) => kind));
  const gone = [...known.values()].filter(
    ({ row }) => row.state !== 'gone' && !there.has(keyOf(row)) && !untold.has(row.kind),
  );
  for (const { row } of gone) {
    await unit.sql
      .update(foundIdentity)
      .set({ state: 'gone', difference: 'gone', differentAt: look.at, changes: [] })
      .where(eq(foundIdentity.id, row.id));
    unit.emit('identity.gone', {
      subject: row.id,
      agent: row.agent,
      detail: { found: row.id, target: row.target },
      private: { name: row.name },
    });
  }
  return gone.length;
}

async function countsAt(
  unit: Unit,
  target: string,
): Promise<Pick<Discovered, 'identities' | 'unmanaged'>> {
  const rows = await unit.sql
    .select({ state: foundIdentity.state, number: count() })
    .from(foundIdentity)
    .where(eq(foundIdentity.target, target))
    .groupBy(foundIdentity.state);
  const there = rows.filter(({ state }) => state !== 'gone');
  return {
    identities: there.reduce((sum, { number }) => sum + number, 0),
    unmanaged: there.find(({ state }) => state === 'unmanaged')?.number ?? 0,
  };
}
