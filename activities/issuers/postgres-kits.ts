// Logins that lie ready in a PostgreSQL for when we are down: made under the same marks and fences as those of leases,
// and looked at again from outside, down to the salt that the server answers a sign-in with.
import { randomUUID } from 'node:crypto';
import {
  TargetError,
  type KitHands,
  type KitLogin,
  type KitPlace,
  type KitState,
  type MadeKit,
  type TargetRef,
} from '../../commands/credentials/issuer.ts';
import { KIT_CONNECTIONS } from '../../domain/glass-kit.ts';
import { kitLoginName, kitOfLogin } from './login.ts';
import { CREATE_LOGIN } from './postgres-blocks.ts';
import { endLogins, loginsAmong } from './postgres-ends.ts';
import {
  databaseIn,
  errorCode,
  runBlock,
  unlessDisturbed,
  type Target,
} from './postgres-target.ts';
import { askForSalt } from './scram-salt.ts';

/** What can be done with such logins, by targets as they are configured now. */
export function kitHands(open: (target: TargetRef) => Target, mark: string): KitHands {
  return {
    make: (login) => asTargetErrors(() => makeLogin(open(login.target), mark, login)),
    end: (target, kit) =>
      asTargetErrors(async () => {
        const there = open(target);
        const name = kitLoginName(kit);
        const [end] = await endLogins(there, mark, [name]);
        const left = await loginsAmong(there.sql, [name]);
        return {
          code: end?.code ?? null,
          sessionsEnded: end?.sessionsEnded ?? 0,
          seenGone: left.size === 0,
        };
      }),
    check: (kit) => asTargetErrors(() => lookAt(open(kit.target), mark, kit)),
    list: (target) =>
      asTargetErrors(async () => {
        const rows = await open(target).sql<{ name: string }[]>`
          select rolname as name from pg_roles
          where rolname like 'csk\\_%' and starts_with(shobj_description(oid, 'pg_authid'), ${mark})`;
        return rows.flatMap(({ name }) => kitOfLogin(name) ?? []);
      }),
  };
}

async function asTargetErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new TargetError(errorCode(error), { cause: error });
  }
}

const groupsOf = ({ definition }: Pick<KitLogin, 'definition'>): string[] => {
  if (definition.issuer !== 'postgres') throw new TypeError('this role is not a PostgreSQL one');
  return definition.member_of;
};

async function makeLogin(
  { sessions, url }: Target,
  mark: string,
  login: KitLogin,
): Promise<KitPlace> {
  const username = kitLoginName(login.kit);
  const parameters = {
    role: username,
    mark,
    attempt: String(login.attempt),
    valid_until: login.expiresAt,
    issue_by: login.issueBy,
    verifier: login.verifier,
    groups: JSON.stringify(groupsOf(login)),
    connections: String(KIT_CONNECTIONS),
  };
  await unlessDisturbed(() => runBlock(sessions, parameters, CREATE_LOGIN));
  return {
    host: url.hostname,
    port: url.port === '' ? 5432 : Number(url.port),
    database: databaseIn(url),
    username,
  };
}

interface FoundLogin {
  opens: boolean;
  ends_as_made: boolean;
  connections: number;
  more: boolean;
  comment: string | null;
  groups: string[];
}

async function lookAt({ sql, url }: Target, mark: string, kit: MadeKit): Promise<KitState> {
  const username = kitLoginName(kit.kit);
  const [found] = await sql<FoundLogin[]>`
    select rolcanlogin as opens, coalesce(rolvaliduntil = ${kit.expiresAt}::timestamptz, false) as ends_as_made,
      rolconnlimit as connections,
      rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls as more,
      shobj_description(r.oid, 'pg_authid') as comment,
      array(select g.rolname::text from pg_auth_members a join pg_roles g on g.oid = a.roleid
        where a.member = r.oid group by 1 order by 1) as groups
    from pg_roles r where rolname = ${username}`;
  if (!found) return 'missing';
  const isAsMade =
    found.opens &&
    !found.more &&
    found.connections === KIT_CONNECTIONS &&
    found.ends_as_made &&
    found.comment === `${mark}${kit.attempt}` &&
    found.groups.join(' ') === [...new Set(groupsOf(kit))].toSorted().join(' ');
  if (!isAsMade) return 'altered';
  // Nobody but a superuser may read what the server keeps of a password; its salt it tells whoever wants to sign in.
  const salt = await askForSalt(url, username, randomUUID());
  return salt === kit.salt ? 'good' : 'altered';
}
