// One look at one target: what its log says since the last look, joined to what policy covers.
import type { Deps } from '../../commands/deps.ts';
import {
  readCursor,
  recordObservation,
  type LoginKind,
  type Seen,
  type StandingPath,
} from '../../commands/observe.ts';
import { readActiveBundle } from '../../commands/policies.ts';
import type { PolicyBundle, TargetDefinition } from '../../commands/policy-bundle.ts';
import { transact, type Call } from '../../commands/unit.ts';
import type { LogLine } from '../../domain/postgres-log.ts';
import { effectOf, type StatementEffect } from '../../domain/sql-effect.ts';
import { ISSUER_STATEMENTS, leaseOfRole, type Secrets } from '../issuers/postgres.ts';
import { observePostgres, type TargetObserver } from './postgres.ts';

/** What a control stands in front of, in one target. */
interface Coverage {
  control: string;
  writes: ReadonlySet<string>;
  /** Tables that the control's roles may only read: reading them is then the effect. */
  reads: ReadonlySet<string>;
}

export interface Observer {
  /** Looks at every target that has an observer; true if there was more than one look takes. */
  look(): Promise<boolean>;
  close(): Promise<void>;
}

const CALL: Call = { principal: { kind: 'workflow', id: 'observer' }, traceId: null };

/** What the target's catalog says changes rarely next to its log, so it is asked this often. */
const CATALOG_MS = 30_000;

interface Catalog {
  version: string;
  readAt: number;
  coverage: Coverage[];
  paths: StandingPath[];
}

export function openObserver(deps: Deps, secrets: Secrets): Observer {
  const open = new Map<string, { observer: TargetObserver; catalog: Catalog | null }>();
  return {
    look: async () => {
      const bundle = await readActiveBundle(deps.db.query, deps.policies);
      const failures: unknown[] = [];
      let more = false;
      for (const [name, definition] of bundle.targets) {
        const url = definition.observer_url_from ? secrets(definition.observer_url_from) : null;
        if (url === null) continue;
        const at = open.get(url) ?? { observer: observePostgres(url), catalog: null };
        open.set(url, at);
        const ours = ownLogins(definition, secrets);
        try {
          at.catalog = await freshCatalog(at.catalog, bundle, name, at.observer, ours);
          more = (await lookAt(deps, name, definition, at.observer, at.catalog, ours)) || more;
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

async function freshCatalog(
  known: Catalog | null,
  bundle: PolicyBundle,
  target: string,
  observer: TargetObserver,
  ours: OwnLogins,
): Promise<Catalog> {
  const isFresh = known?.version === bundle.version && Date.now() - known.readAt < CATALOG_MS;
  if (isFresh) return known;
  const coverage = await coverageOf(bundle, target, observer);
  const paths = await standingPaths(coverage, observer, ours);
  return { version: bundle.version, readAt: Date.now(), coverage, paths };
}

async function lookAt(
  deps: Deps,
  target: string,
  { grade }: TargetDefinition,
  observer: TargetObserver,
  { coverage, paths }: Catalog,
  ours: OwnLogins,
): Promise<boolean> {
  const from = await transact(deps, CALL, (unit) => readCursor(unit, target));
  const { lines, next, skewMs, more } = await observer.readLog(from);
  const seen = lines.flatMap((line, at) => seenOf(line, lines.slice(at + 1), coverage, ours));
  const observation = { target, grade, skewMs, seen, paths, cursor: next };
  await transact(deps, CALL, (unit) => recordObservation(unit, observation, from));
  deps.crashPoint('observe:recorded');
  return more;
}

interface OwnLogins {
  issuer: string | null;
  observer: string | null;
  applications: readonly string[];
}

function ownLogins(definition: TargetDefinition, secrets: Secrets): OwnLogins {
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

/** The controls over a target and the tables that their roles open, as the target's own catalog has it. */
async function coverageOf(
  bundle: PolicyBundle,
  target: string,
  observer: TargetObserver,
): Promise<Coverage[]> {
  const covered: Coverage[] = [];
  for (const [role, definition] of bundle.roles) {
    if (definition.issuer !== 'postgres' || definition.target !== target) continue;
    const controls = controlsOver(bundle, role);
    if (controls.length === 0) continue;
    const { writes, reads } = await observer.tablesOf(definition.member_of);
    for (const control of controls)
      covered.push({
        control,
        writes: new Set(writes),
        reads: new Set(writes.length === 0 ? reads : []),
      });
  }
  return covered;
}

/** The controls whose policies name a role. A policy that names none covers every role. */
function controlsOver(bundle: PolicyBundle, role: string): string[] {
  const named = [...bundle.rules.values()].filter(
    (rule) => rule.control !== null && rule.mode === 'hold' && mentionsRole(bundle, rule.id, role),
  );
  return [...new Set(named.flatMap((rule) => rule.control ?? []))];
}

function mentionsRole(bundle: PolicyBundle, rule: string, role: string): boolean {
  const source = bundle.cedar[rule] ?? '';
  if (!source.includes('"credential:request"')) return false;
  const names = [...source.matchAll(/Role::"([^"]+)"/g)].map(([, name]) => name);
  return names.length === 0 || names.includes(role);
}

async function standingPaths(
  coverage: readonly Coverage[],
  observer: TargetObserver,
  ours: OwnLogins,
): Promise<StandingPath[]> {
  const paths: StandingPath[] = [];
  for (const { control, writes } of coverage) {
    const logins = await observer.standingWriters([...writes]);
    const known = [ours.issuer, ...ours.applications];
    paths.push({ control, logins: logins.filter((name) => !known.includes(name)) });
  }
  return paths;
}

function seenOf(
  line: LogLine,
  later: readonly LogLine[],
  coverage: readonly Coverage[],
  ours: OwnLogins,
): Seen[] {
  if (line.user === ours.observer) return [];
  const login = kindOf(line, ours);
  const facts = {
    session: line.session,
    at: line.at,
    loginName: line.user,
    login,
    credential: leaseOfRole(line.user),
  };
  switch (line.kind) {
    case 'error':
      return [];
    case 'login':
      return isExpected(login) ? [] : [{ ...facts, kind: 'session_opened' }];
    case 'logout':
      return isExpected(login) ? [] : [{ ...facts, kind: 'session_closed' }];
    case 'statement': {
      if (login === 'application') return [];
      if (login === 'issuer' && ISSUER_STATEMENTS.has(line.text.trim())) return [];
      const judged = effectOf(line.text);
      const controls = coveredBy(judged, coverage, login);
      if (controls.length === 0 && judged.effect !== 'access')
        return login === 'issuer' ? [] : [{ ...facts, kind: 'harmless' }];
      return [
        {
          ...facts,
          kind: 'effect',
          effect: judged.effect,
          controls,
          outcome: outcomeOf(line, later),
          statement: line.text,
          tables: judged.tables,
        },
      ];
    }
  }
}

/** Logins that come and go all day and say nothing by it. */
const isExpected = (login: LoginKind): boolean => login === 'issuer' || login === 'application';

function kindOf(line: LogLine, ours: OwnLogins): LoginKind {
  if (line.user === ours.issuer) return 'issuer';
  if (ours.applications.includes(line.user)) return 'application';
  return leaseOfRole(line.user) === null ? 'other' : 'credential';
}

/** The controls in front of what a statement did. One that cannot be read could have done any of it. */
function coveredBy(
  { effect, tables }: StatementEffect,
  coverage: readonly Coverage[],
  login: LoginKind,
): string[] {
  const touches = (covered: ReadonlySet<string>): boolean =>
    tables.some((table) => covered.has(table));
  const found = coverage.filter(({ writes, reads }) => {
    if (effect === 'write') return touches(writes);
    if (effect === 'read') return touches(reads);
    return effect === 'opaque' && login !== 'issuer';
  });
  return [...new Set(found.map(({ control }) => control))];
}

/** The next line of the same session says whether a statement failed. */
function outcomeOf(line: LogLine, later: readonly LogLine[]): 'ran' | 'failed' | 'refused' {
  const next = later.find((each) => each.session === line.session);
  if (next?.kind !== 'error') return 'ran';
  return next.refused ? 'refused' : 'failed';
}
