// OAuth at its standard paths.
import { z } from 'zod';
import { cacheSeconds } from '../../domain/signing-key.ts';
import { defineRoute, ok } from '../route.ts';
import { JWT_BEARER_GRANT } from './client-auth.ts';
import { introspect } from './introspect.ts';
import { serverMetadata } from './metadata.ts';
import { issueToken } from './token.ts';

/** RFC 6749 §5.2: the token endpoint has errors of its own. */
const oauthError = z.object({ error: z.string(), error_description: z.string() });

const token = defineRoute({
  method: 'post',
  path: '/oauth2/token',
  tag: 'OAuth',
  summary:
    'Sign an agent in: with its key, a token of a federated issuer, an SVID, or a certificate',
  allow: ['anyone'],
  form: z.object({
    grant_type: z.enum(['client_credentials', JWT_BEARER_GRANT]),
    client_assertion_type: z.string().optional(),
    client_assertion: z.string().optional(),
    assertion: z.string().optional(),
    client_id: z.string().optional(),
  }),
  answers: {
    200: {
      description: 'An access token',
      schema: z.object({
        access_token: z.string(),
        token_type: z.literal('Bearer'),
        expires_in: z.int(),
        scope: z.string(),
      }),
    },
    400: { description: 'invalid_request, unsupported_grant_type', schema: oauthError },
    401: { description: 'invalid_client', schema: oauthError },
    503: {
      description: 'temporarily_unavailable: the keys of a federated issuer cannot be had',
      schema: oauthError,
      headers: { 'Retry-After': 'Seconds' },
    },
  },
  refusals: [],
  events: ['agent.signed_in'],
  handle: ({ context }, deps) => issueToken(context, deps),
});

const introspection = defineRoute({
  method: 'post',
  path: '/oauth2/introspect',
  tag: 'OAuth',
  summary: 'Whether a token is good now (RFC 7662)',
  allow: ['agent', 'service'],
  form: z.object({ token: z.string() }),
  answers: {
    200: { description: 'Its state', schema: z.looseObject({ active: z.boolean() }) },
    400: { description: 'invalid_request', schema: oauthError },
  },
  refusals: [],
  // It notes when a credential was last seen in use, which reviews read; nothing else changes.
  events: [],
  handle: ({ context }, deps) => introspect(context, deps),
});

const metadata = defineRoute({
  method: 'get',
  path: '/.well-known/oauth-authorization-server',
  tag: 'OAuth',
  summary: 'Authorization server metadata (RFC 8414)',
  allow: ['anyone'],
  answers: { 200: { description: 'The metadata', schema: z.looseObject({ issuer: z.string() }) } },
  refusals: [],
  events: [],
  handle: (_incoming, deps) => Promise.resolve(ok(serverMetadata(deps))),
});

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

export const oauthRoutes = [token, introspection, metadata, jwks];
