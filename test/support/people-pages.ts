// The pages about people, and of whoever is signed in or about to be, with a text wherever somebody else wrote one.
import { AccountPage } from '../../web/account.tsx';
import { DutyPage } from '../../web/duty.tsx';
import { FindingsPage } from '../../web/findings.tsx';
import type { Html, Said } from '../../web/parts.tsx';
import { PeoplePage, PersonPage } from '../../web/people.tsx';
import type { Shell } from '../../web/shell.ts';
import { DeadLinkPage, LinkPage, SignInPage } from '../../web/sign-in.tsx';
import { SlackLinkedPage, SlackLinkPage } from '../../web/slack-link.tsx';

const AT = '2026-11-21T10:00:00.000Z';

/** Each by name. */
export const peoplePages = (
  shell: Shell,
  stranger: Shell,
  text: string,
  said: Said,
): Record<string, () => Html> => {
  const personLine = {
    id: 'psn_1',
    name: text,
    email: text,
    roles: ['approver'],
    groups: ['data-owners'],
    slack: null,
    state: 'active',
  };

  const link = { name: text, url: 'http://localhost/sign-in/abc', expiresAt: AT };
  const rights = { roles: ['admin'], groups: ['admins'], values: { name: text, groups: text } };
  const passkeys = [{ id: 'pky_1', name: text, synced: true, createdAt: AT, lastUsedAt: null }];
  const absence = { id: 'abs_1', standIn: text, startsAt: AT, endsAt: AT, state: 'away' as const };
  const absences = {
    rows: [absence, { ...absence, id: 'abs_2', state: 'withdrawn' as const }],
    standIns: [{ id: 'psn_2', name: text }],
    values: { starts_at: text, ends_at: text },
    said,
  };
  const source = {
    source: 'primary',
    routes: ['orders-write'],
    people: [text],
    unmatched: 1,
    lookedAt: AT,
    counts: true,
    code: null,
  };
  const broken = { ...source, people: [], lookedAt: null, counts: false };
  const channel = {
    ...{ name: 'e-mail', kind: 'e-mail' as const, isEnabled: true },
    ...{ failingSince: null, lastCode: 'http_200', waiting: 0 },
  };
  const failing = {
    ...{ ...channel, name: 'teams', kind: 'webhook' as const },
    ...{ failingSince: AT, lastCode: 'http_500', waiting: 3 },
  };
  const account = (signedInBy: 'link' | 'passkey') =>
    AccountPage({
      shell,
      account: {
        ...{ groups: ['data-owners'], signedInBy, isFresh: true, passkeys, absences, said },
        slack: signedInBy === 'link' ? null : { user: text, by: 'them' },
      },
    });
  return {
    'sign in': () => SignInPage({ shell: stranger, next: text, refusal: text }),
    'a sign-in link': () => LinkPage({ shell: stranger, token: text, next: text }),
    'a dead link': () => DeadLinkPage({ shell: stranger, why: text }),
    people: () =>
      PeoplePage({ shell, rows: [personLine], link, said, rights, once: 'once', isAdmin: true }),
    'a person': () =>
      PersonPage({ shell, row: personLine, link, said, rights, passkeys, absences }),
    'who is on duty': () =>
      DutyPage({
        shell,
        sources: [source, broken, { ...broken, lookedAt: AT, code: 'not_allowed' }],
        away: [{ person: text, standIn: text, endsAt: AT }],
        channels: [channel, failing, { ...failing, name: 'gone', isEnabled: false }],
      }),
    'nobody on duty': () => DutyPage({ shell, sources: [], away: [], channels: [] }),
    findings: () =>
      FindingsPage({
        shell,
        rows: (['receipt_missing', 'digest_mismatch'] as const).map((kind) => ({
          ...{
            permit: 'prm_1',
            request: 'req_1',
            title: text,
            audience: text,
            redemption: 'rdm_1',
          },
          ...{ kind, redeemedAt: AT, receiptDueAt: AT, digestRun: `sha256:${'ab'.repeat(32)}` },
        })),
      }),
    'no findings': () => FindingsPage({ shell, rows: [] }),
    account: () => account('passkey'),
    'an account with a link': () => account('link'),
    'a Slack user to link': () =>
      SlackLinkPage({
        shell,
        offer: {
          ...{ token: text, user: text, name: text, team: text, email: text, replaces: text },
        },
      }),
    'a Slack user that was linked': () => SlackLinkedPage({ shell, says: null }),
    'a Slack user that was not linked': () => SlackLinkedPage({ shell, says: text }),
  };
};
