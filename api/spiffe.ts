// SPIFFE: SVIDs for agents, and what others need to judge them: the bundle, the revocation lists, single serials.
import {
  certificateStatus,
  crlOf,
  revocationLists,
  revocationsDigest,
  type CertificateStatus,
} from '../commands/credentials/certificates.ts';
import {
  certificateMaterial,
  issueJwtSvid,
  issueX509Svid,
  makeLeafKey,
  type MadeKey,
} from '../commands/credentials/svids.ts';
import { answerOnce } from '../commands/once.ts';
import { readActiveBundle } from '../commands/policy/policies.ts';
import type { AgentPrincipal, Principal } from '../commands/principal.ts';
import { TrustUnavailable } from '../commands/sign-in/foreign-trust.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { cacheSeconds } from '../domain/signing-key.ts';
import { readPublicKey, sealTo, type PublicKey } from '../keys/public-key.ts';
import { formatSpiffeBundle } from '../keys/spiffe-bundle.ts';
import { readSigningRequest } from '../keys/x509/csr.ts';
import { invalid } from './body.ts';
import { asJsonObject } from './json-body.ts';
import { created, defineRoute, ok, type ApiDeps } from './route.ts';
import * as shape from './spiffe-schemas.ts';

/** Half of the time by which keys are published ahead, so that nobody misses one. */
const hintSeconds = ({ signingKeys }: ApiDeps): number => cacheSeconds(signingKeys.aheadSeconds);

const bundle = defineRoute({
  method: 'get',
  path: '/spiffe/bundle',
  tag: 'SPIFFE',
  summary: 'The bundle of this trust domain: what judges its X.509-SVIDs and JWT-SVIDs',
  description:
    'A bundle endpoint of the profile `https_web` wherever the service is reached by https. `spiffe_sequence` grows with every change.',
  allow: ['anyone'],
  answers: { 200: { description: 'A SPIFFE bundle', schema: shape.spiffeBundle } },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) =>
    ok(await deps.authorities.bundle(hintSeconds(deps)), {
      'cache-control': `public, max-age=${hintSeconds(deps)}`,
    }),
});

const crl = defineRoute({
  method: 'get',
  path: '/spiffe/crl',
  tag: 'SPIFFE',
  summary: 'What the authority that signs now has revoked',
  allow: ['anyone'],
  answers: { 200: { description: 'A CRL, DER', contentType: 'application/pkix-crl' } },
  refusals: [],
  events: [],
  handle: (_incoming, deps) => serveCrl(deps, null),
});

const crlOfAuthority = defineRoute({
  method: 'get',
  path: '/spiffe/crl/{authority}',
  tag: 'SPIFFE',
  summary: 'What one authority has revoked; certificates name this address',
  allow: ['anyone'],
  answers: { 200: { description: 'A CRL, DER', contentType: 'application/pkix-crl' } },
  refusals: ['not_found'],
  events: [],
  handle: ({ params }, deps) => serveCrl(deps, params['authority'] ?? ''),
});

/** Signed for each call, and kept by nobody: a suspension is on the list of whoever asks after it was answered. */
async function serveCrl(deps: ApiDeps, kid: string | null): Promise<Response> {
  const authority =
    kid === null
      ? await deps.authorities.active()
      : (await deps.authorities.all()).find((each) => each.kid === kid);
  if (!authority)
    throw new Refusal(
      'not_found',
      'There is no such authority, or nothing of it is valid any more.',
    );
  const { der } = await crlOf(deps, authority);
  return new Response(der, {
    headers: { 'content-type': 'application/pkix-crl', 'cache-control': 'no-cache' },
  });
}

const x509Svid = defineRoute({
  method: 'post',
  path: '/v1/svid/x509',
  tag: 'SPIFFE',
  summary: 'An X.509-SVID of the agent itself',
  description:
    'Send a signing request (`csr`), of which only the key is read, or have a key made and sealed to yours (`seal_to`).',
  allow: ['agent'],
  body: shape.x509SvidBody,
  answers: { 201: { description: 'The certificate and the bundle', schema: shape.x509Svid } },
  refusals: [
    'agent_not_active',
    'csr_invalid',
    'weak_key',
    'seal_key_invalid',
    'log_unavailable',
    'unavailable',
  ],
  events: ['svid.issued'],
  handle: async ({ principal, call, once, body }, deps) => {
    const ask = await readKeyAsk(body.csr, body.seal_to);
    const authority = await deps.authorities.active();
    const authorities = await deps.authorities.all();
    return answerOnce(deps, call, once, async (unit) => {
      const signed = await issueX509Svid(unit, authority, {
        agent: asAgent(principal).id,
        key: ask.key,
        ttlSeconds: body.ttl_seconds,
      });
      const material = certificateMaterial(signed, authorities);
      return created({
        ...material,
        issued_at: signed.row.issuedAt,
        expires_at: signed.row.expiresAt,
        sealed: await sealedFor(ask, material),
      });
    });
  },
});

interface KeyAsk {
  key: PublicKey;
  /** The key that was made, and to whom its private part goes; null where it was brought along. */
  made: { key: MadeKey; sealTo: PublicKey } | null;
}

async function readKeyAsk(
  csr: string | undefined,
  seal: Record<string, unknown> | undefined,
): Promise<KeyAsk> {
  if (csr !== undefined && seal === undefined)
    return { key: await readSigningRequest(csr), made: null };
  if (csr !== undefined || seal === undefined)
    throw invalid('Send either csr, or seal_to to have a key made.');
  const sealKey = await readPublicKey(asJsonObject(seal), 'seal_key_invalid');
  const key = await makeLeafKey();
  return { key: key.publicKey, made: { key, sealTo: sealKey } };
}

const sealedFor = async ({ made }: KeyAsk, material: JsonObject): Promise<string | null> =>
  made && sealTo(made.sealTo.jwk, { kind: 'x509', ...material, private_key: made.key.privatePem });

const jwtSvid = defineRoute({
  method: 'post',
  path: '/v1/svid/jwt',
  tag: 'SPIFFE',
  summary: 'A JWT-SVID of the agent itself, for those it names',
  description: 'An audience that a role of the policy gives tokens for is reached by that role.',
  allow: ['agent'],
  body: shape.jwtSvidBody,
  answers: { 201: { description: 'The token', schema: shape.jwtSvid } },
  refusals: ['agent_not_active', 'forbidden', 'log_unavailable'],
  events: ['svid.issued'],
  handle: ({ principal, call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const { svid, spiffeId, jti, expiresAt } = await issueJwtSvid(unit, deps, {
        agent: asAgent(principal).id,
        audience: body.audience,
        ttlSeconds: body.ttl_seconds,
      });
      return created({ svid, spiffe_id: spiffeId, jti, expires_at: expiresAt });
    }),
});

/** The route table lets only agents come this far. */
const asAgent = (principal: Principal | null): AgentPrincipal => principal as AgentPrincipal;

const bundles = defineRoute({
  method: 'get',
  path: '/v1/svid/bundles',
  tag: 'SPIFFE',
  summary:
    'The bundles an agent judges others by: ours, and those of the trust domains policy names',
  allow: ['agent'],
  answers: { 200: { description: 'Bundles by trust domain', schema: shape.trustBundles } },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const { trustDomain } = deps.installation;
    const bundles = {
      ...(await federatedBundles(deps)),
      [trustDomain]: await deps.authorities.bundle(hintSeconds(deps)),
    };
    const revocations = await revocationsDigest(deps, await deps.authorities.all());
    return ok({ trust_domain: trustDomain, bundles, revocations }, { 'cache-control': 'no-store' });
  },
});

const revocations = defineRoute({
  method: 'get',
  path: '/v1/svid/revocations',
  tag: 'SPIFFE',
  summary: 'What our authorities revoked: the lists of all of them, signed now',
  description:
    'Fetch them again when `revocations` of `GET /v1/svid/bundles` changes, and before `next_update`.',
  allow: ['agent'],
  answers: { 200: { description: 'The lists', schema: shape.revocationLists } },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const { digest, lists, nextUpdate } = await revocationLists(deps, await deps.authorities.all());
    const encoded = lists.map(({ authority, der }) => ({
      authority,
      crl: der.toString('base64'),
    }));
    return ok(
      { revocations: digest, lists: encoded, next_update: nextUpdate },
      { 'cache-control': 'no-store' },
    );
  },
});

/** What is known of the trust domains of the policy. One that cannot be had now is left out: its SVIDs are no good. */
async function federatedBundles(deps: ApiDeps): Promise<JsonObject> {
  const { federation } = await readActiveBundle(deps.db.query, deps.policies);
  const bundles: JsonObject = {};
  await Promise.all(
    [...federation.trustDomains].map(async ([name, definition]) => {
      try {
        bundles[name] = formatSpiffeBundle(await deps.trust.bundle(name, definition, 'kept'));
      } catch (error) {
        if (!(error instanceof TrustUnavailable)) throw error;
      }
    }),
  );
  return bundles;
}

const showCertificate = defineRoute({
  method: 'get',
  path: '/v1/certificates/{serial}',
  tag: 'SPIFFE',
  summary: 'Whether a certificate of ours is good now',
  allow: ['agent', 'auditor'],
  answers: { 200: { description: 'Its state', schema: shape.certificate } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const found = await certificateStatus(deps.db.query, (params['serial'] ?? '').toLowerCase());
    return found
      ? ok(presentStatus(found), { 'cache-control': 'no-store' })
      : new Refusal('not_found', 'We signed no certificate with this serial, or it is long over.');
  },
});

const presentStatus = ({ row, state }: CertificateStatus): JsonObject => ({
  serial: row.serial,
  state,
  spiffe_id: row.spiffeId,
  agent: row.agent,
  credential: row.credential,
  issued_at: row.issuedAt,
  expires_at: row.expiresAt,
  revoked_at: row.revokedAt,
});

export const spiffeRoutes = [
  bundle,
  crl,
  crlOfAuthority,
  x509Svid,
  jwtSvid,
  bundles,
  revocations,
  showCertificate,
];
