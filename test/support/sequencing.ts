// A log on a database of its own: writers that commit when they like, sequencers that may die at any step, and
// a reader that trusts neither.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  sequenceOnce,
  type Sequenced,
  type SequencerDeps,
} from '../../commands/record/sequence.ts';
import { transact, type Call, type Unit, type UnitDeps } from '../../commands/unit.ts';
import { connect, type Database, type Transaction } from '../../db/client.ts';
import { formatVerifierKey } from '../../domain/note.ts';
import { makeEd25519Key, openEd25519Key } from '../../keys/ed25519.ts';
import { openVault } from '../../keys/vault.ts';
import { naiveCheckpoint, naiveRoot } from './naive-log.ts';
import { freshDatabase, type TestDatabase } from './service.ts';

const ORIGIN = 'log.example/test';
const CALL: Call = { principal: { kind: 'service', id: 'writer' }, traceId: null };

/** What a transaction of a test ends with when it is to leave nothing behind. */
export class Undone extends Error {}
/** What a sequencer dies of. */
export class Killed extends Error {}

export interface TestLog {
  database: TestDatabase;
  vkey: string;
  service: Database;
  sequencer: SequencerDeps;
  /** One event in a transaction of its own; `before` runs in it first, and the commit waits. */
  write(options?: WriteOptions): Promise<string>;
  sequence(behind?: string | null): Promise<Sequenced>;
  /** A second sequencer, with a connection of its own. */
  rival(): SequencerDeps;
  /** The ids of the indexed events, by index. */
  order(): Promise<string[]>;
  leaves(): Promise<Buffer[]>;
  /** Throws unless these checkpoints are signed, and each is the beginning of the log as it is now. */
  expectBeginnings(checkpoints: Iterable<string>): Promise<void>;
  close(): Promise<void>;
}

export interface WriteOptions {
  before?: (unit: Unit) => Promise<unknown>;
  commitDelayMs?: number;
  undo?: boolean;
}

export async function startLog(key = openEd25519Key(makeEd25519Key())): Promise<TestLog> {
  const database = await freshDatabase();
  const service = connect(database.url, {
    role: 'service',
    application: 'writers',
    connectionsMax: 16,
  });
  const deps: UnitDeps = {
    db: service,
    installation: { issuer: 'https://i.example', trustDomain: 'example', logOrigin: ORIGIN },
    vault: openVault(randomBytes(32)),
    crashPoint: () => undefined,
  };
  const opened: Database[] = [service];
  const rival = (): SequencerDeps => {
    const db = connect(database.url, {
      role: 'sequencer',
      application: 'sequencer',
      connectionsMax: 1,
    });
    opened.push(db);
    return { db, logOrigin: ORIGIN, key, crashPoint: () => undefined };
  };
  const sequencer = rival();
  const vkey = formatVerifierKey(ORIGIN, key.publicKey);
  const rows = (): Promise<{ id: string; leaf: string }[]> =>
    database.owner.sql`select e.id, e.leaf from log_entry l join event e on e.id = l.event
      order by l.index`.then((found) => found.map((row) => row as { id: string; leaf: string }));
  const leaves = async (): Promise<Buffer[]> => (await rows()).map((row) => Buffer.from(row.leaf));
  return {
    database,
    vkey,
    service,
    sequencer,
    rival,
    leaves,
    write: (options = {}) => write(deps, options),
    sequence: (behind = null) => sequenceOnce(sequencer, behind),
    order: async () => (await rows()).map((row) => row.id),
    expectBeginnings: async (checkpoints) => expectBeginnings(await leaves(), checkpoints, vkey),
    close: async () => {
      await Promise.all(opened.map((db) => db.close()));
      await database.close();
    },
  };
}

/** The product's own transaction, held open after its last statement. */
function write(deps: UnitDeps, options: WriteOptions): Promise<string> {
  const late = withTransaction(deps.db, async (tx, work) => {
    const value = await work(tx);
    await sleep(options.commitDelayMs ?? 0);
    if (options.undo) throw new Undone();
    return value;
  });
  return transact({ ...deps, db: late }, CALL, async (unit) => {
    await options.before?.(unit);
    return unit.emit('person.signed_out', { subject: 'psn_1', detail: {}, private: {} });
  });
}

/** A sequencer that dies at its nth statement, counted from 1. */
export function dyingAt(deps: SequencerDeps, nth: number): SequencerDeps {
  return {
    ...deps,
    db: withTransaction(deps.db, (tx, work) => {
      let count = 0;
      const counted = new Proxy(tx, {
        get: (target, name) => {
          const isStatement = ['select', 'insert', 'update', 'delete', 'execute'].includes(
            String(name),
          );
          if (isStatement) count += 1;
          if (isStatement && count === nth) throw new Killed(`at statement ${nth}`);
          const member: unknown = Reflect.get(target, name, target);
          return typeof member === 'function' ? (member.bind(target) as unknown) : member;
        },
      });
      return work(counted);
    }),
  };
}

type Work = (tx: Transaction) => Promise<unknown>;

/** The same database, with a say in how its transactions run. */
function withTransaction(
  db: Database,
  around: (tx: Transaction, work: Work) => Promise<unknown>,
): Database {
  const transaction = (work: Work): Promise<unknown> =>
    db.query.transaction((tx) => around(tx, work));
  return {
    ...db,
    query: Object.assign(Object.create(db.query) as typeof db.query, { transaction }),
  };
}

function expectBeginnings(leaves: Buffer[], checkpoints: Iterable<string>, vkey: string): void {
  for (const note of checkpoints) {
    const { size, root } = naiveCheckpoint(note, vkey);
    if (size > leaves.length)
      throw new Error(`${size} entries were signed, ${leaves.length} are there`);
    if (!root.equals(naiveRoot(leaves.slice(0, size))))
      throw new Error(`the checkpoint of size ${size} is no beginning of the log`);
  }
}
