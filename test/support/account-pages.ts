// The page of whoever is signed in, with the worst that can be in it.
import { AccountPage, type PasskeyLine } from '../../web/account.tsx';
import type { Html, Said } from '../../web/parts.tsx';
import type { Shell } from '../../web/shell.ts';

const HOSTILE = '<script>alert(1)</script>"\u202E';

export const passkeyLine: PasskeyLine = {
  id: 'pky_1',
  name: HOSTILE,
  synced: true,
  createdAt: '2026-11-21T10:00:00.000Z',
  lastUsedAt: null,
};

export const accountPage = (shell: Shell, said: Said | null): Html =>
  AccountPage({
    shell,
    account: {
      groups: ['data-owners'],
      signedInBy: 'passkey',
      isFresh: true,
      passkeys: [passkeyLine],
      said,
    },
  });
