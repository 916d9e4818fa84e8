// RFC 7662: is this token good now? Anything we cannot vouch for is simply not active.
import { eq } from 'drizzle-orm';
import type { JWTPayload } from 'jose';
import { findAgent } from '../../commands/agents.ts';
import { findCredential } from '../../commands/credentials.ts';
import { findTask } from '../../commands/tasks.ts';
import { credential } from '../../db/schema/index.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import { agentOf } from '../auth.ts';
import { readForm } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { OAuthError, refuseOAuth } from './error.ts';

export async function introspect(context: AppContext, deps: ApiDeps): Promise<Response> {
  const principal = context.get('principal');
  if (principal === null)
    throw new Refusal(
      'unauthenticated',
      'Introspection needs the token of an agent or the service.',
    );
  if (principal.kind === 'person')
    throw new Refusal('forbidden', 'Introspection is for agents and services.');
  context.header('cache-control', 'no-store');
  let token: string;
  try {
    token = readToken(await readForm(context.req));
  } catch (error) {
    return refuseOAuth(context, error);
  }
  const claims = await deps.tokens.verify(token, ACCESS_TOKEN, deps.installation.issuer, null);
  return context.json(claims ? await stateOf(claims, deps) : { active: false });
}

/** RFC 7662 §2.1: the one parameter that has to be there. */
function readToken(form: ReadonlyMap<string, string>): string {
  const token = form.get('token');
  if (!token) throw new OAuthError('invalid_request', 'Send the token to look at as token=….');
  return token;
}

async function stateOf(claims: JWTPayload, deps: ApiDeps): Promise<JsonObject> {
  const isOwn = claims.aud === deps.installation.issuer;
  return isOwn ? ownToken(claims, deps) : issuedToken(claims, deps);
}

/** An access token for our own API: good while its agent is. */
async function ownToken(claims: JWTPayload, deps: ApiDeps): Promise<JsonObject> {
  const agent = await agentOf(claims, deps);
  if (agent?.state !== 'active') return { active: false };
  return { ...common(claims), client_id: agent.id, task_id: null };
}

/** A JWT we issued as a credential: good while its lease, its task and its agent are. */
async function issuedToken(claims: JWTPayload, deps: ApiDeps): Promise<JsonObject> {
  const lease = await findCredential(deps.db.query, claims.jti ?? '');
  if (lease?.state !== 'active') return { active: false };
  const owner = await findTask(deps.db.query, lease.task);
  const agent = await findAgent(deps.db.query, lease.agent);
  if (owner?.state !== 'running' || agent?.state !== 'active') return { active: false };
  const lastUsedAt = new Date().toISOString();
  await deps.db.query.update(credential).set({ lastUsedAt }).where(eq(credential.id, lease.id));
  return { ...common(claims), client_id: agent.id, task_id: lease.task };
}

const common = (claims: JWTPayload): JsonObject => ({
  active: true,
  iss: claims.iss ?? null,
  sub: claims.sub ?? null,
  aud: Array.isArray(claims.aud) ? claims.aud : (claims.aud ?? null),
  exp: claims.exp ?? null,
  iat: claims.iat ?? null,
  jti: claims.jti ?? null,
  scope: typeof claims['scope'] === 'string' ? claims['scope'] : null,
  token_type: 'Bearer',
});
