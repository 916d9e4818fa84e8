// Looking for what exists in the targets and nobody registered here. Targets are asked first; what they say is then
// written in one transaction. A target that does not answer changes nothing: not seen is not gone.
import { and, count, eq, sql } from 'drizzle-orm';
import type { Query } from '../db/client.ts';
import type { AgentRow, FoundRow } from '../db/rows.ts';
import { agent, credential, foundIdentity, person } from '../db/schema/index.ts';
import { eventType } from '../domain/event.ts';
import {
  guessOwner,
  risksOf,
  UNSEEN_MS,
  type Candidate,
  type Found,
} from '../domain/found-identity.ts';
import { timeDigits, type Id } from '../domain/id.ts';
import { fromMs, toMs } from '../domain/instant.ts';
import { Refusal } from '../domain/refusal.ts';
import { targetOf, type RoleDefinition } from './access/kinds.ts';
import type { Deps } from './deps.ts';
import { TargetError } from './issuer.ts';
import { readActiveBundle } from './policies.ts';
import type { PolicyBundle } from './policy-bundle.ts';
import { controlsOver } from './policy-scope.ts';
import { partyOf } from './principal.ts';
import { databaseTime, newId, type Unit } from './unit.ts';

/** What one target said. */
export interface Look {
  target: string;
  at: string;
  /** A short, stable word for why it said nothing; null where it did. */
  code: string | null;
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
  gone: number;
  unmanaged: number;
}

/** Asks one target, or all that the active policy has. */
export async function lookForIdentities(deps: Deps, only: string | null): Promise<Look[]> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  if (only !== null && !bundle.targets.has(only))
    throw new Refusal('not_found', `The active policy has no target "${only}".`);
  const at = await databaseTime(deps.db.query);
  const targets = only === null ? [...bundle.targets.keys()] : [only];
  return Promise.all(targets.map((target) => lookAt(deps, bundle, target, at)));
}

async function lookAt(deps: Deps, bundle: PolicyBundle, target: string, at: string): Promise<Look> {
  const definition = bundle.targets.get(target) ?? null;
  const issuer = definition && deps.issuers[definition.issuer];
  if (!issuer?.discover) return { target, at, code: 'not_supported', ...NOTHING };
  try {
    const found = await issuer.discover({ name: target, definition }, rolesAt(bundle, target));
    const usedAt = await usesSeen(deps.db.query, target, at);
    return {
      target,
      at,
      code: null,
      found: found.map((each) => withControls(bundle, each)),
      usedAt,
    };
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    return { target, at, code: error.code, ...NOTHING };
  }
}

const NOTHING = { found: [], usedAt: new Map<string, string>() };

const rolesAt = (bundle: PolicyBundle, target: string): Map<string, RoleDefinition> =>
  new Map([...bundle.roles].filter(([, role]) => targetOf(role) === target));

/** The application that owns the data goes around nothing by doing its work. */
function withControls(bundle: PolicyBundle, found: Found): Found & { around: string[] } {
  const reaches = found.facts.serves === 'application' ? [] : found.facts.reaches;
  const around = new Set(reaches.flatMap((role) => controlsOver(bundle, role)));
  return { ...found, around: [...around].toSorted() };
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

async function recordLook(
  unit: Unit,
  look: Look,
  people: Candidate<Id<'person'>>[],
): Promise<Discovered> {
  const { target, code, at } = look;
  await unit.sql.execute(
    sql`select pg_advisory_xact_lock(hashtextextended(${`discovery/${target}`}, 0))`,
  );
  const known = await knownAt(unit, target);
  const isStale = [...known.values()].some(({ row }) => row.lastSeenAt > at);
  let found = 0;
  let gone = 0;
  // Somebody who looked after us was here before us: what we saw is older than what is written.
  if (code === null && !isStale) {
    const around = {
      people,
      neighbours: await ownersAt(unit, target),
      usedAt: look.usedAt,
    };
    for (const each of look.found) if (await keepFound(unit, look, each, known, around)) found += 1;
    gone = await markGone(unit, look, known);
    const { type, id } = partyOf(unit.call.principal);
    unit.emit('target.discovered', {
      subject: target,
      detail: { target, identities: look.found.length, found, gone, by: { type, id } },
      private: {},
    });
  }
  return { target, code, ...(await countsAt(unit, target)), found, gone };
}

const keyOf = ({ kind, name }: Pick<Found, 'kind' | 'name'>): string => `${kind} ${name}`;

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

/** When the target's observer last saw each login at work, as far back as it matters. */
async function usesSeen(query: Query, target: string, at: string): Promise<Map<string, string>> {
  const since = `evt_${timeDigits(toMs(at) - UNSEEN_MS)}`;
  const rows = await query.execute<{ login: string; ms: string }>(sql`
    select p.value #>> '{}' as login, floor(extract(epoch from max(e.time)) * 1000)::text as ms
    from event e join event_private p on p.event = e.id and p.field = 'login_name'
    where e.type = ${eventType('runtime.observed')} and e.id >= ${since}
      and p.value is not null and e.leaf::jsonb #>> '{data,detail,target}' = ${target}
    group by 1`);
  return new Map(rows.map(({ login, ms }) => [login, fromMs(Number(ms))]));
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

/** Whether it needs somebody's decision, which then is an event. */
async function keepFound(
  unit: Unit,
  look: Look,
  { name, kind, reference, facts, around }: Look['found'][number],
  known: ReadonlyMap<string, Known>,
  { people, neighbours, usedAt }: Surroundings,
): Promise<boolean> {
  const before = known.get(keyOf({ kind, name }));
  const isSame = before?.row.reference === reference && before.row.state !== 'gone';
  const firstSeenAt = isSame ? before.row.firstSeenAt : look.at;
  const used = latest(
    facts.isConnected ? look.at : null,
    // Names outlive logins: what was seen before this one came was another's.
    before && !isSame ? null : (usedAt.get(name) ?? null),
    isSame ? before.row.usedAt : null,
  );
  const risks = risksOf(facts, { usedAt: used, firstSeenAt, around, now: look.at });
  const because = whyDecide(before, reference, against({ risks, around }));
  const guess = guessOwner({ name, comment: facts.comment }, people, neighbours);
  const seen = {
    reference,
    facts,
    risks,
    around,
    firstSeenAt,
    lastSeenAt: look.at,
    usedAt: used,
    guessedOwner: guess?.person ?? null,
    guessedBecause: guess?.because ?? null,
    ...(because !== null && DECIDED_NOTHING),
  };
  const id = before?.row.id ?? newId('foundIdentity');
  if (before) await unit.sql.update(foundIdentity).set(seen).where(eq(foundIdentity.id, id));
  else
    await unit.sql
      .insert(foundIdentity)
      .values({ ...DECIDED_NOTHING, ...seen, id, target: look.target, name, kind });
  if (because === null) return false;
  unit.emit('identity.found', {
    subject: id,
    detail: { found: id, target: look.target, kind, because, risks, around },
    private: { name },
  });
  return true;
}

const latest = (...times: (string | null)[]): string | null =>
  times
    .filter((time) => time !== null)
    .toSorted()
    .at(-1) ?? null;

async function markGone(
  unit: Unit,
  look: Look,
  known: ReadonlyMap<string, Known>,
): Promise<number> {
  const there = new Set(look.found.map(keyOf));
  const gone = [...known.values()].filter(
    ({ row }) => row.state !== 'gone' && !there.has(keyOf(row)),
  );
  for (const { row } of gone) {
    await unit.sql.update(foundIdentity).set({ state: 'gone' }).where(eq(foundIdentity.id, row.id));
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
