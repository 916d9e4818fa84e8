// Logins to a PostgreSQL database: members of groups that its owner made, for as long as their lease.
import { z } from 'zod';
import { policyName, roleCommon, targetCommon, variable, type AccessKind } from './kind.ts';
import { noOptions } from './options.ts';

const databaseName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/, 'a plain database role name');

export const postgresTarget = z.strictObject({
  issuer: z.literal('postgres'),
  ...targetCommon,
  url_from: variable,
  observer_url_from: variable.optional(),
  /** How independent the observer is of us: A under other administrators, B our sensor on the target. */
  grade: z.enum(['A', 'B']).default('B'),
  /** Logins of the applications that own the data: what they do is their work, and no bypass of a gate. */
  application_logins: z.array(databaseName).max(50).default([]),
});
export type PostgresTarget = z.infer<typeof postgresTarget>;

export const postgresRole = z.strictObject({
  issuer: z.literal('postgres'),
  target: policyName,
  member_of: z.array(databaseName).min(1).max(20),
  connection_limit: z.number().int().min(1).max(100).default(5),
  ...roleCommon,
});
type PostgresRole = z.infer<typeof postgresRole>;

export const postgresAccess: AccessKind<PostgresRole> = {
  target: (role) => role.target,
  destination: (role) => `postgres:${role.target}`,
  gives: (role) => `a login of ${role.target}, member of ${role.member_of.join(', ')}`,
  reaches: (role) => role.member_of.map((group) => `group ${group}`),
  revocable: () => true,
  longestSeconds: () => 0,
  backstop: () => true,
  witness: () => 'target',
  attempts: () => 'replace',
  listed: true,
  renewal: 'extended',
  readOptions: (_role, options) => noOptions(options),
};
