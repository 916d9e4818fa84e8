// Who asks about tokens: an agent or the service with a token of its own, or an agent that authenticates as a client.
import type { Principal } from '../../commands/principal.ts';
import { useUp } from '../../commands/sign-in/agent-sign-in.ts';
import { transact } from '../../commands/unit.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { authenticateClient } from './client-auth.ts';
import { OAuthError } from './error.ts';

/** The agent or service behind a call to introspection or revocation; throws an OAuthError for anybody else. */
export async function callerOf(
  context: AppContext,
  form: ReadonlyMap<string, string>,
  deps: ApiDeps,
): Promise<Extract<Principal, { kind: 'agent' | 'service' }>> {
  const principal = context.get('principal');
  if (principal?.kind === 'agent' && (principal.delegation ?? principal.onBehalf))
    throw new OAuthError(
      'invalid_client',
      'This token is for starting tasks: come with one that the agent signed in with.',
    );
  if (principal?.kind === 'agent' || principal?.kind === 'service') return principal;
  if (principal !== null)
    throw new OAuthError('invalid_client', 'This is for agents and services, and not for people.');
  if (form.get('client_assertion') === undefined && context.get('clientCertificate') === null)
    throw new OAuthError(
      'invalid_client',
      'Send the token of an agent or of the service, or authenticate with a client_assertion or a client certificate.',
    );
  const { agent, proof } = await authenticateClient(form, context, deps);
  const caller = { kind: 'agent' as const, id: agent.id };
  const call = { principal: caller, traceId: context.get('traceId') };
  const { once } = proof;
  if (once && !(await transact(deps, call, (unit) => useUp(unit, once))))
    throw new OAuthError(
      'invalid_client',
      'This assertion was already used: make one for each call.',
    );
  return caller;
}
