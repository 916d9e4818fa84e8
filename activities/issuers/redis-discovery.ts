// Every user that a Redis has besides our leases, as its access control list tells it. Hashes come along with what is
// asked for; they are counted and dropped.
import type { RoleDefinition } from '../../commands/access/kinds.ts';
import type { RedisRole } from '../../commands/access/redis.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import { censusOf, PLAIN_FACTS, type Census, type Found } from '../../domain/found-identity.ts';
import { leaseOfLogin } from './login.ts';
import { RedisError, type RedisConnection, type Reply } from './redis-connection.ts';

/** Users whose rules are asked for at once. */
const BATCH = 500;

/** `said` begins the mark that our own users carry; `self` is the user that asks. */
export async function discoverUsers(
  connection: RedisConnection,
  said: string,
  self: string,
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<Census> {
  const listed = await connection.call('ACL', 'USERS');
  if (!Array.isArray(listed)) throw new TargetError('answer_garbled');
  const names = listed.filter((each) => typeof each === 'string');
  const connected = await connectedUsers(connection);
  const opened = [...roles].flatMap(([name, role]) =>
    role.issuer === 'redis' ? [{ name, role }] : [],
  );
  const found: Found[] = [];
  for (let from = 0; from < names.length; from += BATCH) {
    const some = names.slice(from, from + BATCH);
    const replies = await connection.batch(some.map((name) => ['ACL', 'GETUSER', name]));
    for (const [at, name] of some.entries()) {
      const user = userIn(replies[at] ?? null);
      // It went between two questions.
      if (!user) continue;
      const isOurs = leaseOfLogin(name) !== null && user.rules.some((each) => marks(each, said));
      if (!isOurs)
        found.push(
          asFound(name, user, { isSelf: name === self, isConnected: connected.has(name), opened }),
        );
    }
  }
  return censusOf(found);
}

/** What one set of rules allows: a user has one, and since Redis 7 any number of others beside it. */
interface Rules {
  commands: string[];
  keys: string[];
  channels: string[];
}

interface User {
  flags: string[];
  rules: Rules[];
}

const marks = ({ channels }: Rules, said: string): boolean =>
  channels.some((each) => each.startsWith(said));

/** Names and values in turn. What a member is called is the server's word, in every version. */
function membersOf(reply: readonly Reply[]): Map<string, Reply> {
  const members = new Map<string, Reply>();
  for (let at = 0; at + 1 < reply.length; at += 2) {
    const name = reply[at];
    if (typeof name === 'string') members.set(name, reply[at + 1] ?? null);
  }
  return members;
}

/** One text with blanks in some versions, a list in others. */
function wordsIn(reply: Reply | undefined): string[] {
  if (Array.isArray(reply)) return reply.flatMap(wordsIn);
  return typeof reply === 'string' ? reply.split(' ').filter(Boolean) : [];
}

function userIn(reply: Reply): User | null {
  if (reply instanceof RedisError) throw reply;
  if (!Array.isArray(reply)) return null;
  const members = membersOf(reply);
  const selectors = members.get('selectors');
  return {
    flags: wordsIn(members.get('flags')),
    rules: [
      rulesIn(members),
      ...(Array.isArray(selectors) ? selectors : []).map((each) =>
        rulesIn(membersOf(Array.isArray(each) ? each : [])),
      ),
    ],
  };
}

/** Before Redis 7 a pattern stands without the sign in front that says what it is. */
const rulesIn = (members: ReadonlyMap<string, Reply>): Rules => ({
  commands: wordsIn(members.get('commands')),
  keys: wordsIn(members.get('keys')).map((each) => (/^[~%]/.test(each) ? each : `~${each}`)),
  channels: wordsIn(members.get('channels')).map((each) =>
    each.startsWith('&') ? each : `&${each}`,
  ),
});

function asFound(
  name: string,
  { flags, rules }: User,
  about: {
    isSelf: boolean;
    isConnected: boolean;
    opened: readonly { name: string; role: RedisRole }[];
  },
): Found {
  const isSuperuser = rules.some(isEverything);
  return {
    name,
    reference: name,
    kind: 'login',
    facts: {
      ...PLAIN_FACTS,
      permissions: rules.flatMap(wordsOf),
      reaches: about.opened.flatMap((each) =>
        rules.some((some) => mayWriteWith(some, each.role)) ? [each.name] : [],
      ),
      isSuperuser,
      makesRoles: isSuperuser || rules.some((each) => mayRun(each, MAKES_USERS)),
      seenRisks: flags.includes('nopass') ? ['no_password'] : [],
      isEnabled: flags.includes('on'),
      isConnected: about.isConnected,
      // Redis keeps no record of who came in when.
      unknown: ['used_at'],
      serves: about.isSelf ? 'issuer' : null,
    },
  };
}

const wordsOf = ({ commands, keys, channels }: Rules): string[] => [
  ...(commands.length > 0 ? [commands.join(' ')] : []),
  ...keys,
  ...channels,
];

/** Every name that stands for a command in a rule: its own, and those of its categories. */
interface Command {
  name: string;
  subcommand?: string;
  categories: readonly string[];
}

const MAKES_USERS: Command = {
  name: 'acl',
  subcommand: 'setuser',
  categories: ['all', 'admin', 'slow', 'dangerous'],
};

/** Rules are read in their order, and the last one that is about a command decides. */
function mayRun({ commands }: Rules, { name, subcommand, categories }: Command): boolean {
  const names = new Set([
    name,
    ...(subcommand === undefined ? [] : [`${name}|${subcommand}`]),
    ...categories.map((each) => `@${each}`),
  ]);
  const last = commands.findLast((rule) => names.has(rule.slice(1).toLowerCase()));
  return last?.startsWith('+') === true;
}

const isEverything = (rules: Rules): boolean =>
  rules.keys.includes('~*') && rules.commands.includes('+@all') && mayRun(rules, MAKES_USERS);

const FLAT = [
  'string',
  'hash',
  'list',
  'set',
  'sortedset',
  'stream',
  'hyperloglog',
  'geo',
  'bitmap',
];
const BY_CATEGORY = new Set(
  ['all', 'write', 'keyspace', 'dangerous', 'scripting', ...FLAT].map((each) => `+@${each}`),
);
/** The usual ways to write a key, by name. */
const BY_NAME = new Set(
  `append copy decr decrby del eval evalsha expire fcall flushall flushdb getdel getset hdel hincrby hmset hset hsetnx incr
  incrby lpop lpush lset ltrim migrate mset msetnx move pexpire psetex rename renamenx restore rpop rpush sadd set setbit
  setex setnx setrange smove spop srem unlink xadd xdel xtrim zadd zincrby zrem`
    .split(/\s+/)
    .map((each) => `+${each}`),
);

/** By its name, or by a category that was not taken back. */
const mayWrite = ({ commands }: Rules): boolean =>
  commands.some(
    (rule, at) =>
      BY_NAME.has(rule) ||
      (BY_CATEGORY.has(rule) &&
        !commands.slice(at).some((later) => later === '-@all' || later === '-@write')),
  );

/** Whether it may write keys that holders of a role may write. */
function mayWriteWith(rules: Rules, role: RedisRole): boolean {
  if (!mayWrite(rules)) return false;
  const own = rules.keys.flatMap((each) => {
    const [, pattern] = /^(?:~|%(?:W|RW)~)(.*)$/s.exec(each) ?? [];
    return pattern === undefined ? [] : [pattern];
  });
  const theirs = role.unrestricted ? ['*'] : role.keys;
  return own.some((one) => theirs.some((other) => mayMeet(one, other)));
}

/** Whether two patterns can mean one key, by what stands in front of their first glob. */
function mayMeet(one: string, other: string): boolean {
  const a = beginningOf(one);
  const b = beginningOf(other);
  return a.startsWith(b) || b.startsWith(a);
}

const beginningOf = (pattern: string): string => pattern.split(/[*?[\\]/)[0] ?? '';

async function connectedUsers(connection: RedisConnection): Promise<Set<string>> {
  const sessions = await connection.call('CLIENT', 'LIST');
  if (typeof sessions !== 'string') throw new TargetError('answer_garbled');
  return new Set([...sessions.matchAll(/ user=(\S+)/g)].map(([, name = '']) => name));
}
