// Which policy is active, and making another one so.
import { eq } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { activePolicy, policy } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { EventFacts } from '../../domain/event.ts';
import { partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { parsePolicyBundle, type PolicyBundle } from './bundle.ts';
import { waiversOf } from './waivers.ts';

/** Parsed bundles by version. A version never changes, so an entry is never stale. */
export type PolicyCache = Map<Digest, PolicyBundle>;

const CACHED_MAX = 8;

/**
 * The active policy. `share` holds it in place until the transaction ends, so that what is decided here
 * and what is true at commit are the same.
 */
export async function activeBundle(
  unit: Unit,
  cache: PolicyCache,
  lock: 'share' | null = null,
): Promise<PolicyBundle> {
  const query = unit.sql.select({ version: activePolicy.version }).from(activePolicy);
  const [row] = await (lock ? query.for(lock) : query);
  if (!row) throw new Error('no policy is active: run countersign migrate');
  return loadBundle(unit.sql, cache, row.version);
}

/** The active policy as readers see it, outside any decision. */
export async function readActiveBundle(query: Query, cache: PolicyCache): Promise<PolicyBundle> {
  const [row] = await query.select({ version: activePolicy.version }).from(activePolicy);
  if (!row) throw new Error('no policy is active: run countersign migrate');
  return loadBundle(query, cache, row.version);
}

/** A stored bundle, parsed once. */
export async function loadBundle(
  query: Pick<Query, 'select'>,
  cache: PolicyCache,
  version: Digest,
): Promise<PolicyBundle> {
  const known = cache.get(version);
  if (known) return known;
  const [row] = await query.select().from(policy).where(eq(policy.version, version));
  if (!row) throw new Error(`the policy ${version} is active but not stored`);
  const bundle = parsePolicyBundle(row.files);
  if (cache.size >= CACHED_MAX) cache.clear();
  cache.set(version, bundle);
  return bundle;
}

/** The files of a policy that was ever proposed. */
export async function readStoredPolicy(
  query: Query,
  version: string,
): Promise<{ version: Digest; files: Record<string, string> } | null> {
  const [row] = await query
    .select()
    .from(policy)
    .where(eq(policy.version, asDigest(version)));
  return row ?? null;
}

/** Compared with stored versions only: what is no digest is none of them. */
const asDigest = (text: string): Digest => text as Digest;

/** Keeps a bundle without activating it. */
export async function storePolicy(unit: Unit, bundle: PolicyBundle): Promise<void> {
  await unit.sql
    .insert(policy)
    .values({ version: bundle.version, files: bundle.files, createdAt: unit.at })
    .onConflictDoNothing();
}

/** Makes a stored policy the active one. Decisions in progress finish first. */
export async function activatePolicy(
  unit: Unit,
  bundle: PolicyBundle,
  approved: Partial<EventFacts> = {},
): Promise<void> {
  const { version } = bundle;
  const by = partyOf(unit.call.principal);
  const [before] = await unit.sql.select().from(activePolicy).for('update');
  if (before?.version === version) return;
  const row = { version, activatedAt: unit.at, activatedBy: by };
  await unit.sql
    .insert(activePolicy)
    .values(row)
    .onConflictDoUpdate({ target: activePolicy.singleton, set: row });
  unit.emit('policy.activated', {
    ...approved,
    subject: version,
    policy_version: version,
    detail: {
      replaces: before?.version ?? null,
      by: { type: by.type, id: by.id },
      waives: waiversOf(bundle).map((waiver) => ({ ...waiver })),
    },
    private: {},
  });
}

/** Activates the bundle that comes with the installation, if none ever was. */
export async function activateFirstPolicy(
  unit: Unit,
  files: Record<string, string>,
): Promise<void> {
  const [active] = await unit.sql.select().from(activePolicy);
  if (active) return;
  const bundle = parsePolicyBundle(files);
  await storePolicy(unit, bundle);
  await activatePolicy(unit, bundle);
}
