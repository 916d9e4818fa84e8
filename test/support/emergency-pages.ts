// The pages of what goes past asking: standing grants and broken glass, with the worst that can be in them.
import { GrantsPage, type GrantLine } from '../../web/grants.tsx';
import type { Html, Said } from '../../web/parts.tsx';
import type { Shell } from '../../web/shell.ts';

/** Each of them by what it shows. */
export function emergencyPages(
  shell: Shell,
  hostile: string,
  at: string,
  said: Said,
): Record<string, () => Html> {
  const grant: GrantLine = {
    id: 'grn_1',
    agent: 'agt_1',
    agentName: hostile,
    role: 'orders-write',
    request: 'req_1',
    state: 'live',
    because: null,
    uses: 3,
    used: 1,
    purpose: hostile,
    expiresAt: at,
    isMine: true,
  };
  const over = { ...grant, id: 'grn_2', state: 'voided', because: 'owner_changed', isMine: false };
  return {
    'standing grants': () => GrantsPage({ shell, open: [grant], over: [over], said }),
  };
}
