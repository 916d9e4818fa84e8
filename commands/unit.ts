// One command is one transaction: check, change, event. This is the only place that writes events.
import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { Database, Transaction } from '../db/client.ts';
import { event, eventPrivate, logPending, wake } from '../db/schema/index.ts';
import type { Digest } from '../domain/digest.ts';
import {
  eventType,
  leafText,
  privateCommitment,
  type EventData,
  type EventFacts,
  type EventName,
  type PrivateField,
  type PublicField,
} from '../domain/event.ts';
import { makeId, type Id, type Noun } from '../domain/id.ts';
import type { JsonValue } from '../domain/json.ts';
import { LEAF_BYTES_MAX } from '../domain/tile.ts';
import type { Vault } from '../keys/vault.ts';
import { partyOf, type Principal } from './principal.ts';
import { queueSignals } from './signals/outbox.ts';

/** What the installation is called; fixed at its first migration. */
interface Installation {
  issuer: string;
  trustDomain: string;
  logOrigin: string;
}

export interface UnitDeps {
  db: Database;
  installation: Installation;
  /** Encrypts what is kept but must not be readable in the tables. */
  vault: Vault;
  /** Ends the process at a named point when a test asked for it; otherwise does nothing. */
  crashPoint: (name: string) => void;
}

/** A call as it came in: who made it, and which trace it belongs to. */
export interface Call {
  principal: Principal;
  traceId: string | null;
}

interface EventInput<N extends EventName> extends Partial<EventFacts> {
  subject: string;
  detail: Record<PublicField<N>, JsonValue>;
  private: Record<PrivateField<N>, JsonValue>;
}

type WakeKind = 'agent' | 'task' | 'request' | 'target' | 'review' | 'discovery';

/** A transaction in progress. Events and wake-ups leave with its commit, or not at all. */
export interface Unit {
  sql: Transaction;
  call: Call;
  installation: Installation;
  vault: Vault;
  /** The database's clock, as last read. */
  readonly at: string;
  /** Reads the clock again: after waiting for a lock, the time before it is history. */
  readClock(): Promise<string>;
  emit<N extends EventName>(name: N, input: EventInput<N>): Id<'event'>;
  wake(kind: WakeKind, workflow: string, agent?: string | null): void;
  /** Tells whoever waits for this thing that it changed. */
  changed(id: string): void;
}

interface Outgoing {
  events: { row: typeof event.$inferInsert; secrets: (typeof eventPrivate.$inferInsert)[] }[];
  wakes: Map<string, { kind: WakeKind; agent: string | null }>;
  changes: Set<string>;
}

/** PostgreSQL channels on which waiting parts of the service listen. */
export const CHANNELS = {
  log: 'countersign_log',
  wake: 'countersign_wake',
  change: 'countersign_change',
  signal: 'countersign_signal',
  notice: 'countersign_notice',
  keys: 'countersign_keys',
  onCall: 'countersign_on_call',
} as const;

const RETRIES_MAX = 3;

/** Runs a command in one transaction. A thrown error undoes all of it, a returned value keeps it. */
export async function transact<T>(
  deps: UnitDeps,
  call: Call,
  work: (unit: Unit) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await deps.db.query.transaction((tx) => runUnit(tx, deps, call, work));
    } catch (error) {
      if (attempt > RETRIES_MAX || !isRetryable(error)) throw error;
    }
  }
}

async function runUnit<T>(
  tx: Transaction,
  deps: UnitDeps,
  call: Call,
  work: (unit: Unit) => Promise<T>,
): Promise<T> {
  const outgoing: Outgoing = { events: [], wakes: new Map(), changes: new Set() };
  const unit = await openUnit(tx, deps, call, outgoing);
  const value = await work(unit);
  await flush(tx, outgoing, unit.at);
  return value;
}

async function openUnit(
  tx: Transaction,
  deps: UnitDeps,
  call: Call,
  outgoing: Outgoing,
): Promise<Unit> {
  let at = await databaseTime(tx);
  return {
    sql: tx,
    call,
    installation: deps.installation,
    vault: deps.vault,
    get at() {
      return at;
    },
    readClock: async () => (at = await databaseTime(tx)),
    emit: (name, input) => {
      const entry = buildEvent(deps.installation, call, at, name, input);
      outgoing.events.push(entry);
      return entry.row.id;
    },
    wake: (kind, workflow, agent = null) => outgoing.wakes.set(workflow, { kind, agent }),
    changed: (id) => outgoing.changes.add(id),
  };
}

/** The database's clock in RFC 3339. */
export async function databaseTime(tx: Pick<Transaction, 'execute'>): Promise<string> {
  const [row] = await tx.execute<{ ms: string }>(
    sql`select floor(extract(epoch from clock_timestamp()) * 1000)::text as ms`,
  );
  if (!row) throw new Error('the database did not tell the time');
  return new Date(Number(row.ms)).toISOString();
}

let lastMs = 0;
let countInMs = 0;

/** A new id, larger than any this process made before (RFC 9562 §6.2, method 1). */
export function newId<N extends Noun>(noun: N): Id<N> {
  const now = Date.now();
  countInMs = now > lastMs ? 0 : countInMs + 1;
  lastMs = Math.max(lastMs, now);
  if (countInMs > 0xfff) {
    lastMs += 1;
    countInMs = 0;
  }
  const random = randomBytes(10);
  random.writeUInt16BE(countInMs, 0);
  return makeId(noun, lastMs, random);
}

function buildEvent<N extends EventName>(
  installation: Installation,
  call: Call,
  at: string,
  name: N,
  input: EventInput<N>,
): Outgoing['events'][number] {
  const id = newId('event');
  const secrets = Object.entries<JsonValue>(input.private).map(([field, value]) => ({
    event: id,
    field,
    salt: new Uint8Array(randomBytes(16)),
    value,
  }));
  const commitments: Record<string, Digest> = {};
  for (const { field, salt, value } of secrets)
    commitments[field] = privateCommitment(salt, field, value);
  const data: EventData = {
    ...factsOf(call, input),
    detail: input.detail,
    private: commitments,
  };
  const type = eventType(name);
  const leaf = leafText({
    specversion: '1.0',
    id,
    source: installation.issuer,
    type,
    time: at,
    subject: input.subject,
    data,
  });
  // Larger content belongs behind a digest; a leaf of this size is a fault in the command.
  if (Buffer.byteLength(leaf) > LEAF_BYTES_MAX)
    throw new RangeError(`the event ${name} is too large`);
  const { task, request, agent, control } = data;
  return { row: { id, type, time: at, task, request, agent, control, leaf }, secrets };
}

function factsOf(call: Call, input: Partial<EventFacts>): EventFacts {
  const { principal } = call;
  return {
    actor_chain: input.actor_chain ?? [partyOf(principal)],
    human: input.human ?? (principal.kind === 'person' ? principal.id : null),
    task: input.task ?? null,
    session: input.session ?? (principal.kind === 'person' ? principal.session : null),
    agent: input.agent ?? (principal.kind === 'agent' ? principal.id : null),
    policy_version: input.policy_version ?? null,
    control: input.control ?? null,
    request: input.request ?? null,
    action_ref: input.action_ref ?? null,
    decision: input.decision ?? null,
    posture: input.posture ?? null,
    cause: input.cause ?? null,
    trace_id: input.trace_id ?? call.traceId,
  };
}

/**
 * Writes what the unit produced, last of all: by now the rows it changed are locked, so the order in which
 * events are numbered is the order in which one thing caused another.
 */
async function flush(tx: Transaction, outgoing: Outgoing, at: string): Promise<void> {
  const { events, wakes, changes } = outgoing;
  for (const some of portionsOf(events)) {
    await tx.insert(event).values(some.map((entry) => entry.row));
    for (const secrets of portionsOf(some.flatMap((entry) => entry.secrets)))
      await tx.insert(eventPrivate).values(secrets);
    await tx.insert(logPending).values(some.map(({ row }) => ({ event: row.id, at })));
  }
  if (wakes.size > 0) await insertWakes(tx, wakes, at);
  const told = await queueSignals(
    tx,
    events.map(({ row }) => row),
    at,
    () => newId('signal'),
  );
  const notices = [
    ...(events.length > 0 ? [{ channel: CHANNELS.log, payload: '' }] : []),
    ...(wakes.size > 0 ? [{ channel: CHANNELS.wake, payload: '' }] : []),
    ...(told > 0 ? [{ channel: CHANNELS.signal, payload: '' }] : []),
    ...[...changes].map((payload) => ({ channel: CHANNELS.change, payload })),
  ];
  if (notices.length > 0)
    await tx.execute(
      sql`select pg_notify(n ->> 'channel', n ->> 'payload') from json_array_elements(${JSON.stringify(notices)}::json) n`,
    );
}

/** Rows of one statement: PostgreSQL takes no more than 65,535 values in one. */
const PORTION = 1_000;

const portionsOf = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / PORTION) }, (_, at) =>
    all.slice(at * PORTION, (at + 1) * PORTION),
  );

async function insertWakes(tx: Transaction, wakes: Outgoing['wakes'], at: string): Promise<void> {
  const rows = [...wakes].map(([workflow, { kind, agent }]) => ({
    workflow,
    kind,
    agent,
    sequence: 1,
    at,
  }));
  // Sorted, so that two units that wake the same workflows lock the rows in the same order.
  rows.sort((a, b) => (a.workflow < b.workflow ? -1 : 1));
  for (const some of portionsOf(rows))
    await tx
      .insert(wake)
      .values(some)
      .onConflictDoUpdate({ target: wake.workflow, set: { sequence: sql`${wake.sequence} + 1` } });
}

const RETRYABLE_STATES = new Set(['40001', '40P01']);

/** PostgreSQL asks for a repeat: a serialization failure or a deadlock. */
function isRetryable(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && typeof cause.code === 'string' && RETRYABLE_STATES.has(cause.code))
      return true;
  return false;
}
