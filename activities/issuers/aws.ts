// Sessions of AWS roles. STS takes our signed word for who asks; it cannot end what it gave, so a session is denied
// by name in a policy of its role where the policy says so, and otherwise waited for.
import { sessionPolicyOf, type AwsRole, type AwsTarget } from '../../commands/access/aws.ts';
import {
  TargetError,
  type Death,
  type Issued,
  type Issuer,
  type LeaseToEnd,
  type LeaseToIssue,
  type RevokeOutcome,
  type TargetRef,
} from '../../commands/credentials/issuer.ts';
import type { TokenKeys } from '../../keys/tokens.ts';
import { denySessions, deniedSessions, roleNameOf } from './aws-denials.ts';
import { discoverAccount } from './aws-discovery.ts';
import { callTarget, codeOf, refusedWith } from './http.ts';
import { done, failed, hasLapsed, lapsed, waitFor } from './lapse.ts';
import type { World } from './world.ts';
import { elementOf } from './xml.ts';

/** The type of our word to AWS, as OpenID providers sign it. */
const WEB_IDENTITY = 'JWT';
/** It is used at once or never. */
const WORD_SECONDS = 300;
const SESSION_SECONDS_MIN = 900;

export function awsIssuer(world: World, tokens: TokenKeys, issuer: string): Issuer {
  return {
    issue: async (lease) => {
      const { definition: role } = lease;
      if (role.issuer !== 'aws') throw new TypeError('this role is not an AWS one');
      const target = awsTargetOf(lease.target);
      const word = await tokens.sign(WEB_IDENTITY, wordFor(lease, role, target, issuer, world));
      return assumeRole(world, { lease, role, target, word });
    },
    revoke: (ref, leases) => revoke(world, ref, leases),
    verifyDead: (ref, leases) => verify(world, ref, leases),
    // STS keeps no list of its sessions.
    list: () => Promise.resolve(null),
    discover: (ref, roles) => discoverAccount(world, ref, roles, issuer),
  };
}

function awsTargetOf({ definition }: TargetRef): AwsTarget {
  if (definition?.issuer !== 'aws')
    throw new TargetError('target_not_configured', { nothingMade: true });
  return definition;
}

/** What names a session in tags, so that policies, trails and our own denials can tell it from every other. */
const tagsOf = (lease: LeaseToIssue): Record<string, string> => ({
  countersign_agent: lease.agent,
  countersign_task: lease.task,
  countersign_credential: lease.credential,
  ...(lease.control && { countersign_control: lease.control }),
});

function wordFor(
  lease: LeaseToIssue,
  role: AwsRole,
  target: AwsTarget,
  issuer: string,
  world: World,
) {
  const tags = tagsOf(lease);
  return {
    iss: issuer,
    sub: target.subject === 'name' ? `agent:${lease.agentName}` : lease.spiffeId,
    aud: target.audience,
    exp: Math.floor(world.now() / 1000) + WORD_SECONDS,
    'https://aws.amazon.com/tags': {
      principal_tags: Object.fromEntries(
        Object.entries(tags).map(([name, value]) => [name, [value]]),
      ),
      // A session assumed from this one carries them too: a denial follows it there.
      transitive_tag_keys: Object.keys(tags),
    },
    ...(role.source_identity && {
      'https://aws.amazon.com/source_identity': sourceIdentity(lease),
    }),
  };
}

const sourceIdentity = ({ agent, agentName }: LeaseToIssue): string =>
  /^[\w+=,.@-]{2,64}$/.test(agentName) ? agentName : agent;

interface Assumption {
  lease: LeaseToIssue;
  role: AwsRole;
  target: AwsTarget;
  word: string;
}

async function assumeRole(world: World, assumption: Assumption): Promise<Issued> {
  const { lease, role, target, word } = assumption;
  const now = world.now();
  if (now > Date.parse(lease.issueBy)) throw new TargetError('too_late', { nothingMade: true });
  const seconds = Math.ceil((Date.parse(lease.expiresAt) - now) / 1000);
  const policy = sessionPolicyOf(role, lease.options);
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role.role_arn,
    RoleSessionName: lease.credential,
    WebIdentityToken: word,
    DurationSeconds: String(Math.max(SESSION_SECONDS_MIN, seconds)),
    ...(policy !== null && { Policy: policy }),
  });
  const answer = await callTarget(
    world.egress,
    target.sts_endpoint ?? `https://sts.${target.region}.amazonaws.com/`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/xml' },
      body: form.toString(),
    },
  );
  if (answer.status !== 200)
    throw refusedWith(codeOf(elementOf(answer.body, 'Code') ?? 'refused'), answer);
  return sessionOf(answer.body, role, target);
}

function sessionOf(xml: string, role: AwsRole, target: AwsTarget): Issued {
  const read = (name: string): string => {
    const value = elementOf(xml, name);
    if (value === null || value === '') throw new TargetError('bad_answer');
    return value;
  };
  const keyId = read('AccessKeyId');
  const key = read('SecretAccessKey');
  const token = read('SessionToken');
  const diesAt = new Date(read('Expiration')).toISOString();
  return {
    material: {
      kind: 'aws',
      access_key_id: keyId,
      secret_access_key: key,
      session_token: token,
      region: target.region,
      role_arn: role.role_arn,
      session_expires_at: diesAt,
    },
    handle: role.revoke ? JSON.stringify({ role: roleNameOf(role.role_arn) }) : null,
    diesAt,
  };
}

/** The roles in whose policies sessions of a lease can be denied. */
const deniableIn = ({ handles }: LeaseToEnd): string[] => [
  ...new Set(handles.flatMap((handle) => asRoleHandle(JSON.parse(handle)).role)),
];

/** Made by `sessionOf`, and kept under a seal. */
const asRoleHandle = (handle: unknown): { role: string } => handle as { role: string };

async function revoke(
  world: World,
  ref: TargetRef,
  leases: readonly LeaseToEnd[],
): Promise<RevokeOutcome[]> {
  const codes = new Map<string, string | null>();
  const now = world.now();
  const toDeny = leases.filter((lease) => !hasLapsed(lease, now));
  for (const role of new Set(toDeny.flatMap(deniableIn))) {
    const ending = toDeny.filter((lease) => deniableIn(lease).includes(role));
    codes.set(
      role,
      await denySessions(world, ref, role, ending).then(
        () => null,
        (error: unknown) => (error instanceof TargetError ? error.code : 'unreachable'),
      ),
    );
  }
  return leases.map((lease) => {
    const roles = deniableIn(lease);
    if (hasLapsed(lease, now) || roles.length === 0) return waitFor(lease, now);
    const code = roles.map((role) => codes.get(role) ?? null).find((each) => each !== null);
    return code === undefined ? done(lease) : failed(lease, code);
  });
}

/** A denied session is gone: AWS holds every one of its calls against the policy that names it. */
async function verify(
  world: World,
  ref: TargetRef,
  leases: readonly LeaseToEnd[],
): Promise<Death[]> {
  const now = world.now();
  const roles = new Set(leases.filter((lease) => !hasLapsed(lease, now)).flatMap(deniableIn));
  const denied = new Map<string, Set<string>>();
  for (const role of roles)
    denied.set(
      role,
      await deniedSessions(world, ref, role).catch((error: unknown) => {
        if (error instanceof TargetError) return new Set<string>();
        throw error;
      }),
    );
  return leases.map((lease) => {
    const mine = deniableIn(lease);
    const isDenied =
      mine.length > 0 && mine.every((role) => denied.get(role)?.has(lease.credential) ?? false);
    return isDenied ? 'gone' : lapsed(lease, now);
  });
}
