// Reading the log for those who verify it: tiles, entries, the newest checkpoint, proofs.
import { and, asc, eq, gte, lt } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import { event, logEntry, logHead, logTile } from '../../db/schema/index.ts';
import { base64, utf8 } from '../../domain/bytes.ts';
import { inclusionProof, type Hash } from '../../domain/merkle.ts';
import {
  decodeTile,
  encodeEntries,
  nodeReader,
  TILE_WIDTH,
  type TileName,
} from '../../domain/tile.ts';

export async function newestCheckpoint(
  query: Query | Transaction,
): Promise<{ checkpoint: string; size: number; root: Hash; signedAt: string } | null> {
  const [head] = await query.select().from(logHead);
  return head ?? null;
}

/** The first `width` hashes of a tile, or null while the log is too small for it. */
export async function readTile(query: Query, name: TileName): Promise<Hash[] | null> {
  const [tile] = await query
    .select()
    .from(logTile)
    .where(and(eq(logTile.level, name.level), eq(logTile.index, name.index)));
  if (!tile || tile.width < name.width) return null;
  return decodeTile(tile.hashes).slice(0, name.width);
}

/** An entry bundle: the leaves themselves, as they were hashed. */
export async function readEntries(
  query: Query,
  index: number,
  width: number,
): Promise<Uint8Array | null> {
  const from = index * TILE_WIDTH;
  const rows = await query
    .select({ leaf: event.leaf })
    .from(logEntry)
    .innerJoin(event, eq(event.id, logEntry.event))
    .where(and(gte(logEntry.index, from), lt(logEntry.index, from + width)))
    .orderBy(asc(logEntry.index));
  return rows.length === width ? encodeEntries(rows.map((row) => utf8(row.leaf))) : null;
}

/** A c2sp.org/tlog-proof@v1: everything needed to check one event offline. Null until it is indexed. */
export async function proofOf(
  query: Query,
  id: typeof event.$inferSelect.id,
): Promise<string | null> {
  const [entry] = await query.select().from(logEntry).where(eq(logEntry.event, id));
  const head = await newestCheckpoint(query);
  if (!entry || !head || entry.index >= head.size) return null;
  const read = nodeReader(head.size, async (name) => {
    const tile = await readTile(query, name);
    if (!tile) throw new Error(`the tile ${name.level}/${name.index} is missing`);
    return tile;
  });
  const proof = await inclusionProof(entry.index, head.size, read);
  const hashes = proof.map((hash) => `${base64(hash)}\n`).join('');
  return `c2sp.org/tlog-proof@v1\nindex ${entry.index}\n${hashes}\n${head.checkpoint}`;
}
