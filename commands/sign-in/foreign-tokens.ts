// Signing in with a token that somebody else made: an OIDC issuer or a SPIFFE trust domain that policy names.
import { createHash } from 'node:crypto';
import {
  artifactDigest,
  claimAt,
  matchesClaims,
  matchesSubject,
} from '../../domain/claim-match.ts';
import type { JsonObject } from '../../domain/json.ts';
import { claimedTrustDomain, verifyJwtSvid } from '../../keys/spiffe-bundle.ts';
import {
  unverifiedClaims,
  verifyForeign,
  type Claims,
  type TokenFault,
} from '../../keys/verify.ts';
import type { Federation, IssuerDefinition, IssuerWayIn, WayIn } from '../policy/federation.ts';
import type { Proof } from './agent-sign-in.ts';
import type { ForeignTrust, Freshness } from './foreign-trust.ts';

/** An agent that a token lets in, and how. */
export interface LetIn {
  agent: string;
  proof: Proof;
}

/** Why a token lets nobody in, in words for whoever set the way in up. */
export interface NotLetIn {
  says: string;
}

export type Judgement = LetIn[] | NotLetIn;

/** Somebody else's token is remembered for as long as it is good, and so it may not be good for ever. */
const LIFE_SECONDS_MAX = 24 * 3600;
const SKEW_SECONDS = 30;

export interface TokenJudge {
  federation: Federation;
  trust: ForeignTrust;
  /** Those of us that a JWT-SVID may be made for; an issuer's audience is in its definition. */
  audiences: readonly string[];
  now: Date;
}

/**
 * What of a federation is somebody else's. Our own tokens and SVIDs let nobody in: they come from a sign-in, and one
 * that led to the next would outlast the key or the way in that it began with.
 */
export function onlyOthers(
  federation: Federation,
  own: { issuer: string; trustDomain: string; publicUrl: string },
): Federation {
  const isOurs = (issuer: string): boolean => [own.issuer, own.publicUrl].includes(issuer);
  return {
    ...federation,
    issuers: new Map([...federation.issuers].filter(([, { issuer }]) => !isOurs(issuer))),
    trustDomains: new Map(
      [...federation.trustDomains].filter(([name]) => name !== own.trustDomain),
    ),
  };
}

/** Judges a token of an OIDC issuer by every definition that has its issuer, byte for byte. */
export async function judgeIssuerToken(token: string, judge: TokenJudge): Promise<Judgement> {
  const issuer = unverifiedClaims(token)?.['iss'];
  const named = [...judge.federation.issuers].filter(([, each]) => each.issuer === issuer);
  if (named.length === 0)
    return { says: 'The token is from an issuer that the policy does not name, to the letter.' };
  const lets: LetIn[] = [];
  let says = '';
  for (const [name, definition] of named) {
    const found = await judgeBy(token, name, definition, judge);
    if (Array.isArray(found)) lets.push(...found);
    else says ||= found.says;
  }
  return lets.length > 0 ? lets : { says };
}

/** The claims of a token that an issuer made for us, by one definition of it. */
export async function claimsBy(
  token: string,
  name: string,
  definition: IssuerDefinition,
  judge: Omit<TokenJudge, 'audiences'>,
): Promise<{ claims: Claims } | NotLetIn> {
  const verdict = await withFreshKeys((freshness) =>
    judge.trust.issuerKeys(definition, freshness).then((keys) =>
      verifyForeign(token, {
        keys,
        algorithms: definition.algorithms,
        issuer: definition.issuer,
        audience: definition.audience,
        types: definition.types ?? ['JWT', null],
        now: judge.now,
      }),
    ),
  );
  if (verdict.fault !== null) return { says: sayFault(verdict.fault, `issuers.${name}`) };
  const { claims } = verdict;
  const unfit = whyUnfit(claims, judge.now);
  return unfit === null ? { claims } : { says: unfit };
}

async function judgeBy(
  token: string,
  name: string,
  definition: IssuerDefinition,
  judge: TokenJudge,
): Promise<Judgement> {
  const found = await claimsBy(token, name, definition, judge);
  if ('says' in found) return found;
  const { claims } = found;
  const ways = judge.federation.waysIn.filter(
    (way): way is IssuerWayIn =>
      way.kind === 'issuer' &&
      way.issuer === name &&
      matchesSubject(claims.sub, way.subject) &&
      matchesClaims(claims, way.claims),
  );
  const lets = ways.flatMap((way) => letInBy(way, claims, once(token, definition.issuer, claims)));
  return lets.length > 0
    ? lets
    : { says: `No way in of the policy has this subject of issuers.${name} and its claims.` };
}

function letInBy(way: IssuerWayIn, claims: Claims, used: Proof['once']): LetIn[] {
  const { artifactDigestClaim: claim } = way;
  const digest = claim === null ? null : artifactDigest(claimAt(claims, claim));
  // A way in that is to say which artifact comes in lets none in that does not say it.
  if (claim !== null && digest === null) return [];
  return [
    letIn(way, 'oidc', used, {
      posture: digest === null ? null : { artifact_digest: digest },
      workload: workloadOf(claims),
    }),
  ];
}

/** Judges a JWT-SVID by the bundle of the trust domain that its subject is of. */
export async function judgeSvidToken(token: string, judge: TokenJudge): Promise<Judgement> {
  const trustDomain = claimedTrustDomain(token) ?? '';
  const definition = judge.federation.trustDomains.get(trustDomain);
  if (!definition)
    return { says: 'The token is of no trust domain that the policy federates with.' };
  const { audiences: audience, now } = judge;
  const verdict = await withFreshKeys(async (freshness) => {
    const { jwtKeys } = await judge.trust.bundle(trustDomain, definition, freshness);
    return verifyJwtSvid(token, { jwtKeys, trustDomain, audience, now });
  });
  const place = `trust_domains.${trustDomain}`;
  if (verdict.fault !== null) return { says: sayFault(verdict.fault, place) };
  const { claims, spiffeId } = verdict;
  const unfit = whyUnfit(claims, now);
  if (unfit !== null) return { says: unfit };
  const lets = waysOfSpiffeId(judge.federation, spiffeId).map((way) =>
    letIn(way, 'jwt_svid', once(token, `spiffe://${trustDomain}`, claims), {
      posture: null,
      workload: { spiffe_id: spiffeId },
    }),
  );
  return lets.length > 0
    ? lets
    : { says: `No way in of the policy has this SPIFFE ID of ${place}.` };
}

/** The ways in of one SPIFFE ID, whichever document shows it. */
export const waysOfSpiffeId = ({ waysIn }: Federation, id: string): WayIn[] =>
  waysIn.filter((way) => way.kind === 'spiffe' && way.spiffeId === id);

/** A way in, used in some manner. */
export const letIn = (
  way: WayIn,
  method: Proof['method'],
  used: Proof['once'],
  about: { posture: JsonObject | null; workload: JsonObject | null },
): LetIn => ({
  agent: way.agent,
  proof: {
    method,
    standing: { kind: 'way_in', wayIn: way.digest },
    once: used,
    certificate: null,
    ...about,
  },
});

/** A key that is not there may be new: it is looked for once more, in what the source says now. */
async function withFreshKeys<V extends { fault: string | null }>(
  judge: (freshness: Freshness) => Promise<V>,
): Promise<V> {
  const verdict = await judge('kept');
  return verdict.fault === 'key_unknown' ? judge('newer') : verdict;
}

/** What makes a genuine token no good here. */
function whyUnfit({ exp, aud }: Claims, now: Date): string | null {
  if (!(exp <= now.getTime() / 1000 + LIFE_SECONDS_MAX + SKEW_SECONDS))
    return `The token is good for more than ${LIFE_SECONDS_MAX / 3600} hours: have a shorter one made.`;
  // Whoever else it is for could bring it here.
  if (Array.isArray(aud) && aud.length > 1)
    return 'The token is for several audiences: have one made for this server alone.';
  return null;
}

/** Good once by its `jti`, else by the very bytes that were signed; a signature can be written in several ways. */
export function once(
  token: string,
  source: string,
  { jti, exp }: Claims,
): NonNullable<Proof['once']> {
  const what = typeof jti === 'string' ? `jti ${jti}` : token.slice(0, token.lastIndexOf('.'));
  return {
    source,
    jti: createHash('sha256').update(what).digest('hex'),
    expiresAt: new Date((exp + SKEW_SECONDS) * 1000).toISOString(),
  };
}

/** What the usual issuers say about the workload, as far as it is there and short. */
const TOLD = [
  'repository',
  'repository_id',
  'ref',
  'sha',
  'workflow_ref',
  'job_workflow_ref',
  'job_workflow_sha',
  'run_id',
  'run_attempt',
  'actor',
  'project_path',
  'pipeline_id',
  'job_id',
  'ci_config_sha',
  'kubernetes.io',
  'azp',
  'email',
];
const TOLD_CHARACTERS_MAX = 1_000;

function workloadOf(claims: Claims): JsonObject {
  const told = TOLD.flatMap((name) => {
    const value = claimAt(claims, name);
    const isShort = value !== undefined && JSON.stringify(value).length <= TOLD_CHARACTERS_MAX;
    return isShort ? [[name, value] as const] : [];
  });
  return { issuer: claims['iss'] ?? null, subject: claims.sub, ...Object.fromEntries(told) };
}

type SvidFault = 'spiffe_id_invalid' | 'trust_domain_wrong';

const FAULTS: Record<TokenFault | SvidFault, string> = {
  spiffe_id_invalid: 'has a subject that is no SPIFFE ID',
  trust_domain_wrong: 'is of another trust domain',
  too_large: 'is too large',
  malformed: 'is not a JWT in its one form',
  header_refused: 'has a header that is not taken',
  algorithm_refused: 'is signed with an algorithm that this source may not use',
  type_refused: 'has another typ than this source may use',
  key_unknown: 'is signed with a key that the source does not publish',
  key_refused: 'is signed with a key that is too weak, or not for this',
  signature_wrong: 'does not verify',
  claims_refused: 'lacks a claim, or has one of another type',
  issuer_wrong: 'is from another issuer',
  audience_wrong: 'is for another audience',
  expired: 'has expired',
  not_yet: 'is not good yet',
};

const sayFault = (fault: TokenFault | SvidFault, place: string): string =>
  `By ${place} of the policy, the token ${FAULTS[fault]}.`;
