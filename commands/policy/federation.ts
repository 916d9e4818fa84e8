// federation.yaml: who from elsewhere may sign in as which agent. It is policy, so that a way in is proposed, shown
// and agreed to like everything else that lets somebody in.
import { z } from 'zod';
import { digestOf, type Digest } from '../../domain/digest.ts';
import { isId, type Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { parseSpiffeId, parseTrustDomain, trustDomainOf } from '../../domain/spiffe-id.ts';
import { policyName, variable } from '../access/kind.ts';
import { readYaml, type PolicyProblem } from './yaml.ts';

export const FEDERATION_FILE = 'federation.yaml';

/** What an issuer may sign with: no `none` and no HMAC, with which every reader of its keys could sign. */
const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'EdDSA',
] as const;

/** The name of an agent, as it was registered. */
export const agentName = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'the name of an agent: lower-case letters, digits and dashes',
  );
const words = z.string().min(1).max(2000);

/** An address of somebody else's keys. In clear only on this machine itself, where nobody stands between. */
const address = z.string().refine(isSafeAddress, 'an https URL without a user, query or fragment');

function isSafeAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, search, hash } = new URL(text);
  const isHere = hostname === 'localhost' || hostname === '[::1]' || /^127\.[\d.]+$/.test(hostname);
  return (
    (protocol === 'https:' || (protocol === 'http:' && isHere)) &&
    username === '' &&
    password === '' &&
    search === '' &&
    hash === ''
  );
}

const issuerSchema = z.strictObject({
  /** Compared with `iss` byte for byte: a slash at the end is another issuer. */
  issuer: address,
  /** What its tokens must be made for: nothing that is also good elsewhere. */
  audience: words,
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).default(['RS256']),
  jwks_uri: address.optional(),
  types: z.array(z.string().min(1).max(100)).min(1).max(5).optional(),
});

const trustDomainSchema = z
  .strictObject({
    bundle_endpoint: address.optional(),
    profile: z.enum(['https_web', 'https_spiffe']).default('https_web'),
    endpoint_spiffe_id: z.string().refine(isSpiffeId, 'a SPIFFE ID').optional(),
    /** A bundle handed over out of band: the first one for `https_spiffe`, or the only one. */
    bundle_from: variable.optional(),
  })
  .superRefine(({ bundle_endpoint, profile, endpoint_spiffe_id, bundle_from }, context) => {
    const complain = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (bundle_endpoint === undefined && bundle_from === undefined)
      complain(
        'bundle_endpoint',
        'say where its bundle comes from: bundle_endpoint or bundle_from',
      );
    const isSpiffe = profile === 'https_spiffe';
    if (isSpiffe && (endpoint_spiffe_id === undefined || bundle_from === undefined))
      complain(
        'profile',
        'https_spiffe needs endpoint_spiffe_id, and bundle_from for the first connection',
      );
    if (!isSpiffe && endpoint_spiffe_id !== undefined)
      complain('endpoint_spiffe_id', 'is for the profile https_spiffe only');
  });

const authoritySchema = z.strictObject({ ca_from: variable });

/** A condition on a claim: its exact value, text as text and numbers as numbers. */
const claimValue = z.union([words, z.number(), z.boolean()]);

const SUBJECTS = ['subject', 'subject_prefix'] as const;
const CERTIFICATE_NAMES = ['san_uri', 'san_dns', 'subject_dn'] as const;

const wayInSchema = z.strictObject({
  agent: agentName,
  issuer: policyName.optional(),
  subject: words.optional(),
  subject_prefix: words.optional(),
  claims: z.record(words, claimValue).optional(),
  artifact_digest_claim: words.optional(),
  spiffe_id: z.string().refine(isSpiffeId, 'a whole SPIFFE ID with a path').optional(),
  certificate_authority: policyName.optional(),
  san_uri: words.optional(),
  san_dns: words.optional(),
  subject_dn: words.optional(),
});

type WrittenWayIn = z.infer<typeof wayInSchema>;

/** A person as an issuer knows them, and the agents that may bring their tokens as proof of whom they act for. */
const personSchema = z.strictObject({
  person: z.string().refine((text) => isId('person', text), 'the id of a person'),
  issuer: policyName,
  subject: words,
  agents: z.array(agentName).min(1).max(100),
});

const federationFile = z
  .strictObject({
    issuers: z.record(policyName, issuerSchema).default({}),
    trust_domains: z
      .record(z.string().refine(isTrustDomain, 'a trust domain'), trustDomainSchema)
      .default({}),
    certificate_authorities: z.record(policyName, authoritySchema).default({}),
    ways_in: z.array(wayInSchema).max(5_000).default([]),
    people: z.array(personSchema).max(5_000).default([]),
  })
  .superRefine((file, context) => {
    for (const [domain, { endpoint_spiffe_id: id }] of Object.entries(file.trust_domains))
      if (id !== undefined && trustDomainOf(id) !== domain)
        context.addIssue({
          code: 'custom',
          path: ['trust_domains', domain, 'endpoint_spiffe_id'],
          message: 'must be of this trust domain, by whose bundle it is judged',
        });
    for (const [index, way] of file.ways_in.entries())
      for (const [member, message] of faultsOf(way, file))
        context.addIssue({ code: 'custom', path: ['ways_in', index, member], message });
    for (const [index, who] of file.people.entries())
      for (const [member, message] of faultsOfPerson(who, file))
        context.addIssue({ code: 'custom', path: ['people', index, member], message });
    for (const [index, way] of file.ways_in.entries())
      if (file.ways_in.findIndex((each) => isSame(each, way)) < index)
        context.addIssue({ code: 'custom', path: ['ways_in', index], message: 'is there twice' });
  });

type FederationFile = z.infer<typeof federationFile>;

export type IssuerDefinition = z.infer<typeof issuerSchema>;
export type TrustDomainDefinition = z.infer<typeof trustDomainSchema>;
export type AuthorityDefinition = z.infer<typeof authoritySchema>;

interface AnyWayIn {
  agent: string;
  /** Of the whole entry with the source it names: whoever changes either opens another way in. */
  digest: Digest;
}

/** A token of an issuer, by its whole subject and the claims it must carry. */
export interface IssuerWayIn extends AnyWayIn {
  kind: 'issuer';
  issuer: string;
  subject: { whole: string } | { prefix: string };
  claims: Record<string, string | number | boolean>;
  artifactDigestClaim: string | null;
}

/** An identity of a federated trust domain, by either kind of document. */
interface SpiffeWayIn extends AnyWayIn {
  kind: 'spiffe';
  trustDomain: string;
  spiffeId: string;
}

/** A certificate of one's own authority, by exactly one name in it. */
export interface CertificateWayIn extends AnyWayIn {
  kind: 'certificate';
  authority: string;
  name: { is: (typeof CERTIFICATE_NAMES)[number]; value: string };
}

export type WayIn = IssuerWayIn | SpiffeWayIn | CertificateWayIn;

/** Whose word a token of an issuer is, and which agents may bring it. */
export interface PersonsWord {
  person: Id<'person'>;
  issuer: string;
  subject: string;
  agents: readonly string[];
  /** Of the whole entry with its issuer: once either changes, it is another one. */
  digest: Digest;
}

export interface Federation {
  issuers: Map<string, IssuerDefinition>;
  trustDomains: Map<string, TrustDomainDefinition>;
  authorities: Map<string, AuthorityDefinition>;
  waysIn: readonly WayIn[];
  people: readonly PersonsWord[];
  /** What is allowed, and worth a second look. */
  warnings: readonly PolicyProblem[];
}

const NONE: FederationFile = {
  issuers: {},
  trust_domains: {},
  certificate_authorities: {},
  ways_in: [],
  people: [],
};

/** Reads federation.yaml, which a bundle may leave out. */
export function readFederation(
  files: Record<string, string>,
  problems: PolicyProblem[],
): Federation {
  const file =
    files[FEDERATION_FILE] === undefined
      ? NONE
      : (readYaml(FEDERATION_FILE, files, federationFile, problems) ?? NONE);
  return {
    issuers: new Map(Object.entries(file.issuers)),
    trustDomains: new Map(Object.entries(file.trust_domains)),
    authorities: new Map(Object.entries(file.certificate_authorities)),
    waysIn: file.ways_in.map((way) => resolveWayIn(way, file)),
    people: file.people.map((who) => ({
      ...who,
      person: asPersonId(who.person),
      digest: digestOf('countersign/persons-word/v1', {
        who: asJson(who),
        source: asJson(file.issuers[who.issuer] ?? {}),
      }),
    })),
    warnings: file.ways_in.flatMap((way) => warningAbout(way, files[FEDERATION_FILE] ?? '')),
  };
}

function isSpiffeId(text: string): boolean {
  try {
    // The root of a trust domain is the domain itself, and nobody in it.
    return parseSpiffeId(text).slice('spiffe://'.length).includes('/');
  } catch {
    return false;
  }
}

function isTrustDomain(text: string): boolean {
  try {
    return parseTrustDomain(text) === text;
  } catch {
    return false;
  }
}

/** Its schema let ids of people through and nothing else. */
const asPersonId = (text: string): Id<'person'> => text as Id<'person'>;

/** One subject is one human: two entries for it could disagree about whom its token is of. */
function faultsOfPerson(
  who: FederationFile['people'][number],
  file: FederationFile,
): [string, string][] {
  const { issuer, subject } = who;
  const source = file.issuers[issuer];
  if (!Object.hasOwn(file.issuers, issuer) || !source)
    return [['issuer', `there is no "${issuer}" here`]];
  // Definitions of one issuer differ in audience or type, and not in whom a subject is.
  const isSameSubject = (each: FederationFile['people'][number]): boolean =>
    each.subject === subject && file.issuers[each.issuer]?.issuer === source.issuer;
  const isWayIn = file.ways_in.some(
    (way) =>
      (way.subject === subject || subject.startsWith(way.subject_prefix ?? `${subject} `)) &&
      file.issuers[way.issuer ?? '']?.issuer === source.issuer,
  );
  return [
    ...(file.people.find(isSameSubject) === who
      ? []
      : [['subject', 'is there twice'] as [string, string]]),
    ...(isWayIn ? [['subject', 'signs in as an agent: nobody is both'] as [string, string]] : []),
  ];
}

type Fault = [member: keyof WrittenWayIn, message: string];

/** What is wrong with a way in that has the right members: kinds that are mixed, and names that lead nowhere. */
function faultsOf(way: WrittenWayIn, file: FederationFile): Fault[] {
  const sources = (['issuer', 'spiffe_id', 'certificate_authority'] as const).filter(
    (member) => way[member] !== undefined,
  );
  const [source] = sources;
  if (source === undefined || sources.length > 1)
    return [['agent', 'a way in names one of issuer, spiffe_id and certificate_authority']];
  const strangers = [...SUBJECTS, 'claims', 'artifact_digest_claim', ...CERTIFICATE_NAMES] as const;
  const own: readonly string[] = OWN_MEMBERS[source];
  const misplaced = strangers
    .filter((member) => way[member] !== undefined && !own.includes(member))
    .map((member): Fault => [member, `does not go with ${source}`]);
  return [...misplaced, ...FAULTS[source](way, file)];
}

const OWN_MEMBERS = {
  issuer: [...SUBJECTS, 'claims', 'artifact_digest_claim'],
  spiffe_id: [],
  certificate_authority: CERTIFICATE_NAMES,
} as const;

const FAULTS: Record<
  keyof typeof OWN_MEMBERS,
  (way: WrittenWayIn, file: FederationFile) => Fault[]
> = {
  issuer: (way, { issuers }) => [
    ...leadsNowhere('issuer', way.issuer, issuers),
    ...exactlyOne(way, SUBJECTS),
    ...(way.subject_prefix !== undefined && !/[:/|]$/.test(way.subject_prefix)
      ? [['subject_prefix', 'must end in one of : / | so that it ends where a name does'] as Fault]
      : []),
  ],
  spiffe_id: (way, { trust_domains }) =>
    leadsNowhere('spiffe_id', trustDomainOf(way.spiffe_id ?? ''), trust_domains),
  certificate_authority: (way, { certificate_authorities }) => [
    ...leadsNowhere('certificate_authority', way.certificate_authority, certificate_authorities),
    ...exactlyOne(way, CERTIFICATE_NAMES),
  ],
};

const leadsNowhere = (
  member: keyof WrittenWayIn,
  source: string | undefined,
  known: Record<string, unknown>,
): Fault[] =>
  source !== undefined && Object.hasOwn(known, source)
    ? []
    : [
        [
          member,
          `there is no "${source}" here; there are: ${Object.keys(known).join(', ') || 'none'}`,
        ],
      ];

function exactlyOne(way: WrittenWayIn, members: readonly (keyof WrittenWayIn)[]): Fault[] {
  const there = members.filter((member) => way[member] !== undefined);
  return there.length === 1 ? [] : [['agent', `say exactly one of ${members.join(', ')}`]];
}

const isSame = (one: WrittenWayIn, other: WrittenWayIn): boolean =>
  digestOf('countersign/way-in/v1', asJson(one)) ===
  digestOf('countersign/way-in/v1', asJson(other));

/** What was read from YAML in these shapes is plain JSON, without what it leaves out. */
const asJson = (read: object): JsonObject => JSON.parse(JSON.stringify(read)) as JsonObject;

function resolveWayIn(way: WrittenWayIn, file: FederationFile): WayIn {
  const common = (source: object | undefined): AnyWayIn => ({
    agent: way.agent,
    digest: digestOf('countersign/way-in/v1', { way: asJson(way), source: asJson(source ?? {}) }),
  });
  if (way.issuer !== undefined)
    return {
      kind: 'issuer',
      ...common(file.issuers[way.issuer]),
      issuer: way.issuer,
      subject:
        way.subject === undefined ? { prefix: way.subject_prefix ?? '' } : { whole: way.subject },
      claims: way.claims ?? {},
      artifactDigestClaim: way.artifact_digest_claim ?? null,
    };
  if (way.spiffe_id !== undefined) {
    const trustDomain = trustDomainOf(way.spiffe_id);
    const source = file.trust_domains[trustDomain];
    return { kind: 'spiffe', ...common(source), trustDomain, spiffeId: way.spiffe_id };
  }
  const authority = way.certificate_authority ?? '';
  const is = CERTIFICATE_NAMES.find((member) => way[member] !== undefined) ?? 'san_uri';
  return {
    kind: 'certificate',
    ...common(file.certificate_authorities[authority]),
    authority,
    name: { is, value: way[is] ?? '' },
  };
}

function warningAbout(way: WrittenWayIn, text: string): PolicyProblem[] {
  if (way.subject_prefix === undefined) return [];
  const line = text.split('\n').findIndex((each) => each.includes(way.subject_prefix ?? '')) + 1;
  return [
    {
      file: FEDERATION_FILE,
      line: line === 0 ? null : line,
      message: `whoever can make a subject that begins with "${way.subject_prefix}" signs in as ${way.agent}`,
    },
  ];
}

/** Whether everybody whom the second way lets in is let in by the first as well, by the names that they compare. */
export function coversWayIn(wide: WayIn, narrow: WayIn): boolean {
  if (wide.agent !== narrow.agent) return false;
  if (wide.kind === 'spiffe') return narrow.kind === 'spiffe' && wide.spiffeId === narrow.spiffeId;
  if (wide.kind === 'certificate')
    return (
      narrow.kind === 'certificate' &&
      wide.authority === narrow.authority &&
      wide.name.is === narrow.name.is &&
      wide.name.value === narrow.name.value
    );
  return (
    narrow.kind === 'issuer' &&
    wide.issuer === narrow.issuer &&
    coversSubject(wide.subject, narrow.subject) &&
    Object.entries(wide.claims).every(([name, value]) => narrow.claims[name] === value) &&
    (wide.artifactDigestClaim === null || wide.artifactDigestClaim === narrow.artifactDigestClaim)
  );
}

function coversSubject(wide: IssuerWayIn['subject'], narrow: IssuerWayIn['subject']): boolean {
  if ('whole' in wide) return 'whole' in narrow && narrow.whole === wide.whole;
  return ('whole' in narrow ? narrow.whole : narrow.prefix).startsWith(wide.prefix);
}
