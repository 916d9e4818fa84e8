// Secrets that people put in once, for what cannot issue credentials of its own. Lending one out is all that can be
// done with it: whoever was given it knows it until it is replaced.
import { z } from 'zod';
import { policyName, roleCommon, type AccessKind } from './kind.ts';
import { noOptions } from './options.ts';

/** Where secrets are lent from: our own tables. */
export const OWN_SECRETS = 'static-secrets';

export const staticRole = z.strictObject({
  issuer: z.literal('static'),
  secret: policyName,
  /** How many leases may have it at once. */
  concurrent: z.number().int().min(1).max(100).default(1),
  /** After so long it is time to replace it, whoever had it. */
  rotate_days: z.number().int().min(1).max(3650).default(90),
  /** Whether it is still lent once somebody knows it whose lease is over. */
  when_tainted: z.enum(['lend', 'refuse']).default('lend'),
  ...roleCommon,
});
type StaticRole = z.infer<typeof staticRole>;

export const staticAccess: AccessKind<StaticRole> = {
  target: () => OWN_SECRETS,
  destination: (role) => `secret:${role.secret}`,
  gives: (role) => `the stored secret ${role.secret}, which stays known after its lease`,
  reaches: (role) => [`secret ${role.secret}`],
  revocable: () => false,
  longestSeconds: () => 0,
  backstop: () => false,
  witness: () => 'nobody',
  attempts: () => 'share',
  listed: false,
  readOptions: (_role, options) => noOptions(options),
};
