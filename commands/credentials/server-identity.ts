// The X.509-SVID of the service itself, by which others know its bundle endpoint (SPIFFE Federation §5.2.2).
import { createPublicKey } from 'node:crypto';
import { addSeconds, toMs } from '../../domain/instant.ts';
import { parseTrustDomain, serverSpiffeId } from '../../domain/spiffe-id.ts';
import { leafCertificate } from '../../keys/x509/build.ts';
import { toPem } from '../../keys/x509/pem.ts';
import { transact, type Call, type UnitDeps } from '../unit.ts';
import { newSerial, type Authorities, type Authority } from './authorities.ts';
import { BACKDATED_SECONDS, crlUrl } from './certificates.ts';
import { makeLeafKey } from './svids.ts';

/** What a server shows, and when to have another. */
export interface ServerSvid {
  spiffeId: string;
  /** PEM. Its key is in this process and nowhere else. */
  cert: string;
  key: string;
  /** The authority that signed it. */
  authority: string;
  renewAt: Date;
}

/** It cannot be taken back from those who look at no list, so it is short; it is renewed at half of it. */
const LIFE_SECONDS = 3_600;

const AS_SELF: Call = { principal: { kind: 'workflow', id: 'server' }, traceId: null };

/** Makes a key and has our own authority certify it as the service. */
export async function certifyServer(
  deps: UnitDeps & { authorities: Authorities },
): Promise<ServerSvid> {
  const authority = await deps.authorities.active();
  const made = await makeLeafKey();
  const serial = newSerial();
  const spiffeId = serverSpiffeId(parseTrustDomain(deps.installation.trustDomain));
  return transact(deps, AS_SELF, async (unit) => {
    const expires = Math.min(
      Math.floor(toMs(addSeconds(unit.at, LIFE_SECONDS)) / 1000) * 1000,
      authority.notAfter.getTime(),
    );
    const der = await leafCertificate(authority, {
      serial,
      spki: createPublicKey({ key: made.publicKey.jwk, format: 'jwk' }).export({
        format: 'der',
        type: 'spki',
      }),
      spiffeId,
      crlUrl: crlUrl(unit.installation.issuer, authority.kid),
      notBefore: new Date(toMs(addSeconds(unit.at, -BACKDATED_SECONDS))),
      notAfter: new Date(expires),
    });
    unit.emit('authority.server_certified', {
      subject: authority.kid,
      detail: {
        serial: serial.toString('hex'),
        authority: authority.kid,
        key_thumbprint: made.publicKey.thumbprint,
        expires_at: new Date(expires).toISOString(),
      },
      private: { spiffe_id: spiffeId },
    });
    return {
      spiffeId,
      cert: toPem('CERTIFICATE', der),
      key: made.privatePem,
      authority: authority.kid,
      renewAt: new Date((toMs(unit.at) + expires) / 2),
    };
  });
}

/** Whether another one is due: half of it is over, or its authority is none any more. */
export const isRenewalDue = (
  { authority, renewAt }: ServerSvid,
  authorities: readonly Pick<Authority, 'kid'>[],
  now: Date,
): boolean => !(now < renewAt) || authorities.every(({ kid }) => kid !== authority);
