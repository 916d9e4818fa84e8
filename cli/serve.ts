// The API process.
import { createHash } from 'node:crypto';
import { Server as TlsServer } from 'node:tls';
import { serve as listen } from '@hono/node-server';
import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { openSlackDesk } from '../activities/slack/desk.ts';
import { createApp } from '../api/app.ts';
import { certificateReader } from '../api/client-certificate.ts';
import type { ApiDeps } from '../api/route.ts';
import { openChanges } from '../commands/changes.ts';
import { certifyServer } from '../commands/credentials/server-identity.ts';
import { remindNow } from '../workflows/contract.ts';
import { allowedHosts, callbackCheck, openService, type Service } from './compose.ts';
import type { Config } from './config.ts';
import { StartError } from './embedded/process.ts';
import { createMetrics } from './metrics.ts';
import { packageVersion } from './package.ts';
import { readinessOf } from './readiness.ts';
import type { Running } from './running.ts';
import { noticeDeps } from './slack.ts';
import { keepShowing, withTls } from './spiffe-listener.ts';
import { lazyClient, requireTemporal } from './temporal.ts';

/** Enough for what two cores do at once; a command holds one for milliseconds. */
const CONNECTIONS_MAX = 10;

export async function serve(config: Config): Promise<Running> {
  const hosts = await allowedHosts(config);
  const service = await openService(config, 'serve', CONNECTIONS_MAX);
  const changes = await openChanges(service.db);
  const metrics = createMetrics(service.db);
  const client = lazyClient(config, service.keys, requireTemporal(config));
  const slack = openSlackDesk(noticeDeps(service), service.log);
  const deps: ApiDeps = {
    ...service.deps,
    keys: service.keys,
    changes,
    trust: service.trust,
    publicUrl: config.publicUrl,
    mutualTlsUrl: config.tls && secureUrl(config.publicUrl, config.tls.port),
    dpopNonces: config.dpopNonces,
    adminTokenHash:
      config.adminToken === null ? null : createHash('sha256').update(config.adminToken).digest(),
    version: packageVersion(),
    keyDriver: service.keyDriver,
    signingKeys: config.signingKeys,
    checkCallback: callbackCheck(config),
    workSlack: (delivery) => slack.work(delivery),
    remindApprovers: async (request) => {
      try {
        await client.workflow.getHandle(request).executeUpdate(remindNow);
        return true;
      } catch (error) {
        if (error instanceof WorkflowUpdateFailedError) return false;
        // Its workflow is only just starting, and will tell the approvers, or it was decided a moment ago.
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      }
    },
    readiness: readinessOf(service.db, client),
    metrics: metrics.text,
  };
  let stopping = false;
  const app = createApp(deps, {
    hosts,
    log: service.log,
    observe: metrics.observe,
    certificateOf: certificateReader(config.certificateProxies),
    isStopping: () => stopping,
  });
  const listeners = await listenAll(app.fetch, service);
  return {
    failed: new Promise<never>(() => undefined),
    close: async () => {
      stopping = true;
      // Long polls answer with what they last saw, and their callers ask again.
      changes.finish();
      await Promise.all(listeners.map((listener) => listener.stop()));
      await slack.close();
      await changes.close();
      await client.connection.close();
      await service.close();
    },
  };
}

type Fetch = (request: Request) => Response | Promise<Response>;
type Listening = ReturnType<typeof listen>;

/** Listens in clear, and with TLS where that is configured. */
async function listenAll(
  fetch: Fetch,
  service: Service,
): Promise<{ stop: () => Promise<unknown> }[]> {
  const { config, log } = service;
  const { host: hostname, tls, publicUrl } = config;
  const server = await bind('PORT', { fetch, port: config.port, hostname });
  const listeners: { stop: () => Promise<unknown> }[] = [{ stop: () => drained(server) }];
  log('listening', { url: publicUrl });
  if (tls) {
    const where = { fetch, port: tls.port, hostname };
    const secure = await bind('COUNTERSIGN_TLS_PORT', { ...where, ...withTls(tls) });
    listeners.push({ stop: () => drained(secure) });
    log('listening', { url: secureUrl(publicUrl, tls.port) });
  }
  if (config.spiffePort !== null) {
    const svid = await certifyServer(service.deps);
    const where = { fetch, port: config.spiffePort, hostname };
    const secure = await bind('COUNTERSIGN_SPIFFE_PORT', { ...where, ...withTls(svid) });
    const kept = await keepShowing(service, svid, asTls(secure));
    listeners.push({ stop: () => Promise.all([kept.stop(), drained(secure)]) });
    log('listening', { url: secureUrl(publicUrl, config.spiffePort) });
  }
  return listeners;
}

/** It was made by the server maker of `withTls`. */
function asTls(server: Listening): TlsServer {
  if (server instanceof TlsServer) return server;
  throw new Error('a listener with TLS has none');
}

/** A call that is not finished by then is cut; its Idempotency-Key tells its caller what became of it. */
const DRAIN_MS = 5_000;

/** Takes no more connections, and waits for the calls that are under way. */
function drained(server: ReturnType<typeof listen>): Promise<void> {
  return new Promise((resolve) => {
    const deadline = Date.now() + DRAIN_MS;
    const closing = setInterval(() => {
      if (!('closeAllConnections' in server)) return;
      // A kept connection falls idle when its last call is answered.
      if (Date.now() < deadline) server.closeIdleConnections();
      else server.closeAllConnections();
    }, 100);
    server.close(() => {
      clearInterval(closing);
      resolve();
    });
  });
}

function bind(variable: string, options: Parameters<typeof listen>[0]): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const server = listen(options, () => resolve(server));
    server.once('error', (error: Error & { code?: string }) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new StartError(`port ${options.port} is taken: set ${variable} to a free one.`)
          : error,
      ),
    );
  });
}

/** Where callers reach a listener with TLS. */
const secureUrl = (publicUrl: string, port: number): string =>
  new URL(`https://${new URL(publicUrl).hostname}:${port}`).origin;
