// Access tokens of somebody else's authorization server, which we ask as one of its clients (RFC 6749 §4.4).
import { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import {
  policyName,
  roleCommon,
  seconds,
  variable,
  type AccessKind,
  type Witness,
  resourceOwner,
} from './kind.ts';
import type { TargetDefinition } from './kinds.ts';
import { readOptions, refusedOption } from './options.ts';

export const oauthTarget = z
  .strictObject({
    issuer: z.literal('oauth'),
    owner: resourceOwner,
    token_endpoint: z.url(),
    client_id: z.string().min(1).max(255),
    authentication: z
      .enum(['client_secret_basic', 'client_secret_post', 'private_key_jwt'])
      .default('client_secret_basic'),
    client_secret_from: variable.optional(),
    /** Whom our assertion is for, under private_key_jwt; the token endpoint if this is not said. */
    assertion_audience: z.url().optional(),
    /** RFC 7009. Without it a token cannot be ended. */
    revocation_endpoint: z.url().optional(),
    /** RFC 7662. Without it nobody can be asked whether a token is dead. */
    introspection_endpoint: z.url().optional(),
    /** How long tokens live there, for those of which the server does not say it. */
    token_seconds: seconds(86_400).default(3600),
  })
  .refine(
    (target) =>
      (target.authentication === 'private_key_jwt') === (target.client_secret_from === undefined),
    'client_secret_from goes with client_secret_basic and client_secret_post, and only with them',
  );
export type OauthTarget = z.infer<typeof oauthTarget>;

/** RFC 6749 §3.3. */
const scope = z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,200}$/, 'one scope');
const scopes = z.array(scope).min(1).max(50);

export const oauthRole = z.strictObject({
  issuer: z.literal('oauth'),
  target: policyName,
  scopes,
  /** RFC 8707: the services that the token is for. */
  resources: z.array(z.url()).max(10).default([]),
  /** The same for servers that have a word of their own for it. */
  audience: z.string().min(1).max(255).optional(),
  ...roleCommon,
});
type OauthRole = z.infer<typeof oauthRole>;

const oauthOptions = z.strictObject({
  scopes: scopes.optional(),
  resources: z.array(z.url()).min(1).max(10).optional(),
});
type OauthOptions = z.infer<typeof oauthOptions>;

export interface OauthScope {
  scopes: string[];
  resources: string[];
}

/** What a token is asked for: what the role has, or fewer of it. */
export function oauthScope(role: OauthRole, options: JsonObject): OauthScope {
  const asked = readOptions<OauthOptions>(oauthOptions, options);
  const refuseOthers = (name: 'scopes' | 'resources'): void => {
    for (const each of asked[name] ?? [])
      if (!role[name].includes(each)) throw refusedOption(name, `the role does not have ${each}`);
  };
  refuseOthers('scopes');
  refuseOthers('resources');
  return {
    scopes: [...new Set(asked.scopes ?? role.scopes)].toSorted(),
    resources: [...new Set(asked.resources ?? role.resources)].toSorted(),
  };
}

/** A server that revokes and cannot be asked leaves its word alone; one that does not revoke, the clock. */
function witnessAt(target: TargetDefinition | null): Witness {
  if (target?.issuer !== 'oauth' || target.revocation_endpoint === undefined) return 'clock';
  return target.introspection_endpoint === undefined ? 'nobody' : 'target';
}

export const oauthAccess: AccessKind<OauthRole> = {
  target: (role) => role.target,
  destination: (role) => role.resources[0] ?? role.audience ?? `oauth:${role.target}`,
  gives: (role) => `a token of ${role.target} for ${role.scopes.join(' ')}`,
  reaches: (role) => role.scopes.map((each) => `scope ${each}`),
  revocable: (_role, target) =>
    target?.issuer === 'oauth' && target.revocation_endpoint !== undefined,
  longestSeconds: (_role, target) => (target?.issuer === 'oauth' ? target.token_seconds : 86_400),
  backstop: () => true,
  witness: (_role, target) => witnessAt(target),
  attempts: () => 'add',
  listed: false,
  readOptions: (role, options) => {
    if (Object.keys(options).length === 0) return Promise.resolve({});
    return Promise.resolve({ ...oauthScope(role, options) });
  },
  extents: (role, options) => {
    const { scopes: wanted, resources } = oauthScope(role, options);
    return {
      scopes: { kind: 'some_of', of: wanted },
      ...(resources.length > 0 && { resources: { kind: 'some_of', of: resources } }),
    };
  },
};
