// The pages of leaks.
import { LeakPage, LeaksPage, type LeakView } from '../../web/leaks.tsx';
import type { Html, Said } from '../../web/parts.tsx';
import type { Shell } from '../../web/shell.ts';

/** With this text wherever somebody else wrote one. */
const leakIn = (text: string, at: string): LeakView => ({
  id: 'lek_1',
  state: 'dying',
  source: text,
  where: text,
  seenAt: null,
  reportedAt: at,
  secondsToDead: 0.734,
  lookedFor: { fingerprints: 3 },
  matches: [
    {
      agent: { id: 'agt_1', name: 'orders-bot', state: 'active' },
      owner: text,
      credential: { id: 'crd_1', task: 'tsk_1', role: 'orders-write', state: 'revoking' },
      issuedAt: at,
      lastUsedAt: null,
      proof: 'secret',
      outcome: 'revoked',
      agentSuspended: true,
      seen: [{ at, kind: 'session_opened', outcome: null }],
    },
  ],
});

/** Each by name. */
export const leakPages = (
  shell: Shell,
  text: string,
  at: string,
  said: Said,
): Record<string, () => Html> => ({
  leaks: () => LeaksPage({ shell, rows: [leakIn(text, at)], said, once: 'once', isAdmin: true }),
  'a leak': () => LeakPage({ shell, leak: leakIn(text, at) }),
});
