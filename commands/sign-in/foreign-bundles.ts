// The newest bundle of each federated trust domain, kept for all replicas and beyond a restart: who shows it a first
// time is judged by what people handed over, and from then on by what it said last.
import { createHash } from 'node:crypto';
import { eq, lt } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import { foreignBundle } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import { addSeconds } from '../../domain/instant.ts';
import { mayFollow, parseSpiffeBundle, type SpiffeBundle } from '../../keys/spiffe-bundle.ts';
import type { Vault } from '../../keys/vault.ts';
import { transact, type Call, type Unit, type UnitDeps } from '../unit.ts';
import type { BundleStore } from './foreign-trust.ts';

const AS_SELF: Call = { principal: { kind: 'workflow', id: 'federation' }, traceId: null };

const useOf = (source: Digest): string => `foreign_bundle/${source}`;

export const openBundleStore = (deps: UnitDeps): BundleStore => ({
  newest: async (source) => (await readBundle(deps.db.query, deps.vault, source))?.bundle ?? null,
  keep: (source, trustDomain, text) =>
    transact(deps, AS_SELF, (unit) => keepBundle(unit, { source, trustDomain, text })),
});

async function readBundle(
  query: Query | Transaction,
  vault: Vault,
  source: Digest,
  lock = false,
): Promise<{ text: string; bundle: SpiffeBundle } | null> {
  const select = query.select().from(foreignBundle).where(eq(foreignBundle.source, source));
  const [row] = await (lock ? select.for('update') : select);
  if (!row) return null;
  const text = vault.open(row.sealed, useOf(source));
  return { text, bundle: parseSpiffeBundle(text) };
}

/** Keeps a bundle unless another replica knows a newer one, which is then the one to go by. */
async function keepBundle(
  unit: Unit,
  { source, trustDomain, text }: { source: Digest; trustDomain: string; text: string },
): Promise<boolean> {
  const next = parseSpiffeBundle(text);
  const before = await readBundle(unit.sql, unit.vault, source, true);
  if (!mayFollow(before?.bundle ?? null, next)) return false;
  const sealed = unit.vault.seal(text, useOf(source));
  const content = { sealed, fetchedAt: unit.at };
  const insert = unit.sql.insert(foreignBundle).values({ source, trustDomain, ...content });
  // Of two replicas that are the first to know a source, the later one looks at what the earlier one kept.
  const written = before
    ? await insert.onConflictDoUpdate({ target: foreignBundle.source, set: content }).returning()
    : await insert.onConflictDoNothing().returning();
  if (written.length === 0) return keepBundle(unit, { source, trustDomain, text });
  if (before?.text === text) return true;
  unit.emit('trust.bundle_changed', {
    subject: source,
    detail: {
      source,
      bundle: `sha256:${createHash('sha256').update(text).digest('hex')}`,
      sequence: next.sequence,
      authorities: next.x509Authorities.length,
      keys: next.jwtKeys.length,
    },
    private: { trust_domain: trustDomain },
  });
  return true;
}

/** A source that policy has not named for so long is none. */
const KEPT_DAYS = 90;

export async function forgetForeignBundles(unit: Unit): Promise<void> {
  const before = addSeconds(unit.at, -KEPT_DAYS * 86_400);
  await unit.sql.delete(foreignBundle).where(lt(foreignBundle.fetchedAt, before));
}
