// The sequencer: gives committed events their place in the log, and signs what the log then is. One at a time,
// by the lock on the head row. Nothing is published that did not commit, and nothing committed is skipped.
import { asc, eq, inArray, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../../db/client.ts';
import { event, logEntry, logHead, logPending, logTile } from '../../db/schema/index.ts';
import { sameBytes, utf8 } from '../../domain/bytes.ts';
import type { Id } from '../../domain/id.ts';
import { EMPTY_ROOT, leafHash, rangeHash, type Hash } from '../../domain/merkle.ts';
import {
  openCheckpoint,
  parseVerifierKey,
  formatVerifierKey,
  signCheckpoint,
} from '../../domain/note.ts';
import {
  appendLeaves,
  decodeTile,
  edgeRoot,
  encodeTile,
  nodeReader,
  TILE_WIDTH,
} from '../../domain/tile.ts';
import { verifyEd25519, type Ed25519Key } from '../../keys/ed25519.ts';
import { databaseTime } from '../unit.ts';

export interface SequencerDeps {
  db: Database;
  logOrigin: string;
  key: Ed25519Key;
  crashPoint: (name: string) => void;
}

/** The log is not what it was: it lost entries, or its stored parts contradict each other. */
export class LogError extends Error {}

/** Events taken in one transaction, so that a backlog never makes one that runs for minutes. */
export const BATCH_MAX = 2_000;
/** A checkpoint this old is signed again even if nothing happened, so that silence can be told from death. */
const HEARTBEAT_MS = 60_000;

export interface Sequenced {
  /** The newest checkpoint. */
  checkpoint: string;
  size: number;
  appended: number;
}

/** Indexes what is pending, once. `behind` is the newest checkpoint known outside the database. */
export async function sequenceOnce(deps: SequencerDeps, behind: string | null): Promise<Sequenced> {
  return deps.db.query.transaction(async (tx) => {
    const head = await lockHead(tx, deps);
    await refuseRollback(tx, deps, head, behind);
    const pending = await tx
      .select({ event: logPending.event, sequence: logPending.sequence })
      .from(logPending)
      .orderBy(asc(logPending.sequence))
      .limit(BATCH_MAX);
    const now = await databaseTime(tx);
    if (pending.length === 0) {
      if (Date.parse(now) - Date.parse(head.signedAt) < HEARTBEAT_MS)
        return { checkpoint: head.checkpoint, size: head.size, appended: 0 };
      const checkpoint = sign(deps, head.size, head.root);
      await tx.update(logHead).set({ checkpoint, signedAt: now });
      return { checkpoint, size: head.size, appended: 0 };
    }
    const order = pending.map((row) => row.event);
    const { root, size } = await append(tx, head, order);
    const checkpoint = sign(deps, size, root);
    await tx.update(logHead).set({ size, root, checkpoint, signedAt: now });
    deps.crashPoint('sequence:signed');
    return { checkpoint, size, appended: order.length };
  });
}

type Head = typeof logHead.$inferSelect;

async function lockHead(tx: Transaction, deps: SequencerDeps): Promise<Head> {
  const [head] = await tx.select().from(logHead).for('update');
  if (head) return head;
  const now = await databaseTime(tx);
  await tx
    .insert(logHead)
    .values({ size: 0, root: EMPTY_ROOT, checkpoint: sign(deps, 0, EMPTY_ROOT), signedAt: now })
    .onConflictDoNothing();
  const [made] = await tx.select().from(logHead).for('update');
  if (!made) throw new LogError('the head of the log could not be created');
  return made;
}

const sign = (deps: SequencerDeps, size: number, root: Hash): string =>
  signCheckpoint({ origin: deps.logOrigin, size, root }, deps.key.publicKey, deps.key.sign);

/**
 * A database restored from before the newest checkpoint would fork the log: it is not continued, not even
 * once others made it longer than it was.
 */
async function refuseRollback(
  tx: Transaction,
  deps: SequencerDeps,
  head: Head,
  behind: string | null,
): Promise<void> {
  if (behind === null || behind === head.checkpoint) return;
  const key = parseVerifierKey(formatVerifierKey(deps.logOrigin, deps.key.publicKey));
  const known = key && openCheckpoint(behind, key, verifyEd25519);
  if (!known) throw new LogError('the checkpoint kept outside the database does not verify');
  const isShorter = known.size > head.size;
  const forked = !isShorter && !sameBytes(known.root, await rootAt(tx, head, known.size));
  if (isShorter || forked)
    throw new LogError(
      `the log in the database has ${head.size} entries and was seen with ${known.size}${forked ? ' and another root' : ''}: it was rolled back; restore the newer database`,
    );
}

/** The root that the log in the database had when it was this long. */
async function rootAt(tx: Transaction, head: Head, size: number): Promise<Hash> {
  if (size === head.size) return head.root;
  if (size === 0) return EMPTY_ROOT;
  const read = nodeReader(head.size, ({ level, index, width }) =>
    readTile(tx, level, index, width),
  );
  return rangeHash({ from: 0, to: size }, read);
}

async function append(
  tx: Transaction,
  head: Head,
  ids: Id<'event'>[],
): Promise<{ root: Hash; size: number }> {
  const rows = await tx
    .select({ id: event.id, leaf: event.leaf })
    .from(event)
    .where(inArray(event.id, ids));
  const leaves = new Map<string, string>(rows.map((row) => [row.id, row.leaf]));
  const hashes = ids.map((id) => {
    const leaf = leaves.get(id);
    if (leaf === undefined) throw new LogError(`the event ${id} is pending and was never stored`);
    return leafHash(utf8(leaf));
  });
  const edge = await readEdge(tx, head.size);
  if (!sameBytes(edgeRoot(edge), head.root))
    throw new LogError('the tiles of the log do not add up to its root');
  const grown = appendLeaves(edge, head.size, hashes);
  await tx.insert(logEntry).values(ids.map((id, at) => ({ index: head.size + at, event: id })));
  for (const { level, index, hashes: row } of grown.tiles)
    await tx
      .insert(logTile)
      .values({ level, index, width: row.length, hashes: encodeTile(row) })
      .onConflictDoUpdate({
        target: [logTile.level, logTile.index],
        set: { width: row.length, hashes: encodeTile(row) },
      });
  await tx.delete(logPending).where(inArray(logPending.event, ids));
  return { root: grown.root, size: head.size + ids.length };
}

/** The unfinished tile of every level. */
async function readEdge(tx: Transaction, size: number): Promise<Hash[][]> {
  const edge: Hash[][] = [];
  for (
    let level = 0, hashes = size;
    hashes > 0;
    level += 1, hashes = Math.floor(hashes / TILE_WIDTH)
  ) {
    const width = hashes % TILE_WIDTH;
    const index = Math.floor(hashes / TILE_WIDTH);
    edge.push(width === 0 ? [] : await readTile(tx, level, index, width));
  }
  return edge;
}

async function readTile(
  tx: Transaction,
  level: number,
  index: number,
  width: number,
): Promise<Hash[]> {
  const [tile] = await tx
    .select()
    .from(logTile)
    .where(sql`${eq(logTile.level, level)} and ${eq(logTile.index, index)}`);
  if (!tile || tile.width !== width)
    throw new LogError(`the tile ${level}/${index} of the log is missing or has another width`);
  return decodeTile(tile.hashes);
}
