// Issues accounts in a MySQL or MariaDB of somebody else's. Neither can make an account and its grants in one transaction,
// so an account is made locked and opened last, by a statement that the server itself only carries out in time.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolConnection } from 'mysql2/promise';
import {
  TargetError,
  type Issuer,
  type LeaseToIssue,
  type RevokeOutcome,
} from '../../commands/issuer.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { leaseOfLogin, loginName, type Secrets } from './login.ts';
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

/**
 * The schema of ours in the target, made by its administrator. It holds one event for each account: that is its mark,
 * in a comment that only we can write, and its backstop.
 */
const SCHEMA = 'countersign';
const LOCK_WAIT_SECONDS = 3;
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

/** Names that we make ourselves can stand in a statement: they hold nothing that would have to be quoted. */
function ownWord(word: string): string {
  if (!/^[a-z0-9_]+$/.test(word)) throw new TypeError('this is no name of ours');
  return word;
}
const account = (username: string): string => `'${ownWord(username)}'@'%'`;
/** In MariaDB an account has one role by default, so it gets one of its own, which holds the others. */
const ownRole = (username: string): string => `${ownWord(username)}_groups`;

/** A moment as the server reads it, in the session's zone (UTC). */
const moment = (iso: string): string =>
  new Date(iso).toISOString().replace('T', ' ').replace('Z', '');

interface Facts {
  isMariaDb: boolean;
  usualPlugin: MysqlPlugin;
  runsEvents: boolean;
}

async function factsOf(connection: PoolConnection): Promise<Facts> {
  const [row] = await ask(
    connection,
    `SELECT VERSION() AS version, @@global.event_scheduler = 'ON' AS events,
       (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'PROCESS'
        AND GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')) AS sees`,
  );
  // Who may not see the sessions of others would find that there are none.
  if (Number(row?.['sees']) !== 1) throw new TargetError('process_privilege_missing');
  const isMariaDb = String(row?.['version']).includes('MariaDB');
  return {
    isMariaDb,
    usualPlugin: isMariaDb ? 'mysql_native_password' : 'caching_sha2_password',
    runsEvents: Number(row?.['events']) === 1,
  };
}

/**
 * Nobody else works on this account meanwhile: the next attempt, or the reaper. The server releases the lock with the
 * session, so what holds it is still at work there. Its name follows from the issuer's own password, so that no login of
 * the target can take it first.
 */
async function locked<T>(
  connection: PoolConnection,
  { url }: MysqlServer,
  username: string,
  work: (isLocked: boolean) => Promise<T>,
): Promise<T> {
  const key = createHmac('sha256', `countersign mysql lock ${url.password}`);
  const name = key.update(username).digest('hex').slice(0, 48);
  const [row] = await ask(connection, `SELECT GET_LOCK(?, ${LOCK_WAIT_SECONDS}) AS taken`, [name]);
  const result = await work(Number(row?.['taken']) === 1);
  await ask(connection, 'SELECT RELEASE_LOCK(?) AS released', [name]);
  return result;
}

async function isLate(connection: PoolConnection): Promise<boolean> {
  const [row] = await ask(connection, `SELECT ${IN_TIME} AS in_time`);
  return Number(row?.['in_time']) !== 1;
}
/** By the target's own clock; not in time either where the moment cannot be read. */
const IN_TIME = 'COALESCE(UTC_TIMESTAMP(6) <= CAST(@cs_issue_by AS DATETIME(6)), 0)';

interface Found {
  isThere: boolean;
  /** The comment of its event; null where it has none. */
  comment: string | null;
}

async function look(connection: PoolConnection, username: string): Promise<Found> {
  const [row] = await ask(
    connection,
    `SELECT (SELECT COUNT(*) FROM mysql.user WHERE User = ?) AS accounts,
       (SELECT EVENT_COMMENT FROM information_schema.EVENTS
        WHERE EVENT_SCHEMA = '${SCHEMA}' AND EVENT_NAME = ?) AS comment`,
    [username, username],
  );
  const comment = row?.['comment'];
  return {
    isThere: Number(row?.['accounts']) > 0,
    comment: typeof comment === 'string' ? comment : null,
  };
}

/** The attempt that was here last; null where none was. Somebody else's account is refused, not taken over. */
function attemptOf({ isThere, comment }: Found, said: string): number | null {
  if (comment === null && !isThere) return null;
  if (comment === null || !comment.startsWith(said)) throw new TargetError('name_not_ours');
  return Number(comment.slice(said.length));
}

/** Locks the account by the target's clock, and ends its sessions. */
function markStatements(
  said: string,
  username: string,
  backstop: 'event' | 'none',
  lease: LeaseToIssue,
): string {
  const event = `${SCHEMA}.${ownWord(username)}`;
  const schedule = `ON SCHEDULE AT '${moment(lease.expiresAt)}' ON COMPLETION PRESERVE
    ${backstop === 'event' ? 'ENABLE' : 'DISABLE'} COMMENT '${said}${lease.attempt}'`;
  return `CREATE EVENT IF NOT EXISTS ${event} ${schedule} DO BEGIN
      DECLARE session_id BIGINT DEFAULT 0;
      DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;
      ALTER USER ${account(username)} ACCOUNT LOCK;
      REPEAT
        SELECT MIN(ID) INTO session_id FROM information_schema.PROCESSLIST
          WHERE USER = '${ownWord(username)}' AND ID > session_id;
        IF session_id IS NOT NULL THEN KILL CONNECTION session_id; END IF;
      UNTIL session_id IS NULL END REPEAT;
    END;
    ALTER EVENT ${event} ${schedule}`;
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
