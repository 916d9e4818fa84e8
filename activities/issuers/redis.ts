// Issues users of a Redis of somebody else's. It has no clock for logins, so there is no backstop: what ends them is us.
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisRole } from '../../commands/access/redis.ts';
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
  portOf,
  redisErrorCode,
  RedisError,
  redisServer,
  using,
  type RedisConnection,
  type RedisServer,
  type Reply,
} from './redis-connection.ts';
import { discoverUsers } from './redis-discovery.ts';

/** How often a killed session is looked for before the attempt is given up. */
const SESSION_CHECKS_MAX = 40;
/** Longer than any call to issue can still be under way. */
const CLOSED_FOR_MS = 120_000;

/** `mark` is what tells this deployment's users from those of any other. */
export function redisIssuer(secrets: Secrets, mark: string): Issuer {
  const deployment = createHash('sha256').update(mark).digest('hex').slice(0, 32);
  // Users have no comment. A channel that nobody uses, in what they may listen to, comes closest.
  const said = `&countersign:${deployment}:`;
  return {
    issue: async (lease) => {
      try {
        const server = redisServer(lease.target, secrets);
        return { material: await issueUser(server, said, lease), handle: null, diesAt: null };
      } catch (error) {
        throw new TargetError(redisErrorCode(error));
      }
    },
    renew: async (lease) => {
      try {
        await using(redisServer(lease.target, secrets), (connection) =>
          keepUser(connection, said, lease),
        );
      } catch (error) {
        throw new TargetError(redisErrorCode(error));
      }
    },
    revoke: async (target, leases) => {
      try {
        return await using(redisServer(target, secrets), (connection) =>
          revokeUsers(
            connection,
            said,
            leases.map(({ credential }) => credential),
          ),
        );
      } catch (error) {
        const code = redisErrorCode(error);
        return leases.map(({ credential }) => ({ credential, code, sessionsEnded: 0 }));
      }
    },
    verifyDead: async (target, leases) =>
      using(redisServer(target, secrets), async (connection) => {
        const alive = await knownNames(connection);
        return leases.map(({ credential }) =>
          alive.has(loginName(credential)) ? ('alive' as const) : ('gone' as const),
        );
      }),
    list: async (target) =>
      using(redisServer(target, secrets), (connection) => listUsers(connection, said)),
    discover: async (target, roles) => {
      const server = redisServer(target, secrets);
      const self = decodeURIComponent(server.url.username || 'default');
      return using(server, (connection) => discoverUsers(connection, said, self, roles));
    },
  };
}

async function issueUser(
  server: RedisServer,
  said: string,
  lease: LeaseToIssue,
): Promise<JsonObject> {
  const { definition, credential, attempt } = lease;
  if (definition.issuer !== 'redis') throw new TypeError('this role is not a Redis one');
  const username = loginName(credential);
  const password = randomBytes(32).toString('base64url');
  const hash = createHash('sha256').update(password).digest('hex');
  await using(server, async (connection) => {
    await openFence(connection, said, lease);
    const fence = fenceOf(username);
    await connection.call('WATCH', fence);
    // Redis itself drops the key when the lease's time to be issued is over, by its own clock, and carries out nothing
    // below once a watched key changed or is gone.
    if ((await connection.call('GET', fence)) !== String(attempt))
      throw new TargetError('too_late');
    const rules = rulesOf(definition, hash, `${said}${attempt}`);
    const [, queued, done] = await connection.batch([
      ['MULTI'],
      ['ACL', 'SETUSER', username, ...rules],
      ['EXEC'],
    ]);
    if (queued instanceof RedisError) throw queued;
    if (done === null) throw new TargetError('too_late');
    if (!Array.isArray(done) || done[0] !== 'OK') throw errorIn(done);
  });
  return material(server, username, password);
}

/**
 * Redis ends no user by itself, so there is no end to move: only whether it is there, ours, open, and no later attempt's,
 * in time by the server's clock. One that is being ended is not kept.
 */
async function keepUser(
  connection: RedisConnection,
  said: string,
  lease: LeaseToIssue,
): Promise<void> {
  const username = loginName(lease.credential);
  if (lease.definition.issuer !== 'redis') throw new TypeError('this role is not a Redis one');
  const rules = await rulesOfUser(connection, username);
  if (rules === null || rules.includes('off')) throw new TargetError('gone');
  await openFence(connection, said, lease);
  if ((await connection.call('GET', fenceOf(username))) !== String(lease.attempt))
    throw new TargetError('too_late');
}

function material(
  { url, definition }: RedisServer,
  username: string,
  password: string,
): JsonObject {
  const isTls = definition.tls === 'required';
  return {
    kind: 'redis',
    host: url.hostname,
    port: portOf(url),
    username,
    password,
    tls: isTls,
    url: `${isTls ? 'rediss' : 'redis'}://${username}:${password}@${url.hostname}:${portOf(url)}${url.pathname}`,
  };
}

/** A refusal within a transaction is one of its answers. */
const errorIn = (done: Reply | undefined): Error =>
  Array.isArray(done) && done[0] instanceof RedisError ? done[0] : new TargetError('refused');

const fenceOf = (username: string): string => `countersign:fence:${username}`;

/** Says in the target which attempt is at work, for as long as there is time. A later one, or the reaper, takes it over. */
async function openFence(
  connection: RedisConnection,
  said: string,
  { credential, attempt, issueBy }: LeaseToIssue,
): Promise<void> {
  const username = loginName(credential);
  const fence = fenceOf(username);
  await connection.call('WATCH', fence);
  const present = await connection.call('GET', fence);
  if (present === CLOSED) throw new TargetError('too_late');
  const last = Math.max(
    Number(present ?? 0),
    attemptOf(await rulesOfUser(connection, username), said) ?? 0,
  );
  if (!(last <= attempt)) throw new TargetError('superseded');
  const [, , done] = await connection.batch([
    ['MULTI'],
    ['SET', fence, String(attempt), 'PXAT', String(Date.parse(issueBy))],
    ['EXEC'],
  ]);
  if (done === null) throw new TargetError('superseded');
  if (!Array.isArray(done) || done[0] !== 'OK') throw errorIn(done);
}

/** What the fence says once a login is being ended. */
const CLOSED = 'closed';

/** What a client needs to say who it is, and that it is still there. */
const ALWAYS = ['+hello', '+ping', '+quit', '+client|setname', '+client|id'];

/** One word for each rule, none with a blank in it; the schema of roles sees to that. */
function rulesOf(role: RedisRole, hash: string, mark: string): string[] {
  const scope = role.unrestricted
    ? // `&*` would leave no room for the mark; no channel has an empty name.
      ['~*', '&?*', '+@all']
    : [
        ...role.keys.map((keys) => `~${keys}`),
        ...role.keys_read.map((keys) => `%R~${keys}`),
        ...role.channels.map((channels) => `&${channels}`),
        ...role.commands.filter((word) => word.startsWith('@')).map((word) => `+${word}`),
        // A category may hold what administers the server; named by itself a command is meant.
        '-@dangerous',
        '-@admin',
        '-@scripting',
        ...role.commands.filter((word) => !word.startsWith('@')).map((word) => `+${word}`),
        ...ALWAYS,
      ];
  const rules = ['reset', 'resetchannels', `#${hash}`, ...scope, mark, 'on'];
  if (rules.some((rule) => /\s/.test(rule))) throw new TypeError('a rule cannot hold a blank');
  return rules;
}

/** The rules of a user, as the server lists them; null where there is no such user. */
async function rulesOfUser(
  connection: RedisConnection,
  username: string,
): Promise<string[] | null> {
  const reply = await connection.call('ACL', 'GETUSER', username);
  return Array.isArray(reply) ? wordsIn(reply) : null;
}

/** Channels are one text in some versions and a list in others. */
const wordsIn = (reply: readonly Reply[]): string[] =>
  reply.flatMap((each) => {
    if (Array.isArray(each)) return wordsIn(each);
    return typeof each === 'string' ? each.split(' ') : [];
  });

/** The attempt that was here last; null where none was. Somebody else's user is refused, not taken over. */
function attemptOf(rules: readonly string[] | null, said: string): number | null {
  if (rules === null) return null;
  const mark = rules.find((rule) => rule.startsWith(said));
  if (mark === undefined) throw new TargetError('name_not_ours');
  return Number(mark.slice(said.length));
}

/** Closes each, ends its sessions, deletes it, sees none; then has the server forget it in its file as well. */
async function revokeUsers(
  connection: RedisConnection,
  said: string,
  credentials: readonly Id<'credential'>[],
): Promise<RevokeOutcome[]> {
  const outcomes: RevokeOutcome[] = [];
  for (const credential of credentials) {
    const ended = { sessions: 0 };
    const code = await revokeUser(connection, said, loginName(credential), ended).catch(ownCode);
    outcomes.push({ credential, code, sessionsEnded: ended.sessions });
  }
  const unsaved = await saveUsers(connection).catch(ownCode);
  return outcomes.map((outcome) => ({ ...outcome, code: outcome.code ?? unsaved }));
}

/** What holds for one user; a broken connection ends the whole attempt. */
function ownCode(error: unknown): string {
  if (
    error instanceof RedisError ||
    (error instanceof TargetError && error.code === 'name_not_ours')
  )
    return error.code;
  throw error;
}

async function revokeUser(
  connection: RedisConnection,
  said: string,
  username: string,
  ended: { sessions: number },
): Promise<string | null> {
  await connection.call('SET', fenceOf(username), CLOSED, 'PX', String(CLOSED_FOR_MS));
  const rules = await rulesOfUser(connection, username);
  attemptOf(rules, said);
  if (rules !== null) {
    await connection.call('ACL', 'SETUSER', username, 'off', 'resetpass');
    ended.sessions = Number(await connection.call('CLIENT', 'KILL', 'USER', username));
    // Deleting it hangs up on whoever still came in.
    await connection.call('ACL', 'DELUSER', username);
  }
  for (let check = 0; check < SESSION_CHECKS_MAX; check += 1) {
    if (!(await namesInSessions(connection)).has(username)) return null;
    await sleep(25);
  }
  return 'sessions_remain';
}

/** Where the users are in a file, a restart would bring one back that somebody saved meanwhile. */
async function saveUsers(connection: RedisConnection): Promise<string | null> {
  const [, file] = wordsIn([await connection.call('CONFIG', 'GET', 'aclfile')]);
  if (file === undefined || file === '') return null;
  await connection.call('ACL', 'SAVE');
  return null;
}

async function namesInSessions(connection: RedisConnection): Promise<Set<string>> {
  const sessions = await connection.call('CLIENT', 'LIST');
  if (typeof sessions !== 'string') throw new TargetError('answer_garbled');
  return new Set([...sessions.matchAll(/ user=(\S+)/g)].map(([, name = '']) => name));
}

/** Every name that the server knows as a user or sees in a session, whatever revoking thought it did. */
async function knownNames(connection: RedisConnection): Promise<Set<string>> {
  const users = await connection.call('ACL', 'USERS');
  if (!Array.isArray(users)) throw new TargetError('answer_garbled');
  return new Set([...wordsIn(users), ...(await namesInSessions(connection))]);
}

async function listUsers(connection: RedisConnection, said: string): Promise<Id<'credential'>[]> {
  const users = await connection.call('ACL', 'USERS');
  if (!Array.isArray(users)) throw new TargetError('answer_garbled');
  const named = wordsIn(users).flatMap((name) => leaseOfLogin(name) ?? []);
  const rules = await connection.batch(
    named.map((credential) => ['ACL', 'GETUSER', loginName(credential)]),
  );
  return named.filter((_, at) => {
    const reply = rules[at];
    return Array.isArray(reply) && wordsIn(reply).some((rule) => rule.startsWith(said));
  });
}
