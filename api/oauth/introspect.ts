// RFC 7662: is this token good now? Anything we cannot vouch for is simply not active.
import { eq } from 'drizzle-orm';
import type { JWTPayload } from 'jose';
import { findAgent } from '../../commands/agents/agents.ts';
import { findTask } from '../../commands/agents/tasks.ts';
import { findCredential } from '../../commands/credentials/credentials.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import type { Principal } from '../../commands/principal.ts';
import { credential } from '../../db/schema/index.ts';
import { readConfirmation } from '../../domain/delegation.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { ACCESS_TOKEN, WORKLOAD_IDENTITY } from '../../keys/tokens.ts';
import { readForm } from '../body.ts';
import type { ApiDeps, AppContext } from '../route.ts';
import { callerOf } from './caller.ts';
import { OAuthError, refuseOAuth } from './error.ts';
import { typeFor } from './own-claims.ts';
import { ownTokenOf } from './own-token.ts';

export async function introspect(context: AppContext, deps: ApiDeps): Promise<Response> {
  context.header('cache-control', 'no-store');
  try {
    const form = await readForm(context.req);
    const caller = await callerOf(context, form, deps);
    const claims = await verifiedClaims(readToken(form), deps);
    const isTheirs = claims !== null && (await mayAsk(caller, claims, deps));
    return context.json(isTheirs ? await stateOf(claims, deps) : { active: false });
  } catch (error) {
    return refuseOAuth(context, error);
  }
}

/** RFC 7662 §2.1 and 7009 §2.1: the one parameter that has to be there. */
export function readToken(form: ReadonlyMap<string, string>): string {
  const token = form.get('token');
  if (!token) throw new OAuthError('invalid_request', 'Send the token as token=….');
  return token;
}

/** What a token of ours says, of either kind that we hand out; null for anything else. */
export async function verifiedClaims(token: string, deps: ApiDeps): Promise<JWTPayload | null> {
  const { issuer } = deps.installation;
  return (
    (await deps.tokens.verify(token, ACCESS_TOKEN, issuer, null)) ??
    deps.tokens.verify(token, WORKLOAD_IDENTITY, issuer, null)
  );
}

/** Who policy names as a resource server is told of tokens for its own audiences, and of no others (RFC 7662 §4). */
async function mayAsk(caller: Principal, { aud }: JWTPayload, deps: ApiDeps): Promise<boolean> {
  if (caller.kind !== 'agent') return true;
  const { resourceServers } = await readActiveBundle(deps.db.query, deps.policies);
  if (resourceServers.length === 0) return true;
  const name = (await findAgent(deps.db.query, caller.id))?.name;
  const audiences = resourceServers
    .filter(({ agent }) => agent === name)
    .flatMap((server) => server.audiences);
  const asked = typeof aud === 'string' ? [aud] : (aud ?? []);
  return audiences.length === 0 || asked.some((each) => audiences.includes(each));
}

async function stateOf(claims: JWTPayload, deps: ApiDeps): Promise<JsonObject> {
  const isOwn = claims.aud === deps.installation.issuer;
  return isOwn ? ownState(claims, deps) : issuedState(claims, deps);
}

/** An access token for our own API: good while all that it stands on is. */
async function ownState(claims: JWTPayload, deps: ApiDeps): Promise<JsonObject> {
  const token = await ownTokenOf(claims, deps);
  if (token?.agent.state !== 'active') return { active: false };
  return {
    ...common(claims),
    client_id: token.agent.id,
    task_id: token.task,
    ...(token.mayAct !== null && { may_act: { sub: token.mayAct } }),
  };
}

/** A JWT we issued as a credential: good while its lease, its task and its agent are. */
async function issuedState(claims: JWTPayload, deps: ApiDeps): Promise<JsonObject> {
  const lease = await findCredential(deps.db.query, claims.jti ?? '');
  if (lease?.state !== 'active') return { active: false };
  const owner = await findTask(deps.db.query, lease.task);
  const agent = await findAgent(deps.db.query, lease.agent);
  if (owner?.state !== 'running' || agent?.state !== 'active') return { active: false };
  const lastUsedAt = new Date().toISOString();
  await deps.db.query.update(credential).set({ lastUsedAt }).where(eq(credential.id, lease.id));
  return { ...common(claims), client_id: agent.id, task_id: lease.task };
}

/** Claims come from JSON that was parsed. */
const asJson = (claim: unknown): JsonValue | undefined => claim as JsonValue | undefined;

function common(claims: JWTPayload): JsonObject {
  const act = asJson(claims['act']);
  const confirmation = readConfirmation(asJson(claims['cnf']));
  return {
    active: true,
    iss: claims.iss ?? null,
    sub: claims.sub ?? null,
    aud: Array.isArray(claims.aud) ? claims.aud : (claims.aud ?? null),
    exp: claims.exp ?? null,
    iat: claims.iat ?? null,
    jti: claims.jti ?? null,
    scope: typeof claims['scope'] === 'string' ? claims['scope'] : null,
    token_type: typeFor(confirmation),
    ...(act !== undefined && { act }),
    ...(confirmation && { cnf: { ...confirmation } }),
  };
}
