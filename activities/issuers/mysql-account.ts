// What an account of ours is in a MySQL or MariaDB: its name, its mark with the attempt that was there last, the event
// that ends it by the server's own clock, and the lock of whoever works on it.
import { createHmac } from 'node:crypto';
import type { PoolConnection } from 'mysql2/promise';
import { TargetError, type LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { ask, run, set, type MysqlServer } from './mysql-connection.ts';
import type { MysqlPlugin } from './mysql-hashes.ts';

/**
 * The schema of ours in the target, made by its administrator. It holds one event for each account: that is its mark,
 * in a comment that only we can write, and its backstop.
 */
export const SCHEMA = 'countersign';
const LOCK_WAIT_SECONDS = 3;

/** Names that we make ourselves can stand in a statement: they hold nothing that would have to be quoted. */
export function ownWord(word: string): string {
  if (!/^[a-z0-9_]+$/.test(word)) throw new TypeError('this is no name of ours');
  return word;
}
export const account = (username: string): string => `'${ownWord(username)}'@'%'`;
/** In MariaDB an account has one role by default, so it gets one of its own, which holds the others. */
export const ownRole = (username: string): string => `${ownWord(username)}_groups`;

/** A moment as the server reads it, in the session's zone (UTC). */
export const moment = (iso: string): string =>
  new Date(iso).toISOString().replace('T', ' ').replace('Z', '');

export interface Facts {
  isMariaDb: boolean;
  usualPlugin: MysqlPlugin;
  runsEvents: boolean;
}

export async function factsOf(connection: PoolConnection): Promise<Facts> {
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
export async function locked<T>(
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

export async function isLate(connection: PoolConnection): Promise<boolean> {
  const [row] = await ask(connection, `SELECT ${IN_TIME} AS in_time`);
  return Number(row?.['in_time']) !== 1;
}
/** By the target's own clock; not in time either where the moment cannot be read. */
export const IN_TIME = 'COALESCE(UTC_TIMESTAMP(6) <= CAST(@cs_issue_by AS DATETIME(6)), 0)';

export interface Found {
  isThere: boolean;
  /** The comment of its event; null where it has none. */
  comment: string | null;
}

export async function look(connection: PoolConnection, username: string): Promise<Found> {
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
export function attemptOf({ isThere, comment }: Found, said: string): number | null {
  if (comment === null && !isThere) return null;
  if (comment === null || !comment.startsWith(said)) throw new TargetError('name_not_ours');
  return Number(comment.slice(said.length));
}

/** Locks the account by the target's clock, and ends its sessions. */
export function markStatements(
  said: string,
  username: string,
  backstop: 'event' | 'none',
  lease: LeaseToIssue,
): string {
  const event = `${SCHEMA}.${ownWord(username)}`;
  const when = schedule(said, backstop, lease);
  return `CREATE EVENT IF NOT EXISTS ${event} ${when} DO BEGIN
      DECLARE session_id BIGINT DEFAULT 0;
      DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;
      ALTER USER ${account(username)} ACCOUNT LOCK;
      REPEAT
        SELECT MIN(ID) INTO session_id FROM information_schema.PROCESSLIST
          WHERE USER = '${ownWord(username)}' AND ID > session_id;
        IF session_id IS NOT NULL THEN KILL CONNECTION session_id; END IF;
      UNTIL session_id IS NULL END REPEAT;
    END;
    ALTER EVENT ${event} ${when}`;
}

const schedule = (said: string, backstop: 'event' | 'none', lease: LeaseToIssue): string =>
  `ON SCHEDULE AT '${moment(lease.expiresAt)}' ON COMPLETION PRESERVE
    ${backstop === 'event' ? 'ENABLE' : 'DISABLE'} COMMENT '${said}${lease.attempt}'`;

/**
 * Moves the end of an account that is there, and never back. Nothing else of it is touched: one that was locked stays
 * locked, and one whose time was over by the server's clock is gone.
 */
export async function extendAccount(
  connection: PoolConnection,
  server: MysqlServer,
  mark: { said: string; username: string },
  lease: LeaseToIssue,
): Promise<void> {
  const { definition, attempt, expiresAt, issueBy } = lease;
  const { said, username } = mark;
  if (definition.issuer !== 'mysql') throw new TypeError('this role is not a MySQL one');
  await locked(connection, server, username, async (isLocked) => {
    if (!isLocked) throw new TargetError('busy');
    await set(connection, { cs_issue_by: moment(issueBy) });
    if (await isLate(connection)) throw new TargetError('too_late');
    const { runsEvents } = await factsOf(connection);
    if (definition.backstop === 'event' && !runsEvents) throw new TargetError('no_backstop');
    const found = await look(connection, username);
    const last = attemptOf(found, said);
    if (last === null || !found.isThere) throw new TargetError('gone');
    if (last > attempt) throw new TargetError('superseded');
    if (await endsBefore(connection, username, expiresAt))
      await run(
        connection,
        `ALTER EVENT ${SCHEMA}.${ownWord(username)} ${schedule(said, definition.backstop, lease)}`,
      );
    // Had it locked the account meanwhile, another time for it would open nothing.
    if (await hasEnded(connection, username)) throw new TargetError('gone');
  });
}

async function endsBefore(
  connection: PoolConnection,
  username: string,
  until: string,
): Promise<boolean> {
  const [row] = await ask(
    connection,
    `SELECT EXECUTE_AT < CAST(? AS DATETIME(6)) AS is_sooner FROM information_schema.EVENTS
     WHERE EVENT_SCHEMA = '${SCHEMA}' AND EVENT_NAME = ?`,
    [moment(until), username],
  );
  return Number(row?.['is_sooner']) === 1;
}

async function hasEnded(connection: PoolConnection, username: string): Promise<boolean> {
  const [row] = await ask(
    connection,
    `SELECT LAST_EXECUTED IS NOT NULL AS has_run FROM information_schema.EVENTS
     WHERE EVENT_SCHEMA = '${SCHEMA}' AND EVENT_NAME = ?`,
    [username],
  );
  return Number(row?.['has_run'] ?? 1) === 1;
}
