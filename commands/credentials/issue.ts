// Issuing a lease: the intent is committed, the target is touched, the outcome is committed. The same steps
// serve the request path and the workflow, and each of them can be the last before a crash.
import { eq, inArray } from 'drizzle-orm';
import type { CredentialRow } from '../../db/rows.ts';
import { agent, task } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { latest } from '../../domain/instant.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { sealTo, type PublicKey } from '../../keys/public-key.ts';
import { fingerprintsOf } from '../../keys/secret-text.ts';
import type { Vault } from '../../keys/vault.ts';
import type { Deps } from '../deps.ts';
import { releaseKey, settleKey, type Answer, type OnceKey } from '../once.ts';
import { readActiveBundle } from '../policy/policies.ts';
import { transact, type Call } from '../unit.ts';
import { TargetError, type LeaseToIssue } from './issuer.ts';
import { abandonLease, activateLease } from './leases.ts';
import { placeOfCredential } from './token-status.ts';

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
  let made: Made;
  try {
    made = await makeCredential(deps, lease, order.sealTo);
  } catch (error) {
    await giveUp(deps, call, order, error instanceof TargetError && error.nothingMade);
    return whyNotMade(lease, error);
  }
  deps.crashPoint('issue:made');
  const answer = await transact(deps, call, async (unit) => {
    const row = await activateLease(unit, lease, made);
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
    'The task ended while the credential was being made, and nothing was issued: ask under a task that runs.',
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

async function giveUp(
  deps: Deps,
  call: Call,
  order: IssueOrder,
  isNothingMade: boolean,
): Promise<void> {
  await transact(deps, call, async (unit) => {
    await abandonLease(unit, order.lease, isNothingMade);
    await releaseKey(unit, order.once);
  });
}

/** What was made for a lease, in the only forms in which it is kept. */
export interface Made {
  /** Null where we hold it ourselves, for as long as a statement takes. */
  sealed: string | null;
  /** Everything that ending it takes, encrypted: what earlier attempts left and what this one did. */
  handles: Uint8Array | null;
  diesAt: string;
  /** Keyed digests of every secret that was ever handed out for the lease, the replaced ones too. */
  fingerprints: string[];
}

/** Has the target make what a lease stands for. Made again, it replaces what was made before. */
export async function makeCredential(
  deps: Deps,
  lease: CredentialRow,
  sealKey: PublicKey['jwk'],
): Promise<Made> {
  const { material, made } = await makeUnsealed(deps, lease);
  return { ...made, sealed: await sealTo(sealKey, material) };
}

/** The same with what was made as it is: only for what leaves this process sealed, or not at all. */
export async function makeUnsealed(
  deps: Deps,
  lease: CredentialRow,
): Promise<{ material: JsonObject; made: Made & { sealed: null } }> {
  const toIssue = await leaseToIssue(deps, lease);
  const { material, handle, diesAt } = await deps.issuers[toIssue.definition.issuer].issue(toIssue);
  const handles = [...openHandles(deps.vault, lease), ...(handle === null ? [] : [handle])];
  return {
    material,
    made: {
      sealed: null,
      handles: sealHandles(deps.vault, lease.id, handles),
      diesAt: latest(lease.diesAt, diesAt ?? lease.expiresAt),
      fingerprints: [...new Set([...lease.fingerprints, ...fingerprintsOf(deps.vault, material)])],
    },
  };
}

/** A lease as its issuer needs it, by the policy of now. */
export async function leaseToIssue(deps: Deps, lease: CredentialRow): Promise<LeaseToIssue> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.roles.get(lease.role);
  const chain = await deps.db.query.select().from(agent).where(inArray(agent.id, lease.chain));
  const [owner] = await deps.db.query.select().from(task).where(eq(task.id, lease.task));
  const holder = chain.find((row) => row.id === lease.agent);
  const spiffeIds = lease.chain.map((id) => chain.find((row) => row.id === id)?.spiffeId ?? null);
  const [spiffeId, ...onBehalfOf] = spiffeIds.filter((id) => id !== null);
  const isWhole = spiffeId !== undefined && !spiffeIds.includes(null);
  if (definition?.issuer !== lease.issuer || !isWhole || !holder || !owner)
    throw new Refusal(
      'policy_changed',
      'The policy no longer defines this role as it was asked for: ask again.',
    );
  return {
    credential: lease.id,
    agent: lease.agent,
    agentName: holder.name,
    spiffeId,
    onBehalfOf,
    confirmation: lease.confirmation,
    status: await placeOfCredential(deps.db.query, lease.id),
    task: lease.task,
    purpose: owner.purpose,
    role: lease.role,
    definition,
    control: lease.control,
    options: lease.options,
    target: { name: lease.target, definition: bundle.targets.get(lease.target) ?? null },
    expiresAt: lease.expiresAt,
    issueBy: lease.issueBy,
    attempt: lease.issueAttempt,
  };
}

const useOf = (id: Id<'credential'>): string => `credential.handles/${id}`;

const sealHandles = (
  vault: Vault,
  id: Id<'credential'>,
  handles: readonly string[],
): Uint8Array | null =>
  handles.length === 0 ? null : vault.seal(JSON.stringify(handles), useOf(id));

/** What ending a lease takes besides its id; nothing for most issuers. */
export function openHandles(vault: Vault, { id, handles }: CredentialRow): string[] {
  return handles === null ? [] : asHandles(JSON.parse(vault.open(handles, useOf(id))));
}

/** Sealed by `sealHandles`, and the seal says it was not changed since. */
const asHandles = (opened: unknown): string[] => opened as string[];
