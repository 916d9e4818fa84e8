// What carrying out a statement and carrying out a call have in common.
import type { RequestRow, RunRow, TaskRow } from '../../db/rows.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import type { Fulfilment } from '../approvals/fulfil.ts';
import type { Deps } from '../deps.ts';
import type { Call } from '../unit.ts';
import type { Performed } from './runs.ts';

/** What a run came to, for the request that it carried out. */
export function outcomeOf(run: RunRow): Fulfilment {
  if (run.state === 'done') return { outcome: 'done' };
  return { outcome: 'failed', code: run.code ?? 'statement_failed' };
}

/** Something approved, under its task as that is now. */
export interface Approved {
  row: RequestRow;
  owner: TaskRow;
  sealKey: PublicKey;
}

/** What is written down; doing it comes once that is committed. */
export interface Planned {
  perform: (deps: Deps, call: Call) => Promise<Performed>;
}
