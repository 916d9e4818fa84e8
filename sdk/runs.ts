// Having one exact statement run, without ever holding a login.
import { asDenied, type Denied } from './credentials.ts';
import { CountersignError } from './error.ts';
import { generateKey, publicKeyOf, type PrivateJwk } from './keys.ts';
import { path } from './path.ts';
import { pause } from './retry.ts';
import { unseal } from './seal.ts';
import { WAIT_SECONDS_MAX, type CallOptions, type Transport } from './transport.ts';
import type { AccessRequest, HeldAction, Page, Run } from './types.ts';

/** A statement to run under a task. */
export interface RunOrder {
  /** A role of a database: its rights are the statement's. */
  role: string;
  /** One statement. People are shown it word for word. */
  statement: string;
  /** Values for `$1`, `$2`, … */
  parameters?: readonly (string | number | boolean | null)[] | undefined;
  /** Rows beyond this are counted and not returned; 1,000 if it is not said. */
  maxRows?: number | undefined;
  /** A statement that changes more rows is rolled back. */
  maxAffectedRows?: number | undefined;
  /** 10 if it is not said. */
  timeoutSeconds?: number | undefined;
  reason?: string | undefined;
  /** Called when a held request is decided; see `verifyWebhook`. */
  callbackUrl?: string | undefined;
  /** What the result is sealed to; a fresh key if none is given. Keep it to read the result from another process. */
  sealKey?: PrivateJwk | undefined;
}

/** Rows as PostgreSQL writes them. */
export interface RunRows {
  kind: 'rows';
  columns: { name: string; type: number }[];
  rows: (string | null)[][];
  /** Returned, or changed by a statement that returns none. */
  row_count: number;
  is_cut: boolean;
}

/** It ran. */
export interface Ran {
  outcome: 'ran';
  run: Run;
  result: RunRows;
  /** What rules that are being tried out would have done. */
  warnings: string[];
}

/** The target refused it, and nothing of it lasts. */
export interface RunFailed {
  outcome: 'failed';
  run: Run;
  /** What the target said, where it was the target. */
  error: { code: string | null; message: string | null } | null;
  warnings: string[];
}

/** Waiting for people. Once they have agreed it runs by itself; read it with this key. */
export interface RunHeld {
  outcome: 'held';
  request: AccessRequest;
  reasons: string[];
  warnings: string[];
  sealKey: PrivateJwk;
}

/** What asking for a statement comes to; told apart by `outcome`. */
export type RunOutcome = Ran | RunFailed | RunHeld | Denied;

/** As the server sends it: with the result sealed. */
type SealedRun = Run & { sealed: string | null; warnings?: string[] };
type HeldRun = HeldAction & { outcome?: undefined };

export const runCalls = (transport: Transport) => ({
  /** Has a statement run: at once, once people agree, or not at all. */
  ask: async (task: string, order: RunOrder, options?: CallOptions): Promise<RunOutcome> => {
    const sealKey = order.sealKey ?? (await generateKey());
    const reply = await transport
      .post<SealedRun | HeldRun>('/v1/run', { ...options, body: bodyOf(task, order, sealKey) })
      .catch(asDenied);
    if (reply.outcome === 'denied') return reply;
    if ('denial' in reply) {
      const { request, denial, warnings = [] } = reply;
      return { outcome: 'held', request, reasons: denial.reasons, warnings, sealKey };
    }
    return openRun(reply, sealKey);
  },

  /** One run, without its result. */
  get: async (id: string, options?: CallOptions): Promise<Run> =>
    transport.get<Run>(path`/v1/runs/${id}`, options),

  /** What a held request came to, once its statement was carried out; waits a minute for that. */
  ofRequest: async (
    request: string,
    sealKey: PrivateJwk,
    options?: CallOptions,
  ): Promise<Ran | RunFailed> => {
    const found = await begun(transport, request, options);
    const run = await transport.get<SealedRun>(path`/v1/runs/${found.id}`, {
      ...options,
      waitSeconds: WAIT_SECONDS_MAX,
    });
    return openRun(run, sealKey);
  },
});

/** Carrying out begins within moments of the approval. */
const BEGIN_MS_MAX = 30_000;
const LOOK_AGAIN_MS = 250;

async function begun(
  transport: Transport,
  request: string,
  options: CallOptions | undefined,
): Promise<Run> {
  const until = Date.now() + BEGIN_MS_MAX;
  for (;;) {
    const { data } = await transport.get<Page<Run>>('/v1/runs', { ...options, query: { request } });
    const [found] = data;
    if (found) return found;
    if (Date.now() > until)
      throw new CountersignError(
        'not_approved',
        'Nothing was run for this request so far: look at what became of it.',
      );
    await pause(LOOK_AGAIN_MS, options?.signal);
  }
}

const bodyOf = (task: string, order: RunOrder, sealKey: PrivateJwk) => ({
  task,
  role: order.role,
  statement: order.statement,
  parameters: order.parameters === undefined ? undefined : [...order.parameters],
  seal_to: { ...publicKeyOf(sealKey) },
  max_rows: order.maxRows,
  max_affected_rows: order.maxAffectedRows,
  timeout_seconds: order.timeoutSeconds,
  reason: order.reason,
  callback: order.callbackUrl === undefined ? undefined : { url: order.callbackUrl },
});

async function openRun(
  { sealed, warnings = [], ...run }: SealedRun,
  sealKey: PrivateJwk,
): Promise<Ran | RunFailed> {
  const said = sealed === null ? null : await unseal(sealed, sealKey);
  if (run.state === 'done' && said !== null)
    return { outcome: 'ran', run, result: asRows(said), warnings };
  return { outcome: 'failed', run, error: said === null ? null : asError(said), warnings };
}

/** What the server seals for a run that is done. */
const asRows = (said: unknown): RunRows => said as RunRows;
/** What the server seals for a run that the target refused. */
const asError = (said: unknown): NonNullable<RunFailed['error']> =>
  said as NonNullable<RunFailed['error']>;
