// The drill: is the login that lies ready still the one that was made? Asked of its target from outside, by whoever
// wants to know, and every day.
import type { GlassKitRow } from '../../db/rows.ts';
import { Refusal } from '../../domain/refusal.ts';
import { TargetError } from '../credentials/issuer.ts';
import type { Deps } from '../deps.ts';
import { readActiveBundle } from '../policy/policies.ts';
import { findKit } from './glass-kits.ts';
import type { KitCheck } from './kit-care.ts';

/** Looks at the login of a kit, for `recordKitCheck`. */
export async function lookAtKit(deps: Deps, id: string): Promise<KitCheck> {
  const kit = await findKit(deps.db.query, id);
  if (!kit) throw new Refusal('not_found', 'There is no such kit.');
  if (kit.state !== 'ready')
    throw new Refusal(
      'wrong_state',
      `This kit is ${kit.state}: only one that is ready can be tried.`,
    );
  return lookAt(deps, kit);
}

async function lookAt(deps: Deps, kit: GlassKitRow): Promise<KitCheck> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.roles.get(kit.role);
  const hands = definition && deps.issuers[definition.issuer].kits;
  if (!hands || kit.salt === null) return 'unreachable';
  const target = { name: kit.target, definition: bundle.targets.get(kit.target) ?? null };
  const { id, expiresAt, attempt, salt } = kit;
  try {
    return await hands.check({ kit: id, target, definition, expiresAt, attempt, salt });
  } catch (error) {
    if (error instanceof TargetError) return 'unreachable';
    throw error;
  }
}
