// Running one statement in a target, as a login that was made for it and is nobody else's.
import type { JsonObject } from '../../domain/json.ts';
import type { TargetRef } from '../credentials/issuer.ts';

/** A value for a parameter of a statement. */
export type Parameter = string | number | boolean | null;

export interface Statement {
  text: string;
  parameters: readonly Parameter[];
}

export interface StatementToRun extends Statement {
  /** What its text says it does, which policy judged: a read can be nothing else. */
  effect: string;
  timeoutSeconds: number;
  /** More rows are counted and not kept. */
  maxRows: number;
  /** A statement that changes more is rolled back. */
  maxAffectedRows: number | null;
}

/** What a statement did, before anybody made it last. */
export interface Ran {
  columns: { name: string; type: number }[];
  /** Values as the server writes them. */
  rows: (string | null)[][];
  /** Returned, or changed where it returns none. */
  rowCount: number;
  isCut: boolean;
  /** The target's name for the transaction; null where it changed nothing. */
  transaction: string | null;
}

/** What became of a transaction; `unknown` where the target has forgotten. */
export type Fate = 'committed' | 'aborted' | 'in_progress' | 'unknown';

export interface StatementRunner {
  /** What the target plans to do, without doing it. */
  explain(material: JsonObject, statement: Statement): Promise<JsonObject>;
  /**
   * Runs it in one transaction. What `beforeCommit` throws undoes it; once that has returned, the transaction is
   * committed. Throws StatementError where the target refused, TargetError where nobody knows.
   */
  run(
    material: JsonObject,
    statement: StatementToRun,
    beforeCommit: (ran: Ran) => Promise<void>,
  ): Promise<void>;
  /** Asks the target what became of a transaction. */
  fateOf(target: TargetRef, transaction: string): Promise<Fate>;
}

/** The target ran the statement and said no: nothing of it lasts. */
export class StatementError extends Error {
  readonly code: string;
  /** What the target said, which may quote data: only for whoever asked. */
  readonly said: JsonObject;
  constructor(code: string, said: JsonObject) {
    super(code);
    this.code = code;
    this.said = said;
  }
}
