// Collecting what was approved: exactly that, once, by whoever asked for it. A requester that lost the key it sent
// may bring another: the material is then made anew, and the old one never existed for anybody.
import { and, eq, isNull } from 'drizzle-orm';
import type { CredentialRow, RequestRow } from '../../db/rows.ts';
import { credential, request } from '../../db/schema/index.ts';
import { asJson } from '../../domain/action.ts';
import { givesCredential } from '../../domain/break-glass.ts';
import type { Id } from '../../domain/id.ts';
import { sameJson, type JsonObject } from '../../domain/json.ts';
import { startOf } from '../../domain/narrowing.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey, type PublicKey } from '../../keys/public-key.ts';
import { aboutCredential, revokeWhere } from '../agents/tasks.ts';
import { makeCredential, whyNotMade, type Made } from '../credentials/issue.ts';
import { reissueLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { claimKey, hold, releaseKey, settleKey, type Answer, type OnceKey } from '../once.ts';
import { transact, type Call, type Unit } from '../unit.ts';
import { effectiveAction } from './narrow.ts';
import { refuseUse, UNSEEN, voidUnlessApproved } from './permits.ts';
import { expireLocked, failRequest } from './request-ends.ts';
import { aboutRequest, lockRequest, moveRequest } from './requests.ts';

export interface Collection {
  request: string;
  agent: Id<'agent'>;
  /** What the agent believes it is collecting; compared, never used. */
  action: JsonObject | null;
  sealTo: PublicKey | null;
}

type Plan =
  | { kind: 'answer'; answer: Answer }
  | { kind: 'refused'; refusal: Refusal }
  | { kind: 'reseal'; lease: CredentialRow; sealTo: PublicKey['jwk'] };

type Answering = (row: CredentialRow) => Answer;

/** Hands over what was issued for an approved request: the same sealed bytes, once. */
export async function collectCredential(
  deps: Deps,
  call: Call,
  once: OnceKey | null,
  collection: Collection,
  answer: Answering,
): Promise<Answer | Refusal> {
  const plan = await transact(deps, call, async (unit) => {
    const earlier = await claimKey(unit, once);
    if (earlier.kind === 'answered') return { kind: 'answer' as const, answer: earlier.answer };
    return settled(unit, once, await planCollection(unit, deps, once, collection, answer));
  });
  if (plan.kind === 'answer') return plan.answer;
  if (plan.kind === 'refused') return plan.refusal;
  deps.crashPoint('collect:unsealed');
  let made: Made;
  try {
    made = await makeCredential(deps, plan.lease, plan.sealTo);
  } catch (error) {
    // The lease stays as it is, without material: whoever collects next has it made again.
    await transact(deps, call, (unit) => releaseKey(unit, once));
    return whyNotMade(plan.lease, error);
  }
  deps.crashPoint('collect:resealed');
  const finished = await transact(deps, call, async (unit) =>
    settled(unit, once, await finishReseal(unit, deps, collection, plan.lease, made, answer)),
  );
  return finished.kind === 'answer' ? finished.answer : finished.refusal;
}

/** An answer is kept under its key; a refusal lets the key go, and its events stay. */
async function settled<P extends Plan>(unit: Unit, once: OnceKey | null, plan: P): Promise<P> {
  if (plan.kind === 'refused') await releaseKey(unit, once);
  if (plan.kind === 'answer') await settleKey(unit, once, plan.answer);
  return plan;
}

const refused = (refusal: Refusal) => ({ kind: 'refused' as const, refusal });

/** Approved, and not made: either it is about to be, or the target did not let us when last tried. */
const notYet = (row: RequestRow): Plan & { kind: 'refused' } => refused(whyNotYet(row));

function whyNotYet(row: RequestRow): Refusal {
  if (row.failure === 'sensor_silent') return new Refusal('sensor_silent', UNSEEN);
  return row.failure !== null
    ? targetDown(row, row.failure)
    : new Refusal(
        'owner_not_ready',
        'This was approved and is being issued: collect it again in a second.',
      );
}

const targetDown = (row: RequestRow, code: string): Refusal =>
  new Refusal(
    'target_unavailable',
    `This was approved, and its target could not issue it when last tried (${code}): it is tried again until ${row.approvedUntil ?? row.expiresAt}.`,
    { target_code: code },
  );

async function planCollection(
  unit: Unit,
  deps: Deps,
  once: OnceKey | null,
  collection: Collection,
  answer: Answering,
): Promise<Plan> {
  const row = await lockRequest(unit, collection.request);
  if (row.agent !== collection.agent || !givesCredential(row.action.action))
    throw new Refusal('not_found', 'There is no such request.');
  const lease = await issuedFor(unit, row);
  const refusal = await whyNotCollectable(unit, deps, row, lease, collection);
  if (refusal) return refused(refusal);
  if (lease?.state !== 'active') return notYet(row);
  const key = collection.sealTo ?? (await readPublicKey(row.sealTo ?? {}, 'seal_key_invalid'));
  if (lease.sealed !== null && key.thumbprint === lease.sealThumbprint)
    return handOver(unit, row, lease, answer);
  await hold(unit, once, lease.id);
  await unit.sql.update(request).set({ sealTo: key.jwk }).where(eq(request.id, row.id));
  const reissued = await reissueLease(unit, lease, key.thumbprint);
  return { kind: 'reseal', lease: reissued, sealTo: key.jwk };
}

async function finishReseal(
  unit: Unit,
  deps: Deps,
  collection: Collection,
  lease: CredentialRow,
  made: Made,
  answer: Answering,
): Promise<Exclude<Plan, { kind: 'reseal' }>> {
  const row = await lockRequest(unit, collection.request);
  const refusal = await whyNotCollectable(unit, deps, row, await issuedFor(unit, row), collection);
  if (refusal) return refused(refusal);
  const [resealed] = await unit.sql
    .update(credential)
    .set(made)
    .where(
      and(
        eq(credential.id, lease.id),
        eq(credential.state, 'active'),
        eq(credential.issueAttempt, lease.issueAttempt),
        isNull(credential.sealed),
      ),
    )
    .returning();
  // Another call brought another key meanwhile, and what it had made is what counts.
  if (!resealed) return notYet(row);
  unit.emit('credential.resealed', {
    ...aboutCredential(resealed),
    detail: {
      credential: resealed.id,
      attempt: resealed.issueAttempt,
      seal_thumbprint: resealed.sealThumbprint,
    },
    private: {},
  });
  return handOver(unit, row, resealed, answer);
}

async function handOver(
  unit: Unit,
  row: RequestRow,
  lease: CredentialRow,
  answer: Answering,
): Promise<{ kind: 'answer'; answer: Answer }> {
  await unit.sql
    .update(credential)
    .set({ collectedAt: unit.at })
    .where(eq(credential.id, lease.id));
  await moveRequest(unit, row, 'consumed');
  unit.emit('credential.collected', {
    ...aboutCredential(lease),
    detail: { credential: lease.id },
    private: {},
  });
  unit.emit('request.consumed', {
    ...aboutRequest(row),
    detail: { credential: lease.id },
    private: {},
  });
  return { kind: 'answer', answer: answer(lease) };
}

async function whyNotCollectable(
  unit: Unit,
  deps: Deps,
  row: RequestRow,
  lease: CredentialRow | null,
  { action }: Collection,
): Promise<Refusal | null> {
  if (row.state === 'consumed')
    return refuseUse(
      unit,
      row,
      'already_collected',
      'This was already collected. Repeat the first call with its Idempotency-Key, or ask again.',
    );
  if (row.state === 'failed') return failure(row);
  const lapsed = (): Promise<Refusal> =>
    refuseUse(unit, row, 'approval_lapsed', 'The approval was not used in time: ask again.');
  if (row.state === 'expired' && row.approvedUntil !== null) return lapsed();
  if (row.state === 'superseded')
    return new Refusal(
      'not_approved',
      `This request is superseded, since the ${row.failure === 'purpose_changed' ? 'purpose of its task' : 'policy'} changed while it was open: ask again.`,
      { state: row.state },
    );
  if (row.state !== 'approved')
    return new Refusal(
      'not_approved',
      row.state === 'pending'
        ? 'This request is pending: wait for people to agree, with Prefer: wait or a callback.'
        : `This request is ${row.state}: ask again if it is still needed.`,
      { state: row.state },
    );
  const now = await unit.readClock();
  if (row.approvedUntil === null || !(now < row.approvedUntil)) return lapsed();
  const start = startOf(effectiveAction(row));
  if (start !== null && now < start)
    return new Refusal(
      'not_started',
      `This is approved, and begins at ${start}: collect it then.`,
      {
        starts_at: start,
      },
    );
  if (action && !sameJson(action, asJson(effectiveAction(row))))
    return refuseUse(
      unit,
      row,
      'digest_mismatch',
      'What was approved is another action: collect without action to get what was approved.',
    );
  if (lease && isOver(lease, now)) {
    // It ended before anybody collected it: the approval is spent, and the same may be asked for again.
    await expireLocked(unit, row);
    return lapsed();
  }
  return lease?.state === 'active' ? whyNotApprovedToday(unit, deps, row, lease) : null;
}

/** Whether a lease came to its end. One that was only given up while it was being made is made again. */
function isOver(lease: CredentialRow, now: string): boolean {
  if (lease.state === 'active') return !(now < lease.expiresAt);
  return lease.state !== 'pending' && lease.because !== 'issue_abandoned';
}

/** The last look at today's policy before anything is handed over: what it now refuses is revoked unseen. */
async function whyNotApprovedToday(
  unit: Unit,
  deps: Deps,
  row: RequestRow,
  lease: CredentialRow,
): Promise<Refusal | null> {
  const refusal = await voidUnlessApproved(unit, deps, row);
  // What nobody sees now may be collected once somebody does.
  if (!refusal || refusal.code === 'sensor_silent') return refusal;
  await revokeWhere(unit, eq(credential.id, lease.id), 'approval_ended', null);
  await failRequest(unit, row, refusal.code);
  return refusal;
}

function failure(row: RequestRow): Refusal {
  if (row.failure === 'task_not_running')
    return new Refusal(
      'task_not_running',
      'The task ended before this was collected: ask again under a new one.',
    );
  if (row.failure === 'policy_changed' || row.failure === 'digest_mismatch')
    return new Refusal(row.failure, 'The policy changed since this was approved: ask again.');
  if (row.failure === 'purpose_changed')
    return new Refusal('not_approved', 'The purpose of its task changed: ask again for that.', {
      state: row.state,
    });
  return new Refusal('not_approved', 'This was approved and could not be issued: ask again.', {
    state: row.state,
  });
}

async function issuedFor(unit: Unit, row: RequestRow): Promise<CredentialRow | null> {
  if (row.credential === null) return null;
  const [lease] = await unit.sql
    .select()
    .from(credential)
    .where(eq(credential.id, row.credential))
    .for('update');
  return lease ?? null;
}
