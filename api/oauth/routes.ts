// OAuth at its standard paths.
import { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import { cacheSeconds } from '../../domain/signing-key.ts';
import { defineRoute, ok, type ApiDeps } from '../route.ts';
import { JWT_BEARER_GRANT } from './client-auth.ts';
import { DEFERRED_GRANT } from './deferred-poll.ts';
import { TOKEN_EXCHANGE } from './exchange.ts';
import { introspect } from './introspect.ts';
import { openIdConfiguration, resourceMetadata, serverMetadata } from './metadata.ts';
import { revoke } from './revoke.ts';
import { STATUS_LIST_TYPE, STATUS_SECONDS, statusListToken } from './status-list.ts';
import { issueToken } from './token.ts';

/** RFC 6749 §5.2: the token endpoint has errors of its own. */
const oauthError = z.object({ error: z.string(), error_description: z.string() });

/** A deferred response carries the code to poll with, and how. */
const pendingError = oauthError.extend({
  deferral_code: z.string().optional(),
  expires_in: z.int().optional(),
  interval: z.int().optional(),
});

const tokenAnswer = z.object({
  access_token: z.string(),
  issued_token_type: z.string().optional(),
  token_type: z.enum(['Bearer', 'DPoP']),
  expires_in: z.int(),
  scope: z.string(),
});

const clientFields = {
  client_assertion_type: z.string(),
  client_assertion: z.string(),
  client_id: z.string().optional(),
};

/** A client that comes by way of others is only as good as what we know of their keys. */
const keysUnavailable = {
  description: 'temporarily_unavailable: the keys of a federated issuer cannot be had',
  schema: oauthError,
  headers: { 'Retry-After': 'Seconds' },
};

const token = defineRoute({
  method: 'post',
  path: '/oauth2/token',
  tag: 'OAuth',
  summary: 'Sign an agent in, or exchange what was handed on to it (RFC 6749, 8693)',
  description:
    'The client is an agent with its key, or whoever policy lets in as one: by a token of a federated issuer, by an SVID, or by a client certificate. With a `DPoP` proof (RFC 9449) the token is bound to its key, and over TLS with a client certificate to that (RFC 8705). A token exchange takes the `subject_token` that another agent made with `POST /v1/tasks/{id}/delegations`, or the token of a person that policy lets the agent act for. With `completion_mode=deferred`, a token for the audience of a role (`resource`, or the role’s name as `scope`) is asked for under a task (`task_id`): given at once where policy plainly permits it, else answered with a `deferral_code` to poll with, until people have agreed. A poll with an `Idempotency-Key` whose answer was lost is repeated with it.',
  allow: ['anyone'],
  form: z.object({
    grant_type: z.enum(['client_credentials', JWT_BEARER_GRANT, TOKEN_EXCHANGE, DEFERRED_GRANT]),
    assertion: z.string().optional(),
    ...clientFields,
    scope: z.string().optional(),
    resource: z.string().optional(),
    subject_token: z.string().optional(),
    subject_token_type: z.string().optional(),
    actor_token: z.string().optional(),
    actor_token_type: z.string().optional(),
    requested_token_type: z.string().optional(),
    audience: z.string().optional(),
    completion_mode: z.string().optional(),
    task_id: z.string().optional(),
    reason: z.string().optional(),
    deferral_code: z.string().optional(),
  }),
  answers: {
    200: { description: 'An access token', schema: tokenAnswer },
    400: {
      description:
        'invalid_request, invalid_scope, invalid_target, invalid_grant, unsupported_grant_type, invalid_dpop_proof, use_dpop_nonce; access_denied; and of a deferred token authorization_pending, slow_down, expired_token',
      schema: pendingError,
    },
    401: { description: 'invalid_client', schema: oauthError },
    503: keysUnavailable,
  },
  refusals: [],
  events: [
    'agent.signed_in',
    'evaluation.decided',
    'token.deferred',
    'request.opened',
    'request.consumed',
    'request.expired',
    'request.failed',
    'credential.intended',
    'credential.issued',
    'credential.collected',
    'credential.resealed',
    'credential.revoke_intended',
    'permit.refused',
    'permit.voided',
    'token.exchanged',
    'token.exchanged_for_person',
  ],
  handle: ({ context }, deps) => issueToken(context, deps),
});

const introspection = defineRoute({
  method: 'post',
  path: '/oauth2/introspect',
  tag: 'OAuth',
  summary: 'Whether a token is good now (RFC 7662); for agents and services',
  description:
    'By the token of an agent or of the service, or with a client assertion. Agents that policy names under `resource_servers` are told of tokens for their own audiences only.',
  allow: ['anyone'],
  form: z.object({ token: z.string(), token_type_hint: z.string().optional() }),
  answers: {
    200: { description: 'Its state', schema: z.looseObject({ active: z.boolean() }) },
    400: { description: 'invalid_request', schema: oauthError },
    401: { description: 'invalid_client', schema: oauthError },
    503: keysUnavailable,
  },
  refusals: [],
  // It notes when a credential was last seen in use, which reviews read; nothing else changes.
  events: [],
  handle: ({ context }, deps) => introspect(context, deps),
});

const revocation = defineRoute({
  method: 'post',
  path: '/oauth2/revoke',
  tag: 'OAuth',
  summary: 'Take a token back, or a deferral code (RFC 7009); one that is not known is no error',
  allow: ['anyone'],
  form: z.object({ token: z.string(), token_type_hint: z.string().optional() }),
  answers: {
    200: { description: 'It is good no more, or never was' },
    400: {
      description: 'invalid_request, unauthorized_client, invalid_dpop_proof, invalid_grant',
      schema: oauthError,
    },
    401: { description: 'invalid_client', schema: oauthError },
    503: keysUnavailable,
  },
  refusals: [],
  events: [
    'token.revoked',
    'credential.revoke_intended',
    'credential.revoked',
    'request.cancelled',
    'request.expired',
    'request.failed',
  ],
  handle: ({ context }, deps) => revoke(context, deps),
});

const statusLists = defineRoute({
  method: 'get',
  path: '/oauth2/status-lists/{id}',
  tag: 'OAuth',
  summary: 'Which tokens were taken back, for whoever checks them offline (Token Status List)',
  allow: ['anyone'],
  answers: {
    200: {
      description: `A signed list of bits, good for ${STATUS_SECONDS} seconds`,
      contentType: STATUS_LIST_TYPE,
    },
  },
  refusals: ['not_found'],
  events: [],
  handle: ({ context, params }, deps) => statusListToken(context, deps, params['id'] ?? ''),
});

const document = (path: `/${string}`, summary: string, make: (deps: ApiDeps) => JsonObject) =>
  defineRoute({
    method: 'get',
    path,
    tag: 'OAuth',
    summary,
    allow: ['anyone'],
    answers: { 200: { description: 'The metadata', schema: z.looseObject({}) } },
    refusals: [],
    events: [],
    handle: (_incoming, deps) => Promise.resolve(ok(make(deps))),
  });

const metadata = document(
  '/.well-known/oauth-authorization-server',
  'Authorization server metadata (RFC 8414)',
  serverMetadata,
);

const discovery = document(
  '/.well-known/openid-configuration',
  'OpenID Connect discovery, for those who federate with us',
  openIdConfiguration,
);

const resource = document(
  '/.well-known/oauth-protected-resource',
  'Protected resource metadata (RFC 9728)',
  resourceMetadata,
);

const jwks = defineRoute({
  method: 'get',
  path: '/.well-known/jwks.json',
  tag: 'OAuth',
  summary: 'The public keys that verify our tokens',
  allow: ['anyone'],
  answers: {
    200: { description: 'A JWK set', schema: z.object({ keys: z.array(z.looseObject({})) }) },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    await deps.tokens.refresh();
    return ok(
      {
        keys: deps.tokens.jwks.keys.map(({ kty = '', crv = '', x = '', y = '', kid = '' }) => ({
          kty,
          crv,
          x,
          y,
          kid,
          alg: 'ES256',
          use: 'sig',
        })),
      },
      { 'cache-control': `public, max-age=${cacheSeconds(deps.signingKeys.aheadSeconds)}` },
    );
  },
});

export const oauthRoutes = [
  token,
  introspection,
  revocation,
  statusLists,
  metadata,
  discovery,
  resource,
  jwks,
];
