// Every login that a PostgreSQL has besides our leases, as its own catalog tells it. Passwords are not in what is read.
import type { Sql } from 'postgres';
import type { RoleDefinition } from '../../commands/access/kinds.ts';
import type { TargetRef } from '../../commands/credentials/issuer.ts';
import {
  censusOf,
  PLAIN_FACTS,
  safeComment,
  type Census,
  type FoundFacts,
} from '../../domain/found-identity.ts';
import { fromMs } from '../../domain/instant.ts';
import { mayBecome, tablesOf, writableBy } from '../observer/catalog.ts';
import { kitOfLogin, leaseOfLogin, type Secrets } from './login.ts';

/** Logins that serve us or the data's own application, by name. */
type Servants = ReadonlyMap<string, NonNullable<FoundFacts['serves']>>;

/** What policy says about logins of the target. */
export function servantsOf({ definition }: TargetRef, secrets: Secrets): Servants {
  const servants = new Map<string, NonNullable<FoundFacts['serves']>>();
  if (definition?.issuer !== 'postgres') return servants;
  for (const login of definition.application_logins) servants.set(login, 'application');
  const { url_from: issuer, observer_url_from: observer } = definition;
  for (const [variable, serves] of [
    [observer, 'observer'],
    [issuer, 'issuer'],
  ] as const) {
    const url = variable === undefined ? null : secrets(variable);
    if (url !== null) servants.set(decodeURIComponent(new URL(url).username), serves);
  }
  return servants;
}

/** Logins that we make, by their names. */
const isOurs = (name: string): boolean => leaseOfLogin(name) !== null || kitOfLogin(name) !== null;

/** A login is ours only by its name and our mark together: neither alone hides one. */
export async function discoverLogins(
  sql: Sql,
  mark: string,
  servants: Servants,
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<Census> {
  const logins = await readLogins(sql, mark);
  const others = logins.filter(({ name, marked }) => !marked || !isOurs(name));
  const reaches = await reachOf(sql, roles);
  return censusOf(
    others.map((login) => ({
      name: login.name,
      reference: login.reference,
      kind: 'login',
      facts: {
        ...PLAIN_FACTS,
        groups: groupsOf(login, servants),
        reaches: reaches(login),
        isSuperuser: login.superuser,
        makesRoles: login.superuser || login.makes_roles,
        expiresAt: login.expires_ms === null ? null : fromMs(Number(login.expires_ms)),
        comment: safeComment(login.comment),
        isConnected: login.connected,
        serves: servants.get(login.name) ?? null,
      },
    })),
  );
}

/** Whoever makes a role administers it: the logins that the issuer gives come and go, and are no news of it. */
const groupsOf = ({ name, groups }: Login, servants: Servants): string[] =>
  servants.get(name) === 'issuer' ? groups.filter((group) => leaseOfLogin(group) === null) : groups;

interface Login {
  name: string;
  reference: string;
  groups: string[];
  superuser: boolean;
  makes_roles: boolean;
  expires_ms: string | null;
  comment: string | null;
  marked: boolean;
  connected: boolean;
}

/** What a role may become counts as its own: SET ROLE asks nobody. Years that we cannot write are the last one we can. */
const readLogins = (sql: Sql, mark: string): Promise<Login[]> => sql<Login[]>`
  select r.rolname as name, r.oid::text as reference,
    array(select g.rolname::text from pg_auth_members a join pg_roles g on g.oid = a.roleid
      where a.member = r.oid group by 1 order by 1) as groups,
    exists (select from pg_roles m where m.rolsuper and (m.oid = r.oid or ${mayBecome(sql)})) as superuser,
    exists (select from pg_roles m where m.rolcreaterole and (m.oid = r.oid or ${mayBecome(sql)})) as makes_roles,
    case when isfinite(r.rolvaliduntil) or r.rolvaliduntil = '-infinity' then floor(extract(epoch from
      least(greatest(r.rolvaliduntil, '1970-01-01Z'), '9999-12-31Z')) * 1000)::bigint::text end as expires_ms,
    shobj_description(r.oid, 'pg_authid') as comment,
    coalesce(starts_with(shobj_description(r.oid, 'pg_authid'), ${mark}), false) as marked,
    exists (select from pg_stat_activity s where s.usesysid = r.oid) as connected
  from pg_roles r
  where r.rolcanlogin
  order by 1`;

/** By login, the roles of the policy whose tables it may write without asking: all of them, for a superuser. */
async function reachOf(
  sql: Sql,
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<(login: Pick<Login, 'name' | 'superuser'>) => string[]> {
  const opened: { role: string; tables: string[] }[] = [];
  for (const [role, definition] of roles)
    if (definition.issuer === 'postgres')
      opened.push({ role, tables: (await tablesOf(sql, definition.member_of)).writes });
  const writable = await writableBy(sql, [...new Set(opened.flatMap(({ tables }) => tables))]);
  return ({ name, superuser }) => {
    const own = writable.get(name);
    const mayWrite = (table: string): boolean => superuser || own?.has(table) === true;
    return opened.flatMap(({ role, tables }) => (tables.some(mayWrite) ? [role] : []));
  };
}
