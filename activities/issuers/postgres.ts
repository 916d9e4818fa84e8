// Issues login roles in a PostgreSQL of somebody else's. Every name is generated, every statement is built by
// the server itself with format(), and a login is gone only when the server no longer knows it.
import { randomBytes } from 'node:crypto';
import type { Sql } from 'postgres';
import {
  TargetError,
  type Issuer,
  type LeaseToIssue,
  type RevokeOutcome,
  type TargetRef,
} from '../../commands/credentials/issuer.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { leaseOfLogin, loginName, type Secrets } from './login.ts';
import { CREATE_LOGIN, EXTEND_LOGIN } from './postgres-blocks.ts';
import { discoverLogins, servantsOf } from './postgres-discovery.ts';
import { endLogins, loginsAmong } from './postgres-ends.ts';
import { kitHands } from './postgres-kits.ts';
import {
  CONNECTIONS_MAX,
  connectTarget,
  databaseIn,
  disconnect,
  errorCode,
  runBlock,
  unlessDisturbed,
  type Connection,
  type Target,
} from './postgres-target.ts';
import { scramVerifier } from './scram.ts';

/**
 * `mark` begins the comment that every role of ours carries, and no other; the number of the attempt follows it. A
 * role without it, whatever its name, belongs to somebody else or to another deployment and is never touched.
 */
export function postgresIssuer(
  secrets: Secrets,
  mark: string,
): Issuer & { close(): Promise<void> } {
  const pools = new Map<string, Connection>();
  const open = ({ definition }: TargetRef): Target => {
    const text = definition?.issuer === 'postgres' ? secrets(definition.url_from) : null;
    if (text === null) throw new TargetError('target_not_configured');
    const connection = pools.get(text) ?? connectTarget(text, CONNECTIONS_MAX);
    pools.set(text, connection);
    return { ...connection, url: new URL(text) };
  };
  return {
    issue: async (lease) => {
      const material = await issueLogin(open(lease.target), mark, lease);
      return { material, handle: null, diesAt: null };
    },
    renew: async (lease) => {
      const { sessions } = open(lease.target);
      try {
        await unlessDisturbed(() => runBlock(sessions, placeOf(mark, lease), EXTEND_LOGIN));
      } catch (error) {
        throw new TargetError(errorCode(error), { cause: error });
      }
    },
    revoke: async (target, leases) => {
      const credentials = leases.map(({ credential }) => credential);
      try {
        return await revokeLogins(open(target), mark, credentials);
      } catch (error) {
        const code = errorCode(error);
        return credentials.map((credential) => ({ credential, code, sessionsEnded: 0 }));
      }
    },
    verifyDead: async (target, leases) => {
      const names = leases.map(({ credential }) => loginName(credential));
      const alive = await loginsAmong(open(target).sql, names);
      return names.map((name) => (alive.has(name) ? 'alive' : 'gone'));
    },
    list: async (target) => listLogins(open(target).sql, mark),
    discover: async (target, roles) => {
      try {
        return await discoverLogins(open(target).sql, mark, servantsOf(target, secrets), roles);
      } catch (error) {
        throw new TargetError(errorCode(error), { cause: error });
      }
    },
    kits: kitHands(open, mark),
    close: async () => {
      await Promise.all([...pools.values()].map((connection) => disconnect(connection, 2)));
    },
  };
}

async function issueLogin(
  { sessions, url }: Target,
  mark: string,
  lease: LeaseToIssue,
): Promise<JsonObject> {
  if (lease.definition.issuer !== 'postgres')
    throw new TypeError('this role is not a PostgreSQL one');
  const { member_of: groups, connection_limit: connections } = lease.definition;
  const username = loginName(lease.credential);
  const password = randomBytes(32).toString('base64url');
  const parameters = {
    ...placeOf(mark, lease),
    verifier: scramVerifier(password).verifier,
    groups: JSON.stringify(groups),
    connections: String(connections),
  };
  try {
    await unlessDisturbed(() => runBlock(sessions, parameters, CREATE_LOGIN));
  } catch (error) {
    throw new TargetError(errorCode(error), { cause: error });
  }
  const database = databaseIn(url);
  const port = url.port === '' ? 5432 : Number(url.port);
  return {
    kind: 'postgres',
    host: url.hostname,
    port,
    database,
    username,
    password,
    url: `postgres://${username}:${password}@${url.hostname}:${port}/${encodeURIComponent(database)}`,
  };
}

/** Which login of which attempt, until when, and how long the target may take to make or move it. */
const placeOf = (mark: string, lease: LeaseToIssue) => ({
  role: loginName(lease.credential),
  mark,
  attempt: String(lease.attempt),
  valid_until: lease.expiresAt,
  issue_by: lease.issueBy,
});

async function listLogins(sql: Sql, mark: string): Promise<Id<'credential'>[]> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles
    where rolname like 'cs\\_%' and starts_with(shobj_description(oid, 'pg_authid'), ${mark})`;
  return rows.flatMap(({ name }) => leaseOfLogin(name) ?? []);
}

async function revokeLogins(
  target: Target,
  mark: string,
  credentials: readonly Id<'credential'>[],
): Promise<RevokeOutcome[]> {
  const names = new Map(credentials.map((credential) => [loginName(credential), credential]));
  const ended = await endLogins(target, mark, [...names.keys()]);
  return ended.flatMap(({ name, code, sessionsEnded }) => {
    const credential = names.get(name);
    return credential ? [{ credential, code, sessionsEnded }] : [];
  });
}
