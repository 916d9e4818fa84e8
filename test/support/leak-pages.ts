// A leak as its page shows it.
import type { LeakView } from '../../web/leaks.tsx';

/** With this text wherever somebody else wrote one. */
export const leakIn = (text: string, at: string): LeakView => ({
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
