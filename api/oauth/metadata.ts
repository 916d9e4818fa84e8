// What this authorization server offers, and where: RFC 8414, OpenID Connect Discovery 1.0 and RFC 9728.
import type { JsonObject } from '../../domain/json.ts';
import { PROOF_ALGORITHMS } from '../../keys/proof.ts';
import type { ApiDeps } from '../route.ts';
import { tokenEndpoint } from './client-auth.ts';
import { DEFERRAL_CODE_TYPE } from './deferred-poll.ts';
import { grantTypes } from './token.ts';

/** RFC 7523 and 8705, and draft-ietf-oauth-spiffe-client-auth for the two of SPIFFE. */
const AUTH_METHODS = [
  'private_key_jwt',
  'tls_client_auth',
  'self_signed_tls_client_auth',
  'spiffe_jwt',
  'spiffe_x509',
];
const AUTH_ALGORITHMS = ['ES256'];
const SCOPES = ['agent', 'task'];

/** RFC 8414 §2. */
export const serverMetadata = (deps: ApiDeps): JsonObject => ({
  issuer: deps.installation.issuer,
  token_endpoint: tokenEndpoint(deps.publicUrl),
  introspection_endpoint: `${deps.publicUrl}/oauth2/introspect`,
  revocation_endpoint: `${deps.publicUrl}/oauth2/revoke`,
  jwks_uri: `${deps.publicUrl}/.well-known/jwks.json`,
  grant_types_supported: grantTypes(),
  response_types_supported: [],
  scopes_supported: SCOPES,
  token_endpoint_auth_methods_supported: AUTH_METHODS,
  token_endpoint_auth_signing_alg_values_supported: AUTH_ALGORITHMS,
  introspection_endpoint_auth_methods_supported: AUTH_METHODS,
  introspection_endpoint_auth_signing_alg_values_supported: AUTH_ALGORITHMS,
  revocation_endpoint_auth_methods_supported: AUTH_METHODS,
  revocation_endpoint_auth_signing_alg_values_supported: AUTH_ALGORITHMS,
  revocation_endpoint_token_type_values_supported: ['access_token', DEFERRAL_CODE_TYPE],
  deferred_token_response_supported: true,
  dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
  tls_client_certificate_bound_access_tokens: true,
  ...(deps.mutualTlsUrl !== null && {
    mtls_endpoint_aliases: {
      token_endpoint: tokenEndpoint(deps.mutualTlsUrl),
      introspection_endpoint: `${deps.mutualTlsUrl}/oauth2/introspect`,
      revocation_endpoint: `${deps.mutualTlsUrl}/oauth2/revoke`,
    },
  }),
  protected_resources: [deps.installation.issuer],
  service_documentation: `${deps.publicUrl}/docs`,
});

/**
 * OpenID Connect Discovery 1.0 §3, for those who take our tokens as those of an identity provider. Nobody signs in
 * here through a browser: there is no authorization endpoint, and the one response type is what the form demands.
 */
export const openIdConfiguration = (deps: ApiDeps): JsonObject => ({
  ...serverMetadata(deps),
  response_types_supported: ['id_token'],
  subject_types_supported: ['public'],
  id_token_signing_alg_values_supported: ['ES256'],
  claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti'],
});

/** RFC 9728 §2: our own API as a resource. */
export const resourceMetadata = (deps: ApiDeps): JsonObject => ({
  resource: deps.installation.issuer,
  authorization_servers: [deps.installation.issuer],
  scopes_supported: SCOPES,
  bearer_methods_supported: ['header'],
  dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
  tls_client_certificate_bound_access_tokens: true,
  resource_name: 'Countersign',
  resource_documentation: `${deps.publicUrl}/docs`,
});
