// RFC 8414: what this authorization server offers, and where.
import type { JsonObject } from '../../domain/json.ts';
import type { ApiDeps } from '../route.ts';
import { JWT_BEARER_GRANT, tokenEndpoint } from './client-auth.ts';

export const serverMetadata = (deps: ApiDeps): JsonObject => ({
  issuer: deps.installation.issuer,
  token_endpoint: tokenEndpoint(deps.publicUrl),
  introspection_endpoint: `${deps.publicUrl}/oauth2/introspect`,
  jwks_uri: `${deps.publicUrl}/.well-known/jwks.json`,
  grant_types_supported: ['client_credentials', JWT_BEARER_GRANT],
  response_types_supported: [],
  token_endpoint_auth_methods_supported: ['private_key_jwt', 'spiffe_jwt'],
  token_endpoint_auth_signing_alg_values_supported: ['ES256'],
  introspection_endpoint_auth_methods_supported: ['bearer'],
  scopes_supported: ['agent'],
  service_documentation: `${deps.publicUrl}/docs`,
});
