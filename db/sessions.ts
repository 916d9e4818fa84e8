// The pool of sessions that queries and transactions run on. The driver's own goes on using a session that the server
// has ended: it writes to a socket that is gone, which ends the process, or runs what was left of a transaction on
// the next session, where each statement commits by itself. Here a session does one piece of work at a time, sends
// nothing once anything is wrong with it, and is thrown away then.
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Options, type Row, type RowList, type Sql } from 'postgres';
import { patientSockets } from './sockets.ts';

type Rows = RowList<Row[]>;

/** Rows as objects, unless they are asked for as arrays before anything else happens. */
type Pending = Promise<Rows> & { values(): Promise<Rows> };

/** What the query builder uses of the driver. */
interface Client {
  readonly options: Pick<Sql['options'], 'parsers' | 'serializers'>;
  unsafe(text: string, parameters?: unknown[]): Pending;
}

/** Unused for longer, a session is closed. */
const IDLE_MS = 10_000;
/** So old, a session is closed as soon as it has nothing to do: at the server it only grows. */
const AGE_MAX_MS = 30 * 60_000;
/** How long closing waits for what is running. */
const CLOSING_MS = 5_000;

class SessionLost extends Error {
  override name = 'SessionLost';
  readonly code = 'CONNECTION_CLOSED';
  constructor() {
    super('The session with the database is gone.');
  }
}

class Session {
  readonly #client: Sql;
  readonly #born = performance.now();
  readonly #lost: Promise<never>;
  #lose: () => void = () => undefined;
  #isLost = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(open: (onclose: () => void) => Sql, whenLost: (session: Session) => void) {
    this.#lost = new Promise((_, reject) => {
      this.#lose = () => {
        if (this.#isLost) return;
        this.#isLost = true;
        reject(new SessionLost());
        whenLost(this);
      };
    });
    this.#lost.catch(() => undefined);
    this.#client = open(() => this.#lose());
  }

  get isUsable(): boolean {
    return !this.#isLost && performance.now() - this.#born < AGE_MAX_MS;
  }

  /** One statement, after all before it: what waited inside the driver would be sent to the next session. */
  send(text: string, parameters: unknown[] = [], asArrays = false): Promise<Rows> {
    const answer = this.#last.then(() => this.#sendNow(text, parameters, asArrays));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #sendNow(text: string, parameters: unknown[], asArrays: boolean): Promise<Rows> {
    if (this.#isLost) throw new SessionLost();
    const query = this.#client.unsafe<Row[]>(text, asParameters(parameters));
    try {
      return await Promise.race([asArrays ? asRows(query.values()) : query, this.#lost]);
    } catch (error) {
      if (!isOfStatement(error)) await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#lose();
    await this.#client.end({ timeout: 0 });
  }
}

/** An answer of the server about one statement, after which the session is as good as before. */
const isOfStatement = (error: unknown): boolean =>
  error instanceof postgres.PostgresError && error.severity === 'ERROR';

/** The statements of one transaction, while it lasts. */
class Scope implements Client {
  readonly options: Client['options'];
  readonly #session: Session;
  #isOver = false;
  #failed: { error: unknown } | null = null;

  constructor(session: Session, options: Client['options']) {
    this.#session = session;
    this.options = options;
  }

  unsafe(text: string, parameters?: unknown[]): Pending {
    return pending(async (asArrays) => {
      if (this.#isOver) throw new Error('a statement came after the end of its transaction');
      try {
        return await this.#session.send(text, parameters, asArrays);
      } catch (error) {
        this.#failed ??= { error };
        throw error;
      }
    });
  }

  end(): void {
    this.#isOver = true;
  }

  /** Once a statement failed there is nothing to commit, though nobody minded. */
  throwIfFailed(): void {
    if (this.#failed) throw this.#failed.error;
  }
}

/** Sessions with one database, at most so many; whoever comes then waits for the next that is free. */
export class Sessions implements Client {
  /** What the query builder reads and writes by itself; every session is told. */
  readonly options: Client['options'] = { parsers: {}, serializers: {} };
  readonly #open: (onclose: () => void) => Sql;
  readonly #max: number;
  readonly #all = new Set<Session>();
  readonly #idle = new Map<Session, NodeJS.Timeout>();
  readonly #waiting: ((session: Session | null) => void)[] = [];
  #isClosed = false;

  constructor(url: string, max: number, settings: Options<Record<string, never>>) {
    this.#max = max;
    this.#open = (onclose) => {
      const client = postgres(url, {
        ...settings,
        ...patientSockets(url, 1),
        max: 1,
        onclose,
        idle_timeout: 0,
        max_lifetime: 0,
        // The driver would ask for them outside any promise; the query builder reads arrays by itself.
        fetch_types: false,
      });
      Object.assign(client.options.parsers, this.options.parsers);
      Object.assign(client.options.serializers, this.options.serializers);
      return client;
    };
  }

  unsafe(text: string, parameters?: unknown[]): Pending {
    return pending((asArrays) => this.#use((session) => session.send(text, parameters, asArrays)));
  }

  /** Runs `work` in one transaction: kept if it returns, undone if it throws or any of its statements failed. */
  begin<T>(work: (client: Client) => Promise<T>): Promise<T> {
    return this.#use(async (session) => {
      const scope = new Scope(session, this.options);
      await session.send('begin');
      try {
        const result = await work(scope).finally(() => scope.end());
        scope.throwIfFailed();
        await session.send('commit');
        return result;
      } catch (error) {
        // What cannot be undone by asking is undone by hanging up.
        await session.send('rollback').catch(() => session.close());
        throw error;
      }
    });
  }

  /** Waits a while for what is running; nothing new is begun. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const hand of this.#waiting.splice(0)) hand(null);
    await Promise.all([...this.#idle.keys()].map((session) => session.close()));
    for (let waited = 0; this.#all.size > 0 && waited < CLOSING_MS; waited += 20) await sleep(20);
    await Promise.all([...this.#all].map((session) => session.close()));
  }

  async #use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#take();
    if (session === null) throw new SessionLost();
    try {
      return await work(session);
    } finally {
      this.#give(session);
    }
  }

  async #take(): Promise<Session | null> {
    if (this.#isClosed) return null;
    const session = [...this.#idle.keys()].at(-1);
    if (session) {
      this.#rouse(session);
      return session;
    }
    if (this.#all.size < this.#max) return this.#start();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #start(): Session {
    const session = new Session(this.#open, (lost) => {
      if (this.#rouse(lost)) this.#all.delete(lost);
    });
    this.#all.add(session);
    return session;
  }

  /** Takes it from those that are idle, if it is one. */
  #rouse(session: Session): boolean {
    clearTimeout(this.#idle.get(session));
    return this.#idle.delete(session);
  }

  #give(session: Session): void {
    const isKept = session.isUsable && !this.#isClosed;
    if (!isKept) {
      this.#all.delete(session);
      void session.close();
    }
    const next = this.#waiting.shift();
    if (next) next(isKept ? session : this.#start());
    else if (isKept)
      this.#idle.set(session, setTimeout(() => void session.close(), IDLE_MS).unref());
  }
}

function pending(run: (asArrays: boolean) => Promise<Rows>): Pending {
  let asArrays = false;
  const answer = Promise.resolve().then(() => run(asArrays));
  const values = (): Promise<Rows> => {
    asArrays = true;
    return answer;
  };
  return Object.assign(answer, { values });
}

/** Parameters come from the query builder, which has made them what the driver takes. */
const asParameters = (parameters: unknown[]) => parameters as never[];

/** The driver's type for arrays says less than that for objects: the builder reads either. */
const asRows = (query: PromiseLike<unknown>) => query as PromiseLike<Rows>;
