// Every account that a MySQL or MariaDB has besides our leases, as its own tables tell it. No hash leaves the server: it
// is asked whether one is empty. What the issuer may not read is said to be unknown.
import type { PoolConnection } from 'mysql2/promise';
import type { RoleDefinition } from '../../commands/access/kinds.ts';
import {
  censusOf,
  PLAIN_FACTS,
  type Census,
  type Found,
  type FoundFacts,
} from '../../domain/found-identity.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, fromMs } from '../../domain/instant.ts';
import { leaseOfLogin } from './login.ts';
import { ask, askIfAllowed } from './mysql-connection.ts';
import { readPrivileges, type Account, type Privileges } from './mysql-privileges.ts';

type Row = Record<string, unknown>;

/** Everything but `leases`, which are those whose mark is ours. */
export async function discoverAccounts(
  connection: PoolConnection,
  leases: readonly Id<'credential'>[],
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<Census> {
  const server = await readServer(connection);
  const known = new Set<string>(leases);
  const accounts = (await readAccounts(connection, server)).filter(
    ({ user }) => !known.has(leaseOfLogin(user) ?? ''),
  );
  const privileges = await readPrivileges(connection, server.isMariaDb);
  const secrets = await readSecrets(connection, server);
  const uses = await readUses(connection, server);
  const connected = await readConnected(connection);
  const reached = groupsOf(roles);
  return censusOf(
    accounts.map((account): Found => {
      const name = `${account.user}@${account.host}`;
      return {
        name,
        reference: name,
        kind: 'login',
        facts: {
          ...PLAIN_FACTS,
          ...powersOf(account, privileges, reached),
          ...aboutSecret(secrets?.get(name), account),
          usableBy: [account.host === '' ? '%' : account.host],
          isConnected: connected.has(account.user),
          uses: uses && (uses.get(account.user) ?? 0),
          serves: name === server.self ? 'issuer' : null,
          unknown: [
            ...(privileges.isKnown(account) ? [] : (['privileges'] as const)),
            ...(secrets === null ? (['password', 'expires_at'] as const) : []),
            ...(uses === null ? (['used_at'] as const) : []),
          ],
        },
      };
    }),
  );
}

interface Server {
  isMariaDb: boolean;
  /** The account that asks. */
  self: string;
  /** Days after which a password has to be changed where its account does not say; 0 for never. */
  lifetimeDays: number;
  countsUses: 'userstat' | 'performance_schema' | null;
}

async function readServer(connection: PoolConnection): Promise<Server> {
  const [row] = await ask(
    connection,
    `SELECT VERSION() AS version, CURRENT_USER() AS self,
       @@global.default_password_lifetime AS lifetime, @@global.performance_schema AS counted`,
  );
  const isMariaDb = String(row?.['version']).includes('MariaDB');
  const [own] = isMariaDb ? await ask(connection, 'SELECT @@global.userstat AS counted') : [];
  const counts = Number(row?.['counted']) === 1 ? 'performance_schema' : null;
  return {
    isMariaDb,
    self: String(row?.['self']),
    lifetimeDays: Number(row?.['lifetime'] ?? 0),
    countsUses: Number(own?.['counted']) === 1 ? 'userstat' : counts,
  };
}

/** MariaDB keeps roles among the accounts, without a host; nobody logs in as one. */
async function readAccounts(connection: PoolConnection, { isMariaDb }: Server): Promise<Account[]> {
  const rows = await ask(connection, 'SELECT User AS name, Host AS host FROM mysql.user');
  return rows
    .map((row) => ({ user: String(row['name']), host: String(row['host']) }))
    .filter(({ host }) => !isMariaDb || host !== '');
}

const MARIADB_SECRETS = `SELECT User AS name, Host AS host,
    COALESCE(JSON_VALUE(Priv, '$.plugin'), '') AS plugin,
    COALESCE(JSON_VALUE(Priv, '$.authentication_string'), '') = '' AS is_empty,
    JSON_EXISTS(Priv, '$.auth_or') AS has_more,
    COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true') AS is_locked,
    JSON_VALUE(Priv, '$.password_lifetime') AS lifetime,
    JSON_VALUE(Priv, '$.password_last_changed') AS changed
  FROM mysql.global_priv`;
const MYSQL_SECRETS = `SELECT User AS name, Host AS host, plugin, authentication_string = '' AS is_empty,
    0 AS has_more, account_locked = 'Y' AS is_locked, password_lifetime AS lifetime,
    UNIX_TIMESTAMP(password_last_changed) AS changed
  FROM mysql.user`;

/** Ways in that take a password; an empty one opens them to everybody. */
const PASSWORD_PLUGINS = new Set([
  '',
  'mysql_native_password',
  'mysql_old_password',
  'ed25519',
  'parsec',
  'sha256_password',
  'caching_sha2_password',
]);

type Secret = Pick<FoundFacts, 'seenRisks' | 'expiresAt' | 'secretChangedAt' | 'isEnabled'>;

async function readSecrets(
  connection: PoolConnection,
  { isMariaDb, lifetimeDays }: Server,
): Promise<Map<string, Secret> | null> {
  const rows = await askIfAllowed(connection, isMariaDb ? MARIADB_SECRETS : MYSQL_SECRETS);
  return (
    rows &&
    new Map(
      rows.map((row) => [
        `${String(row['name'])}@${String(row['host'])}`,
        secretOf(row, lifetimeDays),
      ]),
    )
  );
}

const DAY = 86_400;

function secretOf(row: Row, lifetimeDays: number): Secret {
  const isOpen =
    Number(row['is_empty']) === 1 &&
    Number(row['has_more']) === 0 &&
    PASSWORD_PLUGINS.has(String(row['plugin']));
  const seconds = Number(row['changed'] ?? 0);
  const changedAt = seconds > 0 ? fromMs(seconds * 1000) : null;
  const days = Number(row['lifetime'] ?? lifetimeDays);
  return {
    seenRisks: isOpen ? ['no_password'] : [],
    secretChangedAt: isOpen ? null : changedAt,
    expiresAt: changedAt !== null && days > 0 ? addSeconds(changedAt, days * DAY) : null,
    isEnabled: Number(row['is_locked']) !== 1,
  };
}

/** From any address at all it is open to whoever has or guesses the password. */
function aboutSecret(secret: Secret | undefined, { host }: Account): Partial<Secret> {
  const anyHost = host === '%' || host === '' ? (['any_host'] as const) : [];
  return { ...secret, seenRisks: [...(secret?.seenRisks ?? []), ...anyHost] };
}

/** How often each login came in, by its name; null where nobody counts, or the issuer may not know. */
async function readUses(
  connection: PoolConnection,
  { countsUses }: Server,
): Promise<Map<string, number> | null> {
  if (countsUses === null) return null;
  const table =
    countsUses === 'userstat' ? 'information_schema.USER_STATISTICS' : 'performance_schema.users';
  const rows = await askIfAllowed(
    connection,
    `SELECT USER AS name, TOTAL_CONNECTIONS AS uses FROM ${table} WHERE USER IS NOT NULL`,
  );
  return rows && new Map(rows.map((row) => [String(row['name']), Number(row['uses'])]));
}

async function readConnected(connection: PoolConnection): Promise<Set<string>> {
  const rows = await ask(connection, 'SELECT USER AS name FROM information_schema.PROCESSLIST');
  return new Set(rows.map((row) => String(row['name'])));
}

/** The roles of the target that each role of the policy gives. */
const groupsOf = (roles: ReadonlyMap<string, RoleDefinition>): Map<string, string[]> =>
  new Map(
    [...roles].flatMap(([name, role]) => (role.issuer === 'mysql' ? [[name, role.member_of]] : [])),
  );

function powersOf(
  account: Account,
  privileges: Privileges,
  opened: ReadonlyMap<string, string[]>,
): Pick<FoundFacts, 'groups' | 'permissions' | 'isSuperuser' | 'makesRoles' | 'reaches'> {
  const isSuperuser = privileges.mayEverything(account);
  return {
    groups: privileges.groups(account),
    permissions: privileges.words(account),
    isSuperuser,
    makesRoles: isSuperuser || privileges.mayMakeAccounts(account),
    reaches: [...opened].flatMap(([role, groups]) =>
      privileges.mayWriteWith(account, groups) ? [role] : [],
    ),
  };
}
