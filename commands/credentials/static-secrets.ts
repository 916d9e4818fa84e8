// Secrets that people bring: put in, lent under leases, replaced. Each version is sealed under a key of its own, and
// what it was before is gone when it is replaced; who had which one is kept.
import { randomBytes } from 'node:crypto';
import { and, asc, count, desc, eq, gt, inArray, isNotNull, isNull, ne, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { SecretCustodyRow, StaticSecretRow } from '../../db/rows.ts';
import { credential, event, secretCustody, staticSecret } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { addMs } from '../../domain/instant.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { openVault, type Vault } from '../../keys/vault.ts';
import type { RoleDefinition } from '../access/kinds.ts';
import type { Deps } from '../deps.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { activeBundle } from '../policy/policies.ts';
import { keyOf, partyOf } from '../principal.ts';
import type { Unit } from '../unit.ts';
import { asCredentialId } from './leases.ts';

const DAY_MS = 86_400_000;

const useOfKey = (name: string, version: number): string => `static_secret.key/${name}/${version}`;
const useOfSecret = (name: string, version: number): string => `static_secret/${name}/${version}`;

interface Envelope {
  sealed: Uint8Array;
  sealedKey: Uint8Array;
}

function enclose(vault: Vault, name: string, version: number, value: string): Envelope {
  const key = randomBytes(32);
  return {
    sealed: openVault(key).seal(value, useOfSecret(name, version)),
    sealedKey: vault.seal(key.toString('base64'), useOfKey(name, version)),
  };
}

/** The secret itself; null once it was removed. */
function disclose(vault: Vault, row: StaticSecretRow): string | null {
  const { name, version, sealed, sealedKey } = row;
  if (sealed === null || sealedKey === null) return null;
  const key = Buffer.from(vault.open(sealedKey, useOfKey(name, version)), 'base64');
  return openVault(key).open(sealed, useOfSecret(name, version));
}

/** Whether a value is there already. What cannot be read any more is replaced, and so mended. */
function isThere(vault: Vault, row: StaticSecretRow, value: string): boolean {
  try {
    return disclose(vault, row) === value;
  } catch {
    return false;
  }
}

async function lockSecret(unit: Unit, name: string): Promise<StaticSecretRow | null> {
  const [row] = await unit.sql
    .select()
    .from(staticSecret)
    .where(eq(staticSecret.name, name))
    .for('update');
  return row ?? null;
}

/** Puts a secret in, or a new version in its place. Putting what is there already changes nothing. */
export async function putSecret(
  unit: Unit,
  name: string,
  value: string,
): Promise<{ row: StaticSecretRow; isNew: boolean }> {
  const before = await lockSecret(unit, name);
  if (before && isThere(unit.vault, before, value)) return { row: before, isNew: false };
  const version = (before?.version ?? 0) + 1;
  const row: StaticSecretRow = {
    name,
    version,
    ...enclose(unit.vault, name, version, value),
    putBy: keyOf(unit.call.principal),
    putAt: unit.at,
    taintedAt: null,
    remindedAt: null,
  };
  await unit.sql
    .insert(staticSecret)
    .values(row)
    .onConflictDoUpdate({ target: staticSecret.name, set: row });
  const by = { ...partyOf(unit.call.principal) };
  if (before?.sealed)
    unit.emit('secret.rotated', {
      subject: name,
      detail: { secret: name, version, replaces: before.version, by },
      private: {},
    });
  else
    unit.emit('secret.put', { subject: name, detail: { secret: name, version, by }, private: {} });
  return { row, isNew: true };
}

/** Forgets a secret. Who had it stays on record. */
export async function removeSecret(unit: Unit, name: string): Promise<void> {
  const [gone] = await unit.sql
    .update(staticSecret)
    .set({ sealed: null, sealedKey: null, putAt: unit.at, putBy: keyOf(unit.call.principal) })
    .where(and(eq(staticSecret.name, name), isNotNull(staticSecret.sealed)))
    .returning();
  if (!gone) throw new Refusal('not_found', 'There is no such secret.');
  unit.emit('secret.removed', {
    subject: name,
    detail: { secret: name, version: gone.version, by: { ...partyOf(unit.call.principal) } },
    private: {},
  });
}

export interface Borrower {
  credential: Id<'credential'>;
  agent: Id<'agent'>;
  task: Id<'task'>;
}

type StaticRole = Extract<RoleDefinition, { issuer: 'static' }>;

/** Lends the current version under a lease, and writes down to whom. */
export async function lendSecret(
  unit: Unit,
  role: StaticRole,
  borrower: Borrower,
): Promise<{ version: number; value: string }> {
  const row = await lockSecret(unit, role.secret);
  const value = row && disclose(unit.vault, row);
  if (!row || value === null)
    throw new Refusal(
      'secret_not_put',
      `Nobody has put the secret ${role.secret} in yet: ask an administrator to (countersign secret put ${role.secret}).`,
    );
  if (role.when_tainted === 'refuse' && row.taintedAt !== null)
    throw new Refusal(
      'secret_tainted',
      `The secret ${role.secret} is known to a holder whose lease is over: it is lent again once a new version is put in.`,
    );
  if ((await borrowersOf(unit, role.secret, borrower.credential)) >= role.concurrent)
    throw new Refusal(
      'secret_in_use',
      `The secret ${role.secret} is lent to as many as may have it at once (${role.concurrent}): try again when one of them is done.`,
    );
  const { version } = row;
  await unit.sql
    .insert(secretCustody)
    .values({ ...borrower, version, secret: role.secret, givenAt: unit.at, endedAt: null })
    .onConflictDoNothing();
  unit.emit('secret.given', {
    subject: role.secret,
    task: borrower.task,
    agent: borrower.agent,
    detail: { secret: role.secret, version, credential: borrower.credential },
    private: {},
  });
  return { version, value };
}

/** How many other leases that are not over have been given this secret. */
async function borrowersOf(unit: Unit, name: string, except: Id<'credential'>): Promise<number> {
  const [row] = await unit.sql
    .select({ alive: count() })
    .from(secretCustody)
    .innerJoin(credential, eq(credential.id, secretCustody.credential))
    .where(
      and(
        eq(secretCustody.secret, name),
        isNull(secretCustody.endedAt),
        ne(secretCustody.credential, except),
        inArray(credential.state, [...ALIVE]),
      ),
    );
  return row?.alive ?? 0;
}

/** Ends loans. What was lent stays known to its holder, so the version is tainted until it is replaced. */
export async function endLoans(
  unit: Unit,
  credentials: readonly Id<'credential'>[],
): Promise<void> {
  const loans = await unit.sql
    .update(secretCustody)
    .set({ endedAt: unit.at })
    .where(and(inArray(secretCustody.credential, [...credentials]), isNull(secretCustody.endedAt)))
    .returning();
  // Sorted, so that two of these never lock the same secrets in different orders.
  for (const loan of loans.toSorted((a, b) => (a.secret < b.secret ? -1 : 1))) {
    const tainted = await unit.sql
      .update(staticSecret)
      .set({ taintedAt: unit.at })
      .where(
        and(
          eq(staticSecret.name, loan.secret),
          eq(staticSecret.version, loan.version),
          isNull(staticSecret.taintedAt),
        ),
      )
      .returning();
    if (tainted.length > 0)
      unit.emit('secret.tainted', {
        subject: loan.secret,
        task: loan.task,
        agent: loan.agent,
        detail: { secret: loan.secret, version: loan.version, credential: loan.credential },
        private: {},
      });
  }
}

/** Of these leases, the ones under which a secret was ever given away. */
export async function lentUnder(
  query: Query,
  credentials: readonly Id<'credential'>[],
): Promise<Set<Id<'credential'>>> {
  const rows = await query
    .select({ credential: secretCustody.credential })
    .from(secretCustody)
    .where(inArray(secretCustody.credential, [...credentials]));
  return new Set(rows.map((row) => row.credential));
}

/** The secret that was lent under a lease; null where none was. */
export async function secretLentUnder(query: Query, lease: string): Promise<string | null> {
  const [row] = await query
    .select({ secret: secretCustody.secret })
    .from(secretCustody)
    .where(eq(secretCustody.credential, asCredentialId(lease)))
    .limit(1);
  return row?.secret ?? null;
}

/** Secrets by name, after one of them. */
export const listSecrets = (
  query: Query,
  after: string | null,
  limit: number,
): Promise<StaticSecretRow[]> =>
  query
    .select()
    .from(staticSecret)
    .where(
      and(
        isNotNull(staticSecret.sealed),
        after === null ? undefined : gt(staticSecret.name, after),
      ),
    )
    .orderBy(asc(staticSecret.name))
    .limit(limit);

/** What is known of one secret, whether or not it was removed. */
export async function findSecret(query: Query, name: string): Promise<StaticSecretRow | null> {
  const [row] = await query.select().from(staticSecret).where(eq(staticSecret.name, name));
  return row ?? null;
}

/** One change of a secret, as the log has it. */
export interface SecretChange {
  what: 'put' | 'rotated' | 'removed';
  version: number;
  at: string;
  by: string;
}

/** How a secret came to its version, the latest change first. */
export async function changesOf(
  query: Query,
  name: string,
  limit: number,
): Promise<SecretChange[]> {
  const changes = (['put', 'rotated', 'removed'] as const).map(
    (what) => [`dev.countersign.secret.${what}.v1`, what] as const,
  );
  const rows = await query
    .select({
      type: event.type,
      at: event.time,
      version: sql<number>`(${event.leaf}::jsonb #>> '{data,detail,version}')::int`,
      by: sql<string>`${event.leaf}::jsonb #>> '{data,detail,by,id}'`,
    })
    .from(event)
    .where(
      and(
        inArray(
          event.type,
          changes.map(([type]) => type),
        ),
        sql`${event.leaf}::jsonb ->> 'subject' = ${name}`,
      ),
    )
    .orderBy(desc(event.id))
    .limit(limit);
  const whatOf = new Map<string, SecretChange['what']>(changes);
  return rows.map(({ type, ...row }) => ({ ...row, what: whatOf.get(type) ?? 'put' }));
}

/** How many days a version of each secret may be used: as few as any role says. */
function daysBySecret(roles: PolicyBundle['roles']): Map<string, number> {
  const days = new Map<string, number>();
  for (const role of roles.values())
    if (role.issuer === 'static')
      days.set(role.secret, Math.min(role.rotate_days, days.get(role.secret) ?? Infinity));
  return days;
}

/** When a secret is to be replaced for its age; null where no role lends it. */
export function rotationDueAt(
  { name, putAt }: StaticSecretRow,
  roles: PolicyBundle['roles'],
): string | null {
  const days = daysBySecret(roles).get(name);
  return days === undefined ? null : addMs(putAt, days * DAY_MS);
}

/** A place in a chain of custody. */
export interface CustodyPlace {
  credential: string;
  version: number;
}

/** Who had a secret, the latest lease first. */
export const custodyOf = (
  query: Query,
  name: string,
  before: CustodyPlace | null,
  limit: number,
): Promise<SecretCustodyRow[]> =>
  query
    .select()
    .from(secretCustody)
    .where(
      and(
        eq(secretCustody.secret, name),
        before === null
          ? undefined
          : sql`(${secretCustody.credential}, ${secretCustody.version}) < (${before.credential}, ${before.version}::int)`,
      ),
    )
    .orderBy(desc(secretCustody.credential), desc(secretCustody.version))
    .limit(limit);

/** Says, at most once a day for each secret, that it is time to replace it. */
export async function remindOfRotation(unit: Unit, deps: Pick<Deps, 'policies'>): Promise<void> {
  const { roles } = await activeBundle(unit, deps.policies);
  const rows = await unit.sql
    .select()
    .from(staticSecret)
    .where(isNotNull(staticSecret.sealed))
    .for('update');
  const now = Date.parse(unit.at);
  for (const row of rows) {
    const dueAt = rotationDueAt(row, roles);
    const because =
      row.taintedAt !== null ? 'tainted' : dueAt !== null && dueAt <= unit.at ? 'age' : null;
    const isRecent = row.remindedAt !== null && now - Date.parse(row.remindedAt) < DAY_MS;
    if (because === null || isRecent) continue;
    await unit.sql
      .update(staticSecret)
      .set({ remindedAt: unit.at })
      .where(eq(staticSecret.name, row.name));
    unit.emit('secret.rotation_due', {
      subject: row.name,
      detail: {
        secret: row.name,
        version: row.version,
        because,
        due_at: because === 'tainted' ? row.taintedAt : (dueAt ?? unit.at),
      },
      private: {},
    });
  }
}
