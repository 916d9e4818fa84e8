// Tokens that we sign for somebody else's API. They are our own words, so there is no target to reach.
import { z } from 'zod';
import { roleCommon, type AccessKind } from './kind.ts';
import { noOptions } from './options.ts';

/** Where credentials live that exist only as our own signature. */
export const OWN_TOKENS = 'tokens';

/** A URL, or a plain name such as clouds use; it never reads as a list or holds what cannot be seen. */
export const audienceName = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'a URL or a name of up to 255 visible ASCII characters');

export const jwtRole = z.strictObject({
  issuer: z.literal('jwt'),
  audience: audienceName,
  /** What the token must be bound to: then a stolen one is of no use to anybody else. */
  binding: z.enum(['none', 'dpop', 'mtls']).default('none'),
  /** An access token of ours (RFC 9068), or one as clouds expect it of an identity provider. */
  profile: z.enum(['access_token', 'workload_identity']).default('access_token'),
  ...roleCommon,
});
type JwtRole = z.infer<typeof jwtRole>;

export const jwtAccess: AccessKind<JwtRole> = {
  target: () => OWN_TOKENS,
  destination: (role) => role.audience,
  gives: (role) => `a token for ${role.audience}`,
  // Taking the binding away takes something away from those who decide on it.
  reaches: (role) => [
    `audience ${role.audience}`,
    ...(role.binding === 'none' ? [] : [`audience ${role.audience}, bound by ${role.binding}`]),
  ],
  // Introspection says no at once. Whoever checks offline alone accepts it until it expires.
  revocable: () => true,
  longestSeconds: () => 0,
  backstop: () => true,
  witness: () => 'lease',
  attempts: () => 'share',
  listed: false,
  renewal: 'fresh',
  readOptions: (_role, options) => noOptions(options),
};
