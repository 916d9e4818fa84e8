// What stands in front of a login that is to lie ready: every gate of the role, whoever would be asking for it. Nobody
// is asking yet, so no condition of a rule can be said not to hold.
import { atRisk, strongestOf } from '../../domain/approval.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { ownerOf, withOwner, type Evaluation } from '../policy/evaluate.ts';
import { couldMatch, scopedRules, surelyMatches, type Matter } from '../policy/scope.ts';

/** Asks the policy about a login of this role that lies ready for when we are down. It is never given without people. */
export function evaluatePreparing(bundle: PolicyBundle, role: string): Evaluation {
  const matter: Matter = { action: 'credential:request', resource: 'Role', role };
  const rules = scopedRules(bundle).filter((rule) => rule.mode === 'hold');
  const forbidding = rules.filter(
    (rule) => rule.effect === 'forbid' && surelyMatches(rule, matter),
  );
  if (forbidding.length > 0)
    return denied(
      bundle,
      forbidding.map(({ id }) => id),
    );
  const gates = rules.filter((rule) => rule.route !== null && couldMatch(rule, matter));
  const owner = ownerOf(bundle, 'Role', role);
  const routes = strongestOf(
    gates.flatMap((rule) => {
      const route = bundle.routes.get(rule.route ?? '');
      return route ? atRisk(route, rule.risk) : [];
    }),
  ).map((route) => withOwner(route, owner));
  if (routes.length === 0) return denied(bundle, ['no gate stands in front of this role']);
  if (!routes.every(({ rule }) => rule.break_glass?.offline))
    return denied(bundle, ['a gate in front of this has no break_glass that goes offline']);
  return {
    ...denied(bundle, []),
    decision: 'hold',
    reasons: gates.map(({ id }) => id),
    says: gates.map(({ id, title }) => `OFFLINE BREAK-GLASS past: ${title ?? `policy ${id}`}`),
    routes,
    controls: [...new Set(gates.flatMap(({ control }) => control ?? []))],
    risk: 'critical',
  };
}

const denied = ({ version }: PolicyBundle, reasons: string[]): Evaluation => ({
  decision: 'deny',
  policyVersion: version,
  reasons,
  says: reasons,
  routes: [],
  controls: [],
  risk: null,
  observed: [],
  waived: [],
  unseen: [],
  // The engine was not asked: there is nobody to ask it about.
  asked: [],
});
