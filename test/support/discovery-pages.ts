// A found identity as its page shows it.
import { DiscoveryPage, type TargetView } from '../../web/discovery.tsx';
import { FoundPage, type AdoptForm, type FoundView } from '../../web/found-identity.tsx';
import type { Html, Said } from '../../web/parts.tsx';
import type { Shell } from '../../web/shell.ts';

/** With this text wherever somebody else wrote one. */
const foundIn = (text: string, at: string): FoundView => ({
  id: 'fnd_1',
  target: 'sample',
  kind: 'login',
  name: text,
  state: 'unmanaged',
  isEnabled: false,
  isOurs: false,
  risks: ['superuser', 'around_control'],
  around: ['orders-write'],
  groups: [text],
  permissions: [text],
  usableBy: [text],
  createdAt: at,
  secretChangedAt: at,
  unknown: ['used_at'],
  difference: { kind: 'changed', at, changes: ['groups', 'risks'] },
  serves: null,
  expiresAt: null,
  comment: text,
  firstSeenAt: at,
  lastSeenAt: at,
  usedAt: null,
  guess: { person: 'psn_1', name: text, because: 'login_name' },
  agent: null,
  decidedAt: at,
  reason: text,
});

/** One that did not answer when it was last asked, and has not told everything before. */
const targetAt = (at: string): TargetView => ({
  target: 'cloud',
  isSupported: true,
  askedAt: at,
  code: 'access_denied',
  answeredAt: at,
  nextAt: at,
  identities: 12,
  found: 1,
  changed: 2,
  gone: 3,
  leftOut: 4,
  gaps: [{ kind: 'access_key', code: 'access_denied' }],
});

const adoptForm = (text: string): AdoptForm => ({
  people: [{ id: 'psn_1', name: text }],
  kinds: ['service'],
  values: { purpose: text, key: text },
  once: 'once',
});

/** Both pages, by the names that tests give them. */
export const discoveryPages = (
  shell: Shell,
  text: string,
  at: string,
  said: Said | null,
): Record<'discovery' | 'a found identity', () => Html> => ({
  discovery: () =>
    DiscoveryPage({
      shell,
      targets: [targetAt(at)],
      rows: [foundIn(text, at)],
      filter: 'all',
      next: null,
      said,
      once: 'once',
      isAdmin: true,
    }),
  'a found identity': () =>
    FoundPage({ shell, found: foundIn(text, at), said, adopt: adoptForm(text) }),
});
