// Configuration of client certificates: a TLS listener of our own, or proxies that end TLS in front of us.
import { BlockList, isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { TrustedProxies } from '../api/client-certificate.ts';
import { StartError } from './embedded/process.ts';

/** Where the service listens with TLS, and as whom. */
export interface TlsListener {
  port: number;
  /** PEM: its own certificate, and those between it and its authority. */
  cert: string;
  key: string;
}

/** Reads the three settings, which go together; a pair that does not match is found here and not by the first caller. */
export function readTlsListener(
  port: number | null,
  cert: string | null,
  key: string | null,
): TlsListener | null {
  if (port === null && cert === null && key === null) return null;
  if (port === null || cert === null || key === null)
    throw new StartError(
      'COUNTERSIGN_TLS_PORT, COUNTERSIGN_TLS_CERT and COUNTERSIGN_TLS_KEY go together: set all of them (the last two also as …_FILE), or none.',
    );
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new StartError(
      'COUNTERSIGN_TLS_CERT and COUNTERSIGN_TLS_KEY are not a PEM certificate and its key.',
      { cause },
    );
  }
  return { port, cert, key };
}

/** Reads whose word about client certificates is taken, and in which header it stands. */
export function readTrustedProxies(
  header: string | null,
  addresses: string | null,
): TrustedProxies | null {
  if (header === null && addresses === null) return null;
  if (header === null || addresses === null)
    throw new StartError(
      'COUNTERSIGN_CLIENT_CERT_HEADER and COUNTERSIGN_CLIENT_CERT_PROXIES go together: from anybody else the header would be believed.',
    );
  if (!/^[A-Za-z0-9-]+$/.test(header))
    throw new StartError(`COUNTERSIGN_CLIENT_CERT_HEADER is "${header}": it must name a header.`);
  const list = new BlockList();
  for (const entry of addresses.split(',').map((each) => each.trim())) addAddress(list, entry);
  return { header, addresses: list };
}

function addAddress(list: BlockList, entry: string): void {
  const [address = '', bits, ...more] = entry.split('/');
  const family = isIP(address);
  const longest = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? longest : Number(bits);
  const isPrefix = bits === undefined || /^\d{1,3}$/.test(bits);
  // A prefix of 0 is everybody, who are no proxies.
  if (family === 0 || more.length > 0 || !isPrefix || prefix < 1 || prefix > longest)
    throw new StartError(
      `COUNTERSIGN_CLIENT_CERT_PROXIES has "${entry}": it must be addresses or networks such as 10.0.0.0/8, with commas between.`,
    );
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
}
