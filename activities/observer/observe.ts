// One look at one target: what its log says since the last look, joined to what policy covers.
import { randomBytes } from 'node:crypto';
import type { PostgresTarget } from '../../commands/access/postgres.ts';
import type { Deps } from '../../commands/deps.ts';
import type { PolicyBundle } from '../../commands/policy/bundle.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import { controlsOver } from '../../commands/policy/scope.ts';
import {
  readCursor,
  readLeaseRoles,
  recordBlindness,
  recordObservation,
  type Health,
  type Seen,
  type StandingPath,
} from '../../commands/record/observe.ts';
import { transact, type Call } from '../../commands/unit.ts';
import type { LogLine } from '../../domain/postgres-log.ts';
import { openShadows, type Shadowed, type Shadows } from '../../domain/sql-shadows.ts';
import { openWitness, type WriteWitness } from '../../domain/write-witness.ts';
import { leaseOfLogin, type Secrets } from '../issuers/login.ts';
import type { RowCounts } from './catalog.ts';
import { explainedBy, type Rights } from './explains.ts';
import { observePostgres, type Position, type TargetObserver } from './postgres.ts';
import { loginKind, seenOf, type Coverage, type OwnLogins, type Surroundings } from './seen.ts';

export interface Observer {
  /** Looks at every target that has an observer; true if there was more than one look takes. */
  look(): Promise<boolean>;
  close(): Promise<void>;
}

const CALL: Call = { principal: { kind: 'workflow', id: 'observer' }, traceId: null };

/** What the target's catalog says changes rarely next to its log, so it is asked this often. */
const CATALOG_MS = 30_000;
/** The target's counts are compared with its log this often. */
const COUNT_MS = 5_000;
/** A planted statement must be read back within this time, and the next one follows after half of it. */
const PLANTED_MS = 60_000;
/** A sensor that cannot see says so this often. */
const BLIND_MS = 300_000;
/** Sessions from before we began hand in their counts within this time, if they are not in one long transaction. */
const WITNESS_SETTLE_MS = 60_000;

interface Catalog extends Surroundings {
  version: string;
  readAt: number;
  rights: Rights;
  paths: StandingPath[];
  offsets: ReadonlyMap<string, string>;
  problems: string[];
}

/** What is known of a target between two looks; all of it can be lost and found again. */
interface Watch {
  observer: TargetObserver;
  catalog: Catalog | null;
  witness: WriteWitness;
  shadows: Shadows;
  counts: RowCounts | null;
  countedAt: number;
  /** Up to where we ourselves have read. */
  readTo: Position | null;
  planted: { text: string; at: number } | null;
  heardAt: number | null;
  openedAt: number;
  saidBlindAt: number;
}

export interface ObserverOptions {
  witnessSettleMs: number;
}

export function openObserver(
  deps: Deps,
  secrets: Secrets,
  { witnessSettleMs }: ObserverOptions = { witnessSettleMs: WITNESS_SETTLE_MS },
): Observer {
  const open = new Map<string, Watch>();
  return {
    look: async () => {
      const bundle = await readActiveBundle(deps.db.query, deps.policies);
      const failures: unknown[] = [];
      let more = false;
      for (const [name, definition] of bundle.targets) {
        if (definition.issuer !== 'postgres') continue;
        const url = definition.observer_url_from ? secrets(definition.observer_url_from) : null;
        if (url === null) continue;
        const key = `${name} ${url}`;
        const watch = open.get(key) ?? newWatch(url, witnessSettleMs);
        open.set(key, watch);
        const ours = ownLogins(definition, secrets);
        try {
          watch.catalog = await freshCatalog(watch, bundle, name, ours);
          more = (await lookAt(deps, name, definition, watch, watch.catalog)) || more;
        } catch (error) {
          // One target that cannot be read does not blind us to the others.
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
      return more;
    },
    close: async () => {
      await Promise.all([...open.values()].map(({ observer }) => observer.close()));
    },
  };
}

const newWatch = (url: string, witnessSettleMs: number): Watch => ({
  observer: observePostgres(url),
  catalog: null,
  witness: openWitness(witnessSettleMs),
  shadows: openShadows(),
  counts: null,
  countedAt: 0,
  readTo: null,
  planted: null,
  heardAt: null,
  openedAt: Date.now(),
  saidBlindAt: 0,
});

async function freshCatalog(
  { catalog, observer }: Watch,
  bundle: PolicyBundle,
  target: string,
  ours: OwnLogins,
): Promise<Catalog> {
  const isFresh = catalog?.version === bundle.version && Date.now() - catalog.readAt < CATALOG_MS;
  if (isFresh) return catalog;
  const { coverage, rights } = await coverageOf(bundle, target, observer);
  const covered = new Set(coverage.flatMap(({ writes }) => [...writes]));
  const writable = await observer.writableBy([...covered]);
  return {
    version: bundle.version,
    readAt: Date.now(),
    coverage,
    rights,
    ours,
    plainTables: await observer.plainTables(),
    names: await observer.tableNames(),
    writable,
    paths: standingPaths(coverage, writable, ours),
    offsets: await observer.zoneOffsets(),
    problems: await observer.logProblems(),
  };
}

async function lookAt(
  deps: Deps,
  target: string,
  { grade }: PostgresTarget,
  watch: Watch,
  catalog: Catalog,
): Promise<boolean> {
  const from = await transact(deps, CALL, (unit) => readCursor(unit, target));
  if (watch.readTo && (from?.file !== watch.readTo.file || from.offset !== watch.readTo.offset))
    // Another observer read on from here, so there are statements that only it has seen.
    forget(watch);
  const { lines, ahead, next, skewMs, more, readUpTo } = await watch.observer.readLog(
    from,
    catalog.offsets,
  );
  const leases = await readLeaseRoles(
    deps.db.query,
    lines.flatMap(({ user }) => leaseOfLogin(user) ?? []),
  );
  const shadowed = lines.map((line) => shadowsAt(watch.shadows, line));
  listen(watch, lines, catalog, leases);
  // Only after a look does it lie before what the next one reads, even if this was the first.
  await plantIfDue(watch);
  const following = nextInSession([...lines, ...ahead]);
  const seen = lines.flatMap((line, at) =>
    seenOf(line, following[at] ?? null, catalog, shadowed[at] ?? new Set()),
  );
  const surplus = await compareCounts(watch, catalog.coverage, readUpTo);
  const health = healthOf(watch, catalog.problems);
  const { paths } = catalog;
  const all = [...seen, ...surplus];
  const observation = { target, grade, skewMs, seen: all, paths, cursor: next, health };
  await transact(deps, CALL, (unit) => recordObservation(unit, observation, from));
  if (isBlind(watch, health)) {
    watch.saidBlindAt = Date.now();
    await transact(deps, CALL, (unit) => recordBlindness(unit, observation, health.problems));
  }
  watch.readTo = next;
  deps.crashPoint('observe:recorded');
  return more;
}

function forget(watch: Watch): void {
  watch.witness.reset();
  watch.counts = null;
  watch.readTo = null;
}

/** What a line's names may not be taken to mean. */
function shadowsAt(shadows: Shadows, line: LogLine): Shadowed {
  if (line.kind === 'logout') shadows.left(line.session);
  return line.kind === 'statement' ? shadows.after(line.session, line.text) : new Set();
}

async function plantIfDue(watch: Watch): Promise<void> {
  if (watch.planted && Date.now() - watch.planted.at < PLANTED_MS / 2) return;
  const text = `SELECT 'countersign-alive ${randomBytes(16).toString('hex')}'`;
  // Known before it is run: whoever reads the log next must find it.
  watch.planted = { text, at: Date.now() };
  await watch.observer.plant(text);
}

/** Hears the planted statement, and tells the witness what every line can explain. */
function listen(
  watch: Watch,
  lines: readonly LogLine[],
  catalog: Catalog,
  leases: ReadonlyMap<string, string>,
): void {
  const { ours, rights } = catalog;
  for (const line of lines) {
    if (line.kind === 'logout') watch.witness.left(line.session, line.at);
    if (line.kind !== 'statement') continue;
    if (line.user === ours.observer) {
      if (line.text === watch.planted?.text) watch.heardAt = Date.now();
      continue;
    }
    const role = leases.get(leaseOfLogin(line.user) ?? '');
    const own = role === undefined ? null : (rights.get(role) ?? new Set<string>());
    watch.witness.saw(line.session, explainedBy(line, catalog, own));
  }
}

/** For each line the next one of its session. */
function nextInSession(lines: readonly LogLine[]): (LogLine | null)[] {
  const latest = new Map<string, LogLine>();
  return lines
    .toReversed()
    .map((line) => {
      const next = latest.get(line.session) ?? null;
      latest.set(line.session, line);
      return next;
    })
    .toReversed();
}

/** Rows that the target counted and no statement explains, once the log is read up to when they were counted. */
async function compareCounts(
  watch: Watch,
  coverage: readonly Coverage[],
  readUpTo: string | null,
): Promise<Seen[]> {
  const { counts } = watch;
  const isDue = counts !== null && readUpTo !== null && readUpTo >= counts.takenAt;
  const surplus = isDue ? watch.witness.compare(counts.counts, counts.takenAt) : [];
  if (isDue) watch.counts = null;
  if (watch.counts === null && Date.now() - watch.countedAt >= COUNT_MS) {
    const tables = new Set(coverage.flatMap(({ writes }) => [...writes]));
    watch.counts = await watch.observer.rowCounts([...tables]);
    watch.countedAt = Date.now();
  }
  return surplus.map(({ name, rows }) => ({
    kind: 'effect',
    session: 'row-counts',
    at: counts?.takenAt ?? '',
    loginName: '',
    login: 'other',
    credential: null,
    kit: null,
    effect: 'opaque',
    controls: coverage.flatMap(({ control, writes }) => (writes.has(name) ? [control] : [])),
    outcome: 'ran',
    statement: '',
    tables: [name],
    rows,
  }));
}

function healthOf({ heardAt, openedAt }: Watch, problems: readonly string[]): Health {
  const isHeard = heardAt !== null && Date.now() - heardAt < PLANTED_MS;
  const isLate = Date.now() - Math.max(openedAt, heardAt ?? 0) >= PLANTED_MS;
  const silence = isLate ? ['a planted statement was not found in the log'] : [];
  return { isAlive: isHeard && problems.length === 0, problems: [...problems, ...silence] };
}

/** What is wrong is said at once, and again while it lasts. */
const isBlind = ({ saidBlindAt }: Watch, { problems }: Health): boolean =>
  problems.length > 0 && Date.now() - saidBlindAt >= BLIND_MS;

function ownLogins(definition: PostgresTarget, secrets: Secrets): OwnLogins {
  const userOf = (variable: string | undefined): string | null => {
    const url = variable === undefined ? null : secrets(variable);
    return url === null ? null : decodeURIComponent(new URL(url).username);
  };
  return {
    issuer: userOf(definition.url_from),
    observer: userOf(definition.observer_url_from),
    applications: definition.application_logins,
  };
}

/** The controls over a target, and the tables that its roles open, as the target's own catalog has it. */
async function coverageOf(
  bundle: PolicyBundle,
  target: string,
  observer: TargetObserver,
): Promise<{ coverage: Coverage[]; rights: Rights }> {
  const coverage: Coverage[] = [];
  const rights = new Map<string, ReadonlySet<string>>();
  for (const [role, definition] of bundle.roles) {
    if (definition.issuer !== 'postgres' || definition.target !== target) continue;
    const { writes, reads } = await observer.tablesOf(definition.member_of);
    rights.set(role, new Set(writes));
    for (const control of controlsOver(bundle, role))
      coverage.push({
        control,
        writes: new Set(writes),
        reads: new Set(writes.length === 0 ? reads : []),
      });
  }
  return { coverage, rights };
}

/** Logins other than ours, leases and applications that may write what a control stands in front of. */
function standingPaths(
  coverage: readonly Coverage[],
  writable: Surroundings['writable'],
  ours: OwnLogins,
): StandingPath[] {
  const found = [...writable].filter(([login]) => loginKind(login, ours) === 'other');
  return coverage.map(({ control, writes }) => ({
    control,
    logins: found.flatMap(([login, names]) =>
      [...names].some((name) => writes.has(name)) ? [login] : [],
    ),
  }));
}
