// The page of whoever is signed in. Adding a passkey is done by its script, through the API.
import { eq } from 'drizzle-orm';
import { passkeysOf, removeOwnPasskey } from '../../commands/passkeys.ts';
import { transact } from '../../commands/unit.ts';
import type { PasskeyRow } from '../../db/rows.ts';
import { session } from '../../db/schema/index.ts';
import { Refusal } from '../../domain/refusal.ts';
import { AccountPage, type PasskeyLine } from '../../web/account.tsx';
import {
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { attempt, saidBy } from './forms.ts';

export const passkeyLine = (row: PasskeyRow): PasskeyLine => ({
  id: row.id,
  name: row.name,
  synced: row.backupEligible,
  createdAt: row.createdAt,
  lastUsedAt: row.lastUsedAt,
});

async function showAccount(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const who = reader(visit);
  const { query } = deps.db;
  const [current] = who.session
    ? await query.select().from(session).where(eq(session.id, who.session))
    : [];
  const content = AccountPage({
    shell: visit.shell,
    account: {
      groups: who.groups,
      signedInBy: current?.method ?? 'link',
      isFresh: who.strength !== 'session',
      passkeys: (await passkeysOf(query, who.id)).map(passkeyLine),
      said: refusal && saidBy(refusal),
    },
  });
  return pageAfter(content, refusal);
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/me',
  who: 'person',
  handle: (visit, deps) => showAccount(visit, deps, null),
};

const remove: ConsoleRoute = {
  method: 'post',
  path: '/me/passkeys/{passkey}/remove',
  sameAs: 'delete /v1/session/passkeys/{passkey}',
  who: 'person',
  handle: async (visit, deps) => {
    const removed = await attempt(() =>
      transact(deps, visit.call, (unit) =>
        removeOwnPasskey(unit, reader(visit), visit.params['passkey'] ?? ''),
      ),
    );
    return removed instanceof Refusal ? showAccount(visit, deps, removed) : redirect('/me');
  },
};

export const accountPages = [show, remove];
