// The page of findings: uses of permits that nobody answered for, or that ran something else.
import { findingIn, permitsWith, redemptionsOf } from '../../commands/approvals/receipts.ts';
import { cardOf } from '../../commands/approvals/requests.ts';
import type { Query } from '../../db/client.ts';
import { FindingsPage, type FindingLine } from '../../web/findings.tsx';
import { page, type ConsoleRoute } from './console.ts';

/** Permits with findings on the page; the API has the rest. */
const SHOWN = 200;

async function findingLines(query: Query): Promise<FindingLine[]> {
  const lines: FindingLine[] = [];
  for (const { permit, request } of await permitsWith(query, null, SHOWN))
    for (const row of await redemptionsOf(query, permit)) {
      const kind = findingIn(row);
      if (kind === null) continue;
      lines.push({
        permit: permit.id,
        request: request.id,
        title: cardOf(request).title,
        audience: request.audience ?? '',
        redemption: row.id,
        kind,
        redeemedAt: row.redeemedAt,
        receiptDueAt: row.receiptDueAt,
        digestRun: kind === 'digest_mismatch' ? row.digestRun : null,
      });
    }
  return lines.toSorted((a, b) => (a.redeemedAt < b.redeemedAt ? 1 : -1));
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/findings',
  who: 'person',
  handle: async ({ shell }, deps) =>
    page(FindingsPage({ shell, rows: await findingLines(deps.db.query) })),
};

export const findingPages = [show];
