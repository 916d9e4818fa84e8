// The call of an approved request: the first attempt at it, and another where it may go out again.
import type { CredentialRow, PermitRow, RunRow } from '../../db/rows.ts';
import { earliest } from '../../domain/instant.ts';
import type { Fulfilment } from '../approvals/fulfil.ts';
import { failRequest } from '../approvals/request-ends.ts';
import { linkCredential } from '../credentials/credentials.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import type { Unit } from '../unit.ts';
import { outcomeOf, type Approved, type Planned } from './approved-run.ts';
import { endUnanswered, intendToken, mayGoAgain, ofCall } from './call-runs.ts';
import { approvedCall, type PreparedCall } from './http-call.ts';
import { performCall } from './perform-call.ts';
import { endRunLease, intendRun, lockRun, retakeRun } from './runs.ts';

/** Writes down the run, and the token that it signs in with. */
export async function beginCall(
  unit: Unit,
  deps: Deps,
  approved: Approved,
  redeemed: PermitRow,
): Promise<Planned | Fulfilment> {
  const bundle = await activeBundle(unit, deps.policies);
  const prepared = approvedCall(bundle, approved.row.action);
  if (!prepared) {
    // Policy still lets it through, and would make another call of it than people agreed to.
    await failRequest(unit, approved.row, 'policy_changed');
    return { outcome: 'failed', code: 'policy_changed' };
  }
  const { row } = approved;
  const about = { ...under(approved), prepared, permit: redeemed.id };
  // Nothing that was approved outlives its approval (I3).
  const until = earliest(approved.owner.deadlineAt, redeemed.expiresAt);
  const lease = await intendToken(unit, bundle, { ...about, until });
  if (lease) await linkCredential(unit, row.id, lease.id);
  const run = await intendRun(unit, ofCall({ ...about, lease, digest: row.digest }));
  return planned(approved, { run, lease, prepared });
}

/** Another attempt: with a token of its own, as the one before is lost with whoever had it. */
export async function retakeCall(
  unit: Unit,
  deps: Deps,
  approved: Approved,
  seen: RunRow,
): Promise<Planned | Fulfilment> {
  const begun = await lockRun(unit, seen.id);
  if (begun.state !== 'running') return outcomeOf(begun);
  // Whoever took it over a moment ago is at it.
  if (begun.attempt !== seen.attempt) return { outcome: 'later', code: 'superseded' };
  const bundle = await activeBundle(unit, deps.policies, 'share');
  const prepared = approvedCall(bundle, approved.row.action);
  if (!prepared || (begun.sends > 0 && !mayGoAgain(begun)))
    return outcomeOf(await endUnanswered(unit, begun, prepared ? 'no_answer' : 'policy_changed'));
  if (begun.credential !== null) await endRunLease(unit, begun.credential);
  const { owner, row } = approved;
  const lease = await intendToken(unit, bundle, {
    ...under(approved),
    prepared,
    permit: begun.permit,
    until: earliest(owner.deadlineAt, row.approvedUntil ?? owner.deadlineAt),
  });
  if (lease) await linkCredential(unit, row.id, lease.id);
  const { timeout_seconds: seconds } = prepared.upstream;
  const run = await retakeRun(unit, begun, lease?.id ?? null, seconds);
  return planned(approved, { run, lease, prepared });
}

const under = ({ row, owner, sealKey }: Approved) => ({
  owner,
  control: row.controls[0] ?? null,
  request: row.id,
  sealThumbprint: sealKey.thumbprint,
});

const planned = (
  { sealKey }: Approved,
  begun: { run: RunRow; lease: CredentialRow | null; prepared: PreparedCall },
): Planned => ({
  perform: (deps, call) => performCall(deps, call, { ...begun, sealKey: sealKey.jwk }),
});
