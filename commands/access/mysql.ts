// Logins to a MySQL or MariaDB: holders of roles that its owner made, for as long as their lease.
import { z } from 'zod';
import { policyName, roleCommon, targetCommon, variable, type AccessKind } from './kind.ts';
import { noOptions } from './options.ts';
import { tlsSettings } from './tls.ts';

const mysqlRoleName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,31}$/, 'a plain name of a role in the target');

export const mysqlTarget = z.strictObject({
  issuer: z.literal('mysql'),
  ...targetCommon,
  url_from: variable,
  ...tlsSettings,
  /** How the target checks passwords; its own usual way where this is not said. */
  authentication: z.enum(['mysql_native_password', 'ed25519', 'caching_sha2_password']).optional(),
});
export type MysqlTarget = z.infer<typeof mysqlTarget>;

export const mysqlRole = z.strictObject({
  issuer: z.literal('mysql'),
  target: policyName,
  member_of: z.array(mysqlRoleName).min(1).max(20),
  connection_limit: z.number().int().min(1).max(100).default(5),
  /** What ends the login when we cannot: an event of the target's own clock, or nothing. */
  backstop: z.enum(['event', 'none']).default('event'),
  ...roleCommon,
});
type MysqlRole = z.infer<typeof mysqlRole>;

export const mysqlAccess: AccessKind<MysqlRole> = {
  target: (role) => role.target,
  destination: (role) => `mysql:${role.target}`,
  gives: (role) => `a login of ${role.target}, holder of ${role.member_of.join(', ')}`,
  reaches: (role) => role.member_of.map((group) => `group ${group}`),
  revocable: () => true,
  longestSeconds: () => 0,
  backstop: (role) => role.backstop === 'event',
  witness: () => 'target',
  attempts: () => 'replace',
  listed: true,
  renewal: 'extended',
  readOptions: (_role, options) => noOptions(options),
};
