// SPIFFE identities of the agent itself, and the bundles that judge those of others.
import type { JsonObject } from '../domain/json.ts';
import type { PublicJwk } from './keys.ts';
import type { CallOptions, Transport } from './transport.ts';

/** An X.509-SVID as the server signs it. */
export interface X509Svid {
  /** PEM, leaf first. */
  certificate: string;
  /** PEM of the authorities of this trust domain. */
  bundle: string;
  spiffe_id: string;
  serial: string;
  issued_at: string;
  expires_at: string;
  /** With `sealTo`: all of it and the private key, sealed to that key. */
  sealed: string | null;
}

/** A JWT-SVID as the server signs it. */
export interface JwtSvid {
  svid: string;
  spiffe_id: string;
  jti: string;
  expires_at: string;
}

/** What an agent may judge others by: the bundle of its own trust domain and of those it federates with. */
export interface TrustBundles {
  trust_domain: string;
  bundles: Record<string, JsonObject>;
  /** Changes whenever the revocation lists say something else. */
  revocations: string;
}

/** What the authorities of this trust domain revoked. */
export interface RevocationLists {
  /** As the bundles say it. */
  revocations: string;
  /** DER in base64, one of each authority. */
  lists: { authority: string; crl: string }[];
  next_update: string;
}

/** A signing request in PEM for a key of one's own, or a key to which one made for it is sealed. */
export type X509SvidOrder = ({ csr: string } | { sealTo: PublicJwk }) & {
  ttlSeconds?: number | undefined;
};

export const svidCalls = (transport: Transport) => ({
  /** An X.509-SVID of the agent itself. */
  x509: (order: X509SvidOrder, options?: CallOptions) =>
    transport.post<X509Svid>('/v1/svid/x509', {
      ...options,
      body: {
        ...('csr' in order ? { csr: order.csr } : { seal_to: { ...order.sealTo } }),
        ttl_seconds: order.ttlSeconds,
      },
    }),

  /** A JWT-SVID of the agent itself, for those it names. */
  jwt: (order: { audience: string[]; ttlSeconds?: number | undefined }, options?: CallOptions) =>
    transport.post<JwtSvid>('/v1/svid/jwt', {
      ...options,
      body: { audience: order.audience, ttl_seconds: order.ttlSeconds },
    }),

  /** The bundles by trust domain. */
  bundles: (options?: CallOptions) => transport.get<TrustBundles>('/v1/svid/bundles', options),

  /** The revocation lists of this trust domain, signed now. */
  revocations: (options?: CallOptions) =>
    transport.get<RevocationLists>('/v1/svid/revocations', options),
});
