// Logins that lie ready at a target for when we are down: made, looked at, warned of and ended here, by the one that
// reaps the target. A password lives in this process only, for as long as it takes to split it.
import { randomBytes } from 'node:crypto';
import { TargetError, type KitHands, type TargetRef } from '../commands/credentials/issuer.ts';
import type { Deps } from '../commands/deps.ts';
import { kitsAt } from '../commands/exceptions/glass-kits.ts';
import { noteLateKitReviews } from '../commands/exceptions/glass-review.ts';
import {
  endDueKits,
  intendKit,
  isCheckDue,
  knownKits,
  noteKitFailure,
  recordKitCheck,
  settleKit,
  settleKitEnd,
} from '../commands/exceptions/kit-care.ts';
import { lookAtKit } from '../commands/exceptions/kit-check.ts';
import { readActiveBundle } from '../commands/policy/policies.ts';
import { databaseTime, transact, type Call } from '../commands/unit.ts';
import type { GlassKitRow } from '../db/rows.ts';
import { KIT_SECRET_BYTES, passwordOf, sharesOf } from '../domain/glass-kit.ts';
import { readPublicKey, sealTo } from '../keys/public-key.ts';
import { scramVerifier } from './issuers/scram.ts';

/** A target with what can be done to such logins there. */
interface Place {
  deps: Deps;
  call: Call;
  target: TargetRef;
  hands: KitHands;
}

/** Brings every kit of a target to where it should be by now. One that fails holds up no other. */
export async function careForKits(deps: Deps, call: Call, target: string): Promise<void> {
  const kits = await kitsAt(deps.db.query, target);
  if (kits.length === 0) return;
  const ids = kits.map(({ id }) => id);
  await transact(deps, call, (unit) => endDueKits(unit, deps, ids));
  const place = await placeOf(deps, call, target);
  for (const kit of await kitsAt(deps.db.query, target)) await careForKit(place, kit);
}

/** Ends what nothing on record stands for, and says which reviews are late. */
export async function sweepKits(deps: Deps, call: Call, target: string): Promise<void> {
  await transact(deps, call, noteLateKitReviews);
  const place = await placeOf(deps, call, target);
  if (place.target.definition?.issuer === 'postgres') await endStrays(place);
}

async function careForKit(place: Place, kit: GlassKitRow): Promise<void> {
  const { deps, call } = place;
  try {
    const now = await databaseTime(deps.db.query);
    if (kit.state === 'waiting' || kit.state === 'making') await makeKit(place, kit);
    else if (kit.state === 'ending' && (kit.nextTryAt === null || kit.nextTryAt <= now))
      await removeKit(place, kit);
    else if (isCheckDue(kit, now)) {
      const found = await lookAtKit(deps, kit.id);
      await transact(deps, call, (unit) => recordKitCheck(unit, kit.id, found));
    }
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    await transact(deps, call, (unit) => noteKitFailure(unit, kit.id, error.code));
  }
}

/**
 * Makes the login. Whatever this is cut short by, nobody can use what it leaves: the password went with this process,
 * the next attempt replaces it, and the name is on record from before the target was touched.
 */
async function makeKit({ deps, call, target, hands }: Place, seen: GlassKitRow): Promise<void> {
  const kit = await transact(deps, call, (unit) => intendKit(unit, seen.id));
  if (!kit) return;
  deps.crashPoint('kit:intended');
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.roles.get(kit.role);
  if (!definition || kit.issueBy === null) return;
  const secret = new Uint8Array(randomBytes(KIT_SECRET_BYTES));
  const { verifier, salt } = scramVerifier(passwordOf(secret));
  const { id, attempt, expiresAt, issueBy } = kit;
  const there = await hands.make({
    ...{ kit: id, target, definition, expiresAt, issueBy, attempt, verifier },
  });
  deps.crashPoint('kit:made');
  const facts = { kit: id, role: kit.role, target: kit.target, ...there, expires_at: expiresAt };
  const pad = new Uint8Array(randomBytes(KIT_SECRET_BYTES));
  const [first, second] = sharesOf(facts, secret, pad);
  const [one, other] = kit.seats;
  const shares = [await sealed(one.key, first), await sealed(other.key, second)] as const;
  secret.fill(0);
  pad.fill(0);
  await transact(deps, call, (unit) => settleKit(unit, kit, { shares, salt }));
  deps.crashPoint('kit:settled');
}

async function sealed(
  key: GlassKitRow['seats'][0]['key'],
  share: ReturnType<typeof sharesOf>[0],
): Promise<string> {
  const { jwk } = await readPublicKey(key ?? {}, 'seal_key_invalid');
  return sealTo(jwk, { ...share, share_checks: [...share.share_checks] });
}

async function removeKit({ deps, call, target, hands }: Place, kit: GlassKitRow): Promise<void> {
  const end = await hands.end(target, kit.id);
  deps.crashPoint('kit:removed');
  await transact(deps, call, (unit) =>
    end.seenGone
      ? settleKitEnd(unit, kit.id, end.sessionsEnded)
      : noteKitFailure(unit, kit.id, end.code ?? 'still_there'),
  );
}

/** Logins of ours of this kind that nothing on record stands for: from a record that was set back, say. */
async function endStrays({ deps, target, hands }: Place): Promise<void> {
  try {
    const found = await hands.list(target);
    const known = await knownKits(deps.db.query, found);
    for (const kit of found.filter((each) => !known.has(each))) await hands.end(target, kit);
  } catch (error) {
    // Looked at again soon; reaping does not wait for that.
    if (!(error instanceof TargetError)) throw error;
  }
}

/** A target as policy has it now. One that policy no longer has can be asked nothing, which is tried again for ever. */
async function placeOf(deps: Deps, call: Call, name: string): Promise<Place> {
  const bundle = await readActiveBundle(deps.db.query, deps.policies);
  const definition = bundle.targets.get(name) ?? null;
  const issuer = definition?.issuer ?? 'postgres';
  const hands = deps.issuers[issuer].kits ?? deps.issuers.postgres.kits;
  if (!hands) throw new Error('logins of a PostgreSQL can lie ready');
  return { deps, call, target: { name, definition }, hands };
}
