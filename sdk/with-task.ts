// The shape of guarded work: a task that always ends, and what it was given ends with it.
import type { JsonObject } from '../domain/json.ts';
import type { Client } from './client.ts';
import type { Denied, Held } from './credentials.ts';
import { CountersignError, type ErrorCode } from './error.ts';
import { generateKey, type PrivateJwk } from './keys.ts';
import { keepRenewing, type Holding } from './renewing.ts';
import type { OnQuestion, WaitOptions } from './requests.ts';
import { pause } from './retry.ts';
import type {
  CallAnswer,
  CallOrder,
  Ran,
  RunFailed,
  RunHeld,
  RunOrder,
  RunOutcome,
  RunRows,
} from './runs.ts';
import type { DelegationOrder, TaskOrder } from './tasks.ts';
import type {
  AccessRequest,
  Credential,
  Delegation,
  JwtMaterial,
  Material,
  MysqlMaterial,
  PostgresMaterial,
  RedisMaterial,
  Task,
} from './types.ts';

/** A task to start, and what to do while people decide. */
export interface WithTaskOptions extends TaskOrder {
  /** How long to wait for people when a credential is held; 900 if it is not said. */
  waitSeconds?: number | undefined;
  /** Told once when a credential is held: `request.url` is the page where people decide. */
  onHeld?: ((request: AccessRequest) => void) | undefined;
  /** Answers what approvers ask before they decide; see `requests.wait`. */
  onQuestion?: OnQuestion | undefined;
  /** Whether what was given is renewed while the work goes on, as far as its role lets it; true if it is not said. */
  renew?: boolean | undefined;
  /** Aborts waiting; the task then fails like after any other error. */
  signal?: AbortSignal | undefined;
}

/** How a credential should be, besides its role. */
export interface CredentialWish {
  reason?: string | undefined;
  ttlSeconds?: number | undefined;
  /** What the role lets you choose. */
  options?: JsonObject | undefined;
  /** From when on it is wanted; it is then waited for, too. */
  notBefore?: string | undefined;
  /** Instead of the task's own. */
  waitSeconds?: number | undefined;
}

/** How a statement should be run. */
export interface StatementWish extends Omit<RunOrder, 'role' | 'statement' | 'sealKey'> {
  /** Instead of the task's own. */
  waitSeconds?: number | undefined;
}

/** How a call should be made. */
export interface CallWish extends Omit<CallOrder, 'upstream' | 'call' | 'sealKey'> {
  /** Instead of the task's own. */
  waitSeconds?: number | undefined;
}

/** What the work gets to use. */
export interface RunningTask {
  id: string;
  deadline_at: string;
  /** Hands part of the task on: that agent does its work in a `withTask` with this as its `parent`. */
  delegateTo(agent: string, order?: Omit<DelegationOrder, 'agent'>): Promise<Delegation>;
  /** Gives a role's credential, after waiting for people if it has to. */
  credential(role: string, wish?: CredentialWish): Promise<Material>;
  /** The same, for a role that is a login to a PostgreSQL. */
  postgres(role: string, wish?: CredentialWish): Promise<PostgresMaterial>;
  /** The same, for a role that is a login to a MySQL or MariaDB. */
  mysql(role: string, wish?: CredentialWish): Promise<MysqlMaterial>;
  /** The same, for a role that is a login to a Redis. */
  redis(role: string, wish?: CredentialWish): Promise<RedisMaterial>;
  /** The same, for a role that is a signed token. */
  jwt(role: string, wish?: CredentialWish): Promise<JwtMaterial>;
  /** Has one statement run with a role, after waiting for people if it has to; nobody holds a login for it. */
  run(role: string, statement: string, wish?: StatementWish): Promise<RunRows>;
  /** Has one call of an API made, after waiting for people if it has to; nobody holds what it signs in with. */
  call(upstream: string, call: string, wish?: CallWish): Promise<CallAnswer>;
}

const WAIT_SECONDS = 900;
/** Ending is committed at once; this is how long to watch it being carried out. */
const END_WAIT_SECONDS = 10;

/**
 * Starts a task, does the work, and ends the task: completed when the work returns, failed when it throws. What
 * the work threw is thrown on. Should even the end not reach the server, the task ends at its deadline.
 */
export async function withTask<T>(
  client: Client,
  options: WithTaskOptions,
  work: (task: RunningTask) => Promise<T>,
): Promise<T> {
  const task = await client.tasks.start(options, { signal: options.signal });
  const stops: (() => void)[] = [];
  const stopRenewing = (): void => {
    for (const stop of stops) stop();
  };
  const keep: Keep = (holding) => {
    if (options.renew !== false) stops.push(keepRenewing(client, holding));
  };
  let result: T;
  try {
    result = await work(runningTask(client, task, options, await generateKey(), keep));
  } catch (error) {
    stopRenewing();
    await client.tasks.fail(task.id, reasonFor(error)).catch(() => undefined);
    throw error;
  }
  stopRenewing();
  await client.tasks.complete(task.id, { waitSeconds: END_WAIT_SECONDS });
  return result;
}

/** Sees to it that what was given lasts as long as the work. */
type Keep = (holding: Holding) => void;

/** The kind of error and never its message, which may quote a password. */
function reasonFor(error: unknown): string {
  if (error instanceof CountersignError) return `The work failed: ${error.code}.`;
  return `The work threw ${error instanceof Error ? error.name : typeof error}.`;
}

function runningTask(
  client: Client,
  task: Task,
  options: WithTaskOptions,
  // One key for all of the task: asking again for what is still held then leads to the same credential.
  sealKey: PrivateJwk,
  keep: Keep,
): RunningTask {
  const credential = async (role: string, wish: CredentialWish = {}): Promise<Material> => {
    const { waitSeconds = options.waitSeconds ?? WAIT_SECONDS, ...order } = wish;
    const { signal, onHeld, onQuestion } = options;
    const outcome = await client.credentials.request(
      task.id,
      { role, ...order, sealKey },
      { signal },
    );
    switch (outcome.outcome) {
      case 'issued':
        keep({ ...outcome, sealKey, ttlSeconds: wish.ttlSeconds });
        return outcome.material;
      case 'denied':
        throw denied(outcome);
      case 'held': {
        onHeld?.(outcome.request);
        const collected = await collectWhenApproved(client, outcome, {
          timeoutSeconds: waitSeconds,
          onQuestion,
          signal,
        });
        keep({ ...collected, sealKey: outcome.sealKey, ttlSeconds: wish.ttlSeconds });
        return collected.material;
      }
    }
  };
  return {
    id: task.id,
    deadline_at: task.deadline_at,
    delegateTo: (agent, order) =>
      client.tasks.delegate(task.id, { ...order, agent }, { signal: options.signal }),
    credential,
    postgres: async (role, wish) => ofKind(await credential(role, wish), 'postgres', role),
    mysql: async (role, wish) => ofKind(await credential(role, wish), 'mysql', role),
    redis: async (role, wish) => ofKind(await credential(role, wish), 'redis', role),
    jwt: async (role, wish) => ofKind(await credential(role, wish), 'jwt', role),
    run: async (role, statement, { waitSeconds, ...wish } = {}) => {
      const order = { role, statement, sealKey, ...wish };
      const asked = await client.runs.ask(task.id, order, { signal: options.signal });
      return whatRan(client, options, asked, waitSeconds);
    },
    call: async (upstream, call, { waitSeconds, ...wish } = {}) => {
      const order = { upstream, call, sealKey, ...wish };
      const asked = await client.runs.call(task.id, order, { signal: options.signal });
      return whatRan(client, options, asked, waitSeconds);
    },
  };
}

/** The result, after waiting for people if that is what it takes. */
async function whatRan<R extends RunRows | CallAnswer>(
  client: Client,
  { signal, onHeld, onQuestion, waitSeconds: usual = WAIT_SECONDS }: WithTaskOptions,
  asked: RunOutcome<R>,
  waitSeconds = usual,
): Promise<R> {
  if (asked.outcome === 'denied') throw denied(asked);
  const ended = asked.outcome === 'held' ? await whenAgreed(asked) : asked;
  if (ended.outcome === 'ran') return ended.result;
  throw notRun(ended);

  async function whenAgreed({ request, sealKey }: RunHeld): Promise<Ran<R> | RunFailed> {
    onHeld?.(request);
    const decided = await client.requests.wait(request.id, {
      timeoutSeconds: waitSeconds,
      onQuestion,
      signal,
    });
    // By then it may have been tried: what the target said of it says more than that it failed.
    if (decided.state !== 'failed') refuseUnapproved(decided, waitSeconds);
    return asAsked<R>(await client.runs.ofRequest(request.id, sealKey, { signal }));
  }
}

/** A request for a statement is carried out as one, and one for a call as a call. */
const asAsked = <R>(ended: Ran | RunFailed): Ran<R> | RunFailed => ended as Ran<R> | RunFailed;

function notRun({ run, error }: RunFailed): CountersignError {
  const isCall = run.upstream !== null;
  const isOver = run.state === 'failed';
  const lasts = isOver ? 'nothing of it lasts' : 'it may have been carried out all the same';
  return new CountersignError(
    isCall ? 'call_failed' : 'statement_failed',
    `The ${isCall ? 'call was not answered' : 'statement was not run'} (${run.code ?? run.state}): ${error?.message ?? lasts}.`,
    { members: { run: run.id, target_code: run.code } },
  );
}

const denied = ({ detail, evaluation }: Denied): CountersignError =>
  new CountersignError('denied', detail, {
    status: 403,
    members: { evaluation: { ...evaluation } },
  });

function ofKind<K extends Material['kind']>(
  material: Material,
  kind: K,
  role: string,
): Extract<Material, { kind: K }> {
  if (isKind(material, kind)) return material;
  throw new CountersignError(
    'wrong_kind',
    `The role ${role} gives a ${material.kind}, not a ${kind}.`,
  );
}

const isKind = <K extends Material['kind']>(
  material: Material,
  kind: K,
): material is Extract<Material, { kind: K }> => material.kind === kind;

async function collectWhenApproved(
  client: Client,
  { request, sealKey }: Held,
  waiting: WaitOptions & { timeoutSeconds: number },
): Promise<{ credential: Credential; material: Material }> {
  const decided = await client.requests.wait(request.id, waiting);
  refuseUnapproved(decided, waiting.timeoutSeconds);
  const { signal } = waiting;
  if (decided.starts_at !== null) await pauseUntil(Date.parse(decided.starts_at), signal);
  // One key per request: asked for twice within a task, a held role is collected once and answered twice.
  return client.requests.collect(request.id, sealKey, {
    signal,
    idempotencyKey: `collect-${request.id}`,
  });
}

/** Timers cannot wait longer than this in one go. */
const PAUSE_MAX_MS = 2 ** 31 - 1;

async function pauseUntil(atMs: number, signal: AbortSignal | undefined): Promise<void> {
  for (let left = atMs - Date.now(); left > 0; left = atMs - Date.now())
    await pause(Math.min(left, PAUSE_MAX_MS), signal);
}

/** Throws unless people agreed, saying what happened in their place. */
function refuseUnapproved(request: AccessRequest, waitedSeconds: number): void {
  const refuse = (code: ErrorCode, detail: string): never => {
    throw new CountersignError(code, detail, {
      members: { request: request.id, url: request.url, denial: request.denial },
    });
  };
  switch (request.state) {
    case 'approved':
    case 'consumed':
      return;
    case 'pending':
      return refuse(
        'not_decided',
        `Nobody decided within ${waitedSeconds} s. The request stays open until ${request.expires_at}: ${request.url}`,
      );
    case 'denied':
      return refuse('request_denied', `A person denied this${saidWhy(request)}: ${request.url}`);
    case 'expired':
      return refuse('request_expired', `Nobody decided in time: ask again. ${request.url}`);
    case 'cancelled':
      return refuse('request_cancelled', `The request was withdrawn: ${request.url}`);
    case 'superseded':
      return refuse(
        'request_superseded',
        `The policy changed while this waited: ask again. ${request.url}`,
      );
    case 'failed':
      return refuse(
        'request_failed',
        `This was approved and could not be carried out: ask again. ${request.url}`,
      );
  }
}

const saidWhy = ({ denial }: AccessRequest): string =>
  denial?.reason ? ` ("${denial.reason}", to ${denial.disposition})` : '';
