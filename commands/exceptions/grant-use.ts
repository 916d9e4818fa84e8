// Using a standing grant: one permit for each use, counted under a lock, judged by the policy and the people of now.
import { and, asc, eq } from 'drizzle-orm';
import type { AgentRow, GrantRow, RequestRow, TaskRow } from '../../db/rows.ts';
import { grantUse, standingGrant } from '../../db/schema/index.ts';
import { actionRef, type Action } from '../../domain/action.ts';
import { barredBy, headsOf, isSameRoute } from '../../domain/approval.ts';
import { isCovered } from '../../domain/grant.ts';
import type { Id } from '../../domain/id.ts';
import { whoIsInvolved } from '../approvals/involved.ts';
import { standingUnder } from '../approvals/permits.ts';
import { aboutRequest, findRequest, recordEvaluation, votesOn } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import type { Evaluation } from '../policy/evaluate.ts';
import { newId, type Unit } from '../unit.ts';

/** Something that policy holds, and a grant may cover. */
interface Use {
  agent: AgentRow;
  owner: TaskRow;
  action: Action;
  evaluation: Evaluation;
}

/** What a use of a grant allows. */
export interface Used {
  grant: GrantRow;
  permit: Id<'permit'>;
  /** That this very action was judged by policy. */
  evaluation: Id<'evaluation'>;
}

/**
 * Uses a grant of this agent that covers the action, if there is one that is still good. Null where people have to be
 * asked: then it waits for them as everything else does.
 */
export async function useGrant(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  bundle: PolicyBundle,
  use: Use,
): Promise<Used | null> {
  const { agent, action } = use;
  if (action.action !== 'credential:request') return null;
  const candidates = await unit.sql
    .select()
    .from(standingGrant)
    .where(
      and(
        eq(standingGrant.agent, agent.id),
        eq(standingGrant.role, action.resource.id),
        eq(standingGrant.state, 'live'),
      ),
    )
    .orderBy(asc(standingGrant.id));
  for (const { id } of candidates.filter((grant) => isCovered(action, grant))) {
    const [grant] = await unit.sql
      .select()
      .from(standingGrant)
      .where(eq(standingGrant.id, id))
      .for('update');
    // Lock first, look at the clock second: whoever waited for the lock may have waited too long.
    const now = await unit.readClock();
    if (grant?.state !== 'live' || !(grant.used < grant.uses) || !(now < grant.expiresAt)) continue;
    const request = await findRequest(unit.sql, grant.request);
    if (request && (await isStillGood(unit, deps, bundle, { ...use, grant, request })))
      return takeUse(unit, grant, request, use);
  }
  return null;
}

/** Whether what people agreed to holds for this use: for the policy, the owner and whoever set it off today. */
async function isStillGood(
  unit: Unit,
  deps: Pick<Deps, 'policies'>,
  bundle: PolicyBundle,
  {
    agent,
    owner,
    action,
    evaluation,
    grant,
    request,
  }: Use & { grant: GrantRow; request: RequestRow },
): Promise<boolean> {
  if (agent.owner !== grant.owner) return false;
  if (!evaluation.routes.every((route) => request.routes.some((each) => isSameRoute(each, route))))
    return false;
  if ((await standingUnder(unit, deps, bundle, request)) !== 'good') return false;
  const now = await whoIsInvolved(unit, { action, agent, task: owner });
  const involved = {
    ...now,
    requester: request.involved.requester,
    owners: [...new Set([...request.involved.owners, ...now.owners])],
  };
  // Whoever agreed to the grant and sets off a use of it would have agreed to their own wish (I4).
  const approvers = (await votesOn(unit.sql, request.id))
    .filter(({ decision }) => decision === 'approve')
    .flatMap(headsOf);
  return request.routes.every(({ rule }) => {
    const barred = barredBy(rule, involved);
    return !approvers.some((person) => barred.includes(person));
  });
}

async function takeUse(
  unit: Unit,
  grant: GrantRow,
  request: RequestRow,
  { action, evaluation }: Use,
): Promise<Used> {
  const judged = recordEvaluation(unit, action, evaluation);
  const permit = newId('permit');
  const number = grant.used + 1;
  const state = number < grant.uses ? 'live' : 'spent';
  await unit.sql
    .update(standingGrant)
    .set({ used: number, state })
    .where(and(eq(standingGrant.id, grant.id), eq(standingGrant.used, grant.used)));
  await unit.sql
    .insert(grantUse)
    .values({ permit, grant: grant.id, number, digest: judged.digest, at: unit.at });
  const about = {
    ...aboutRequest(request),
    task: taskOf(action),
    // The name of this action, and not of the grant: what ran is what was asked for now.
    action_ref: actionRef(judged.salt, judged.digest),
    policy_version: evaluation.policyVersion,
  };
  unit.emit('grant.used', {
    ...about,
    subject: grant.id,
    detail: {
      grant: grant.id,
      use: number,
      uses: grant.uses,
      permit,
      evaluation: judged.id,
      pattern_matches: isCovered(action, grant),
      rules_unchanged: true,
    },
    private: {},
  });
  unit.emit('permit.issued', {
    ...about,
    detail: {
      permit,
      expires_at: grant.expiresAt,
      uses: 1,
      effective_ref: about.action_ref,
      grant: grant.id,
    },
    private: {},
  });
  unit.emit('permit.redeemed', {
    ...about,
    detail: {
      permit,
      digest_matches: true,
      rules_unchanged: true,
      effective_ref: about.action_ref,
      redemption: null,
      uses_left: 0,
      receipt_due_at: null,
      grant: grant.id,
    },
    private: {},
  });
  unit.changed(grant.id);
  return { grant: { ...grant, used: number, state }, permit, evaluation: judged.id };
}

function taskOf({ context }: Action): Id<'task'> | null {
  const { task } = context;
  return typeof task === 'string' ? (task as Id<'task'>) : null;
}
