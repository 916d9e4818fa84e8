// What the accounts of a MySQL or MariaDB may do, themselves and by the roles that they hold. A role counts as held
// whether it is switched on or not: switching it on asks nobody.
import type { PoolConnection } from 'mysql2/promise';
import { askIfAllowed } from './mysql-connection.ts';

/** An account as the server names it. */
export interface Account {
  user: string;
  host: string;
}

/** What one account may do, as far as the server told. */
export interface Privileges {
  /** Whether the server told at all. */
  isKnown(account: Account): boolean;
  groups(account: Account): string[];
  /** Its own privileges, as people read them. */
  words(account: Account): string[];
  mayEverything(account: Account): boolean;
  mayMakeAccounts(account: Account): boolean;
  /** Whether it may write something that holders of these roles may write. */
  mayWriteWith(account: Account, roles: readonly string[]): boolean;
}

/** Some privileges, on everything or on a schema or on a table. */
interface Grant {
  privileges: string[];
  schema: string | null;
  table: string | null;
}

const keyOf = (user: string, host: string): string => JSON.stringify([user, host]);

/** `'user'@'host'`, which the server does not escape. No host holds a quotation mark. */
function granteeKey(grantee: unknown): string {
  const [, user = '', host = ''] = /^'(.*)'@'([^']*)'$/s.exec(String(grantee)) ?? [];
  return keyOf(user, host);
}

const GRANTS = [
  `SELECT GRANTEE, NULL AS in_schema, NULL AS in_table, GROUP_CONCAT(PRIVILEGE_TYPE) AS words
   FROM information_schema.USER_PRIVILEGES GROUP BY GRANTEE`,
  `SELECT GRANTEE, TABLE_SCHEMA AS in_schema, NULL AS in_table, GROUP_CONCAT(PRIVILEGE_TYPE) AS words
   FROM information_schema.SCHEMA_PRIVILEGES GROUP BY GRANTEE, TABLE_SCHEMA`,
  `SELECT GRANTEE, TABLE_SCHEMA AS in_schema, TABLE_NAME AS in_table, GROUP_CONCAT(PRIVILEGE_TYPE) AS words
   FROM information_schema.TABLE_PRIVILEGES GROUP BY GRANTEE, TABLE_SCHEMA, TABLE_NAME`,
  `SELECT GRANTEE, TABLE_SCHEMA AS in_schema, TABLE_NAME AS in_table,
     GROUP_CONCAT(DISTINCT PRIVILEGE_TYPE) AS words
   FROM information_schema.COLUMN_PRIVILEGES GROUP BY GRANTEE, TABLE_SCHEMA, TABLE_NAME`,
];

/** The server shows the privileges of others only to whoever may read its own schema. */
export async function readPrivileges(
  connection: PoolConnection,
  isMariaDb: boolean,
): Promise<Privileges> {
  const grants = new Map<string, Grant[]>();
  for (const sql of GRANTS)
    for (const row of (await askIfAllowed(connection, sql)) ?? []) {
      const key = granteeKey(row['GRANTEE']);
      grants.set(key, [...(grants.get(key) ?? []), asGrant(row)]);
    }
  const edges = await askIfAllowed(connection, isMariaDb ? MARIADB_EDGES : MYSQL_EDGES);
  const holds = new Map<string, { key: string; name: string }[]>();
  for (const row of edges ?? []) {
    const key = keyOf(String(row['name']), String(row['host']));
    const role = {
      key: keyOf(String(row['role']), String(row['role_host'])),
      name: String(row['role']),
    };
    holds.set(key, [...(holds.get(key) ?? []), role]);
  }
  return judging(grants, edges === null ? null : holds, isMariaDb ? '' : '%');
}

const MARIADB_EDGES = `SELECT User AS name, Host AS host, Role AS role, '' AS role_host
  FROM mysql.roles_mapping`;
const MYSQL_EDGES = `SELECT TO_USER AS name, TO_HOST AS host, FROM_USER AS role, FROM_HOST AS role_host
  FROM mysql.role_edges`;

const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);

const asGrant = (row: Record<string, unknown>): Grant => ({
  privileges: String(row['words'])
    .split(',')
    .filter((word) => word !== 'USAGE')
    .toSorted(),
  schema: textOrNull(row['in_schema']),
  table: textOrNull(row['in_table']),
});

type Held = Map<string, { key: string; name: string }[]>;

function judging(grants: Map<string, Grant[]>, holds: Held | null, roleHost: string): Privileges {
  const rolesBelow = (start: string): Map<string, string> => {
    const found = new Map<string, string>();
    const open = [start];
    for (let key = open.pop(); key !== undefined; key = open.pop())
      for (const role of holds?.get(key) ?? [])
        if (!found.has(role.key)) {
          found.set(role.key, role.name);
          open.push(role.key);
        }
    return found;
  };
  const effective = (key: string): Grant[] =>
    [key, ...rolesBelow(key).keys()].flatMap((each) => grants.get(each) ?? []);
  const own = ({ user, host }: Account): string => keyOf(user, host);
  const may = (account: Account, test: (grant: Grant) => boolean): boolean =>
    effective(own(account)).some(test);
  return {
    isKnown: (account) => holds !== null && grants.has(own(account)),
    groups: (account) => [...rolesBelow(own(account)).values()],
    words: (account) => (grants.get(own(account)) ?? []).flatMap(wordsOf),
    mayEverything: (account) => may(account, isEverything),
    mayMakeAccounts: (account) =>
      may(
        account,
        ({ schema, privileges }) => schema === null && privileges.includes('CREATE USER'),
      ),
    mayWriteWith: (account, roles) => {
      const theirs = roles.flatMap((role) => effective(keyOf(role, roleHost))).filter(writes);
      return may(account, (grant) => writes(grant) && theirs.some((each) => overlap(grant, each)));
    },
  };
}

const WRITES = ['INSERT', 'UPDATE', 'DELETE', 'DROP', 'ALTER'];
const writes = ({ privileges }: Grant): boolean => privileges.some((each) => WRITES.includes(each));

/** Who may write the server's own tables can give themselves the rest. */
const isEverything = (grant: Grant): boolean =>
  (grant.schema === null && grant.privileges.includes('SUPER')) ||
  (writes(grant) && isWithin('mysql', grant.schema));

/** Names of schemas are patterns in which a backslash takes the meaning from what follows. */
function isWithin(schema: string, pattern: string | null): boolean {
  if (pattern === null) return true;
  const source = pattern.replaceAll(
    /\\(.)|([%_])|([.*+?^${}()|[\]\\])/gs,
    (_all, kept, wild, sign) => {
      if (typeof kept === 'string') return /\w/.test(kept) ? kept : `\\${kept}`;
      if (typeof wild === 'string') return wild === '%' ? '.*' : '.';
      return `\\${String(sign)}`;
    },
  );
  return new RegExp(`^${source}$`, 'is').test(schema);
}

const overlap = (one: Grant, other: Grant): boolean =>
  (isWithin(plain(one.schema), other.schema) || isWithin(plain(other.schema), one.schema)) &&
  (one.table === null || other.table === null || one.table === other.table);

const plain = (schema: string | null): string => (schema ?? '').replaceAll(/\\(.)/gs, '$1');

/** More than these are not read one by one. */
const LISTED_MAX = 12;

function wordsOf({ privileges, schema, table }: Grant): string[] {
  if (privileges.length === 0) return [];
  const what =
    privileges.length > LISTED_MAX
      ? `${privileges.length} privileges${privileges.includes('SUPER') ? ' with SUPER' : ''}`
      : privileges.join(', ');
  return [`${what} on ${schema ?? '*'}.${table ?? '*'}`];
}
