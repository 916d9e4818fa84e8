// A change of policy is a sensitive action: it is proposed, shown by its digest, approved, and then activated.
import type { RequestRow } from '../db/rows.ts';
import type { Action } from '../domain/action.ts';
import { Refusal } from '../domain/refusal.ts';
import { changePolicy, whyTargetsMayNotMove } from './change-policy.ts';
import type { Deps } from './deps.ts';
import type { Evaluation } from './evaluate.ts';
import { activeBundle, storePolicy } from './policies.ts';
import type { PolicyBundle } from './policy-bundle.ts';
import { partyOf } from './principal.ts';
import { evaluateAction } from './questions.ts';
import { openRequest, recordEvaluation, type Asked } from './requests.ts';
import { silencedBy, type Silenced } from './silenced.ts';
import type { Unit } from './unit.ts';

/** The request that waits for people; null when the policy is active without one. */
export async function proposePolicy(
  unit: Unit,
  deps: Deps,
  bundle: PolicyBundle,
): Promise<{ request: RequestRow | null } | Refusal> {
  const current = await activeBundle(unit, deps.policies, 'share');
  if (current.version === bundle.version) return { request: null };
  const proposer = partyOf(unit.call.principal);
  const action: Action = {
    subject: proposer,
    actor_chain: [proposer],
    action: 'policy:activate',
    resource: { type: 'policy', id: bundle.version },
    parameters: { version: bundle.version, replaces: current.version },
    data_class: null,
    destination: null,
    context: { changed_files: changedFiles(current.files, bundle.files) },
  };
  const evaluation = withSilenced(
    await evaluateAction(unit.sql, current, action),
    silencedBy(current, bundle),
  );
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny')
    return new Refusal('denied', 'The active policy does not let itself be replaced this way.', {
      evaluation: {
        id: judged.id,
        policy_version: evaluation.policyVersion,
        reasons: evaluation.says,
      },
    });
  const unmovable = await whyTargetsMayNotMove(unit, current, bundle);
  if (unmovable) return unmovable;
  await storePolicy(unit, bundle);
  if (evaluation.decision === 'hold') {
    const asked: Asked = {
      action,
      agent: null,
      task: null,
      reason: null,
      sealTo: null,
      callbackUrl: null,
    };
    return { request: await openRequest(unit, asked, judged) };
  }
  const refusal = await changePolicy(unit, deps, bundle.version);
  if (refusal) return refusal;
  return { request: null };
}

/** Whose gate would fall silent has to agree as well, even where policy lets itself be replaced by fewer. */
function withSilenced(evaluation: Evaluation, { routes, controls }: Silenced): Evaluation {
  if (evaluation.decision === 'deny' || routes.length === 0) return evaluation;
  const asked = new Set(evaluation.routes.map(({ name }) => name));
  const silenced = routes.map(({ name }) => `change of the gate ${name}`);
  return {
    ...evaluation,
    decision: 'hold',
    reasons: [...evaluation.reasons, ...silenced],
    says: [...evaluation.says, ...silenced],
    routes: [...evaluation.routes, ...routes.filter(({ name }) => !asked.has(name))],
    controls: [...new Set([...evaluation.controls, ...controls])],
  };
}

function changedFiles(before: Record<string, string>, after: Record<string, string>): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => before[name] !== after[name]).toSorted();
}
