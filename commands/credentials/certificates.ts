// Certificates that our authorities signed: written down when they are made, and revoked when their holder stops.
import { createPublicKey } from 'node:crypto';
import { and, asc, desc, eq, gt, inArray, isNotNull, isNull, lt, sql, type SQL } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { CertificateRow } from '../../db/rows.ts';
import { agent, certificate, credential } from '../../db/schema/index.ts';
import { digestOf, type Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { addSeconds, toMs } from '../../domain/instant.ts';
import { Refusal } from '../../domain/refusal.ts';
import type { PublicKey } from '../../keys/public-key.ts';
import { leafCertificate, revocationList } from '../../keys/x509/build.ts';
import { databaseTime, type Unit, type UnitDeps } from '../unit.ts';
import { newSerial, type Authority } from './authorities.ts';

export interface CertificateAsk {
  agent: Id<'agent'>;
  /** The lease it is for; null for the identity of the agent itself. */
  credential: Id<'credential'> | null;
  spiffeId: string;
  key: PublicKey;
  expiresAt: string;
}

export interface SignedCertificate {
  row: CertificateRow;
  /** As DER. */
  certificate: Buffer;
}

/** How much slower than ours a clock may be that reads a certificate. */
export const BACKDATED_SECONDS = 30;

/** Signs a certificate. It exists for nobody before the unit commits, for only then is it written down. */
export async function signCertificate(
  unit: Unit,
  authority: Authority,
  ask: CertificateAsk,
): Promise<SignedCertificate> {
  const expiresAt = wholeSeconds(ask.expiresAt);
  if (toMs(expiresAt) > authority.notAfter.getTime())
    throw new Refusal(
      'unavailable',
      'The authority that signs ends before this certificate would: turn its key (countersign keys rotate).',
    );
  const serial = newSerial();
  const der = await leafCertificate(authority, {
    serial,
    spki: createPublicKey({ key: ask.key.jwk, format: 'jwk' }).export({
      format: 'der',
      type: 'spki',
    }),
    spiffeId: ask.spiffeId,
    crlUrl: crlUrl(unit.installation.issuer, authority.kid),
    notBefore: new Date(toMs(addSeconds(unit.at, -BACKDATED_SECONDS))),
    notAfter: new Date(toMs(expiresAt)),
  });
  const row: CertificateRow = {
    serial: serial.toString('hex'),
    authority: authority.kid,
    agent: ask.agent,
    credential: ask.credential,
    spiffeId: ask.spiffeId,
    keyThumbprint: ask.key.thumbprint,
    issuedAt: unit.at,
    expiresAt,
    revokedAt: null,
  };
  await unit.sql.insert(certificate).values(row);
  unit.emit('svid.issued', {
    subject: ask.agent,
    agent: ask.agent,
    detail: {
      kind: 'x509',
      id: row.serial,
      credential: row.credential,
      authority: row.authority,
      key_thumbprint: row.keyThumbprint,
      expires_at: row.expiresAt,
    },
    private: { spiffe_id: row.spiffeId, audience: null },
  });
  return { row, certificate: der };
}

/** Certificates know no fractions of a second; one that ends early ends in time. */
const wholeSeconds = (at: string): string =>
  new Date(Math.floor(toMs(at) / 1000) * 1000).toISOString();

/** Where an authority publishes what it revoked. */
export const crlUrl = (issuer: string, kid: string): string =>
  `${issuer.replace(/\/$/, '')}/spiffe/crl/${kid}`;

/** Revokes what an agent holds for itself and under its tasks; from this commit on the lists say so. */
export const revokeCertificatesOf = (
  unit: Unit,
  holder: Id<'agent'>,
  because: 'agent_suspended',
): Promise<number> => revoke(unit, eq(certificate.agent, holder), { holder, lease: null, because });

/** Revokes what was signed for one lease. Repeating it changes nothing. */
export async function revokeCertificatesFor(
  unit: Unit,
  lease: Id<'credential'>,
  because: 'lease_ended' | 'replaced',
): Promise<number> {
  return revoke(unit, eq(certificate.credential, lease), { holder: null, lease, because });
}

async function revoke(
  unit: Unit,
  where: SQL,
  about: { holder: Id<'agent'> | null; lease: Id<'credential'> | null; because: string },
): Promise<number> {
  const rows = await unit.sql
    .update(certificate)
    .set({ revokedAt: unit.at })
    .where(and(where, isNull(certificate.revokedAt), gt(certificate.expiresAt, unit.at)))
    .returning({ agent: certificate.agent });
  const holder = about.holder ?? rows[0]?.agent;
  if (holder !== undefined && rows.length > 0)
    unit.emit('svid.revoked', {
      subject: holder,
      agent: holder,
      detail: {
        kind: 'x509',
        count: rows.length,
        credential: about.lease,
        because: about.because,
      },
      private: {},
    });
  return rows.length;
}

/** Whether anything that was signed for a lease is neither revoked nor over. */
export async function hasLiveCertificates(
  query: Query | Transaction,
  lease: Id<'credential'>,
): Promise<boolean> {
  const [row] = await query
    .select({ serial: certificate.serial })
    .from(certificate)
    .where(
      and(
        eq(certificate.credential, lease),
        isNull(certificate.revokedAt),
        gt(certificate.expiresAt, await databaseTime(query)),
      ),
    )
    .limit(1);
  return row !== undefined;
}

/**
 * Until when what was signed for a lease is believed by those who ask for no revocations; null where everybody asks, or
 * nothing was signed.
 */
export async function believedUntil(
  query: Query | Transaction,
  lease: Id<'credential'>,
): Promise<string | null> {
  const [row] = await query
    .select({ expiresAt: certificate.expiresAt })
    .from(certificate)
    .innerJoin(credential, eq(credential.id, certificate.credential))
    .where(and(eq(certificate.credential, lease), eq(credential.revocable, false)))
    .orderBy(desc(certificate.expiresAt))
    .limit(1);
  return row?.expiresAt ?? null;
}

type CertificateState = 'good' | 'revoked' | 'expired';

export interface CertificateStatus {
  row: CertificateRow;
  state: CertificateState;
}

/** Whether a certificate is good now: its agent is active, and its lease, where it has one. */
export async function certificateStatus(
  query: Query | Transaction,
  serial: string,
): Promise<CertificateStatus | null> {
  const [found] = await query
    .select({ row: certificate, agent: agent.state, lease: credential.state })
    .from(certificate)
    .innerJoin(agent, eq(agent.id, certificate.agent))
    .leftJoin(credential, eq(credential.id, certificate.credential))
    .where(eq(certificate.serial, serial));
  if (!found) return null;
  const { row, lease } = found;
  const isHeld = found.agent === 'active' && (row.credential === null || lease === 'active');
  const isOver = !((await databaseTime(query)) < row.expiresAt);
  const state = isOver ? 'expired' : row.revokedAt === null && isHeld ? 'good' : 'revoked';
  return { row, state };
}

/** How long a list may be believed: a relying party that cannot fetch a newer one then stops believing. */
const CRL_SECONDS = 600;

/** What is on the lists of these authorities now. RFC 5280 §3.3: what is over stands on the list once more, and is left out. */
const isListed = (authorities: readonly Pick<Authority, 'kid'>[], at: string): SQL | undefined =>
  and(
    inArray(
      certificate.authority,
      authorities.map(({ kid }) => kid),
    ),
    isNotNull(certificate.revokedAt),
    gt(certificate.expiresAt, addSeconds(at, -CRL_SECONDS)),
  );

const listed = (
  query: Query,
  authorities: readonly Pick<Authority, 'kid'>[],
  at: string,
): Promise<CertificateRow[]> =>
  query
    .select()
    .from(certificate)
    .where(isListed(authorities, at))
    .orderBy(asc(certificate.serial));

/** The list of what one authority revoked, signed now. */
export async function crlOf(
  { db }: Pick<UnitDeps, 'db'>,
  authority: Authority,
): Promise<{ der: Buffer; nextUpdate: string }> {
  const at = await databaseTime(db.query);
  return listOf(authority, await listed(db.query, [authority], at), at);
}

async function listOf(
  authority: Authority,
  rows: readonly CertificateRow[],
  at: string,
): Promise<{ der: Buffer; nextUpdate: string }> {
  const nextUpdate = addSeconds(at, CRL_SECONDS);
  const der = await revocationList(authority, {
    number: toMs(at),
    thisUpdate: new Date(toMs(addSeconds(at, -BACKDATED_SECONDS))),
    nextUpdate: new Date(toMs(nextUpdate)),
    revoked: rows.map((row) => ({ serial: row.serial, at: new Date(row.revokedAt ?? at) })),
  });
  return { der, nextUpdate };
}

/** Says whether the lists of these authorities changed: cheap enough for every workload to ask every few seconds. */
export async function revocationsDigest(
  { db }: Pick<UnitDeps, 'db'>,
  authorities: readonly Authority[],
): Promise<Digest> {
  const at = await databaseTime(db.query);
  const serials = sql<string>`coalesce(encode(sha256(string_agg(${certificate.serial}, ',' order by ${certificate.serial})::bytea), 'hex'), '')`;
  const [row] = await db.query
    .select({ serials })
    .from(certificate)
    .where(isListed(authorities, at));
  return digestOf('countersign/revocations/v1', {
    authorities: authorities.map(({ kid }) => kid).toSorted(),
    serials: row?.serials ?? '',
  });
}

export interface RevocationLists {
  /** Of no later state than the lists: who holds both asks again rather than never. */
  digest: Digest;
  lists: { authority: string; der: Buffer }[];
  nextUpdate: string;
}

/** The lists of all these authorities, signed now, with the digest of what is on them. */
export async function revocationLists(
  deps: Pick<UnitDeps, 'db'>,
  authorities: readonly Authority[],
): Promise<RevocationLists> {
  const digest = await revocationsDigest(deps, authorities);
  const at = await databaseTime(deps.db.query);
  const rows = await listed(deps.db.query, authorities, at);
  const lists = await Promise.all(
    authorities.map(async (authority) => {
      const own = rows.filter((row) => row.authority === authority.kid);
      return { authority: authority.kid, der: (await listOf(authority, own, at)).der };
    }),
  );
  return { digest, lists, nextUpdate: addSeconds(at, CRL_SECONDS) };
}

/** How long a certificate that is over can still be looked up by its serial. */
const KEPT_DAYS = 30;

export async function forgetCertificates(unit: Unit): Promise<void> {
  const before = addSeconds(unit.at, -KEPT_DAYS * 86_400);
  await unit.sql.delete(certificate).where(lt(certificate.expiresAt, before));
}
