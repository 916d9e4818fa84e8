// Shapes of what the SPIFFE routes take and answer.
import { z } from 'zod';
import { JWT_SVID_SECONDS_MAX, X509_SVID_SECONDS_MAX } from '../commands/credentials/svids.ts';
import { instant, jwk } from './schemas.ts';

export const spiffeBundle = z.object({
  keys: z.array(z.looseObject({ kty: z.string(), use: z.enum(['x509-svid', 'jwt-svid']) })),
  spiffe_sequence: z.int(),
  spiffe_refresh_hint: z.int(),
});

export const x509SvidBody = z.strictObject({
  csr: z.string().max(16_384).optional().meta({ description: 'PKCS #10 in PEM, P-256' }),
  seal_to: jwk.optional(),
  ttl_seconds: z.int().min(10).max(X509_SVID_SECONDS_MAX).default(1800),
});

export const x509Svid = z
  .object({
    certificate: z.string().meta({ description: 'PEM, leaf first' }),
    bundle: z.string().meta({ description: 'PEM of the authorities of this trust domain' }),
    spiffe_id: z.string(),
    serial: z.string().meta({ description: 'Hexadecimal' }),
    issued_at: instant,
    expires_at: instant,
    sealed: z.string().nullable().meta({
      description: 'With seal_to: all of it and the private key, as JWE compact to that key',
    }),
  })
  .meta({ id: 'X509Svid' });

export const jwtSvidBody = z.strictObject({
  audience: z.array(z.string().min(1).max(500)).min(1).max(10),
  ttl_seconds: z.int().min(10).max(JWT_SVID_SECONDS_MAX).default(300),
});

export const jwtSvid = z
  .object({ svid: z.string(), spiffe_id: z.string(), jti: z.string(), expires_at: instant })
  .meta({ id: 'JwtSvid' });

export const certificate = z
  .object({
    serial: z.string(),
    state: z.enum(['good', 'revoked', 'expired']),
    spiffe_id: z.string(),
    agent: z.string(),
    credential: z.string().nullable(),
    issued_at: instant,
    expires_at: instant,
    revoked_at: instant.nullable(),
  })
  .meta({ id: 'Certificate' });

export const trustBundles = z
  .object({
    trust_domain: z.string(),
    bundles: z.record(
      z.string(),
      spiffeBundle.partial({ spiffe_sequence: true, spiffe_refresh_hint: true }),
    ),
    revocations: z.string().meta({
      description: 'Changes whenever GET /v1/svid/revocations says something else',
    }),
  })
  .meta({ id: 'TrustBundles' });

export const revocationLists = z
  .object({
    revocations: z.string().meta({ description: 'As GET /v1/svid/bundles says it' }),
    lists: z.array(
      z.object({ authority: z.string(), crl: z.string().meta({ description: 'DER, base64' }) }),
    ),
    next_update: instant,
  })
  .meta({ id: 'RevocationLists' });
