// Looking for what exists in the targets and nobody registered here: whoever asks, and as often as the policy says.
// One asks a target at a time; what it says is then written in one transaction.
import { eq, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { LookRow } from '../../db/rows.ts';
import { targetLook } from '../../db/schema/index.ts';
import { eventType } from '../../domain/event.ts';
import { UNSEEN_MS } from '../../domain/found-identity.ts';
import { timeDigits } from '../../domain/id.ts';
import { addSeconds, earliest, fromMs, toMs } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { targetOf, type RoleDefinition, type TargetDefinition } from '../access/kinds.ts';
import { TargetError, type Issuer } from '../credentials/issuer.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { readActiveBundle } from '../policy/policies.ts';
import { controlsOver } from '../policy/scope.ts';
import { databaseTime, transact, type Call, type Unit } from '../unit.ts';
import { recordLooks, type Look } from './record-look.ts';

/** Whoever asks a target has it for themselves this long; no issuer takes longer to ask. */
const ASKING_SECONDS = 300;
/** A target that is new is not asked at once: a start is no stampede. */
const FIRST_LOOK_SECONDS = 600;
/** One that said nothing is asked again sooner than one that did. */
const AGAIN_SECONDS = 3_600;

/** Says that somebody else is asking this target right now. */
const UNDER_WAY = 'look_under_way';
/** Says that this kind of target has nobody who could be asked. */
export const NOT_SUPPORTED = 'not_supported';

/** Asks one target, or all that the active policy has. */
export async function lookForIdentities(
  deps: Deps,
  call: Call,
  only: string | null,
): Promise<Look[]> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  if (only !== null && !bundle.targets.has(only))
    throw new Refusal(
      'not_found',
      `The active policy has no target "${only}": GET /v1/discovery/targets lists those it has.`,
    );
  const targets = only === null ? [...bundle.targets.keys()] : [only];
  return Promise.all(targets.map((target) => lookAt(deps, call, bundle, target)));
}

async function lookAt(deps: Deps, call: Call, bundle: PolicyBundle, target: string): Promise<Look> {
  const at = await databaseTime(deps.db.query);
  const asked = askable(deps, bundle, target);
  if (!asked) return silent(target, at, NOT_SUPPORTED, null);
  const claim = await claimTarget(deps, call, target);
  if (claim === null) return silent(target, at, UNDER_WAY, null);
  try {
    const { definition, discover } = asked;
    const census = await discover({ name: target, definition }, rolesAt(bundle, target));
    const usedAt = await usesSeen(deps.db.query, target, at);
    const found = census.found.map((each) => withControls(bundle, each));
    return { target, at, code: null, claim, ...census, found, usedAt };
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    return silent(target, at, error.code, claim);
  }
}

const silent = (target: string, at: string, code: string, claim: string | null): Look => ({
  target,
  at,
  code,
  claim,
  found: [],
  leftOut: 0,
  gaps: [],
  usedAt: new Map(),
});

interface Askable {
  definition: TargetDefinition;
  discover: NonNullable<Issuer['discover']>;
}

function askable(deps: Deps, bundle: PolicyBundle, target: string): Askable | null {
  const definition = bundle.targets.get(target);
  const issuer = definition && deps.issuers[definition.issuer];
  if (!definition || !issuer?.discover) return null;
  return { definition, discover: issuer.discover.bind(issuer) };
}

/** Until when this target is ours to ask; null while somebody else asks it. */
async function claimTarget(deps: Deps, call: Call, target: string): Promise<string | null> {
  return transact(deps, call, async (unit) => {
    const until = addSeconds(unit.at, ASKING_SECONDS);
    const [claimed] = await unit.sql
      .insert(targetLook)
      .values({ ...neverAsked(target, unit.at), askingUntil: until })
      .onConflictDoUpdate({
        target: targetLook.target,
        set: { askingUntil: until },
        setWhere: sql`coalesce(${targetLook.askingUntil}, '-infinity') <= ${unit.at}::timestamptz`,
      })
      .returning({ target: targetLook.target });
    return claimed ? until : null;
  });
}

const neverAsked = (target: string, since: string): LookRow => ({
  target,
  since,
  askingUntil: null,
  askedAt: null,
  code: null,
  answeredAt: null,
  identities: 0,
  found: 0,
  changed: 0,
  gone: 0,
  leftOut: 0,
  gaps: [],
});

const rolesAt = (bundle: PolicyBundle, target: string): Map<string, RoleDefinition> =>
  new Map([...bundle.roles].filter(([, role]) => targetOf(role) === target));

/** The application that owns the data goes around nothing by doing its work. */
function withControls(
  bundle: PolicyBundle,
  found: Omit<Look['found'][number], 'around'>,
): Look['found'][number] {
  const reaches = found.facts.serves === 'application' ? [] : found.facts.reaches;
  const around = new Set(reaches.flatMap((role) => controlsOver(bundle, role)));
  return { ...found, around: [...around].toSorted() };
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

/** Asks a target if its time has come; says when it next is, or null where nobody can be asked. */
export async function lookWhenDue(
  deps: Deps,
  call: Call,
  target: string,
): Promise<{ nextAt: string | null }> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const asked = askable(deps, bundle, target);
  if (!asked) return { nextAt: null };
  const now = await databaseTime(deps.db.query);
  await deps.db.query.insert(targetLook).values(neverAsked(target, now)).onConflictDoNothing();
  const dueAt = nextLookAt(await readLook(deps.db.query, target), asked.definition);
  if (dueAt > now) return { nextAt: dueAt };
  const look = await lookAt(deps, call, bundle, target);
  await transact(deps, call, (unit) => recordLooks(unit, [look]));
  return { nextAt: nextLookAt(await readLook(deps.db.query, target), asked.definition) };
}

async function readLook(query: Query, target: string): Promise<LookRow> {
  const [row] = await query.select().from(targetLook).where(eq(targetLook.target, target));
  if (!row) throw new Error('a look that was just noted was not found');
  return row;
}

/** When a target is to be asked again by itself. */
function nextLookAt(row: LookRow, definition: TargetDefinition): string {
  const { since, askedAt, askingUntil, code } = row;
  const every = everySeconds(definition);
  if (askingUntil !== null) return askingUntil;
  if (askedAt === null) return addSeconds(since, Math.min(every, FIRST_LOOK_SECONDS));
  return code === null
    ? addSeconds(askedAt, every)
    : earliest(addSeconds(askedAt, AGAIN_SECONDS), addSeconds(askedAt, every));
}

const DAY = 86_400;
const everySeconds = (definition: TargetDefinition): number =>
  ('discover_every_seconds' in definition ? definition.discover_every_seconds : null) ?? DAY;

/** A target with what came of asking it; no row where it never was. */
export interface TargetLooked {
  target: string;
  row: LookRow | null;
  nextAt: string | null;
  isSupported: boolean;
}

/** Every target of the active policy, and those it had before that were asked. */
export async function readTargetLooks(deps: Deps): Promise<TargetLooked[]> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const rows = await deps.db.query.select().from(targetLook);
  const rowOf = new Map(rows.map((row) => [row.target, row]));
  const names = [...new Set([...bundle.targets.keys(), ...rowOf.keys()])].toSorted();
  return names.map((target) => {
    const asked = askable(deps, bundle, target);
    const row = rowOf.get(target) ?? null;
    const nextAt = asked && row ? nextLookAt(row, asked.definition) : null;
    return { target, row, nextAt, isSupported: asked !== null };
  });
}

/** The workflow that has a target asked again and again is called after it. */
export const discoveryWorkflow = (target: string): string => `discovery:${target}`;

/** Has every target of a policy asked from now on, as often as that says. */
export function wakeDiscovery(unit: Unit, bundle: PolicyBundle): void {
  for (const target of bundle.targets.keys()) unit.wake('discovery', discoveryWorkflow(target));
}
