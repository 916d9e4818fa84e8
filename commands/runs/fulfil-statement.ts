// The statement of an approved request: the first attempt at it, and any other under the same login.
import type { CredentialRow, PermitRow, RunRow } from '../../db/rows.ts';
import { addSeconds, earliest } from '../../domain/instant.ts';
import type { Fulfilment } from '../approvals/fulfil.ts';
import { linkCredential } from '../credentials/credentials.ts';
import { intendLease, lockLease, reissueLease, retakeLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { activeBundle } from '../policy/policies.ts';
import type { Unit } from '../unit.ts';
import { outcomeOf, type Approved, type Planned } from './approved-run.ts';
import { performRun } from './perform-run.ts';
import { statementOf } from './run-statement.ts';
import { intendRun, lockRun, ofLease, retakeRun, runLeaseSeconds } from './runs.ts';

/** Writes down the login and the run. */
export async function beginStatement(
  unit: Unit,
  deps: Deps,
  { row, owner, sealKey }: Approved,
  redeemed: PermitRow,
): Promise<Planned> {
  const bundle = await activeBundle(unit, deps.policies);
  const definition = bundle.roles.get(row.action.resource.id);
  if (!definition) throw new Error('a redeemed permit names a role that policy no longer has');
  const statement = statementOf(row.action);
  const { timeoutSeconds } = statement;
  const lease = await intendLease(unit, {
    task: owner.id,
    agent: owner.agent,
    chain: owner.chain,
    confirmation: null,
    role: row.action.resource.id,
    definition,
    holder: 'service',
    options: {},
    control: row.controls[0] ?? null,
    request: row.id,
    permit: redeemed.id,
    // Nothing that was approved outlives its approval (I3).
    expiresAt: earliest(
      addSeconds(unit.at, runLeaseSeconds(timeoutSeconds)),
      owner.deadlineAt,
      redeemed.expiresAt,
    ),
    sealThumbprint: sealKey.thumbprint,
  });
  await linkCredential(unit, row.id, lease.id);
  const about = ofLease(lease, statement.effect);
  const run = await intendRun(unit, { ...about, digest: row.digest, timeoutSeconds });
  return planned({ row, owner, sealKey }, run, lease);
}

/** Another attempt under the same lease: one approval never leads to a second login. */
export async function retakeStatement(
  unit: Unit,
  about: Approved,
  seen: RunRow,
): Promise<Planned | Fulfilment> {
  const begun = await lockRun(unit, seen.id);
  const before = await lockLease(unit, begun.credential ?? '');
  const lease =
    before.state === 'active'
      ? await reissueLease(unit, before, before.sealThumbprint)
      : await retakeLease(unit, before.id);
  if (begun.state !== 'running') return outcomeOf(begun);
  // Its time ran out with nothing done; the sweep over runs closes it.
  if (!lease) return { outcome: 'failed', code: 'target_unavailable' };
  const { timeoutSeconds } = statementOf(about.row.action);
  return planned(about, await retakeRun(unit, begun, lease.id, timeoutSeconds), lease);
}

const planned = ({ row, sealKey }: Approved, run: RunRow, lease: CredentialRow): Planned => ({
  perform: (deps, call) =>
    performRun(deps, call, {
      run,
      lease,
      statement: statementOf(row.action),
      sealKey: sealKey.jwk,
    }),
});
