// The worker process: workflows and their activities, and the loops that keep the record going.
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { NativeConnection, Runtime, Worker, makeTelemetryFilterString } from '@temporalio/worker';
import { openNoticeCourier } from '../activities/channels/courier.ts';
import { openCourier } from '../activities/courier.ts';
import { createActivities } from '../activities/index.ts';
import type { NoticeDeps } from '../activities/notices.ts';
import { openObserver } from '../activities/observer/observe.ts';
import { lookWhoIsOnCall } from '../activities/on-call.ts';
import { relayOnce } from '../activities/relay.ts';
import { openTrustRounds } from '../activities/trust-rounds.ts';
import { OWN_TARGETS } from '../commands/access/kinds.ts';
import { wakeDiscovery } from '../commands/agents/discovery.ts';
import { targetWorkflow } from '../commands/agents/tasks.ts';
import { findMissingReceipts } from '../commands/approvals/receipts.ts';
import { turnKeys } from '../commands/credentials/signing-keys.ts';
import { remindOfRotation } from '../commands/credentials/static-secrets.ts';
import { forgetOld } from '../commands/housekeeping.ts';
import { faultFields } from '../commands/log-line.ts';
import { readActiveBundle } from '../commands/policy/policies.ts';
import { LogError, sequenceOnce, type SequencerDeps } from '../commands/record/sequence.ts';
import { sweepRuns } from '../commands/runs/fulfil-run.ts';
import { CHANNELS, transact, type Call } from '../commands/unit.ts';
import { recordHeartbeat } from '../commands/workers.ts';
import { connect } from '../db/client.ts';
import { TASK_QUEUE } from '../workflows/contract.ts';
import { openService, requireDatabase, type Service } from './compose.ts';
import { crashPoints, type Config } from './config.ts';
import { StartError } from './embedded/process.ts';
import { startLoop, type Loop } from './loops.ts';
import { PACKAGE_ROOT } from './package.ts';
import type { Running } from './running.ts';
import { noticeDeps, startSlack } from './slack.ts';
import { connectionOptions, dataConverter, lazyClient, requireTemporal } from './temporal.ts';

/** Loops and activities share these; each holds one for milliseconds. */
const CONNECTIONS_MAX = 8;
const BUNDLE = path.join(PACKAGE_ROOT, 'dist/workflow-bundle.js');

const HEARTBEAT_MS = 5_000;
/** How late it may be found that a receipt is missing. */
const RECEIPTS_MS = 5_000;
/** How late a key that signs may be turned. */
const KEYS_MS = 20_000;
/** A checkpoint at most this often: events that come close together share one. */
const CHECKPOINT_GAP_MS = 400;

export async function work(config: Config): Promise<Running> {
  if (!existsSync(BUNDLE)) throw new StartError('the workflows are not built: run npm run build.');
  const address = requireTemporal(config);
  const service = await openService(config, 'worker', CONNECTIONS_MAX);
  const client = lazyClient(config, service.keys, address);
  const state: WorkerState = { worker: null, stopping: false };
  const sequencer = await startSequencer(service);
  const loops = await startLoops(service, client, state);
  await wakeTargets(service);
  const running = keepWorking(service, address, state);
  return {
    failed: running.then(
      () => new Promise<never>(() => undefined),
      (error: unknown) => Promise.reject(error instanceof Error ? error : new Error(String(error))),
    ),
    close: async () => {
      state.stopping = true;
      if (state.worker?.getState() === 'RUNNING') state.worker.shutdown();
      await Promise.all([running.catch(() => undefined), ...loops.map((loop) => loop.stop())]);
      // Last, so that it still takes the events of what was finished meanwhile.
      await sequencer.stop();
      await client.connection.close();
      await service.close();
    },
  };
}

interface WorkerState {
  worker: Worker | null;
  stopping: boolean;
}

/** Runs the Temporal worker, and again whenever Temporal was away. The loops go on meanwhile. */
async function keepWorking(service: Service, address: string, state: WorkerState): Promise<void> {
  Runtime.install({
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) },
    },
    logger: {
      log: () => undefined,
      trace: () => undefined,
      debug: () => undefined,
      info: () => undefined,
      warn: (message) => service.log('temporal_warning', { message }),
      error: (message) => service.log('temporal_error', { message }),
    },
    shutdownSignals: [],
  });
  const deps = noticeDeps(service);
  while (!state.stopping) {
    try {
      await workOnce(service, address, deps, state);
    } catch (error) {
      service.log('temporal_away', faultFields(error));
      if (!state.stopping) await sleep(1_000);
    }
    state.worker = null;
  }
}

async function workOnce(
  service: Service,
  address: string,
  deps: NoticeDeps,
  state: WorkerState,
): Promise<void> {
  const connection = await NativeConnection.connect(connectionOptions(service.config, address));
  try {
    const worker = await Worker.create({
      connection,
      namespace: service.config.temporalNamespace,
      taskQueue: TASK_QUEUE,
      workflowBundle: { codePath: BUNDLE },
      activities: createActivities(deps),
      dataConverter: dataConverter(service.keys),
      // After a crash the first task goes to the dead worker's own queue: do not wait there for long.
      stickyQueueScheduleToStartTimeout: '2 seconds',
      shutdownGraceTime: '3 seconds',
      shutdownForceTime: '5 seconds',
      maxCachedWorkflows: 500,
      // One thread runs workflows as fast as two cores need, and weighs half as much.
      workflowThreadPoolSize: 1,
    });
    state.worker = worker;
    service.log('working', { count: 1 });
    const ended = worker.run();
    // Told to stop while it was being made: nobody else would tell it.
    if (state.stopping) worker.shutdown();
    await ended;
  } finally {
    await connection.close().catch(() => undefined);
  }
}

/** A Temporal that accepts calls and does not answer them must not hold up a loop, nor our end. */
const CALL_MS_MAX = 5_000;
const withDeadline = <T>(client: Client, call: () => Promise<T>): Promise<T> =>
  client.withDeadline(Date.now() + CALL_MS_MAX, call);

const asLoop = (id: string): Call => ({ principal: { kind: 'workflow', id }, traceId: null });

async function startLoops(service: Service, client: Client, state: WorkerState): Promise<Loop[]> {
  const { db, deps, log } = service;
  const id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  let lastBeat = 0;
  return Promise.all([
    startLoop({
      name: 'relay',
      log,
      everyMs: 2_000,
      listen: { db, channel: CHANNELS.wake },
      round: async () => (await withDeadline(client, () => relayOnce(db, client))) > 0,
    }),
    startLoop({
      name: 'heartbeat',
      log,
      everyMs: HEARTBEAT_MS / 10,
      round: async () => {
        // A worker that cannot reach Temporal could revoke nothing, so it does not count as one.
        const due = Date.now() - lastBeat >= HEARTBEAT_MS;
        if (!due || state.worker?.getState() !== 'RUNNING') return false;
        await withDeadline(client, () => client.connection.workflowService.getSystemInfo({}));
        await transact(deps, asLoop('heartbeat'), (unit) => recordHeartbeat(unit, id));
        lastBeat = Date.now();
        return false;
      },
    }),
    startLoop({
      name: 'runs',
      log,
      everyMs: 5_000,
      round: () => sweepRuns(deps, asLoop('runs')),
    }),
    startLoop({
      name: 'receipts',
      log,
      everyMs: RECEIPTS_MS,
      round: () => findMissingReceipts(deps, asLoop('receipts')),
    }),
    startObserver(service),
    startCourier(service),
    startNotices(service),
    startLoop({
      name: 'keys',
      log,
      everyMs: KEYS_MS,
      round: async () =>
        (await turnKeys(deps, asLoop('keys'), service.keyDriver, service.config.signingKeys)) > 0,
    }),
    startTrustRounds(service),
    startOnCallRounds(service),
    startSlack(service),
    startLoop({
      name: 'housekeeping',
      log,
      everyMs: 3_600_000,
      round: async () => {
        await transact(deps, asLoop('housekeeping'), forgetOld);
        await transact(deps, asLoop('housekeeping'), (unit) => remindOfRotation(unit, deps));
        return false;
      },
    }),
  ]);
}

/** Notices leave when they are written; those that wait for another attempt are looked for this often. */
const NOTICES_MS = 1_000;

async function startNotices(service: Service): Promise<Loop> {
  const { db, log } = service;
  const courier = openNoticeCourier(noticeDeps(service), asLoop('notices'), (error) =>
    log('notices_failed', faultFields(error)),
  );
  const loop = await startLoop({
    name: 'notices',
    log,
    everyMs: NOTICES_MS,
    listen: { db, channel: CHANNELS.notice },
    round: async () => {
      await courier.look();
      return false;
    },
  });
  return {
    stop: async () => {
      await loop.stop();
      await courier.close();
    },
  };
}

/** Signals leave when they are written; those that wait for another attempt are looked for this often. */
const SIGNALS_MS = 1_000;

async function startCourier({ db, deps, egress, keys, log }: Service): Promise<Loop> {
  const courier = openCourier(
    { ...deps, egress, webhooks: keys.webhooks },
    asLoop('courier'),
    (error) => log('signals_failed', faultFields(error)),
  );
  const loop = await startLoop({
    name: 'signals',
    log,
    everyMs: SIGNALS_MS,
    listen: { db, channel: CHANNELS.signal },
    round: async () => {
      await courier.look();
      return false;
    },
  });
  return {
    stop: async () => {
      await loop.stop();
      await courier.close();
    },
  };
}

/** How often the targets' own logs are read. */
const OBSERVE_MS = 1_000;

/** A shift that changes is known this soon. */
const ON_CALL_MS = 60_000;

function startOnCallRounds({ db, deps, egress, log }: Service): Promise<Loop> {
  const round = async (): Promise<boolean> => {
    await lookWhoIsOnCall(deps, egress, asLoop('on-call'));
    return false;
  };
  const listen = { db, channel: CHANNELS.onCall };
  return startLoop({ name: 'on-call', log, everyMs: ON_CALL_MS, listen, round });
}

/** How late a bundle that is due may be looked at. */
const TRUST_MS = 15_000;

function startTrustRounds({ db, deps, trust, log }: Service): Promise<Loop> {
  const look = openTrustRounds({
    ...{ db, policies: deps.policies, trust },
    onFault: (error) => log('federation_failed', faultFields(error)),
  });
  const round = async (): Promise<boolean> => {
    await look();
    return false;
  };
  return startLoop({ name: 'federation', log, everyMs: TRUST_MS, round });
}

async function startObserver({ config, deps, log }: Service): Promise<Loop> {
  const observer = openObserver(deps, config.secret);
  const loop = await startLoop({
    name: 'observer',
    log,
    everyMs: OBSERVE_MS,
    round: () => observer.look(),
  });
  return {
    stop: async () => {
      await loop.stop();
      await observer.close();
    },
  };
}

/** The sequencer has a connection, a role and a file of its own. */
async function startSequencer(service: Service): Promise<Loop> {
  const { config, keys, deps, log } = service;
  const db = connect(requireDatabase(config), {
    role: 'sequencer',
    application: 'countersign sequencer',
    connectionsMax: 1,
  });
  const file = path.join(config.state, 'log', 'checkpoint');
  await mkdir(path.dirname(file), { recursive: true });
  const sequencer: SequencerDeps = {
    db,
    logOrigin: deps.installation.logOrigin,
    key: keys.log,
    crashPoint: crashPoints(config),
  };
  let known = await readKept(file);
  const loop = await startLoop({
    name: 'sequencer',
    log,
    everyMs: 1_000,
    gapMs: CHECKPOINT_GAP_MS,
    listen: { db, channel: CHANNELS.log },
    round: async () => {
      const { checkpoint, size, appended } = await sequenceOnce(sequencer, known).catch(
        (error: unknown) => {
          if (error instanceof LogError) log('log_refused', { message: error.message });
          throw error;
        },
      );
      if (checkpoint !== known) await keepOutside(file, checkpoint);
      known = checkpoint;
      if (appended > 0) log('sequenced', { size, appended });
      return false;
    },
  });
  return {
    stop: async () => {
      await loop.stop();
      await db.close();
    },
  };
}

/** The newest checkpoint, where a restored database cannot take it back. */
async function keepOutside(file: string, checkpoint: string): Promise<void> {
  const draft = await open(`${file}.new`, 'w');
  await draft.writeFile(checkpoint);
  // Without this a power cut could leave a file of that name with nothing in it.
  await draft.sync();
  await draft.close();
  await rename(`${file}.new`, file);
}

/** What was kept; null only where nothing ever was. A copy that cannot be read is no reason to go on without. */
async function readKept(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Every target of the policy gets its reaper and is asked who it has, whether anything is due or not. */
async function wakeTargets(service: Service): Promise<void> {
  const bundle = await readActiveBundle(service.db.query, service.deps.policies);
  await transact(service.deps, asLoop('start'), (unit) => {
    for (const target of [...OWN_TARGETS.keys(), ...bundle.targets.keys()])
      unit.wake('target', targetWorkflow(target));
    wakeDiscovery(unit, bundle);
    return Promise.resolve();
  });
}
