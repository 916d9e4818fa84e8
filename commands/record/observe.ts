// What an independent observer saw in a target, joined to leases and controls and put on record. The observer
// reads the target's own log with a login that can do nothing else; what cannot be joined is kept as it is.
import { and, eq, inArray, lt } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { GlassKitRow } from '../../db/rows.ts';
import { agent, credential, sensorCursor, sensorSession } from '../../db/schema/index.ts';
import { digestOf, type Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, fromMs } from '../../domain/instant.ts';
import type { SqlEffect } from '../../domain/sql-effect.ts';
import { kitsBehind, noteKitUses } from '../exceptions/kit-use.ts';
import type { Unit } from '../unit.ts';

/** Whose login a session in a target is: a lease of ours, one that lay ready, our issuer, a declared application, or somebody else's. */
export type LoginKind = 'credential' | 'kit' | 'issuer' | 'application' | 'other';

interface SeenFacts {
  session: string;
  at: string;
  loginName: string;
  login: LoginKind;
  credential: Id<'credential'> | null;
  /** The kit that it is the login of. */
  kit: Id<'glassKit'> | null;
}

export type Seen = SeenFacts &
  (
    | { kind: 'session_opened' }
    | { kind: 'session_closed' }
    /** A statement without an effect that any control covers; only counted. */
    | { kind: 'harmless' }
    | {
        kind: 'effect';
        effect: SqlEffect;
        controls: string[];
        outcome: 'ran' | 'failed' | 'refused';
        statement: string;
        tables: string[];
        /** Rows that the target counted, where no statement was seen to write them. */
        rows?: number;
      }
  );

/** Whether the sensor sees: settings alone do not say so, nor does having asked. */
export interface Health {
  /** A statement that it ran itself was found in the log a short while ago. */
  isAlive: boolean;
  /** What keeps the target's log from telling everything. */
  problems: readonly string[];
}

export interface Observation {
  target: string;
  grade: 'A' | 'B';
  /** How far the target's clock may be from ours. */
  skewMs: number;
  seen: readonly Seen[];
  /** Logins that could reach past the gates: by control, how many, and which. */
  paths: readonly StandingPath[];
  cursor: { file: string; offset: number };
  health: Health;
}

export interface StandingPath {
  control: string;
  logins: string[];
}

/** An event says that the sensor is alive, or why not, at least this often: its silence can be seen in the log. */
const REPORT_SECONDS = 300;

/** With nothing to say, that the log was read is written down only this often. */
const IDLE_SECONDS = 10;

/** Stands in the cursor of a sensor that has not yet been alive. */
const NEVER = fromMs(0);

export type CursorRow = typeof sensorCursor.$inferSelect;

export async function readCursor(unit: Unit, target: string): Promise<CursorRow | null> {
  const [row] = await unit.sql.select().from(sensorCursor).where(eq(sensorCursor.target, target));
  return row ?? null;
}

/** Records what was seen and how far the log was read, together: nothing is seen twice, nothing is skipped. */
export async function recordObservation(
  unit: Unit,
  observation: Observation,
  from: CursorRow | null,
): Promise<void> {
  if (!(await stillAt(unit, observation.target, from))) return;
  const behind = {
    leases: await leasesBehind(unit, observation),
    kits: await kitsBehind(unit, observation.seen),
  };
  for (const seen of observation.seen)
    await record(unit, observation, narrowed(seen, behind.leases), behind);
  await noteKitUses(unit, observation.seen, behind.kits);
  const { isAlive } = observation.health;
  const reportedAt = from?.reportedAt ?? NEVER;
  const isFirst = reportedAt === NEVER;
  const isDue = isAlive && reportedAt <= addSeconds(unit.at, -REPORT_SECONDS);
  const isIdle = observation.seen.length === 0 && from?.offset === observation.cursor.offset;
  const paths = pathsDigest(observation.paths);
  const isSame = !isDue && from?.paths === paths;
  if (isSame && isIdle && from.readAt > addSeconds(unit.at, -IDLE_SECONDS)) return;
  if (isDue) reportSensor(unit, observation, isFirst ? 'sensor_started' : 'sensor_alive', []);
  if (!isSame) reportPaths(unit, observation);
  const row: CursorRow = {
    target: observation.target,
    ...observation.cursor,
    readAt: unit.at,
    reportedAt: isDue ? unit.at : reportedAt,
    aliveAt: aliveAt(unit, observation.health, from),
    paths,
  };
  await unit.sql
    .insert(sensorCursor)
    .values(row)
    .onConflictDoUpdate({ target: sensorCursor.target, set: row });
}

/** What keeps the log from telling everything counts at once; a planted statement may take a moment to be read back. */
function aliveAt(
  unit: Unit,
  { isAlive, problems }: Health,
  from: CursorRow | null,
): CursorRow['aliveAt'] {
  if (problems.length > 0) return NEVER;
  return isAlive ? unit.at : (from?.aliveAt ?? NEVER);
}

/** Says on record that a sensor cannot see, and why; whoever has not heard of it for a while knows as much. */
export function recordBlindness(
  unit: Unit,
  observation: Pick<Observation, 'target' | 'grade' | 'skewMs'>,
  problems: readonly string[],
): Promise<void> {
  reportSensor(unit, observation, 'sensor_blind', problems);
  return Promise.resolve();
}

/** Another observer may have read the same lines meanwhile; then its record stands and ours is dropped. */
async function stillAt(unit: Unit, target: string, from: CursorRow | null): Promise<boolean> {
  const [row] = await unit.sql
    .select()
    .from(sensorCursor)
    .where(eq(sensorCursor.target, target))
    .for('update');
  if (!row || !from) return row === undefined && from === null;
  return row.file === from.file && row.offset === from.offset;
}

const pathsDigest = (paths: readonly StandingPath[]): Digest =>
  digestOf(
    'countersign/paths/v1',
    paths.map(({ control, logins }) => ({ control, logins: logins.toSorted() })),
  );

/** What a lease's own statement could have done is bounded by what the lease was for. */
function narrowed(seen: Seen, leases: Leases): Seen {
  if (seen.kind !== 'effect' || seen.effect !== 'opaque' || seen.login !== 'credential')
    return seen;
  const lease = leases.get(seen.credential ?? '');
  // A login that is only named like a lease was for nothing that we know of.
  if (!lease) return seen;
  const { control } = lease;
  // Where the control is not among them, a stronger effect of the same statement was joined to it already; and what
  // such a statement wrote beyond its lease, the target's own counts tell.
  const isOpen = control !== null && seen.controls.includes(control);
  return isOpen ? { ...seen, controls: [control] } : { ...seen, kind: 'harmless' };
}

type Leases = Map<string, typeof credential.$inferSelect>;

/** What stands behind the logins of a look: leases, and kits. */
interface Behind {
  leases: Leases;
  kits: ReadonlyMap<string, GlassKitRow>;
}

async function leasesBehind(unit: Unit, { seen }: Observation): Promise<Leases> {
  return leasesOf(
    unit.sql,
    seen.flatMap((each) => each.credential ?? []),
  );
}

async function leasesOf(query: Query, wanted: readonly Id<'credential'>[]): Promise<Leases> {
  const ids = [...new Set(wanted)];
  if (ids.length === 0) return new Map();
  const rows = await query.select().from(credential).where(inArray(credential.id, ids));
  return new Map(rows.map((row) => [row.id, row]));
}

/** The roles that leases were for, by lease; those that nobody issued are not among them. */
export async function readLeaseRoles(
  query: Query,
  wanted: readonly Id<'credential'>[],
): Promise<Map<string, string>> {
  const leases = await leasesOf(query, wanted);
  return new Map([...leases.values()].map(({ id, role }) => [id, role]));
}

async function record(
  unit: Unit,
  observation: Observation,
  seen: Seen,
  behind: Behind,
): Promise<void> {
  const key = and(
    eq(sensorSession.target, observation.target),
    eq(sensorSession.session, seen.session),
  );
  if (seen.kind === 'session_opened') {
    await unit.sql
      .insert(sensorSession)
      .values({
        target: observation.target,
        session: seen.session,
        login: seen.login,
        credential: seen.credential,
        openedAt: seen.at,
        statements: 0,
      })
      .onConflictDoNothing();
    await noteUse(unit, seen, behind.leases);
  }
  const [session] = await unit.sql.select().from(sensorSession).where(key);
  if (seen.kind === 'harmless' || seen.kind === 'effect')
    await unit.sql
      .update(sensorSession)
      .set({ statements: (session?.statements ?? 0) + 1 })
      .where(key);
  if (seen.kind === 'session_closed') await unit.sql.delete(sensorSession).where(key);
  if (seen.kind !== 'harmless') emitSeen(unit, observation, seen, behind, session?.statements ?? 0);
}

/** When a credential and its agent were last seen at work, as the target itself tells it. */
async function noteUse(unit: Unit, seen: Seen, leases: Leases): Promise<void> {
  const lease = leases.get(seen.credential ?? '');
  if (!lease) return;
  await unit.sql.update(credential).set({ lastUsedAt: seen.at }).where(eq(credential.id, lease.id));
  await unit.sql
    .update(agent)
    .set({ lastUsedAt: seen.at })
    .where(and(eq(agent.id, lease.agent), lt(agent.lastUsedAt, seen.at)));
}

function emitSeen(
  unit: Unit,
  observation: Observation,
  seen: Exclude<Seen, { kind: 'harmless' }>,
  { leases, kits }: Behind,
  statements: number,
): void {
  const lease = leases.get(seen.credential ?? '');
  const kit = kits.get(seen.kit ?? '');
  const effect = seen.kind === 'effect' ? seen : null;
  unit.emit('runtime.observed', {
    subject: seen.credential ?? seen.kit ?? `${observation.target}/${seen.session}`,
    actor_chain: lease ? [{ type: 'agent', id: lease.agent }] : [],
    task: lease?.task ?? null,
    agent: lease?.agent ?? null,
    request: lease?.request ?? kit?.request ?? null,
    control: effect?.controls[0] ?? null,
    detail: {
      kind: seen.kind,
      target: observation.target,
      grade: observation.grade,
      controls: effect?.controls ?? [],
      credential: seen.credential,
      login: seen.login,
      effect: effect?.effect ?? null,
      outcome: effect?.outcome ?? null,
      session_ref: `${observation.target}/${seen.session}`,
      at: seen.at,
      skew_ms: observation.skewMs,
      statements: effect?.rows ?? statements,
    },
    private: {
      login_name: seen.loginName,
      statement_digest:
        effect && effect.rows === undefined
          ? digestOf('countersign/statement/v1', effect.statement)
          : null,
      objects: effect ? effect.tables : null,
    },
  });
}

type SensorState = 'sensor_started' | 'sensor_alive' | 'sensor_blind';
type Sensor = Pick<Observation, 'target' | 'grade' | 'skewMs'>;

const about = ({ target }: Sensor) => ({ subject: `sensor:${target}`, actor_chain: [] });

const sensorDetail = (unit: Unit, { target, grade, skewMs }: Sensor) => ({
  target,
  grade,
  credential: null,
  session_ref: null,
  at: unit.at,
  skew_ms: skewMs,
  outcome: null,
});

function reportSensor(
  unit: Unit,
  sensor: Sensor,
  kind: SensorState,
  problems: readonly string[],
): void {
  unit.emit('runtime.observed', {
    ...about(sensor),
    detail: {
      ...sensorDetail(unit, sensor),
      kind,
      controls: [],
      login: null,
      effect: null,
      statements: 0,
    },
    private: {
      login_name: null,
      statement_digest: null,
      objects: problems.length > 0 ? [...problems] : null,
    },
  });
}

/** Says which standing access was found. */
function reportPaths(unit: Unit, observation: Observation): void {
  for (const { control, logins } of observation.paths)
    unit.emit('runtime.observed', {
      ...about(observation),
      control,
      detail: {
        ...sensorDetail(unit, observation),
        kind: 'standing_access',
        controls: [control],
        login: 'other',
        effect: 'write',
        statements: logins.length,
      },
      private: { login_name: null, statement_digest: null, objects: logins },
    });
}
