// Prometheus metrics, with bounded labels. Gauges are read from the tables when they are asked for.
import { sql } from 'drizzle-orm';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { pendingAgeSeconds } from '../commands/record/log-health.ts';
import { newestCheckpoint } from '../commands/record/log.ts';
import type { Database } from '../db/client.ts';

export interface Metrics {
  text: () => Promise<string>;
  observe: (method: string, route: string, status: number, seconds: number) => void;
}

export function createMetrics(db: Database): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: 'countersign_http_request_duration_seconds',
    help: 'Time to answer, by route and status',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
    registers: [registry],
  });
  addGauges(registry, db);
  return {
    text: () => registry.metrics(),
    observe: (method, route, status, seconds) =>
      requests.observe({ method, route, status: String(status) }, seconds),
  };
}

function addGauges(registry: Registry, db: Database): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => Promise<number>): void => {
    const made: Gauge = new Gauge({
      name,
      help,
      registers,
      collect: async () => made.set(await read().catch(() => Number.NaN)),
    });
  };
  gauge('countersign_log_size', 'Entries in the log', async () => {
    const head = await newestCheckpoint(db.query);
    return head?.size ?? 0;
  });
  gauge('countersign_log_checkpoint_age_seconds', 'Age of the newest checkpoint', async () => {
    const head = await newestCheckpoint(db.query);
    return head ? (Date.now() - Date.parse(head.signedAt)) / 1000 : Number.NaN;
  });
  gauge(
    'countersign_log_pending_age_seconds',
    'How long the oldest event waits for its index',
    () => pendingAgeSeconds(db.query),
  );
  gauge('countersign_requests_pending', 'Requests that wait for people', () =>
    count(db, sql`select count(*)::int as number from request where state = 'pending'`),
  );
  gauge(
    'countersign_credentials_overdue_revocation',
    'Leases whose end has passed by a minute and which were not seen gone',
    () =>
      count(
        db,
        sql`select count(*)::int as number from credential
            where state in ('active', 'revoking', 'revoke_failed')
              and least(expires_at, coalesce(next_try_at, expires_at)) < now() - interval '1 minute'`,
      ),
  );
  addTimeToDead(registry, db);
  const alive: Gauge<'issuer' | 'state'> = new Gauge({
    name: 'countersign_credentials',
    help: 'Leases that are not over, by issuer and state',
    labelNames: ['issuer', 'state'],
    registers,
    collect: async () => {
      alive.reset();
      const rows = await db.query
        .execute<{ issuer: string; state: string; number: number }>(
          sql`select issuer, state, count(*)::int as number from credential
              where state in ('pending', 'active', 'revoking', 'revoke_failed') group by 1, 2`,
        )
        .catch(() => []);
      for (const { issuer, state, number } of rows) alive.set({ issuer, state }, number);
    },
  });
}

/** Leaks are rare enough to be read anew each time, so that every replica says the same. */
function addTimeToDead(registry: Registry, db: Database): void {
  const seconds: Histogram = new Histogram({
    name: 'countersign_leak_seconds_to_dead',
    help: 'From the report of a leaked secret until everything it led to was seen gone',
    buckets: [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600],
    registers: [registry],
    collect: async () => {
      const rows = await db.query
        .execute<{ seconds: number }>(
          sql`select seconds from leak where seconds is not null order by id desc limit 10000`,
        )
        .catch(() => []);
      seconds.reset();
      for (const row of rows) seconds.observe(row.seconds);
    },
  });
}

async function count(db: Database, query: ReturnType<typeof sql>): Promise<number> {
  const [row] = await db.query.execute<{ number: number }>(query);
  return row?.number ?? 0;
}
