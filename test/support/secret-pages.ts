// The pages of stored secrets and join tokens, with a text wherever somebody else wrote one.
import { JoinTokenPage } from '../../web/agent.tsx';
import type { Html } from '../../web/parts.tsx';
import { SecretPage, SecretsPage, type LoanLine } from '../../web/secrets.tsx';
import type { Shell } from '../../web/shell.ts';

const loanIn = (text: string, at: string): LoanLine => ({
  credential: 'crd_1',
  state: 'revoked',
  version: 1,
  agent: { id: 'agt_1', name: text },
  task: 'tsk_1',
  givenAt: at,
  endedAt: at,
  places: [
    { kind: 'file', path: text, host: text, at },
    { kind: 'env', path: 'ORDERS_KEY', host: null, at },
  ],
});

/** Each by name. */
export const secretPages = (shell: Shell, text: string, at: string): Record<string, () => Html> => {
  const line = { name: 'legacy-api', version: 2, putAt: at, taintedAt: at, dueAt: at };
  const page = (more: object) =>
    SecretPage({
      shell,
      view: {
        ...line,
        isRemoved: false,
        roles: ['legacy'],
        changes: [{ what: 'rotated', version: 2, at, by: text }],
        loans: [loanIn(text, at), { ...loanIn(text, at), endedAt: null, places: [] }],
        next: '/secrets/legacy-api?cursor=x',
        ...more,
      },
    });
  return {
    secrets: () => SecretsPage({ shell, rows: [line], next: '/secrets?after=x' }),
    'a secret': () => page({}),
    'a removed secret': () => page({ isRemoved: true, loans: [], next: null }),
    'a join token': () =>
      JoinTokenPage({
        shell,
        agent: { id: 'agt_1', name: text },
        token: 'the-token',
        request: 'req_1',
        expiresAt: at,
      }),
  };
};
