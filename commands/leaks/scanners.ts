// Scanners: who else may report leaked secrets, and how what they send is known to be theirs.
import { randomBytes } from 'node:crypto';
import { asc, eq, gt } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { ScannerRow } from '../../db/rows.ts';
import { scanner } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { webhookSecret } from '../../keys/scanner-signature.ts';
import type { Vault } from '../../keys/vault.ts';
import { partyOf } from '../principal.ts';
import { newId, type Unit } from '../unit.ts';

export interface ScannerOrder {
  name: string;
  kind: ScannerRow['kind'];
  policy: ScannerRow['policy'];
  publicKeys: Record<string, string>;
}

const SECRET_BYTES = 32;

const secretUse = (id: Id<'scanner'>): string => `scanner/${id}`;

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

/** Adds a scanner; the secret of a webhook is told this once. */
export async function addScanner(
  unit: Unit,
  order: ScannerOrder,
): Promise<{ row: ScannerRow; secret: string | null }> {
  const id = newId('scanner');
  const by = byWhom(unit);
  const secret = order.kind === 'webhook' ? webhookSecret(randomBytes(SECRET_BYTES)) : null;
  const row: ScannerRow = {
    id,
    ...order,
    sealed: secret === null ? null : unit.vault.seal(secret, secretUse(id)),
    createdBy: by,
    createdAt: unit.at,
  };
  await unit.sql.insert(scanner).values(row);
  unit.emit('scanner.added', {
    subject: id,
    detail: { scanner: id, kind: row.kind, policy: row.policy, by },
    private: { name: row.name },
  });
  return { row, secret };
}

/** The secret that a webhook scanner signs with; throws for a scanner of another kind. */
export function openScannerSecret(vault: Vault, row: ScannerRow): string {
  if (row.sealed === null) throw new TypeError('this scanner shares no secret with us');
  return vault.open(row.sealed, secretUse(row.id));
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asScannerId = (id: string): Id<'scanner'> => id as Id<'scanner'>;

export async function findScanner(query: Query, id: string): Promise<ScannerRow | null> {
  const [row] = await query
    .select()
    .from(scanner)
    .where(eq(scanner.id, asScannerId(id)));
  return row ?? null;
}

export const listScanners = (
  query: Query,
  after: string | null,
  limit: number,
): Promise<ScannerRow[]> =>
  query
    .select()
    .from(scanner)
    .where(after === null ? undefined : gt(scanner.id, asScannerId(after)))
    .orderBy(asc(scanner.id))
    .limit(limit);

export async function removeScanner(unit: Unit, id: string): Promise<void> {
  const [gone] = await unit.sql
    .delete(scanner)
    .where(eq(scanner.id, asScannerId(id)))
    .returning();
  if (!gone) throw new Refusal('not_found', 'There is no such scanner.');
  unit.emit('scanner.removed', {
    subject: gone.id,
    detail: { scanner: gone.id, by: byWhom(unit) },
    private: {},
  });
}
