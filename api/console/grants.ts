// The page of standing grants, and its form.
import { desc } from 'drizzle-orm';
import { revokeGrant } from '../../commands/exceptions/grant-ends.ts';
import { findGrant } from '../../commands/exceptions/grants.ts';
import { transact } from '../../commands/unit.ts';
import type { GrantRow } from '../../db/rows.ts';
import { standingGrant } from '../../db/schema/index.ts';
import { Refusal } from '../../domain/refusal.ts';
import { GrantsPage, type GrantLine } from '../../web/grants.tsx';
import { refuseUnlessTheirs } from '../grants.ts';
import {
  field,
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { attempt, saidBy } from './forms.ts';
import { agentNames } from './names.ts';

/** Grants on the page; the API has the rest. */
const SHOWN = 200;

async function showGrants(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const rows = await deps.db.query
    .select()
    .from(standingGrant)
    .orderBy(desc(standingGrant.id))
    .limit(SHOWN);
  const name = await agentNames(
    deps.db.query,
    rows.map((row) => row.agent),
  );
  const lines: GrantLine[] = [];
  for (const row of rows) lines.push(await lineOf(visit, deps, row, name(row.agent)));
  return pageAfter(
    GrantsPage({
      shell: visit.shell,
      open: lines.filter(({ state }) => state === 'live'),
      over: lines.filter(({ state }) => state !== 'live'),
      said: refusal && saidBy(refusal),
    }),
    refusal,
  );
}

async function lineOf(
  visit: Visit,
  deps: ConsoleDeps,
  row: GrantRow,
  agentName: string,
): Promise<GrantLine> {
  const { id, agent, role, request, state, because, uses, used, bounds, expiresAt } = row;
  const isOpen = state === 'live' || state === 'spent';
  const refused =
    !isOpen ||
    (await attempt(() => refuseUnlessTheirs(deps, reader(visit), row))) instanceof Refusal;
  const { purpose } = bounds;
  const line = { id, agent, agentName, role, request, state, because, uses, used };
  return { ...line, purpose, expiresAt, isMine: !refused };
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/grants',
  who: 'person',
  handle: (visit, deps) => showGrants(visit, deps, null),
};

const revoke: ConsoleRoute = {
  method: 'post',
  path: '/grants/{id}/revoke',
  sameAs: 'post /v1/grants/{id}/revoke',
  who: 'member',
  handle: async (visit, deps) => {
    const row = await findGrant(deps.db.query, visit.params['id'] ?? '');
    if (!row) throw new Refusal('not_found', 'There is no such grant.');
    const reason = field(visit, 'reason') || null;
    const done = await attempt(async () => {
      await refuseUnlessTheirs(deps, reader(visit), row);
      return transact(deps, visit.call, (unit) => revokeGrant(unit, row.id, reason));
    });
    return done instanceof Refusal ? showGrants(visit, deps, done) : redirect('/grants');
  },
};

export const grantPages = [show, revoke];
