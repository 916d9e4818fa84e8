// A changed goal is a new evaluation: what a task holds was given for another, so policy is asked again about each of
// it, and what it does not plainly permit for the new one ends.
import { and, eq, inArray } from 'drizzle-orm';
import type { CredentialRow, RequestRow, TaskRow } from '../../db/rows.ts';
import { credential, request, task } from '../../db/schema/index.ts';
import { secondsBetween } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import { expireLocked, failRequest, isDue } from '../approvals/request-ends.ts';
import { aboutRequest, moveRequest, recordEvaluation } from '../approvals/requests.ts';
import { credentialAction, lockRunningTask } from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { refuseUnknownPurpose } from '../policy/purposes.ts';
import { evaluateAction } from '../policy/questions.ts';
import { partyOf } from '../principal.ts';
import { runOfRequest } from '../runs/runs.ts';
import type { Unit } from '../unit.ts';
import { aboutTask, lockActiveAgent, partiesOf, revokeWhere } from './tasks.ts';

interface PurposeChange {
  purpose: string;
  reason: string;
}

/** Gives a running task another purpose, and ends what it may not have for that. */
export async function changePurpose(
  unit: Unit,
  deps: Deps,
  seen: TaskRow,
  { purpose, reason }: PurposeChange,
): Promise<TaskRow> {
  await lockActiveAgent(unit, seen.agent);
  // For update first: whoever is being given something under the old purpose is done before we look.
  await unit.sql.select({ id: task.id }).from(task).where(eq(task.id, seen.id)).for('update');
  const before = await lockRunningTask(unit, seen.id, seen.agent);
  const bundle = await activeBundle(unit, deps.policies, 'share');
  refuseUnknownPurpose(bundle, purpose);
  if (before.purpose === purpose)
    throw new Refusal(
      'wrong_state',
      'That is the purpose of this task already: there is nothing to change.',
    );
  const after = { ...before, purpose };
  await unit.sql.update(task).set({ purpose }).where(eq(task.id, before.id));
  // Requests before credentials, as whoever collects locks them.
  const closed = await closeAsked(unit, before);
  const { kept, revoked } = await judgeHeld(unit, bundle, after, closed);
  const by = partyOf(unit.call.principal);
  unit.emit('task.purpose_changed', {
    ...aboutTask(after),
    actor_chain: partiesOf(after.chain),
    human: after.triggeredBy,
    policy_version: bundle.version,
    detail: {
      by: { type: by.type, id: by.id },
      kept,
      revoked,
      requests_closed: closed.length,
    },
    private: { purpose, replaces: before.purpose, reason },
  });
  unit.wake('task', after.id, after.agent);
  unit.changed(after.id);
  return after;
}

/** What people were asked for was for the old purpose: nobody is held to an answer about another. */
async function closeAsked(unit: Unit, owner: TaskRow): Promise<RequestRow[]> {
  const rows = await unit.sql
    .select()
    .from(request)
    .where(and(eq(request.task, owner.id), inArray(request.state, ['pending', 'approved'])))
    .orderBy(request.id)
    .for('update');
  const now = await unit.readClock();
  for (const row of rows) {
    if (isDue(row, now)) {
      await expireLocked(unit, row);
    } else if (row.state === 'pending') {
      const why = { decidedAt: unit.at, failure: 'purpose_changed' };
      await moveRequest(unit, row, 'superseded', why);
      unit.emit('request.superseded', {
        ...aboutRequest(row),
        cause: 'purpose_changed',
        detail: { code: 'purpose_changed', policy: row.policyVersion },
        private: {},
      });
    } else if (!(await runOfRequest(unit.sql, row.id))) {
      // What runs already is over in a moment, and says itself what came of it.
      await failRequest(unit, row, 'purpose_changed');
    }
  }
  return rows;
}

/** Asks about everything alive, each as it would be asked for now. */
async function judgeHeld(
  unit: Unit,
  bundle: PolicyBundle,
  owner: TaskRow,
  closed: readonly RequestRow[],
): Promise<{ kept: number; revoked: number }> {
  const rows = await unit.sql
    .select()
    .from(credential)
    .where(
      and(
        eq(credential.task, owner.id),
        // What we hold ourselves lives for one statement or one call.
        eq(credential.holder, 'agent'),
        inArray(credential.state, ['pending', 'active']),
      ),
    )
    .orderBy(credential.id)
    .for('update');
  let revoked = 0;
  for (const row of rows) {
    // What was approved and not yet collected goes with its request.
    const isUncollected = closed.some(({ id }) => id === row.request);
    if (!isUncollected && (await isPermitted(unit, bundle, owner, row))) continue;
    await revokeWhere(unit, eq(credential.id, row.id), 'purpose_changed', null);
    revoked += 1;
  }
  return { kept: rows.length - revoked, revoked };
}

/** Whether policy plainly permits it. Where it asks people, those who agreed before agreed to something else. */
async function isPermitted(
  unit: Unit,
  bundle: PolicyBundle,
  owner: TaskRow,
  row: CredentialRow,
): Promise<boolean> {
  const definition = bundle.roles.get(row.role);
  if (!definition) return false;
  const { options, confirmation } = row;
  const ttlSeconds = Math.ceil(secondsBetween(row.createdAt, row.expiresAt));
  const ask = { role: row.role, reason: null };
  const action = credentialAction(owner, ask, {
    definition,
    ttlSeconds,
    options,
    start: null,
    confirmation,
  });
  const evaluation = await evaluateAction(unit.sql, bundle, action);
  recordEvaluation(unit, action, evaluation);
  return evaluation.decision === 'permit';
}
