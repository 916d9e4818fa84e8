// A found identity as its page shows it.
import type { AdoptForm, FoundView } from '../../web/discovery.tsx';

/** With this text wherever somebody else wrote one. */
export const foundIn = (text: string, at: string): FoundView => ({
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

export const adoptForm = (text: string): AdoptForm => ({
  people: [{ id: 'psn_1', name: text }],
  kinds: ['service'],
  values: { purpose: text, key: text },
  once: 'once',
});
