// Stored secrets on the console: what is known of each, who was given it, where they put it, and when it is to be
// replaced. No page shows one.
import { inArray } from 'drizzle-orm';
import { placementsAmong } from '../../commands/credentials/placements.ts';
import {
  changesOf,
  custodyOf,
  findSecret,
  listSecrets,
  rotationDueAt,
  secretLentUnder,
} from '../../commands/credentials/static-secrets.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import type { SecretCustodyRow } from '../../db/rows.ts';
import { credential } from '../../db/schema/index.ts';
import { isId } from '../../domain/id.ts';
import { Refusal } from '../../domain/refusal.ts';
import { SecretPage, SecretsPage, type LoanLine } from '../../web/secrets.tsx';
import { pageOf, readCursor } from '../cursor.ts';
import { CUSTODY_PLACE, custodyCursor, placeIn } from '../static-secrets.ts';
import { page, redirect, type ConsoleDeps, type ConsoleRoute } from './console.ts';
import { agentNames, personNames } from './names.ts';

/** Rows of each list; the API has the rest. */
const SHOWN = 50;

const list: ConsoleRoute = {
  method: 'get',
  path: '/secrets',
  who: 'auditor',
  handle: async (visit, deps) => {
    const { query } = deps.db;
    const { roles } = await readActiveBundle(query, deps.policies);
    const rows = await listSecrets(query, visit.query.get('after'), SHOWN + 1);
    const shown = rows.slice(0, SHOWN);
    return page(
      SecretsPage({
        shell: visit.shell,
        rows: shown.map((row) => ({
          name: row.name,
          version: row.version,
          putAt: row.putAt,
          taintedAt: row.taintedAt,
          dueAt: rotationDueAt(row, roles),
        })),
        next: rows.length > SHOWN ? `/secrets?after=${shown.at(-1)?.name ?? ''}` : null,
      }),
    );
  },
};

const show: ConsoleRoute = {
  method: 'get',
  path: '/secrets/{name}',
  who: 'auditor',
  handle: async (visit, deps) => {
    const { query } = deps.db;
    const row = await findSecret(query, visit.params['name'] ?? '');
    if (!row) throw new Refusal('not_found', 'There is no such secret.');
    const { name, version, putAt, taintedAt, sealed } = row;
    const { roles } = await readActiveBundle(query, deps.policies);
    const place = `${CUSTODY_PLACE}/${name}`;
    const cursor = visit.query.get('cursor') ?? undefined;
    const before = readCursor(deps.keys.cursors, place, cursor);
    const loans = await custodyOf(query, name, placeIn(before), SHOWN + 1);
    const found = pageOf(loans, SHOWN, custodyCursor, deps.keys.cursors, place);
    const changes = await changesOf(query, name, SHOWN);
    const byWhom = await personNames(
      query,
      changes.map(({ by }) => by).filter((by) => isId('person', by)),
    );
    return page(
      SecretPage({
        shell: visit.shell,
        view: {
          ...{ name, version, putAt, taintedAt },
          isRemoved: sealed === null,
          dueAt: sealed === null ? null : rotationDueAt(row, roles),
          roles: [...roles]
            .filter(([, role]) => role.issuer === 'static' && role.secret === name)
            .map(([role]) => role),
          changes: changes.map((each) => ({
            ...each,
            by: isId('person', each.by) ? byWhom(each.by) : each.by,
          })),
          loans: await loanLines(deps, found.rows),
          next: found.next === null ? null : `/secrets/${name}?cursor=${found.next}`,
        },
      }),
    );
  },
};

async function loanLines(
  { db: { query } }: ConsoleDeps,
  loans: readonly SecretCustodyRow[],
): Promise<LoanLine[]> {
  const ids = loans.map((loan) => loan.credential);
  const leases = await query.select().from(credential).where(inArray(credential.id, ids));
  const stateOf = new Map<string, string>(leases.map(({ id, state }) => [id, state]));
  const placements = await placementsAmong(query, ids);
  const name = await agentNames(
    query,
    loans.map((loan) => loan.agent),
  );
  return loans.map((loan) => ({
    credential: loan.credential,
    state: stateOf.get(loan.credential) ?? 'unknown',
    version: loan.version,
    agent: { id: loan.agent, name: name(loan.agent) },
    task: loan.task,
    givenAt: loan.givenAt,
    endedAt: loan.endedAt,
    places: placements
      .filter((each) => each.credential === loan.credential)
      .map(({ kind, path, host, at }) => ({ kind, path, host, at })),
  }));
}

/** From a lease to the secret that was lent under it. */
const ofLease: ConsoleRoute = {
  method: 'get',
  path: '/secrets/of/{id}',
  who: 'auditor',
  handle: async (visit, deps) => {
    const name = await secretLentUnder(deps.db.query, visit.params['id'] ?? '');
    if (name === null) throw new Refusal('not_found', 'No secret was lent under this credential.');
    return redirect(`/secrets/${name}`);
  },
};

export const secretPages = [list, show, ofLease];
