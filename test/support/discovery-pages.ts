// A found identity as its page shows it.
import { DiscoveryPage, FoundPage, type AdoptForm, type FoundView } from '../../web/discovery.tsx';
import type { Html, Said } from '../../web/parts.tsx';
import type { Shell } from '../../web/shell.ts';

/** With this text wherever somebody else wrote one. */
const foundIn = (text: string, at: string): FoundView => ({
  id: 'fnd_1',
  target: 'sample',
  name: text,
  state: 'unmanaged',
  risks: ['superuser', 'around_control'],
  around: ['orders-write'],
  groups: [text],
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
      rows: [foundIn(text, at)],
      next: null,
      said,
      once: 'once',
      isAdmin: true,
    }),
  'a found identity': () =>
    FoundPage({ shell, found: foundIn(text, at), said, adopt: adoptForm(text) }),
});
