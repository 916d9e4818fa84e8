// The pages of what goes past asking: standing grants and broken glass, with the worst that can be in them.
import { EmergencyPage, type EmergencyLine } from '../../web/break-glass.tsx';
import { SharePage, type KitLine } from '../../web/glass-kits.tsx';
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
  const used: EmergencyLine = {
    id: 'bkg_1',
    request: 'req_1',
    agent: 'agt_1',
    agentName: hostile,
    role: 'orders-write',
    gates: ['orders-write'],
    people: [hostile, hostile],
    incident: hostile,
    continues: 1,
    state: 'review_open',
    declaredAt: at,
    openedAt: at,
    reviewDueAt: at,
    reviewedBy: null,
    disposition: null,
    findings: null,
    effects: 2,
  };
  const reviewed: EmergencyLine = {
    ...used,
    id: 'bkg_2',
    state: 'reviewed',
    reviewedBy: hostile,
    disposition: 'misused',
    findings: hostile,
  };
  const offline: EmergencyLine = { ...used, id: 'bkg_3', agent: null, agentName: null };
  const kit: KitLine = {
    id: 'kit_1',
    request: 'req_1',
    role: 'orders-write',
    target: 'sample',
    state: 'ready',
    holders: [
      { name: hostile, hasKey: true, hasCollected: true },
      { name: hostile, hasKey: true, hasCollected: false },
    ],
    createdAt: at,
    expiresAt: at,
    checkedAt: at,
    checked: 'good',
    because: null,
    failure: null,
    mine: 'collect',
    isMine: true,
  };
  const mine: KitLine = {
    ...kit,
    id: 'kit_2',
    state: 'waiting',
    checkedAt: null,
    checked: null,
    because: 'holder_left',
    failure: 'unreachable',
    mine: 'bring_key',
  };
  const values = { task: hostile, role: hostile, reason: hostile, incident: hostile };
  return {
    emergencies: () =>
      EmergencyPage({
        shell,
        said,
        view: {
          open: [used, offline],
          past: [reviewed],
          kits: [kit, mine],
          once: 'once',
          values,
          mayDeclare: true,
        },
      }),
    'half of a login': () => SharePage({ shell, kit: 'kit_1', seat: 1, sealed: hostile }),
    'standing grants': () => GrantsPage({ shell, open: [grant], over: [over], said }),
  };
}
