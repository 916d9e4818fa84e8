// Logins to a Redis: users of its access control list, who reach the keys and commands that a role names.
import { z } from 'zod';
import {
  policyName,
  roleCommon,
  seconds,
  targetCommon,
  variable,
  type AccessKind,
} from './kind.ts';
import { noOptions } from './options.ts';
import { tlsSettings } from './tls.ts';

export const redisTarget = z.strictObject({
  issuer: z.literal('redis'),
  ...targetCommon,
  url_from: variable,
  ...tlsSettings,
});
export type RedisTarget = z.infer<typeof redisTarget>;

/** Keys or channels by Redis's own globs. It has to begin with something: what begins with a glob can be anything. */
const pattern = z
  .string()
  .regex(
    /^[A-Za-z0-9_:{}./@-][A-Za-z0-9_:{}./@?*[\]^-]{0,199}$/,
    'a pattern that begins with letters, digits or one of _:{}./@-',
  );
const command = z
  .string()
  .regex(
    /^@?[a-z][a-z0-9-]{0,40}(\|[a-z][a-z0-9-]{0,40})?$/,
    'a command or an @category, in small letters',
  );

/** Through these a login could outlive its lease, outgrow it, leave code behind, or empty what is not its own. */
const POWERS = new Set(
  `acl bgrewriteaof bgsave client cluster config debug failover flushall flushdb function latency migrate module monitor
  pfdebug pfselftest psync replconf replicaof restore restore-asking role save script shutdown slaveof slowlog swapdb
  sync @all @admin @dangerous @scripting`.split(/\s+/),
);
const powerOf = (word: string): string => word.split('|')[0] ?? '';

export const redisRole = z
  .strictObject({
    issuer: z.literal('redis'),
    target: policyName,
    /** Keys to read and write, and keys only to read. */
    keys: z.array(pattern).max(50).default([]),
    keys_read: z.array(pattern).max(50).default([]),
    channels: z.array(pattern).max(50).default([]),
    commands: z.array(command).min(1).max(100),
    /** Every key, channel and command, those that administer the server as well. */
    unrestricted: z.boolean().default(false),
    /** Redis ends no login by itself. A role says that whoever wrote it knows. */
    backstop: z.literal('none'),
    ...roleCommon,
    /** As nothing but us ends it, not for long. */
    ttl_seconds_max: seconds(3600).default(900),
  })
  .superRefine((role, context) => {
    if (role.unrestricted) return;
    for (const [at, word] of role.commands.entries())
      if (POWERS.has(powerOf(word)))
        context.addIssue({
          code: 'custom',
          path: ['commands', at],
          message: `${word} could outlive or outgrow the lease: leave it out, or say unrestricted: true`,
        });
  });
export type RedisRole = z.infer<typeof redisRole>;

const scopeOf = (role: RedisRole): string[] => {
  if (role.unrestricted) return ['everything'];
  return [
    ...role.keys.map((keys) => `keys ${keys}`),
    ...role.keys_read.map((keys) => `keys ${keys}`),
    ...role.channels.map((channels) => `channels ${channels}`),
  ];
};

export const redisAccess: AccessKind<RedisRole> = {
  target: (role) => role.target,
  destination: (role) => `redis:${role.target}`,
  gives: (role) =>
    `a login of ${role.target} for ${scopeOf(role).join(', ') || 'no keys'}, to run ${role.commands.join(', ')}`,
  reaches: scopeOf,
  revocable: () => true,
  longestSeconds: () => 0,
  backstop: () => false,
  witness: () => 'target',
  attempts: () => 'replace',
  listed: true,
  renewal: 'extended',
  readOptions: (_role, options) => noOptions(options),
};
