// A change of policy is a sensitive action: it is proposed, shown by its digest, approved, and then activated.
import type { RequestRow } from '../../db/rows.ts';
import type { Action } from '../../domain/action.ts';
import { Refusal } from '../../domain/refusal.ts';
import { openRequest, recordEvaluation, type Asked } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import type { PolicyBundle } from './bundle.ts';
import { changePolicy, whyTargetsMayNotMove } from './change-policy.ts';
import type { Evaluation } from './evaluate.ts';
import { activeBundle, storePolicy } from './policies.ts';
import { evaluateAction } from './questions.ts';
import { silencedBy, type Silenced } from './silenced.ts';
import { describeWayIn, describeWord, judgeOpened, type Opened } from './ways-in.ts';

/** The request that waits for people; null when the policy is active without one. */
export async function proposePolicy(
  unit: Unit,
  deps: Deps,
  bundle: PolicyBundle,
): Promise<{ request: RequestRow | null } | Refusal> {
  const current = await activeBundle(unit, deps.policies, 'share');
  if (current.version === bundle.version) return { request: null };
  const proposer = partyOf(unit.call.principal);
  const opened = await judgeOpened(unit, current, bundle);
  const opens = [...opened.ways.map(describeWayIn), ...opened.people.map(describeWord)];
  const action: Action = {
    subject: proposer,
    actor_chain: [proposer],
    action: 'policy:activate',
    resource: { type: 'policy', id: bundle.version },
    parameters: {
      version: bundle.version,
      replaces: current.version,
      ...(opens.length > 0 && { opens }),
    },
    data_class: null,
    destination: null,
    context: { changed_files: changedFiles(current.files, bundle.files) },
  };
  const silenced = withGates(
    await evaluateAction(unit.sql, current, action),
    silencedBy(current, bundle),
    'change of the gate',
  );
  const evaluation = withOpened(silenced, opened);
  const judged = recordEvaluation(unit, action, evaluation);
  if (evaluation.decision === 'deny')
    return new Refusal(
      'denied',
      'The active policy does not let itself be replaced by whoever asks: its rules for policy:activate say who may.',
      {
        evaluation: {
          id: judged.id,
          policy_version: evaluation.policyVersion,
          reasons: evaluation.says,
        },
      },
    );
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
function withGates(
  evaluation: Evaluation,
  { routes, controls }: Silenced,
  because: string,
): Evaluation {
  if (evaluation.decision === 'deny' || routes.length === 0) return evaluation;
  const asked = new Set(evaluation.routes.map(({ name }) => name));
  const silenced = routes.map(({ name }) => `${because} ${name}`);
  return {
    ...evaluation,
    decision: 'hold',
    reasons: [...evaluation.reasons, ...silenced],
    says: [...evaluation.says, ...silenced],
    routes: [...evaluation.routes, ...routes.filter(({ name }) => !asked.has(name))],
    controls: [...new Set([...evaluation.controls, ...controls])],
  };
}

/** What would let somebody in has to be agreed to by those who let in a key; where nobody may, this may not either. */
function withOpened(evaluation: Evaluation, { gates, denied }: Opened): Evaluation {
  if (denied.length === 0) return withGates(evaluation, gates, 'a way in past the gate');
  const reasons = denied.map((name) => `policy gives ${name} no other key, and so no way in`);
  return { ...evaluation, decision: 'deny', reasons, says: reasons, routes: [], controls: [] };
}

function changedFiles(before: Record<string, string>, after: Record<string, string>): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => before[name] !== after[name]).toSorted();
}
