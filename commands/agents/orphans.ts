// Agents for which nobody answers any more, and how long they go on.
import type { AgentRow } from '../../db/rows.ts';
import { addSeconds } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PolicyBundle } from '../policy/bundle.ts';

/** When an orphan is given no new task any more; null while somebody answers for it. */
export const graceEndsAt = (
  { orphanedAt }: Pick<AgentRow, 'orphanedAt'>,
  { lifecycle }: Pick<PolicyBundle, 'lifecycle'>,
): string | null =>
  orphanedAt === null ? null : addSeconds(orphanedAt, lifecycle.orphan_grace_seconds);

/** Refuses new work to an agent for which nobody has answered for too long. */
export function refuseOrphan(row: AgentRow, bundle: PolicyBundle, now: string): void {
  const until = graceEndsAt(row, bundle);
  if (until !== null && !(now < until))
    throw new Refusal(
      'agent_orphaned',
      'The owner of this agent has left, and nobody took it over in time: ask an administrator to give it another owner.',
    );
}
