// Issues JWTs for an audience of someone else's. There is no target to touch: our own lease is what
// introspection and the status list answer from, so revoking is done when the lease says so. Whoever checks such a
// token offline, against the JWKS alone, accepts it until it expires.
import { TargetError, type Issuer, type LeaseToIssue } from '../../commands/credentials/issuer.ts';
import { statusClaim } from '../../commands/credentials/token-status.ts';
import { actClaim } from '../../domain/delegation.ts';
import { ACCESS_TOKEN, WORKLOAD_IDENTITY, type TokenKeys } from '../../keys/tokens.ts';

export function jwtIssuer(tokens: TokenKeys, issuer: string, now: () => number = Date.now): Issuer {
  return {
    issue: async (lease) => {
      const { definition } = lease;
      if (definition.issuer !== 'jwt') throw new TypeError('this role is not a JWT');
      if (!(now() <= Date.parse(lease.issueBy)))
        throw new TargetError('too_late', { nothingMade: true });
      const isAccessToken = definition.profile === 'access_token';
      const token = await tokens.sign(isAccessToken ? ACCESS_TOKEN : WORKLOAD_IDENTITY, {
        iss: issuer,
        aud: definition.audience,
        jti: lease.credential,
        exp: Math.floor(Date.parse(lease.expiresAt) / 1000),
        ...(lease.confirmation && { cnf: { ...lease.confirmation } }),
        ...(isAccessToken ? accessClaims(lease, issuer) : { sub: lease.spiffeId }),
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

/**
 * RFC 9068 §2.2. The subject is on whose behalf, and `act` who acts. A cloud that only looks at the subject gets the
 * other profile, whose subject is the agent that acts: it must not take a sub-agent for its parent.
 */
function accessClaims(lease: LeaseToIssue, issuer: string) {
  const act = actClaim([lease.spiffeId, ...lease.onBehalfOf]);
  return {
    sub: lease.onBehalfOf.at(-1) ?? lease.spiffeId,
    client_id: lease.agent,
    task_id: lease.task,
    scope: lease.role,
    ...(act && { act }),
    ...(lease.status && { status: statusClaim(issuer, lease.status) }),
  };
}
