// Sessions of an AWS role, by our own word as the web identity provider that the role trusts.
import { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import { policyName, roleCommon, targetCommon, variable, type AccessKind } from './kind.ts';
import { readOptions, refusedOption } from './options.ts';

export const awsTarget = z.strictObject({
  issuer: z.literal('aws'),
  ...targetCommon,
  region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a region such as eu-central-1'),
  /** Where STS answers; the region's own endpoint if this is not said. */
  sts_endpoint: z.url().optional(),
  /** The client id under which the account knows us as an identity provider. */
  audience: z.string().min(1).max(255).default('sts.amazonaws.com'),
  /** What the subject of our word is; trust policies compare it whole. */
  subject: z.enum(['spiffe_id', 'name']).default('spiffe_id'),
  /** Who may change the roles' own policies, so that sessions can be denied before they end. */
  iam: z
    .strictObject({
      endpoint: z.url().default('https://iam.amazonaws.com'),
      region: z.string().min(1).max(40).default('us-east-1'),
      access_key_id_from: variable,
      secret_access_key_from: variable,
      session_token_from: variable.optional(),
    })
    .optional(),
});
export type AwsTarget = z.infer<typeof awsTarget>;

const words = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);
const statement = z
  .strictObject({
    Sid: z
      .string()
      .regex(/^[A-Za-z0-9]*$/)
      .optional(),
    Effect: z.enum(['Allow', 'Deny']),
    Action: words.optional(),
    NotAction: words.optional(),
    Resource: words.optional(),
    NotResource: words.optional(),
    Condition: z.record(z.string(), z.record(z.string(), words)).optional(),
  })
  .refine(
    (each) =>
      (each.Action === undefined) !== (each.NotAction === undefined) &&
      (each.Resource === undefined) !== (each.NotResource === undefined),
    'a statement says one of Action and NotAction, and one of Resource and NotResource',
  );

/** STS takes no more, as text; it also packs it, and may find that too large. */
const SESSION_POLICY_CHARACTERS_MAX = 2048;
const SESSION_SECONDS_MAX = 43_200;
const SESSION_SECONDS_MIN = 900;

const sessionPolicy = z
  .strictObject({
    Version: z.literal('2012-10-17'),
    Statement: z.array(statement).min(1).max(20),
  })
  .refine(
    (policy) => JSON.stringify(policy).length <= SESSION_POLICY_CHARACTERS_MAX,
    `a session policy has at most ${SESSION_POLICY_CHARACTERS_MAX} characters`,
  );

export const awsRole = z.strictObject({
  issuer: z.literal('aws'),
  target: policyName,
  role_arn: z
    .string()
    .regex(
      /^arn:aws[a-z-]*:iam::\d{12}:role\/([\w+=,.@-]+\/)*[\w+=,.@-]{1,64}$/,
      'the ARN of a role',
    ),
  session_policy: sessionPolicy.optional(),
  /** Names the agent as the source identity, which role chaining cannot shed. The trust policy must allow it. */
  source_identity: z.boolean().default(false),
  /** Ends sessions early by a policy of the role that denies them, one by one. */
  revoke: z.strictObject({ deny_policy: z.literal(true) }).optional(),
  ...roleCommon,
  ttl_seconds_max: roleCommon.ttl_seconds_max.pipe(z.number().max(SESSION_SECONDS_MAX)),
});
export type AwsRole = z.infer<typeof awsRole>;

const awsOptions = z.strictObject({
  only_actions: z
    .array(z.string().regex(/^[A-Za-z0-9*:?-]{1,128}$/, 'an action'))
    .min(1)
    .optional(),
  only_resources: z
    .array(z.string().regex(/^(\*|arn:[^\s]{1,600})$/, 'an ARN'))
    .min(1)
    .optional(),
});
type AwsOptions = z.infer<typeof awsOptions>;

const EVERYTHING = { Effect: 'Allow', Action: '*', Resource: '*' } as const;

/**
 * The policy of one session: the role's, and denials of all that was not asked for. A denial can only take away, so
 * whatever a caller asks for is never more than the role's own policy gives.
 */
export function sessionPolicyOf(role: AwsRole, options: JsonObject): string | null {
  const { only_actions: actions, only_resources: resources } = readOptions<AwsOptions>(
    awsOptions,
    options,
  );
  const denials = [
    ...(actions ? [{ Effect: 'Deny', NotAction: actions, Resource: '*' }] : []),
    ...(resources ? [{ Effect: 'Deny', Action: '*', NotResource: resources }] : []),
  ];
  if (!role.session_policy && denials.length === 0) return null;
  const { Statement: own } = role.session_policy ?? { Statement: [EVERYTHING] };
  return JSON.stringify({ Version: '2012-10-17', Statement: [...own, ...denials] });
}

const canDeny = (role: AwsRole): boolean => role.revoke !== undefined;

export const awsAccess: AccessKind<AwsRole> = {
  target: (role) => role.target,
  destination: (role) => `aws:${role.role_arn}`,
  gives: (role) => `a session of the AWS role ${role.role_arn}`,
  reaches: (role) => [`role ${role.role_arn}`],
  revocable: canDeny,
  // What STS makes lasts a quarter of an hour at least.
  longestSeconds: () => SESSION_SECONDS_MIN,
  backstop: () => true,
  witness: (role) => (canDeny(role) ? 'target' : 'clock'),
  attempts: () => 'add',
  listed: false,
  readOptions: (role, options) => {
    const read = readOptions<AwsOptions>(awsOptions, options);
    const policy = sessionPolicyOf(role, options);
    if (policy !== null && policy.length > SESSION_POLICY_CHARACTERS_MAX)
      throw refusedOption(
        'only_resources',
        `with the role's own policy it has ${policy.length} characters, and STS takes ${SESSION_POLICY_CHARACTERS_MAX}`,
      );
    return Promise.resolve({
      ...(read.only_actions && { only_actions: read.only_actions }),
      ...(read.only_resources && { only_resources: read.only_resources }),
    });
  },
  // Only lists that somebody gave: what a list could say less of, where there is none, is not for us to guess.
  extents: (_role, options) => {
    const { only_actions: actions, only_resources: resources } = readOptions<AwsOptions>(
      awsOptions,
      options,
    );
    return {
      ...(actions && { only_actions: { kind: 'some_of', of: actions } }),
      ...(resources && { only_resources: { kind: 'some_of', of: resources } }),
    };
  },
  mistake: (role, target) =>
    canDeny(role) && target.issuer === 'aws' && !target.iam
      ? `revoke.deny_policy takes credentials for IAM, and the target "${role.target}" has no iam`
      : null,
};
