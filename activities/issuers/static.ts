// Lends out secrets that people put in. There is no target to call and nothing to end there: a loan is over when its
// lease is, and what was learnt stays known until somebody replaces the secret.
import {
  TargetError,
  type Issuer,
  type LeaseToEnd,
  type LeaseToIssue,
} from '../../commands/credentials/issuer.ts';
import { endLoans, lendSecret, lentUnder } from '../../commands/credentials/static-secrets.ts';
import { transact, type Call, type UnitDeps } from '../../commands/unit.ts';
import { done } from './lapse.ts';

const CALL: Call = { principal: { kind: 'workflow', id: 'issuer' }, traceId: null };

export function staticIssuer(deps: UnitDeps): Issuer {
  const idsOf = (leases: readonly LeaseToEnd[]) => leases.map(({ credential }) => credential);
  return {
    issue: async (lease: LeaseToIssue) => {
      const { definition: role } = lease;
      if (role.issuer !== 'static') throw new TypeError('this role is not a stored secret');
      const { version, value } = await transact(deps, CALL, async (unit) => {
        if (!(unit.at <= new Date(lease.issueBy).toISOString()))
          throw new TargetError('too_late', { nothingMade: true });
        return lendSecret(unit, role, {
          credential: lease.credential,
          agent: lease.agent,
          task: lease.task,
        });
      });
      return {
        material: { kind: 'static', name: role.secret, version, value },
        handle: null,
        diesAt: null,
      };
    },
    revoke: async (_target, leases) => {
      await transact(deps, CALL, (unit) => endLoans(unit, idsOf(leases)));
      return leases.map(done);
    },
    // Nobody can look into what a holder remembers; under which lease nothing was given there is nothing to know.
    verifyDead: async (_target, leases) => {
      const lent = await lentUnder(deps.db.query, idsOf(leases));
      return leases.map(({ credential }) => (lent.has(credential) ? 'unknowable' : 'gone'));
    },
    list: () => Promise.resolve(null),
  };
}
