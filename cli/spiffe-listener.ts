// A listener that shows the X.509-SVID of the service, and a newer one in time, without a restart.
import { constants } from 'node:crypto';
import { createServer } from 'node:https';
import type { Server } from 'node:tls';
import {
  certifyServer,
  isRenewalDue,
  type ServerSvid,
} from '../commands/credentials/server-identity.ts';
import { CHANNELS } from '../commands/unit.ts';
import type { Service } from './compose.ts';
import { startLoop, type Loop } from './loops.ts';

interface Shown {
  /** PEM. */
  cert: string;
  key: string;
}

/** What every listener with TLS keeps to. */
const contextOf = ({ cert, key }: Shown) => ({
  cert,
  key,
  minVersion: 'TLSv1.2' as const,
  // A resumed session would bring a certificate without its chain, and without proving its key again.
  secureOptions: constants.SSL_OP_NO_TICKET,
});

/** Asks for a client certificate and takes any: what it is worth is judged where it is used, by today's policy. */
export const withTls = (shown: Shown) => ({
  createServer,
  serverOptions: { ...contextOf(shown), requestCert: true, rejectUnauthorized: false },
});

/** How late an authority that was dropped may be noticed, where its notice went missing. */
const LOOK_MS = 10_000;

/** Keeps what a listener shows good: renewed at half its life, and at once when its authority is dropped. */
export function keepShowing(service: Service, first: ServerSvid, server: Server): Promise<Loop> {
  const { deps, db, log } = service;
  let svid = first;
  return startLoop({
    name: 'server_svid',
    log,
    everyMs: LOOK_MS,
    listen: { db, channel: CHANNELS.keys },
    round: async () => {
      const authorities = await deps.authorities.all();
      if (!isRenewalDue(svid, authorities, new Date())) return false;
      svid = await certifyServer(deps);
      // Connections that are there stay; the next one is shown the new certificate.
      server.setSecureContext(contextOf(svid));
      return false;
    },
  });
}
