// What /readyz says. Each check is ok, or a few words on what is wrong.
import type { Client } from '@temporalio/client';
import { pendingAgeSeconds, PENDING_MAX_SECONDS } from '../commands/record/log-health.ts';
import { newestCheckpoint } from '../commands/record/log.ts';
import { databaseTime } from '../commands/unit.ts';
import { isWorkerAlive, WORKER_SILENCE_MAX_SECONDS } from '../commands/workers.ts';
import type { Database } from '../db/client.ts';
import { schemaState } from '../db/migrate.ts';
import { MIGRATIONS } from './package.ts';

const CHECK_TIMEOUT_MS = 3_000;

export function readinessOf(db: Database, client: Client): () => Promise<Record<string, string>> {
  return async () => {
    const [database, temporal, worker, sequencer, schema] = await Promise.all([
      check(async () => {
        await databaseTime(db.query);
        return 'ok';
      }),
      check(async () => {
        await client.connection.workflowService.getSystemInfo({});
        return 'ok';
      }),
      check(() => workerState(db)),
      check(() => sequencerState(db)),
      check(() => schemaState(db, MIGRATIONS)),
    ]);
    return { db: database, temporal, worker, sequencer, schema };
  };
}

async function workerState(db: Database): Promise<string> {
  const alive = await isWorkerAlive(db.query, await databaseTime(db.query));
  return alive ? 'ok' : `no worker was heard of for ${WORKER_SILENCE_MAX_SECONDS} seconds`;
}

async function sequencerState(db: Database): Promise<string> {
  if (!(await newestCheckpoint(db.query))) return 'no checkpoint was signed yet';
  const age = await pendingAgeSeconds(db.query);
  return age <= PENDING_MAX_SECONDS ? 'ok' : `events wait for ${Math.round(age)} seconds`;
}

async function check(look: () => Promise<string>): Promise<string> {
  const timeout = new Promise<string>((resolve) => {
    setTimeout(() => resolve('no answer'), CHECK_TIMEOUT_MS).unref();
  });
  return Promise.race([look().catch(() => 'cannot be reached'), timeout]);
}
