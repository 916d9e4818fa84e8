// Where workflows are tried: the time-skipping server, a worker with the real workflows that replays them at every
// step, the encryption that production uses, and hands that each test makes.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import {
  InternalConnectionOptionsSymbol,
  type InternalConnectionOptions,
} from '@temporalio/client/lib/connection.js';
import { ApplicationFailure, type DataConverter } from '@temporalio/common';
import proto from '@temporalio/proto';
import {
  makeTelemetryFilterString,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import { tryPort } from '../../cli/embedded/process.ts';
import { startTemporal } from '../../cli/embedded/temporal.ts';
import { dataConverter } from '../../cli/temporal.ts';
import { TASK_QUEUE, wake, type Activities } from '../../workflows/contract.ts';
import type { TimeSkipping } from './time-skipping.ts';

const { History: HistoryMessage } = proto.temporal.api.history.v1;
const AS_JSON = { longs: String, enums: String, bytes: String };

const asJson = (history: proto.temporal.api.history.v1.IHistory): string =>
  JSON.stringify(HistoryMessage.toObject(HistoryMessage.fromObject(history), AS_JSON), null, 2);

/** A history as it was recorded. */
export const historyFrom = (json: Record<string, unknown>): proto.temporal.api.history.v1.History =>
  HistoryMessage.fromObject(json);

type ActivityName = keyof Activities;

/** One call of an activity, in the server's time. */
export interface HandCall {
  name: ActivityName;
  /** What it was called with. */
  input: unknown[];
  at: number;
  attempt: number;
}

export interface Workbench {
  /** The server's time in milliseconds: it moves as clocks do, except while it is skipped. */
  now(): Promise<number>;
  /** Lets this much time pass, and everything that happens in it happen. */
  skip(seconds: number): Promise<void>;
  /** A worker with these hands, for as long as the scene is played; everything started in it is ended with it. */
  play<T>(hands: Partial<Activities>, scene: (stage: Stage) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface Stage {
  client: Client;
  /** What the hands were asked to do so far. */
  calls: HandCall[];
  /** Calls of one activity. */
  callsOf(name: ActivityName): HandCall[];
  start(kind: string, id: string, ...input: unknown[]): Promise<WorkflowHandle>;
  wake(handle: WorkflowHandle): Promise<void>;
  /** The history as the server keeps it, in Temporal's own JSON. */
  historyOf(handle: WorkflowHandle): Promise<string>;
  /** Skips time until the workflow has ended. */
  ended(handle: WorkflowHandle): Promise<unknown>;
  /** Takes the worker away and puts a new one there, as an upgrade or a crash does. */
  replaceWorker(change?: Replacement): Promise<void>;
}

interface Replacement {
  /** The workflows that the new one has; the same as ever where this is not said. */
  bundle?: string;
  /** What happens while there is none. */
  meanwhile?: () => Promise<void>;
}

/** The key of everything that tests and recorded histories encrypt. It protects nothing. */
export const TEST_CODEC = { key: Buffer.alloc(32, 7), id: 'codec-test' };

/** Payloads and failures as production has them, under the key of the tests. */
export const testConverter = (): DataConverter => dataConverter({ codec: TEST_CODEC });

/** Replays at every step, and fails at once where a replay goes another way. */
const STRICT: Pick<WorkerOptions, 'maxCachedWorkflows' | 'workflowFailureErrorTypes'> = {
  maxCachedWorkflows: 0,
  workflowFailureErrorTypes: { '*': ['NondeterminismError', 'DeterminismViolationError'] },
};

/** A workbench whose time can be skipped. Each scene has a server of its own, so that it begins now and alone. */
export function openWorkbench({ program, bundle }: TimeSkipping): Promise<Workbench> {
  quietRuntime();
  let current: Time = REAL_TIME;
  return Promise.resolve({
    now: () => current.now(),
    skip: (seconds) => current.skip(seconds),
    play: async (hands, scene) => {
      const { address, server } = await startServer(program);
      const connection = await connectWithTestService(address);
      current = timeOf(connection);
      try {
        return await play({ connection, address, bundle, time: current }, hands, scene);
      } finally {
        current = REAL_TIME;
        await connection.close();
        server.kill('SIGKILL');
      }
    },
    close: () => Promise.resolve(),
  });
}

/** A workbench on an ordinary server that asks for a new run after this many events. Its time is everybody's. */
export async function openShortHistories(
  { bundle }: TimeSkipping,
  eventsMax: number,
): Promise<Workbench> {
  quietRuntime();
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-temporal-'));
  const server = await startTemporal({
    folder,
    namespaces: [],
    say: () => undefined,
    port: (await tryPort(0, '127.0.0.1')) ?? 0,
    inMemory: true,
    settings: [`limit.historyCount.suggestContinueAsNew=${eventsMax}`],
  });
  const { address } = server;
  const connection = await Connection.connect({ address });
  return {
    ...REAL_TIME,
    play: (hands, scene) => play({ connection, address, bundle, time: REAL_TIME }, hands, scene),
    close: async () => {
      await connection.close();
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const REAL_TIME: Time = {
  now: () => Promise.resolve(Date.now()),
  skip: (seconds) => sleep(seconds * 1000),
  unlocked: (wait) => wait(),
};

/** Recorded histories carry this instead of the name of a machine. */
const IDENTITY = 'tests';

/** Where a scene is played. */
interface Place {
  connection: Connection;
  address: string;
  bundle: string;
  time: Time;
}

async function startWorker(
  { address, bundle }: Place,
  activities: Activities,
): Promise<RunningWorker> {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection,
    namespace: 'default',
    identity: IDENTITY,
    taskQueue: TASK_QUEUE,
    workflowBundle: { codePath: bundle },
    activities,
    dataConverter: testConverter(),
    shutdownGraceTime: '1 second',
    shutdownForceTime: '2 seconds',
    ...STRICT,
  });
  const ended = worker.run();
  return {
    stop: async () => {
      worker.shutdown();
      await ended;
      await connection.close();
    },
  };
}

interface RunningWorker {
  stop(): Promise<void>;
}

interface Time {
  now: () => Promise<number>;
  skip: (seconds: number) => Promise<void>;
  unlocked: <T>(wait: () => Promise<T>) => Promise<T>;
}

async function play<T>(
  place: Place,
  hands: Partial<Activities>,
  scene: (stage: Stage) => Promise<T>,
): Promise<T> {
  const { connection, time } = place;
  const client = new Client({
    connection,
    namespace: 'default',
    identity: IDENTITY,
    dataConverter: testConverter(),
  });
  const calls: HandCall[] = [];
  const started: WorkflowHandle[] = [];
  const activities = watched(hands, calls);
  let running = await startWorker(place, activities);
  const stage: Stage = {
    client,
    calls,
    callsOf: (name) => calls.filter((call) => call.name === name),
    start: async (kind, id, ...input) => {
      const handle = await client.workflow.start(kind, {
        workflowId: `${id}-${randomUUID().slice(0, 8)}`,
        taskQueue: TASK_QUEUE,
        args: [id, ...input],
      });
      started.push(handle);
      return handle;
    },
    wake: (handle) => handle.signal(wake),
    historyOf: async (handle) => asJson(await handle.fetchHistory()),
    ended: (handle) => time.unlocked(() => handle.result()),
    replaceWorker: async ({ bundle = place.bundle, meanwhile } = {}) => {
      await running.stop();
      await meanwhile?.();
      running = await startWorker({ ...place, bundle }, activities);
    },
  };
  try {
    return await scene(stage);
  } finally {
    for (const { workflowId } of started)
      await client.workflow
        .getHandle(workflowId)
        .terminate()
        .catch(() => undefined);
    await running.stop();
  }
}

const HANDS: Record<ActivityName, true> = {
  ownTask: true,
  expireTask: true,
  closeTask: true,
  lookAtRequest: true,
  announceRequest: true,
  remindApprovers: true,
  announceStage: true,
  escalateRequest: true,
  expireRequest: true,
  tellAsked: true,
  lapseQuestions: true,
  fulfilRequest: true,
  closeRequest: true,
  refreshCards: true,
  tellRequester: true,
  lookAtAgent: true,
  noteReviewDue: true,
  careForAgent: true,
  finishRetirement: true,
  reapTarget: true,
  sweepTarget: true,
  discoverTarget: true,
  lookAtReview: true,
  closeReview: true,
};

/** The hands, each call noted. What a test has no hand for must not be asked for. */
function watched(hands: Partial<Activities>, calls: HandCall[]): Activities {
  const all = Object.keys(HANDS).map((key) => {
    const name = asActivityName(key);
    return [
      name,
      async (...input: unknown[]): Promise<unknown> => {
        const { currentAttemptScheduledTimestampMs: at, attempt } = Context.current().info;
        calls.push({ name, input, at, attempt });
        const hand = hands[name];
        if (!hand) throw ApplicationFailure.nonRetryable(`nobody expected ${name} here`);
        return asHand(hand)(...input);
      },
    ];
  });
  return asActivities(Object.fromEntries(all));
}

/** A key of HANDS. */
const asActivityName = (key: string): ActivityName => key as ActivityName;
/** Temporal calls each activity with exactly the arguments that the workflow typed against the port. */
const asHand = (hand: unknown) => hand as (...input: unknown[]) => Promise<unknown>;
/** One function for each name of the port. */
const asActivities = (all: unknown): Activities => all as Activities;

function timeOf(connection: Connection): Time {
  const service = connection.testService;
  if (!service) throw new Error('this connection has no test service');
  return {
    now: async () => {
      const { time } = await service.getCurrentTime({});
      return Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6;
    },
    skip: async (seconds) => {
      await service.unlockTimeSkippingWithSleep({ duration: durationOf(seconds) });
    },
    unlocked: async (wait) => {
      await service.unlockTimeSkipping({});
      try {
        return await wait();
      } finally {
        await service.lockTimeSkipping({});
      }
    },
  };
}

const durationOf = (seconds: number): proto.google.protobuf.Duration =>
  proto.google.protobuf.Duration.fromObject({
    seconds: Math.floor(seconds),
    nanos: Math.round((seconds % 1) * 1e9),
  });

/** Servers of scenes that are being played: none of them outlives the tests. */
const servers = new Set<ChildProcess>();
process.once('exit', () => servers.forEach((server) => server.kill('SIGKILL')));

async function startServer(program: string): Promise<{ address: string; server: ChildProcess }> {
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const server = spawn(program, [String(port)], { stdio: 'ignore' });
  servers.add(server);
  server.once('exit', () => servers.delete(server));
  return { address: `127.0.0.1:${port}`, server };
}

async function connectWithTestService(address: string): Promise<Connection> {
  const options: InternalConnectionOptions = {
    address,
    [InternalConnectionOptionsSymbol]: { supportsTestService: true },
  };
  for (let tries = 0; ; tries += 1) {
    try {
      return await Connection.connect(options);
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(50);
    }
  }
}

let isQuiet = false;

/** Keeps Temporal's own log out of the output. */
export function quietRuntime(): void {
  if (isQuiet) return;
  isQuiet = true;
  const nothing = (): void => undefined;
  Runtime.install({
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) },
    },
    logger: {
      log: nothing,
      trace: nothing,
      debug: nothing,
      info: nothing,
      warn: nothing,
      error: nothing,
    },
    shutdownSignals: [],
  });
}
