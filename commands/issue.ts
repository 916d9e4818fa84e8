// Issuing a lease: the intent is committed, the target is touched, the outcome is committed. The same steps
// serve the request path and the workflow, and each of them can be the last before a crash.
import { eq } from 'drizzle-orm';
import type { CredentialRow } from '../db/rows.ts';
import { agent } from '../db/schema/index.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { sealTo, type PublicKey } from '../keys/public-key.ts';
import { fingerprintsOf } from '../keys/secret-text.ts';
import type { Deps } from './deps.ts';
import type { LeaseToIssue } from './issuer.ts';
import { abandonLease, activateLease, type SealedMaterial } from './leases.ts';
import { releaseKey, settleKey, type Answer, type OnceKey } from './once.ts';
import { readActiveBundle } from './policies.ts';
import { transact, type Call } from './unit.ts';

export interface IssueOrder {
  lease: CredentialRow;
  sealTo: PublicKey['jwk'];
  once: OnceKey | null;
  /** The answer the caller gets once the lease is active; stored under the key in the same transaction. */
  answer: (row: CredentialRow) => Answer;
}

/** Takes a pending lease to active, or gives it up. */
export async function issueLease(
  deps: Deps,
  call: Call,
  order: IssueOrder,
): Promise<Answer | Refusal> {
  const { lease } = order;
  deps.crashPoint('issue:intended');
  let sealed: SealedMaterial;
  try {
    sealed = await sealMaterial(deps, order.sealTo, await makeMaterial(deps, lease));
  } catch (error) {
    await giveUp(deps, call, order);
    return whyNotMade(lease, error);
  }
  deps.crashPoint('issue:made');
  const answer = await transact(deps, call, async (unit) => {
    const row = await activateLease(unit, lease, sealed);
    if (!row) return null;
    const settled = order.answer(row);
    await settleKey(unit, order.once, settled);
    return settled;
  });
  deps.crashPoint('issue:settled');
  if (answer) return answer;
  // Somebody ended the task, or took the lease over, while the target was at work. The reaper drops what was
  // made: the lease is on its way out, or belongs to the attempt that took it.
  return new Refusal(
    'task_not_running',
    'The task ended while the credential was being made; nothing was issued.',
  );
}

/** What the caller is told when the target did not make what was asked of it. */
export function whyNotMade(lease: CredentialRow, error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreachable';
  return new Refusal(
    'target_unavailable',
    `The target ${lease.target} could not issue this now (${code}): try again in a few seconds.`,
    { target_code: code },
  );
}

async function giveUp(deps: Deps, call: Call, order: IssueOrder): Promise<void> {
  await transact(deps, call, async (unit) => {
    await abandonLease(unit, order.lease);
    await releaseKey(unit, order.once);
  });
}

/** What is kept of material: nothing that anybody here could read. */
export const sealMaterial = async (
  deps: Deps,
  key: PublicKey['jwk'],
  material: JsonObject,
): Promise<SealedMaterial> => ({
  sealed: await sealTo(key, material),
  fingerprints: fingerprintsOf(deps.vault, material),
});

/** Has the target make what a lease stands for. Made again, it replaces what was made before. */
export async function makeMaterial(deps: Deps, lease: CredentialRow): Promise<JsonObject> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.roles.get(lease.role);
  const [holder] = await deps.db.query.select().from(agent).where(eq(agent.id, lease.agent));
  if (definition?.issuer !== lease.issuer || !holder?.spiffeId)
    throw new Refusal(
      'policy_changed',
      'The policy no longer defines this role as it was asked for.',
    );
  const toIssue: LeaseToIssue = {
    credential: lease.id,
    agent: lease.agent,
    spiffeId: holder.spiffeId,
    task: lease.task,
    role: lease.role,
    definition,
    target: bundle.targets.get(lease.target) ?? null,
    expiresAt: lease.expiresAt,
    issueBy: lease.issueBy,
    attempt: lease.issueAttempt,
  };
  return deps.issuers[definition.issuer].issue(toIssue);
}
