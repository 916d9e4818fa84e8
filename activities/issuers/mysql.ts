// Issues accounts in a MySQL or MariaDB of somebody else's. Neither can make an account and its grants in one transaction,
// so an account is made locked and opened last, by a statement that the server itself only carries out in time.
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolConnection } from 'mysql2/promise';
import {
  TargetError,
  type Issuer,
  type LeaseToIssue,
  type RevokeOutcome,
} from '../../commands/credentials/issuer.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { leaseOfLogin, loginName, type Secrets } from './login.ts';
import {
  account,
  attemptOf,
  extendAccount,
  factsOf,
  IN_TIME,
  isLate,
  locked,
  look,
  markStatements,
  moment,
  ownRole,
  ownWord,
  SCHEMA,
  type Facts,
} from './mysql-account.ts';
import {
  ask,
  mysqlErrorCode,
  mysqlServers,
  portOf,
  run,
  set,
  using,
  type MysqlServer,
} from './mysql-connection.ts';
import { discoverAccounts } from './mysql-discovery.ts';
import { storedHash, type MysqlPlugin } from './mysql-hashes.ts';

/** How often a killed session is looked for before the attempt is given up. */
const SESSION_CHECKS_MAX = 40;

/** `mark` is what tells this deployment's accounts from those of any other. */
export function mysqlIssuer(secrets: Secrets, mark: string): Issuer & { close(): Promise<void> } {
  const servers = mysqlServers(secrets);
  const said = `countersign ${createHash('sha256').update(mark).digest('hex').slice(0, 32)} `;
  return {
    issue: async (lease) => {
      try {
        const server = servers.open(lease.target);
        return { material: await issueLogin(server, said, lease), handle: null, diesAt: null };
      } catch (error) {
        // Without its cause: that quotes statements.
        throw new TargetError(mysqlErrorCode(error));
      }
    },
    renew: async (lease) => {
      try {
        const server = servers.open(lease.target);
        const mark = { said, username: loginName(lease.credential) };
        await using(server, (connection) => extendAccount(connection, server, mark, lease));
      } catch (error) {
        throw new TargetError(mysqlErrorCode(error));
      }
    },
    revoke: (target, leases) =>
      Promise.all(
        leases.map(async ({ credential }): Promise<RevokeOutcome> => {
          try {
            const server = servers.open(target);
            const ended = await using(server, (connection) =>
              revokeLogin(connection, server, said, loginName(credential)),
            );
            return { credential, ...ended };
          } catch (error) {
            return { credential, code: mysqlErrorCode(error), sessionsEnded: 0 };
          }
        }),
      ),
    verifyDead: async (target, leases) => {
      const alive = await using(servers.open(target), async (connection) => {
        await factsOf(connection);
        return knownLogins(connection);
      });
      return leases.map(({ credential }) => (alive.has(loginName(credential)) ? 'alive' : 'gone'));
    },
    list: async (target) =>
      using(servers.open(target), (connection) => listLogins(connection, said)),
    discover: async (target, roles) => {
      try {
        return await using(servers.open(target), async (connection) =>
          discoverAccounts(connection, await listLogins(connection, said), roles),
        );
      } catch (error) {
        throw new TargetError(mysqlErrorCode(error));
      }
    },
    close: () => servers.close(),
  };
}

async function issueLogin(
  server: MysqlServer,
  said: string,
  lease: LeaseToIssue,
): Promise<JsonObject> {
  const { definition } = lease;
  if (definition.issuer !== 'mysql') throw new TypeError('this role is not a MySQL one');
  const username = loginName(lease.credential);
  // 192 random bits in 32 characters, which is what Ed25519 takes for a seed.
  const password = randomBytes(24).toString('base64url');
  await using(server, (connection) =>
    locked(connection, server, username, async (isLocked) => {
      if (!isLocked) throw new TargetError('busy');
      await set(connection, { cs_issue_by: moment(lease.issueBy) });
      if (await isLate(connection)) throw new TargetError('too_late');
      const facts = await factsOf(connection);
      if (definition.backstop === 'event' && !facts.runsEvents)
        throw new TargetError('no_backstop');
      const attempt = attemptOf(await look(connection, username), said);
      if (attempt !== null && attempt > lease.attempt) throw new TargetError('superseded');
      const plugin = server.definition.authentication ?? facts.usualPlugin;
      await run(connection, markStatements(said, username, definition.backstop, lease));
      await run(connection, `CREATE USER IF NOT EXISTS ${account(username)} ACCOUNT LOCK`);
      await run(
        connection,
        `ALTER USER ${account(username)} ${identifiedBy(facts, plugin, password)}
         REQUIRE ${server.definition.tls === 'required' ? 'SSL' : 'NONE'}
         WITH MAX_USER_CONNECTIONS ${definition.connection_limit} ACCOUNT LOCK`,
      );
      await grantRoles(connection, facts, username, definition.member_of);
      await openInTime(connection, username);
    }),
  );
  return material(server, username, password);
}

function material(
  { url, definition }: MysqlServer,
  username: string,
  password: string,
): JsonObject {
  const database = decodeURIComponent(url.pathname.slice(1));
  return {
    kind: 'mysql',
    host: url.hostname,
    port: portOf(url),
    database,
    username,
    password,
    tls: definition.tls === 'required',
    url: `mysql://${username}:${password}@${url.hostname}:${portOf(url)}/${encodeURIComponent(database)}`,
  };
}

/** Hashes hold letters, digits and a few marks; the salt is chosen to. */
function identifiedBy({ isMariaDb }: Facts, plugin: MysqlPlugin, password: string): string {
  const hash = storedHash(plugin, password);
  if (!/^[A-Za-z0-9./+*$]+$/.test(hash)) throw new TypeError('this hash would have to be quoted');
  return isMariaDb
    ? `IDENTIFIED VIA ${plugin} USING '${hash}'`
    : `IDENTIFIED WITH ${plugin} AS '${hash}'`;
}

/** Names of roles come from a policy: they reach the server as values, and it quotes them itself. */
async function grantRoles(
  connection: PoolConnection,
  { isMariaDb }: Facts,
  username: string,
  groups: readonly string[],
): Promise<void> {
  const grantee = isMariaDb ? ownRole(username) : account(username);
  if (isMariaDb) await run(connection, `DROP ROLE IF EXISTS ${grantee}; CREATE ROLE ${grantee}`);
  for (const group of groups) {
    await set(connection, { cs_group: group });
    await run(
      connection,
      `SET @cs_grant = CONCAT('GRANT ', QUOTE(@cs_group), ' TO ${grantee.replaceAll("'", "''")}');
       PREPARE cs_grant FROM @cs_grant; EXECUTE cs_grant; DEALLOCATE PREPARE cs_grant`,
    );
  }
  await run(
    connection,
    isMariaDb
      ? `GRANT ${grantee} TO ${account(username)}; SET DEFAULT ROLE ${grantee} FOR ${account(username)}`
      : `ALTER USER ${account(username)} DEFAULT ROLE ALL`,
  );
}

/** In one packet, and by the server's own clock: a call that was held up on the way opens nothing any more. */
async function openInTime(connection: PoolConnection, username: string): Promise<void> {
  const open = `ALTER USER ${account(username)} ACCOUNT UNLOCK`.replaceAll("'", "''");
  await run(
    connection,
    `SET @cs_in_time = ${IN_TIME};
     SET @cs_open = IF(@cs_in_time, '${open}', 'DO 0');
     PREPARE cs_open FROM @cs_open; EXECUTE cs_open; DEALLOCATE PREPARE cs_open`,
  );
  const [row] = await ask(connection, 'SELECT @cs_in_time AS opened');
  if (Number(row?.['opened']) !== 1) throw new TargetError('too_late');
}

/** Locks it, ends its sessions, sees none, drops it, and looks once more. The mark goes last. */
async function revokeLogin(
  connection: PoolConnection,
  server: MysqlServer,
  said: string,
  username: string,
): Promise<Pick<RevokeOutcome, 'code' | 'sessionsEnded'>> {
  const seen = new Set<number>();
  const code = await locked(connection, server, username, async (isLocked) => {
    const { isMariaDb } = await factsOf(connection);
    const found = await look(connection, username);
    attemptOf(found, said);
    if (found.isThere) await run(connection, `ALTER USER ${account(username)} ACCOUNT LOCK`);
    if (!(await endSessions(connection, username, seen))) return 'sessions_remain';
    // Whoever has the lock may be about to open it again.
    if (!isLocked) return 'busy';
    if (found.comment === null) return null;
    await run(connection, `DROP USER IF EXISTS ${account(username)}`);
    if (isMariaDb) await run(connection, `DROP ROLE IF EXISTS ${ownRole(username)}`);
    // A login that was just being let in has its session now.
    if (!(await endSessions(connection, username, seen))) return 'sessions_remain';
    await run(connection, `DROP EVENT IF EXISTS ${SCHEMA}.${ownWord(username)}`);
    return null;
  });
  return { code, sessionsEnded: seen.size };
}

/** Whether none is left. An account that is gone takes no session with it: they are looked for by name. */
async function endSessions(
  connection: PoolConnection,
  username: string,
  seen: Set<number>,
): Promise<boolean> {
  for (let check = 0; check < SESSION_CHECKS_MAX; check += 1) {
    const rows = await ask(
      connection,
      'SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = ?',
      [username],
    );
    if (rows.length === 0) return true;
    for (const id of rows.map((row) => Number(row['id']))) {
      seen.add(id);
      await run(connection, `KILL CONNECTION ${id}`).catch(ignoreGone);
    }
    await sleep(25);
  }
  return false;
}

function ignoreGone(error: unknown): void {
  if (mysqlErrorCode(error) !== 'er_no_such_thread') throw error;
}

/** Every name that the server knows as an account or sees in a session, whatever revoking thought it did. */
async function knownLogins(connection: PoolConnection): Promise<Set<string>> {
  const rows = await ask(
    connection,
    `SELECT User AS name FROM mysql.user WHERE User LIKE 'cs\\_%'
     UNION SELECT USER FROM information_schema.PROCESSLIST WHERE USER LIKE 'cs\\_%'`,
  );
  return new Set(rows.map((row) => String(row['name'])));
}

async function listLogins(connection: PoolConnection, said: string): Promise<Id<'credential'>[]> {
  const rows = await ask(
    connection,
    `SELECT EVENT_NAME AS name FROM information_schema.EVENTS
     WHERE EVENT_SCHEMA = '${SCHEMA}' AND LEFT(EVENT_COMMENT, ${said.length}) = ?`,
    [said],
  );
  return rows.flatMap((row) => leaseOfLogin(String(row['name'])) ?? []);
}
