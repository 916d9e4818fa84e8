// Issues certificates of our own authority under the SPIFFE ID of a role. Revoking one puts it on the list and turns
// the state of its serial; whoever looks at neither accepts it until it expires, and its lease then says so.
import { eq } from 'drizzle-orm';
import type { Authorities } from '../../commands/credentials/authorities.ts';
import {
  believedUntil,
  hasLiveCertificates,
  revokeCertificatesFor,
  signCertificate,
} from '../../commands/credentials/certificates.ts';
import {
  TargetError,
  type Death,
  type Issued,
  type Issuer,
  type LeaseToEnd,
  type LeaseToIssue,
  type RevokeOutcome,
} from '../../commands/credentials/issuer.ts';
import { certificateMaterial, makeLeafKey } from '../../commands/credentials/svids.ts';
import { transact, type Call, type Unit, type UnitDeps } from '../../commands/unit.ts';
import { credential } from '../../db/schema/index.ts';
import { addMs, toMs } from '../../domain/instant.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { roleSpiffeId } from '../../domain/spiffe-id.ts';
import { readPublicKey, type PublicKey } from '../../keys/public-key.ts';
import { done, failed } from './lapse.ts';

const AS_ISSUER: Call = { principal: { kind: 'workflow', id: 'x509' }, traceId: null };

/** How far the clocks of those who read a certificate may be behind. */
const SKEW_MS = 30_000;

export interface X509IssuerDeps {
  unit: UnitDeps;
  authorities: Authorities;
  /** Milliseconds since 1970. */
  now: () => number;
}

export function x509Issuer(deps: X509IssuerDeps): Issuer {
  return {
    issue: (lease) => issue(deps, lease),
    revoke: async (_target, leases) => {
      const outcomes: RevokeOutcome[] = [];
      for (const lease of leases) outcomes.push(await revoke(deps, lease));
      return outcomes;
    },
    verifyDead: async (_target, leases) => {
      const deaths: Death[] = [];
      for (const lease of leases) deaths.push(await deathOf(deps, lease));
      return deaths;
    },
    list: () => Promise.resolve(null),
  };
}

async function issue(deps: X509IssuerDeps, lease: LeaseToIssue): Promise<Issued> {
  const { definition, options } = lease;
  if (definition.issuer !== 'x509') throw new TypeError('this role is not a certificate');
  const given = await keyIn(options);
  const made = given ? null : await makeLeafKey();
  const key = given ?? made?.publicKey;
  if (!key) throw new TypeError('a certificate without a key');
  const authority = await deps.authorities.active();
  const signed = await transact(deps.unit, AS_ISSUER, async (unit) => {
    await refuseOvertaken(unit, lease);
    // A certificate is never changed: what an attempt cut short made is revoked, and this one takes its place.
    await revokeCertificatesFor(unit, lease.credential, 'replaced');
    return signCertificate(unit, authority, {
      agent: lease.agent,
      credential: lease.credential,
      spiffeId: roleSpiffeId(lease.spiffeId, lease.role),
      key,
      expiresAt: lease.expiresAt,
    });
  });
  return {
    material: {
      kind: 'x509',
      ...certificateMaterial(signed, await deps.authorities.all()),
      ...(made && { private_key: made.privatePem }),
    },
    handle: null,
    diesAt: null,
  };
}

/** The key of a signing request, which its kind of access read and people may have approved. */
async function keyIn({ key }: JsonObject): Promise<PublicKey | null> {
  return isObject(key) ? readPublicKey(key, 'weak_key') : null;
}

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A slower, earlier attempt must not replace what a later one made, nor make anything after its time. */
async function refuseOvertaken(unit: Unit, lease: LeaseToIssue): Promise<void> {
  const [row] = await unit.sql
    .select({ attempt: credential.issueAttempt, state: credential.state })
    .from(credential)
    .where(eq(credential.id, lease.credential))
    .for('share');
  const now = await unit.readClock();
  // An active one is renewed, or made anew for another key.
  const isOpen = row?.state === 'pending' || row?.state === 'active';
  if (row?.attempt !== lease.attempt || !isOpen) throw new TargetError('superseded');
  if (!(now < lease.issueBy)) throw new TargetError('too_late');
}

async function revoke(deps: X509IssuerDeps, lease: LeaseToEnd): Promise<RevokeOutcome> {
  const { credential } = lease;
  await transact(deps.unit, AS_ISSUER, (unit) =>
    revokeCertificatesFor(unit, credential, 'lease_ended'),
  );
  const until = await overAt(deps, lease);
  if (until === null || deps.now() >= toMs(until)) return done(lease);
  return failed(lease, 'not_revocable', until);
}

async function deathOf(deps: X509IssuerDeps, lease: LeaseToEnd): Promise<Death> {
  const until = await overAt(deps, lease);
  if (until !== null && deps.now() < toMs(until)) return 'alive';
  return (await hasLiveCertificates(deps.unit.db.query, lease.credential)) ? 'alive' : 'gone';
}

/** When those who look at no list stop believing, whatever their clocks say; null where everybody looks. */
async function overAt(deps: X509IssuerDeps, { credential }: LeaseToEnd): Promise<string | null> {
  const until = await believedUntil(deps.unit.db.query, credential);
  return until === null ? null : addMs(until, SKEW_MS);
}
