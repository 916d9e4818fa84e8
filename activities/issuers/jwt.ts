// Issues JWTs for an audience of someone else's. There is no target to touch: our own lease is what
// introspection answers from, so revoking is done when the lease says so. Whoever checks such a token
// offline, against the JWKS alone, accepts it until it expires.
import type { Issuer } from '../../commands/issuer.ts';
import { ACCESS_TOKEN, type TokenKeys } from '../../keys/tokens.ts';

export function jwtIssuer(tokens: TokenKeys, issuer: string): Issuer {
  return {
    issue: async (lease) => {
      if (lease.definition.issuer !== 'jwt') throw new TypeError('this role is not a JWT');
      const token = await tokens.sign(ACCESS_TOKEN, {
        iss: issuer,
        sub: lease.spiffeId,
        aud: lease.definition.audience,
        client_id: lease.agent,
        jti: lease.credential,
        task_id: lease.task,
        scope: lease.role,
        exp: Math.floor(Date.parse(lease.expiresAt) / 1000),
      });
      return { material: { kind: 'jwt', token }, handle: null, diesAt: null };
    },
    revoke: (_target, leases) =>
      Promise.resolve(
        leases.map(({ credential }) => ({ credential, code: null, sessionsEnded: 0 })),
      ),
    verifyDead: (_target, leases) => Promise.resolve(leases.map(() => 'gone' as const)),
    list: () => Promise.resolve(null),
  };
}
