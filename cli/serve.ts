// The API process.
import { constants, createHash } from 'node:crypto';
import { createServer as createSecureServer } from 'node:https';
import { serve as listen } from '@hono/node-server';
import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { replyEphemeral } from '../activities/slack/client.ts';
import { createApp } from '../api/app.ts';
import { certificateReader } from '../api/client-certificate.ts';
import type { ApiDeps } from '../api/route.ts';
import { openChanges } from '../commands/changes.ts';
import { readSlack } from '../commands/integrations.ts';
import { faultFields } from '../commands/log-line.ts';
import { remindNow } from '../workflows/contract.ts';
import { allowedHosts, callbackCheck, openService, type Service } from './compose.ts';
import type { TlsListener } from './config-tls.ts';
import type { Config } from './config.ts';
import { StartError } from './embedded/process.ts';
import { createMetrics } from './metrics.ts';
import { packageVersion } from './package.ts';
import { readinessOf } from './readiness.ts';
import type { Running } from './running.ts';
import { lazyClient, requireTemporal } from './temporal.ts';

/** Enough for what two cores do at once; a command holds one for milliseconds. */
const CONNECTIONS_MAX = 10;

export async function serve(config: Config): Promise<Running> {
  const hosts = await allowedHosts(config);
  const service = await openService(config, 'serve', CONNECTIONS_MAX);
  const changes = await openChanges(service.db);
  const metrics = createMetrics(service.db);
  const client = lazyClient(config, service.keys, requireTemporal(config));
  const deps: ApiDeps = {
    ...service.deps,
    keys: service.keys,
    changes,
    trust: service.trust,
    publicUrl: config.publicUrl,
    mutualTlsUrl: config.tls && mutualTlsUrl(config.publicUrl, config.tls),
    dpopNonces: config.dpopNonces,
    adminTokenHash:
      config.adminToken === null ? null : createHash('sha256').update(config.adminToken).digest(),
    version: packageVersion(),
    keyDriver: service.keyDriver,
    signingKeys: config.signingKeys,
    checkCallback: callbackCheck(config),
    replyInSlack: (url, text) => replyInSlack(service, url, text),
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
  const server = await bind(app.fetch, config, null);
  const secure = config.tls && (await bind(app.fetch, config, config.tls));
  service.log('listening', { url: config.publicUrl });
  if (config.tls) service.log('listening', { url: mutualTlsUrl(config.publicUrl, config.tls) });
  return {
    failed: new Promise<never>(() => undefined),
    close: async () => {
      stopping = true;
      // Long polls answer with what they last saw, and their callers ask again.
      changes.finish();
      await Promise.all([drained(server), secure && drained(secure)]);
      await changes.close();
      await client.connection.close();
      await service.close();
    },
  };
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

function bind(
  fetch: (request: Request) => Response | Promise<Response>,
  config: Config,
  tls: TlsListener | null,
): Promise<ReturnType<typeof listen>> {
  const port = tls?.port ?? config.port;
  const where = { fetch, port, hostname: config.host };
  return new Promise((resolve, reject) => {
    const server = listen(tls ? { ...where, ...withTls(tls) } : where, () => resolve(server));
    server.once('error', (error: Error & { code?: string }) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new StartError(
              `port ${port} is taken: set ${tls ? 'COUNTERSIGN_TLS_PORT' : 'PORT'} to a free one.`,
            )
          : error,
      ),
    );
  });
}

/** Where callers with client certificates reach us. */
const mutualTlsUrl = (publicUrl: string, { port }: TlsListener): string =>
  new URL(`https://${new URL(publicUrl).hostname}:${port}`).origin;

/** Asks for a client certificate and takes any: what it is worth is judged where it is used, by today's policy. */
const withTls = ({ cert, key }: TlsListener) => ({
  createServer: createSecureServer,
  serverOptions: {
    cert,
    key,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2' as const,
    // A resumed session would bring a certificate without its chain, and without proving its key again.
    secureOptions: constants.SSL_OP_NO_TICKET,
  },
});

/** Slack's own addresses, or the one an administrator configured in their place. */
async function replyInSlack(service: Service, url: string, text: string): Promise<void> {
  try {
    const slack = await readSlack(service.db.query, service.deps.vault);
    const trusted = slack !== null && new URL(url).origin === new URL(slack.api_url).origin;
    if (trusted || new URL(url).hostname === 'hooks.slack.com')
      await replyEphemeral(service.egress, url, text, trusted);
  } catch (error) {
    service.log('slack_reply_failed', faultFields(error));
  }
}
