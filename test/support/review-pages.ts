// The pages of reviews.
import type { Html, Said } from '../../web/parts.tsx';
import { ReviewPage, ReviewsPage, type HeldLine } from '../../web/reviews.tsx';
import type { Shell } from '../../web/shell.ts';

const heldBy = (text: string): HeldLine => ({
  agent: 'agt_1',
  agentName: 'orders-bot',
  agentState: 'active',
  ownerName: text,
  team: text,
  orphaned: true,
  rotationOverdue: true,
  keyAgeDays: 3,
  role: 'orders-write',
  credential: 'crd_1',
  credentialState: 'active',
  ageSeconds: 60,
  lastUsedAt: null,
  task: 'tsk_1',
});

/** With this text wherever somebody else wrote one. */
export function reviewPages(shell: Shell, text: string, said: Said): Record<string, () => Html> {
  const summary = {
    id: 'rvw_1',
    title: text,
    state: 'open',
    createdAt: '2026-11-21T10:00:00.000Z',
    dueAt: '2026-11-21T11:00:00.000Z',
    closedAt: null,
  };
  const line = {
    id: 'rvl_1',
    held: heldBy(text),
    recommendation: 'keep',
    basis: 'just issued',
    decision: null,
    decidedBy: null,
    decidedAt: null,
    reason: null,
    proof: null,
  };
  const scopeDigest = `sha256:${'ab'.repeat(32)}` as const;
  return {
    reviews: () =>
      ReviewsPage({
        shell,
        reviews: [summary],
        lines: [line.held],
        isAdmin: true,
        once: 'o',
        said,
      }),
    'a review': () =>
      ReviewPage({
        shell,
        said,
        view: { ...summary, scopeDigest, lines: [line, { ...line, id: 'rvl_2' }] },
      }),
  };
}
