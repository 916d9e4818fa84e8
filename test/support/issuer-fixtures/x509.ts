// Certificates of our own authority, for those who ask for revocations and for those who wait for the end.
import { X509Certificate } from 'node:crypto';
import { x509Issuer } from '../../../activities/issuers/x509.ts';
import { OWN_CERTIFICATES, x509Role } from '../../../commands/access/x509.ts';
import { admin, text } from '../client.ts';
import { testWorld } from '../issuing.ts';
import { anyRole, clockOf, type IssuerKind } from './fixture.ts';
import { ownTables } from './own-tables.ts';

const x509Kind = (
  name: string,
  relyingParties: 'check_revocation' | 'wait_for_expiry',
): IssuerKind => ({
  name,
  start: async () => {
    const { service, inside, about, prepare, close } = await ownTables();
    const world = testWorld();
    return {
      issuer: x509Issuer({
        unit: inside.deps,
        authorities: inside.deps.authorities,
        now: () => world.now(),
      }),
      target: { name: OWN_CERTIFICATES, definition: null },
      theirs: null,
      broken: null,
      role: x509Role.parse({
        ...anyRole,
        issuer: 'x509',
        accepted_by: 'orders.example',
        relying_parties: relyingParties,
      }),
      about,
      prepare,
      // As one does that accepts it: the time, and the state of its serial where it asks for that.
      works: async (material) => {
        const leaf = new X509Certificate(text(material['certificate']));
        if (Date.parse(leaf.validTo) <= world.now()) return false;
        if (relyingParties === 'wait_for_expiry') return true;
        const path = `/v1/certificates/${text(material['serial'])}`;
        return (await admin(service).call('GET', path)).body['state'] === 'good';
      },
      secretsOf: (material) => [text(material['private_key'])],
      ownSecrets: [service.adminToken],
      clock: clockOf(world),
      close,
    };
  },
});

export const x509Kinds: readonly IssuerKind[] = [
  x509Kind('x509', 'check_revocation'),
  x509Kind('x509, ended by time', 'wait_for_expiry'),
];
