// What we sign in with ourselves, to do one thing for an agent.
import type { CredentialRow } from '../../db/rows.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { makeUnsealed } from '../credentials/issue.ts';
import { TargetError } from '../credentials/issuer.ts';
import { activateLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { transact, type Call } from '../unit.ts';

/** A login whose material is nobody's but ours, and is not kept. */
export async function openLogin(
  deps: Deps,
  call: Call,
  lease: CredentialRow,
): Promise<{ login: JsonObject } | { code: string }> {
  try {
    const { material, made } = await makeUnsealed(deps, lease);
    if (lease.state === 'active') return { login: material };
    const active = await transact(deps, call, (unit) => activateLease(unit, lease, made));
    return active ? { login: material } : { code: 'superseded' };
  } catch (error) {
    if (error instanceof TargetError || error instanceof Refusal) return { code: error.code };
    throw error;
  }
}
