// An AWS account to stand in for the real one: STS that checks a web identity as AWS does, and IAM that checks
// signatures and sizes and holds the calls of its sessions against the policies of their roles.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import { answerDirectory, emptyDirectory, type AwsDirectory } from './aws-directory.ts';
import { startServer, type Given, type Received } from './server.ts';

export interface FakeAwsOptions {
  issuer: string;
  audience: string;
  /** The provider's keys, as AWS fetches them. */
  jwks: () => JSONWebKeySet;
  /** The subjects that the trust policy of the one role names. */
  subjects: readonly string[];
  maxSessionSeconds?: number;
  now?: () => number;
}

export interface AwsSession {
  name: string;
  tags: Record<string, string>;
  sourceIdentity: string | null;
  policy: Statement[] | null;
  seconds: number;
  token: string;
  expires: number;
}

interface Statement {
  Effect: 'Allow' | 'Deny';
  Action?: string | string[];
  NotAction?: string | string[];
  Resource?: string | string[];
  NotResource?: string | string[];
  Condition?: { StringEquals?: Record<string, string | string[]> };
}

export const ACCOUNT = '123456789012';
export const ROLE_ARN = `arn:aws:iam::${ACCOUNT}:role/agents/order-support`;
export const IAM_KEYS = {
  accessKeyId: 'AKIDEXAMPLEISSUER',
  secretAccessKey: 'iam-secret-of-the-issuer-0123456789',
};
/** What IAM gives all inline policies of a role together. */
const INLINE_CHARACTERS_MAX = 10_240;

export interface FakeAws {
  stsUrl: string;
  iamUrl: string;
  sessions: AwsSession[];
  /** Inline policies of the role, by name. */
  policies: Map<string, string>;
  /** What the account has, as it is listed. */
  directory: AwsDirectory;
  /** The codes of what was refused, oldest first. */
  refused: string[];
  /** What the account would say to a call of a session: `ok`, or why not. */
  call(token: string, action: string, resource: string): string;
  close(): Promise<void>;
}

class Fault extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

const must = (holds: boolean, code: string, status = 400): void => {
  if (!holds) throw new Fault(status, code);
};

export async function startFakeAws(options: FakeAwsOptions): Promise<FakeAws> {
  const now = options.now ?? Date.now;
  const sessions: AwsSession[] = [];
  const policies = new Map<string, string>();
  const directory = emptyDirectory();
  const refused: string[] = [];
  const guarded =
    (handle: (received: Received) => Promise<string>) =>
    async (received: Received): Promise<Given> => {
      try {
        return xml(200, await handle(received));
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        refused.push(error.code);
        return xml(
          error.status,
          `<ErrorResponse><Error><Type>Sender</Type><Code>${error.code}</Code><Message>no</Message></Error></ErrorResponse>`,
        );
      }
    };
  const sts = await startServer(
    guarded(async ({ method, body }) => {
      const form = new URLSearchParams(body);
      must(method === 'POST' && form.get('Version') === '2011-06-15', 'InvalidAction');
      must(form.get('Action') === 'AssumeRoleWithWebIdentity', 'InvalidAction');
      const session = await assume(form, options, now());
      sessions.push(session);
      return described(session);
    }),
  );
  const iam = await startServer(
    guarded(async (received) => {
      await checkSignature(received, now());
      const form = new URLSearchParams(received.body);
      must(form.get('Version') === '2010-05-08', 'InvalidAction');
      const listed = answerDirectory(directory, form, ACCOUNT);
      must(listed !== 'AccessDenied', 'AccessDenied', 403);
      return listed ?? answerIam(form, policies);
    }),
  );
  return {
    stsUrl: sts.url,
    iamUrl: iam.url,
    sessions,
    policies,
    directory,
    refused,
    call: (token, action, resource) => {
      const session = sessions.find((each) => each.token === token);
      if (!session) return 'InvalidClientTokenId';
      if (session.expires <= now()) return 'ExpiredToken';
      const documents = [...policies.values()].flatMap((text) => statementsOf(text));
      const asked = { action, resource, tags: session.tags };
      const denied = [...documents, ...(session.policy ?? [])].some(
        (each) => each.Effect === 'Deny' && applies(each, asked),
      );
      // The role itself may do everything; a session policy has to allow it as well.
      const allowed =
        session.policy === null ||
        session.policy.some((each) => each.Effect === 'Allow' && applies(each, asked));
      return allowed && !denied ? 'ok' : 'AccessDenied';
    },
    close: async () => {
      await sts.close();
      await iam.close();
    },
  };
}

const xml = (status: number, body: string): Given => ({
  status,
  headers: { 'content-type': 'text/xml' },
  body,
});

async function assume(
  form: URLSearchParams,
  options: FakeAwsOptions,
  now: number,
): Promise<AwsSession> {
  const claims = await identity(form.get('WebIdentityToken') ?? '', options, now);
  must(form.get('RoleArn') === ROLE_ARN, 'AccessDenied', 403);
  must(options.subjects.includes(claims.sub ?? ''), 'AccessDenied', 403);
  const name = form.get('RoleSessionName') ?? '';
  must(/^[\w+=,.@-]{2,64}$/.test(name), 'ValidationError');
  const seconds = Number(form.get('DurationSeconds') ?? 3600);
  must(Number.isInteger(seconds) && seconds >= 900, 'ValidationError');
  must(seconds <= (options.maxSessionSeconds ?? 3600), 'ValidationError');
  const policy = form.get('Policy');
  if (policy !== null) must(policy.length <= 2048, 'ValidationError');
  const source = claims['https://aws.amazon.com/source_identity'];
  if (source !== undefined)
    must(typeof source === 'string' && /^[\w+=,.@-]{2,64}$/.test(source), 'ValidationError');
  return {
    name,
    tags: tagsOf(claims),
    sourceIdentity: typeof source === 'string' ? source : null,
    policy: policy === null ? null : statementsOf(policy),
    seconds,
    token: `session+token/${randomBytes(60).toString('base64')}&`,
    expires: now + seconds * 1000,
  };
}

async function identity(token: string, options: FakeAwsOptions, now: number): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(options.jwks()), {
      algorithms: ['RS256', 'ES256', 'ES384'],
      issuer: options.issuer,
      audience: options.audience,
      currentDate: new Date(now),
      requiredClaims: ['sub', 'exp', 'iat'],
    });
    return payload;
  } catch (error) {
    const isExpired = error instanceof Error && 'code' in error && error.code === 'ERR_JWT_EXPIRED';
    throw new Fault(400, isExpired ? 'ExpiredTokenException' : 'InvalidIdentityToken');
  }
}

/** Claims of a verified token are JSON; these are read one by one. */
function tagsOf(claims: JWTPayload): Record<string, string> {
  const claim = claims['https://aws.amazon.com/tags'] as
    | { principal_tags: Record<string, string[]>; transitive_tag_keys: string[] }
    | undefined;
  const tags: Record<string, string> = {};
  for (const [name, values] of Object.entries(claim?.principal_tags ?? {})) {
    const [value = ''] = values;
    must(values.length === 1 && value.length <= 256 && name.length <= 128, 'ValidationError');
    must(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(name + value), 'ValidationError');
    tags[name] = value;
  }
  for (const key of claim?.transitive_tag_keys ?? []) must(key in tags, 'ValidationError');
  return tags;
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

const described = (session: AwsSession): string =>
  `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Credentials>
      <SessionToken>${escaped(session.token)}</SessionToken>
      <SecretAccessKey>${randomBytes(30).toString('base64')}</SecretAccessKey>
      <Expiration>${new Date(session.expires).toISOString()}</Expiration>
      <AccessKeyId>ASIA${randomBytes(8).toString('hex').toUpperCase()}</AccessKeyId>
    </Credentials>
    <PackedPolicySize>6</PackedPolicySize>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`;

/** The signature as the client library of AWS itself would make it. */
async function checkSignature(received: Received, now: number): Promise<void> {
  const said = received.headers.authorization ?? '';
  const [, key, region, names] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/\d{8}\/([^/]+)\/iam\/aws4_request, SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$/.exec(
      said,
    ) ?? [];
  must(key === IAM_KEYS.accessKeyId, 'InvalidClientTokenId', 403);
  const time = String(received.headers['x-amz-date']);
  const at = Date.parse(
    time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  );
  must(Math.abs(at - now) <= 15 * 60_000, 'SignatureDoesNotMatch', 403);
  const headers = Object.fromEntries(
    (names ?? '').split(';').map((name) => [name, String(received.headers[name])]),
  );
  const signer = new SignatureV4({
    service: 'iam',
    region: region ?? '',
    credentials: IAM_KEYS,
    sha256: Sha256,
    applyChecksum: false,
  });
  const signed = await signer.sign(
    {
      method: received.method,
      protocol: 'http:',
      hostname: received.url.hostname,
      path: received.url.pathname,
      headers,
      body: received.body,
    },
    { signingDate: new Date(at) },
  );
  must(signed.headers['authorization'] === said, 'SignatureDoesNotMatch', 403);
}

/** SHA-256 in the shape that the client library asks for. */
class Sha256 {
  private readonly hash;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.hash.update(bytesOf(data));
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.hash.digest()));
  }
  reset(): void {
    throw new Error('not used');
  }
}

const bytesOf = (data: string | ArrayBuffer | ArrayBufferView): Uint8Array => {
  if (typeof data === 'string') return Buffer.from(data);
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
};

function answerIam(form: URLSearchParams, policies: Map<string, string>): string {
  must(form.get('RoleName') === ROLE_ARN.split('/').at(-1), 'NoSuchEntity', 404);
  const name = form.get('PolicyName') ?? '';
  must(/^[\w+=,.@-]{1,128}$/.test(name), 'ValidationError');
  if (form.get('Action') === 'PutRolePolicy') {
    const document = form.get('PolicyDocument') ?? '';
    must(statementsOf(document).length > 0, 'MalformedPolicyDocument');
    const others = [...policies].filter(([each]) => each !== name).map(([, text]) => text);
    const size = [...others, document].join('').replaceAll(/\s/g, '').length;
    must(size <= INLINE_CHARACTERS_MAX, 'LimitExceeded', 409);
    policies.set(name, document);
    return '<PutRolePolicyResponse><ResponseMetadata/></PutRolePolicyResponse>';
  }
  must(form.get('Action') === 'GetRolePolicy', 'InvalidAction');
  const document = policies.get(name);
  if (document === undefined) throw new Fault(404, 'NoSuchEntity');
  return `<GetRolePolicyResponse><GetRolePolicyResult><PolicyDocument>${encodeURIComponent(document)}</PolicyDocument></GetRolePolicyResult></GetRolePolicyResponse>`;
}

/** A policy document's statements; refuses what AWS would not take as one. */
function statementsOf(text: string): Statement[] {
  let document: { Version?: string; Statement?: Statement[] };
  try {
    document = JSON.parse(text) as typeof document;
  } catch {
    throw new Fault(400, 'MalformedPolicyDocument');
  }
  must(document.Version === '2012-10-17', 'MalformedPolicyDocument');
  const sids = (document.Statement ?? []).flatMap((each) => ('Sid' in each ? [each.Sid] : []));
  must(new Set(sids).size === sids.length, 'MalformedPolicyDocument');
  for (const sid of sids) must(/^[A-Za-z0-9]*$/.test(String(sid)), 'MalformedPolicyDocument');
  return document.Statement ?? [];
}

interface Asked {
  action: string;
  resource: string;
  tags: Record<string, string>;
}

function applies(statement: Statement, { action, resource, tags }: Asked): boolean {
  const { Action, NotAction, Resource, NotResource, Condition } = statement;
  return (
    (Action === undefined ? !matches(NotAction, action) : matches(Action, action)) &&
    (Resource === undefined ? !matches(NotResource, resource) : matches(Resource, resource)) &&
    Object.entries(Condition?.StringEquals ?? {}).every(([key, values]) =>
      [values].flat().includes(tags[key.replace('aws:PrincipalTag/', '')] ?? ''),
    )
  );
}

const matches = (patterns: string | string[] | undefined, text: string): boolean =>
  [patterns ?? []].flat().some((pattern) =>
    new RegExp(
      `^${pattern
        .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
        .replaceAll('*', '.*')
        .replaceAll('?', '.')}$`,
    ).test(text),
  );
