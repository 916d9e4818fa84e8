// `countersign start`: everything on one machine. Brings up what was not configured, migrates, runs API and worker
// as processes of their own, restarts what dies, and on Ctrl-C stops all of it in order.
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants, openSync, readFileSync } from 'node:fs';
import { access, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readConfig, type Config } from './config.ts';
import { startPostgres, type EmbeddedPostgres } from './embedded/postgres.ts';
import {
  commandLine,
  endProcess,
  isAlive,
  StartError,
  tryPort,
  messageOf,
} from './embedded/process.ts';
import { OWN_DATABASE, prepareDatabases } from './embedded/sample.ts';
import { startTemporal, type EmbeddedTemporal } from './embedded/temporal.ts';
import { PACKAGE_ROOT } from './package.ts';

const run = promisify(execFile);

type Environment = Record<string, string | undefined>;
type Say = (line: string) => void;

/** Something that runs until it is stopped, and is started again when it ends by itself. */
interface Part {
  name: string;
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;

export async function start(env: Environment, say: Say): Promise<void> {
  const began = performance.now();
  const asked = readConfig(env);
  await prepareState(asked);
  await refuseSecondStart(asked);
  if ((await tryPort(asked.port, asked.host)) === null)
    throw new StartError(
      `port ${asked.port} on ${asked.host} is taken or not allowed: set PORT to a free one.`,
    );
  const parts: Part[] = [];
  const stopping = new AbortController();
  const stop = stopOnSignal(parts, stopping, asked, say);
  try {
    await bringUp(env, asked, parts, stopping.signal, say, began);
  } catch (error) {
    if (stopping.signal.aborted) return stop.finished;
    await stop.now();
    throw error;
  }
  return stop.finished;
}

async function bringUp(
  env: Environment,
  asked: Config,
  parts: Part[],
  stopping: AbortSignal,
  say: Say,
  began: number,
): Promise<void> {
  const childEnv: Environment = {
    ...env,
    COUNTERSIGN_STATE: asked.state,
    // The C library otherwise keeps an arena for each of many threads, and what was freed.
    MALLOC_ARENA_MAX: '1',
    MALLOC_TRIM_THRESHOLD_: '65536',
  };
  if (asked.databaseUrl === null)
    Object.assign(childEnv, await embeddedPostgres(asked, parts, stopping, say));
  if (asked.temporalAddress === null)
    childEnv['TEMPORAL_ADDRESS'] = await embeddedTemporal(asked, parts, stopping, say);
  const token = await ensureAdminToken(asked, childEnv);
  const config = readConfig(childEnv);
  stopping.throwIfAborted();
  const link = await prepare(childEnv);
  delete childEnv['DATABASE_ADMIN_URL'];
  for (const name of ['worker', 'serve'] as const) {
    stopping.throwIfAborted();
    parts.push(keepRunning(name, childEnv, config, say));
  }
  await writeEndpoint(config, token);
  await waitUntilReady(config, stopping);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  say(`Countersign is ready after ${seconds} s.`);
  say(`  Console:  ${config.publicUrl}`);
  say(`  Sign in:  ${link}   (works once, for 24 hours)`);
  say(`  State:    ${config.state}   (keys, databases and logs; Ctrl-C stops everything)`);
}

/** Migrates in a process of its own, so that what it takes to do so does not stay in this one's memory. */
async function prepare(env: Environment): Promise<string> {
  try {
    const { stdout } = await run(process.execPath, [PROGRAM, 'migrate', '--admin-link'], { env });
    return stdout.trim();
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    const sentence = said.split('\n').findLast((line) => line.startsWith('countersign: '));
    throw new StartError(sentence?.replace('countersign: ', '') ?? messageOf(error), {
      cause: error,
    });
  }
}

async function prepareState(config: Config): Promise<void> {
  try {
    await mkdir(config.state, { recursive: true, mode: 0o700 });
    await access(config.state, constants.R_OK | constants.W_OK | constants.X_OK);
    await mkdir(path.join(config.state, 'logs'), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new StartError(
      `the state folder ${config.state} cannot be written: set COUNTERSIGN_STATE to one that can.`,
      { cause },
    );
  }
}

const pidFileOf = (config: Config): string => path.join(config.state, 'start.pid');

/** Takes the state folder for this process, or says which one holds it. Of two that come together one gets it. */
async function refuseSecondStart(config: Config): Promise<void> {
  const file = pidFileOf(config);
  const own = `${file}.${process.pid}`;
  await writeFile(own, `${process.pid}\n`);
  try {
    // A link appears whole or not at all, and never in the place of another.
    while (!(await isLinked(own, file))) {
      const held = await readFile(file, 'utf8').catch(() => '');
      const pid = Number(held);
      const isRunning = pid > 1 && pid !== process.pid && isAlive(pid);
      if (isRunning && (await commandLine(pid)).includes('countersign'))
        throw new StartError(
          `Countersign is already running on ${config.state} (process ${pid}): stop it first, or set COUNTERSIGN_STATE.`,
        );
      await removeStale(file, held);
    }
  } finally {
    await rm(own, { force: true });
  }
}

const isLinked = (own: string, file: string): Promise<boolean> =>
  link(own, file).then(
    () => true,
    (error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
      throw error;
    },
  );

/** Removes what a killed start left, unless another start has put its own there meanwhile. */
async function removeStale(file: string, held: string): Promise<void> {
  const aside = `${file}.stale.${process.pid}`;
  await rename(file, aside).catch(() => undefined);
  const moved = await readFile(aside, 'utf8').catch(() => held);
  if (moved !== held) await isLinked(aside, file);
  await rm(aside, { force: true });
}

async function embeddedPostgres(
  config: Config,
  parts: Part[],
  stopping: AbortSignal,
  say: Say,
): Promise<Environment> {
  const folder = path.join(config.state, 'postgres');
  const password = await secretFile(path.join(config.state, 'postgres-owner'));
  const server = await keepServer<EmbeddedPostgres>('PostgreSQL', parts, stopping, say, (running) =>
    startPostgres({ folder, password, ...(running && { port: running.port }) }),
  );
  const urls = await prepareDatabases(server, config.state);
  await writeFile(
    path.join(config.state, 'sample.json'),
    JSON.stringify({ legacy_url: urls.legacy }, null, 2),
    { mode: 0o600 },
  );
  return {
    DATABASE_URL: urls.service,
    DATABASE_ADMIN_URL: server.url(OWN_DATABASE),
    COUNTERSIGN_SAMPLE_TARGET_URL: urls.target,
    COUNTERSIGN_SAMPLE_OBSERVER_URL: urls.observer,
  };
}

async function embeddedTemporal(
  config: Config,
  parts: Part[],
  stopping: AbortSignal,
  say: Say,
): Promise<string> {
  const folder = path.join(config.state, 'temporal');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const namespaces = [config.temporalNamespace];
  const server = await keepServer<EmbeddedTemporal>('Temporal', parts, stopping, say, (running) =>
    startTemporal({ folder, namespaces, say, ...(running && { port: running.port }) }),
  );
  return server.address;
}

interface Server {
  port: number;
  ended: Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server, and again on the same port whenever it ends, until we stop. */
async function keepServer<S extends Server>(
  name: string,
  parts: Part[],
  stopping: AbortSignal,
  say: Say,
  launch: (running: S | null) => Promise<S>,
): Promise<S> {
  const first = await launch(null);
  let current = first;
  const watch = async (): Promise<void> => {
    for (
      let delayMs = 200;
      !stopping.aborted;
      delayMs = Math.min(delayMs * 2, RESTART_DELAY_MS_MAX)
    ) {
      await current.ended;
      if (stopping.aborted) return;
      say(`${name} ended; starting it again.`);
      await sleep(delayMs);
      try {
        current = await launch(current);
        delayMs = 100;
      } catch (error) {
        // What the dead server held, it may hold for a moment longer.
        say(`${name} did not start again yet: ${messageOf(error)}`);
      }
    }
  };
  void watch();
  parts.push({ name, stop: () => current.stop() });
  return first;
}

/** A secret that this folder keeps; made once. */
async function secretFile(file: string): Promise<string> {
  const known = await readFile(file, 'utf8').catch(() => '');
  if (known !== '') return known;
  const made = randomBytes(32).toString('hex');
  await writeFile(file, made, { mode: 0o600 });
  return made;
}

/** Without a token of its own the local CLI could not talk to the server it was started with. */
async function ensureAdminToken(config: Config, env: Environment): Promise<string | null> {
  if (config.adminToken !== null) return null;
  const file = path.join(config.state, 'admin-token');
  env['COUNTERSIGN_ADMIN_TOKEN'] = await secretFile(file);
  return file;
}

/** Where the CLI finds this server. */
async function writeEndpoint(config: Config, tokenFile: string | null): Promise<void> {
  const endpoint = { url: localUrl(config), pid: process.pid, token_file: tokenFile };
  await writeFile(path.join(config.state, 'endpoint.json'), JSON.stringify(endpoint, null, 2));
}

const localUrl = (config: Config): string =>
  config.hasPublicUrl ? config.publicUrl : `http://localhost:${config.port}`;

const PROGRAM = fileURLToPath(new URL('./main.js', import.meta.url));
const RESTART_DELAY_MS_MAX = 5_000;

/** Runs one of our own processes; one that dies is started again, ever more slowly if it keeps dying. */
function keepRunning(name: 'serve' | 'worker', env: Environment, config: Config, say: Say): Part {
  const log = path.join(config.state, 'logs', `${name}.log`);
  let child: ChildProcess | null = null;
  let stopped = false;
  let delayMs = 100;
  const run = (): void => {
    const began = Date.now();
    const output = openSync(log, 'a', 0o600);
    child = fork(PROGRAM, [name], {
      // One arena for each of many threads of Temporal's core would stay half empty.
      env: { MALLOC_ARENA_MAX: '2', ...env },
      cwd: PACKAGE_ROOT,
      // Its own session: Ctrl-C reaches the supervisor only. The channel tells it when we are gone.
      detached: true,
      stdio: ['ignore', output, output, 'ipc'],
      // Beside everything else on one machine: small generations, little compiled code, one helper thread.
      execArgv: [
        '--disable-proto=delete',
        '--max-semi-space-size=1',
        '--max-old-space-size=768',
        '--optimize-for-size',
        '--v8-pool-size=1',
      ],
    });
    child.once('exit', (code, signal) => {
      if (stopped) return;
      delayMs = Date.now() - began > 10_000 ? 100 : Math.min(delayMs * 2, RESTART_DELAY_MS_MAX);
      say(`${name} ended (${signal ?? `code ${code}`}); starting it again. ${lastWords(log)}`);
      setTimeout(() => {
        if (!stopped) run();
      }, delayMs);
    });
  };
  run();
  return {
    name,
    stop: async () => {
      stopped = true;
      if (child?.pid !== undefined && child.exitCode === null)
        await endProcess(child.pid, 'SIGTERM', 7_000);
    },
  };
}

/** The sentence a process of ours ended with, if it had one; otherwise where its log is. */
function lastWords(log: string): string {
  const said = readFileSync(log, 'utf8')
    .split('\n')
    .findLast((line) => line.startsWith('countersign: '));
  return said?.replace('countersign: ', '') ?? `Its log is ${log}`;
}

async function waitUntilReady(config: Config, stopping: AbortSignal): Promise<void> {
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${config.port}/readyz`;
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let last = 'no answer';
  while (Date.now() < deadline) {
    stopping.throwIfAborted();
    try {
      const response = await fetch(
        url.replace('://0.0.0.0', '://127.0.0.1').replace('[::]', '[::1]'),
      );
      if (response.status === 200) return;
      last = await response.text();
    } catch {
      // Not listening yet.
    }
    await sleep(100);
  }
  throw new StartError(
    `the service was not ready after ${READY_TIMEOUT_MS / 1000} s (${last}); the logs are in ${path.join(config.state, 'logs')}`,
  );
}

function stopOnSignal(
  parts: Part[],
  stopping: AbortController,
  config: Config,
  say: Say,
): { finished: Promise<void>; now: () => Promise<void> } {
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  let begun: Promise<void> | null = null;
  const now = (): Promise<void> => {
    begun ??= (async () => {
      stopping.abort(new Error('stopping'));
      // Last started, first stopped: callers, then work, then what both stand on.
      for (const part of parts.toReversed()) await part.stop();
      await rm(path.join(config.state, 'endpoint.json'), { force: true });
      await rm(pidFileOf(config), { force: true });
      finish();
    })();
    return begun;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (begun === null) say('Stopping.');
      void now();
    });
  return { finished, now };
}
