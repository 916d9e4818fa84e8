// Tokens that we sign for somebody else's API. They are our own words, so there is no target to reach.
import { z } from 'zod';
import { roleCommon, type AccessKind } from './kind.ts';
import { noOptions } from './options.ts';

/** Where credentials live that exist only as our own signature. */
export const OWN_TOKENS = 'tokens';

export const jwtRole = z.strictObject({
  issuer: z.literal('jwt'),
  audience: z.url(),
  ...roleCommon,
});
type JwtRole = z.infer<typeof jwtRole>;

export const jwtAccess: AccessKind<JwtRole> = {
  target: () => OWN_TOKENS,
  destination: (role) => role.audience,
  gives: (role) => `a token for ${role.audience}`,
  reaches: (role) => [`audience ${role.audience}`],
  // Introspection says no at once. Whoever checks offline alone accepts it until it expires.
  revocable: () => true,
  longestSeconds: () => 0,
  renewal: 'fresh',
  readOptions: (_role, options) => noOptions(options),
};
