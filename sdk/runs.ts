// Having one exact statement run or one exact call made, without ever holding what it takes.
import type { JsonValue } from '../domain/json.ts';
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

/** A call of an API that the policy lists. */
export interface CallOrder {
  upstream: string;
  /** One of its calls, by name. */
  call: string;
  /** What stands in its path, as it is: the server percent-encodes it. */
  params?: CallValues | undefined;
  query?: CallValues | undefined;
  /** Only those that the policy lets callers add. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** JSON. */
  body?: JsonValue | undefined;
  reason?: string | undefined;
  /** Called when a held request is decided; see `verifyWebhook`. */
  callbackUrl?: string | undefined;
  /** What the answer is sealed to; a fresh key if none is given. */
  sealKey?: PrivateJwk | undefined;
}

type CallValues = Readonly<Record<string, string | number | boolean>>;

/** What an API answered, whatever its status. */
export interface CallAnswer {
  kind: 'answer';
  status: number;
  headers: Record<string, string>;
  /** As text, or as base64 where it is none. */
  body: string;
  encoding: 'utf8' | 'base64';
  bytes: number;
  is_cut: boolean;
  /** Whether the secret of the server stood in it, and was taken out. */
  is_masked: boolean;
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

/** It ran, or was answered. */
export interface Ran<R = RunRows | CallAnswer> {
  outcome: 'ran';
  run: Run;
  result: R;
  /** What rules that are being tried out would have done. */
  warnings: string[];
}

/** It did not: nothing of it lasts, unless the run is `unknown`. */
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

/** What asking for a statement or a call comes to; told apart by `outcome`. */
export type RunOutcome<R = RunRows> = Ran<R> | RunFailed | RunHeld | Denied;

/** As the server sends it: with the result sealed. */
type SealedRun = Run & { sealed: string | null; warnings?: string[] };
type HeldRun = HeldAction & { outcome?: undefined };

export const runCalls = (transport: Transport) => ({
  /** Has a statement run: at once, once people agree, or not at all. */
  ask: async (task: string, order: RunOrder, options?: CallOptions): Promise<RunOutcome> =>
    asked(transport, bodyOf(task, order), order, asRows, options),

  /** Has a call made: at once, once people agree, or not at all. */
  call: async (
    task: string,
    order: CallOrder,
    options?: CallOptions,
  ): Promise<RunOutcome<CallAnswer>> =>
    asked(transport, callOf(task, order), order, asAnswer, options),

  /** One run, without its result. */
  get: async (id: string, options?: CallOptions): Promise<Run> =>
    transport.get<Run>(path`/v1/runs/${id}`, options),

  /** What a held request came to, once it was carried out; waits a few minutes for that. */
  ofRequest: async (
    request: string,
    sealKey: PrivateJwk,
    options?: CallOptions,
  ): Promise<Ran | RunFailed> => {
    const found = await begun(transport, request, options);
    const run = await over(transport, found.id, options);
    const isCall = run.upstream !== null;
    return isCall ? openRun(run, sealKey, asAnswer) : openRun(run, sealKey, asRows);
  },
});

async function asked<R>(
  transport: Transport,
  body: Record<string, unknown>,
  { sealKey: own }: Pick<RunOrder, 'sealKey'>,
  read: (said: unknown) => R,
  options: CallOptions | undefined,
): Promise<RunOutcome<R>> {
  const sealKey = own ?? (await generateKey());
  const reply = await transport
    .post<SealedRun | HeldRun>('/v1/run', {
      ...options,
      body: { ...body, seal_to: { ...publicKeyOf(sealKey) } },
    })
    .catch(asDenied);
  if (reply.outcome === 'denied') return reply;
  const { warnings = [] } = reply;
  if ('denial' in reply) {
    const { request, denial } = reply;
    return { outcome: 'held', request, reasons: denial.reasons, warnings, sealKey };
  }
  // Asked for again after a call that was cut short, it can still be at work.
  const ended = reply.state === 'running' ? await over(transport, reply.id, options) : reply;
  return openRun({ ...ended, warnings }, sealKey, read);
}

/** Longer than any run takes. */
const LOOKS_MAX = 4;

/** A run once it has ended; as it is then, should it not end in minutes. */
async function over(
  transport: Transport,
  id: string,
  options: CallOptions | undefined,
): Promise<SealedRun> {
  for (let looks = 1; ; looks += 1) {
    const run = await transport.get<SealedRun>(path`/v1/runs/${id}`, {
      ...options,
      waitSeconds: WAIT_SECONDS_MAX,
    });
    if (run.state !== 'running' || looks >= LOOKS_MAX) return run;
  }
}

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

const bodyOf = (task: string, order: RunOrder) => ({
  task,
  role: order.role,
  statement: order.statement,
  parameters: order.parameters === undefined ? undefined : [...order.parameters],
  max_rows: order.maxRows,
  max_affected_rows: order.maxAffectedRows,
  timeout_seconds: order.timeoutSeconds,
  ...aboutAsking(order),
});

const callOf = (task: string, order: CallOrder) => ({
  task,
  upstream: order.upstream,
  call: order.call,
  params: order.params,
  query: order.query,
  headers: order.headers,
  body: order.body,
  ...aboutAsking(order),
});

const aboutAsking = ({ reason, callbackUrl }: Pick<RunOrder, 'reason' | 'callbackUrl'>) => ({
  reason,
  callback: callbackUrl === undefined ? undefined : { url: callbackUrl },
});

async function openRun<R>(
  { sealed, warnings = [], ...run }: SealedRun,
  sealKey: PrivateJwk,
  read: (said: unknown) => R,
): Promise<Ran<R> | RunFailed> {
  const said = sealed === null ? null : await unseal(sealed, sealKey);
  if (run.state === 'done' && said !== null)
    return { outcome: 'ran', run, result: read(said), warnings };
  return { outcome: 'failed', run, error: said === null ? null : asError(said), warnings };
}

/** What the server seals for a statement that ran. */
const asRows = (said: unknown): RunRows => said as RunRows;
/** What the server seals for a call that was answered. */
const asAnswer = (said: unknown): CallAnswer => said as CallAnswer;
/** What the server seals for a run that the target refused. */
const asError = (said: unknown): NonNullable<RunFailed['error']> =>
  said as NonNullable<RunFailed['error']>;
