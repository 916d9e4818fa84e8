// The page of whoever is signed in. Adding a passkey is done by its script, through the API.
import { eq } from 'drizzle-orm';
import { passkeysOf, removeOwnPasskey } from '../../commands/sign-in/passkeys.ts';
import { unlinkSlack } from '../../commands/slack/links.ts';
import { transact } from '../../commands/unit.ts';
import type { PasskeyRow, PersonRow } from '../../db/rows.ts';
import { person, session } from '../../db/schema/index.ts';
import { Refusal } from '../../domain/refusal.ts';
import { AccountPage, type Account, type PasskeyLine } from '../../web/account.tsx';
import { absencesFor, sayAway, sayBack } from './absences.ts';
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

const slackOf = (row: PersonRow | undefined): Account['slack'] =>
  row === undefined || row.slackUserId === null
    ? null
    : { user: row.slackUserId, by: row.slackBinding === 'linked' ? 'them' : 'an administrator' };

async function showAccount(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
  about: 'passkeys' | 'absences' = 'passkeys',
): Promise<Response> {
  const who = reader(visit);
  const { query } = deps.db;
  const [current] = who.session
    ? await query.select().from(session).where(eq(session.id, who.session))
    : [];
  const [row] = await query.select().from(person).where(eq(person.id, who.id));
  const content = AccountPage({
    shell: visit.shell,
    account: {
      groups: who.groups,
      signedInBy: current?.method ?? 'link',
      isFresh: who.strength !== 'session',
      passkeys: (await passkeysOf(query, who.id)).map(passkeyLine),
      slack: slackOf(row),
      absences: await absencesFor(visit, deps, who.id, about === 'absences' ? refusal : null),
      said: about === 'passkeys' ? refusal && saidBy(refusal) : null,
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

const away: ConsoleRoute = {
  method: 'post',
  path: '/me/absences',
  sameAs: 'post /v1/people/{id}/absences',
  who: 'member',
  handle: async (visit, deps) => {
    const done = await sayAway(visit, deps, reader(visit).id);
    return done instanceof Refusal
      ? showAccount(visit, deps, done, 'absences')
      : redirect('/me#away');
  },
};

const back: ConsoleRoute = {
  method: 'post',
  path: '/me/absences/{absence}/remove',
  sameAs: 'delete /v1/people/{id}/absences/{absence}',
  who: 'member',
  handle: async (visit, deps) => {
    const done = await sayBack(visit, deps, reader(visit).id);
    return done instanceof Refusal
      ? showAccount(visit, deps, done, 'absences')
      : redirect('/me#away');
  },
};

const unlink: ConsoleRoute = {
  method: 'post',
  path: '/me/slack/unlink',
  sameAs: 'delete /v1/session/slack',
  who: 'member',
  handle: async (visit, deps) => {
    await transact(deps, visit.call, (unit) => unlinkSlack(unit, reader(visit).id, 'asked'));
    return redirect('/me');
  },
};

export const accountPages = [show, remove, away, back, unlink];
