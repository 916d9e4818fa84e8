// Shapes of what comes in and goes out, once: handlers parse with them, OpenAPI and /docs are made from them.
import { z } from 'zod';
import { AGENT_KINDS } from '../db/schema/agents.ts';
import { PERSON_ROLES } from '../db/schema/people.ts';
import { statesOf } from '../domain/lifecycle.ts';
import { REFUSAL_CODES } from '../domain/refusal.ts';
import { KEY_DRIVERS, KEY_USES, SIGNING_KEY_STATES } from '../domain/signing-key.ts';
import { question, startAt } from './request-schemas.ts';
import { castVote, routeStages } from './vote-schemas.ts';

export const instant = z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' });
export const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const anyJson = z.record(z.string(), z.unknown());
const name = z.string().trim().min(1).max(200);
const text = z.string().trim().min(1).max(2000);

export const jwk = anyJson.meta({ description: 'A public EC key on P-256 as a JWK' });

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(REFUSAL_CODES),
    detail: z.string(),
    request_id: z.string(),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
  })
  .loose()
  .meta({ id: 'Problem' });

export const listQuery = {
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(500).optional(),
};

export const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() });

export const personBody = z.strictObject({
  name,
  email: z.email().optional(),
  roles: z.array(z.enum(PERSON_ROLES)).max(4),
  groups: z.array(z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/)).max(50),
  slack_user_id: z
    .string()
    .regex(/^[A-Z0-9]{2,30}$/)
    .optional(),
});

export const personChange = z.strictObject({
  roles: z.array(z.enum(PERSON_ROLES)).max(4).optional(),
  groups: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/))
    .max(50)
    .optional(),
  slack_user_id: z
    .string()
    .regex(/^[A-Z0-9]{2,30}$/)
    .nullable()
    .optional(),
  state: z.enum(['active', 'deactivated']).optional(),
});

export const person = z
  .object({
    id: z.string(),
    name: z.string(),
    roles: z.array(z.enum(PERSON_ROLES)),
    groups: z.array(z.string()),
    state: z.enum(['active', 'deactivated']),
  })
  .meta({ id: 'Person' });

export const invitedPerson = person.extend({
  sign_in_url: z.string(),
  sign_in_expires_at: instant,
});

export const sessionBody = z.strictObject({ token: z.string().min(1).max(200) });
export const session = z
  .object({ person, csrf_token: z.string(), expires_at: instant })
  .meta({ id: 'Session' });

export const proofBody = z.strictObject({ agent: z.string() });
export const proof = z.object({ trigger_proof: z.string(), expires_at: instant });

/** How long a join token may wait to be used; people have to agree within that time as well. */
const joinSeconds = z.int().min(60).max(86_400);

export const agentBody = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
        '1 to 63 lower-case letters, digits and dashes',
      ),
    kind: z.enum(AGENT_KINDS),
    /** Left out for a sub-agent: it then belongs to whoever owns its parent. */
    owner: z.string().optional(),
    parent: z.string().optional(),
    team: z.string().trim().min(1).max(100),
    purpose: text,
    keys: z.array(jwk).max(5),
    join: z
      .boolean()
      .default(false)
      .meta({ description: 'Make a join token, with which the agent brings its key later' }),
  })
  .refine(({ keys, join }) => keys.length > 0 || join, {
    path: ['keys'],
    message: 'must hold a key, unless join is true',
  });

export const joinTokenBody = z.strictObject({ ttl_seconds: joinSeconds.default(3_600) });

const joinToken = z
  .object({
    id: z.string(),
    token: z.string().meta({ description: 'Told once: whoever has it can become the agent' }),
    expires_at: instant,
  })
  .meta({ id: 'JoinToken' });

export const joinBody = z.strictObject({ token: z.string().min(1).max(200), key: jwk });

const agentKey = z.object({
  id: z.string(),
  thumbprint: z.string(),
  state: z.enum(['active', 'revoked']),
  retire_at: instant
    .nullable()
    .meta({ description: 'From then on it is no key any more; null where nobody said so' }),
});

export const keyBody = z.strictObject({ key: jwk });
export const retireKeyBody = z.strictObject({
  after_seconds: z
    .int()
    .min(0)
    .max(30 * 86_400),
});
export const ownerBody = z.strictObject({ owner: z.string(), reason: text.optional() });

export const agent = z
  .object({
    id: z.string(),
    name: z.string(),
    kind: z.enum(AGENT_KINDS),
    owner: z.string(),
    parent: z.string().nullable().meta({ description: 'The agent it is a sub-agent of' }),
    team: z.string(),
    purpose: z.string(),
    state: z.enum(statesOf('agent')),
    retiring: z.boolean(),
    spiffe_id: z.string().nullable(),
    keys: z.array(agentKey),
    request: z.string().nullable(),
    alive: z.int(),
    created_at: instant,
    last_used_at: instant.nullable(),
    rotation_due_at: instant.nullable(),
    review_due_at: instant.nullable(),
    orphaned_at: instant
      .nullable()
      .meta({ description: 'Since when nobody active answers for it' }),
  })
  .meta({ id: 'Agent' });

/** An agent as it is answered to whoever registered it. */
export const registeredAgent = agent.extend({ join_token: joinToken.optional() });

export const key = agentKey.meta({ id: 'Key' });

export const joined = z
  .object({
    agent: z.object({ id: z.string(), name: z.string(), spiffe_id: z.string().nullable() }),
    key,
  })
  .meta({ id: 'Joined' });

export const reasonBody = z.strictObject({ reason: text.optional() });
export const failBody = z.strictObject({ reason: text });
export const emptyBody = z.strictObject({});

export const taskBody = z.strictObject({
  purpose: text,
  ttl_seconds: z.int().min(1).max(86_400),
  triggered_by: z.string().optional(),
  trigger_proof: z.string().max(2000).optional(),
});

export const purposeBody = z.strictObject({ purpose: text, reason: text });

export const task = z
  .object({
    id: z.string(),
    agent: z.string(),
    parent: z.string().nullable().meta({ description: 'The task it was delegated from' }),
    chain: z
      .array(z.string())
      .meta({ description: 'Whoever acts first, then each agent on whose behalf' }),
    roles: z
      .array(z.string())
      .nullable()
      .meta({ description: 'The roles that were delegated; null is no limit' }),
    purpose: z.string(),
    triggered_by: z.string().nullable(),
    triggered_by_proof: z.enum(['verified', 'claimed', 'none']),
    trigger: z
      .object({ source: z.string(), type: z.string(), id: z.string() })
      .nullable()
      .meta({ description: 'The signed event that set it off' }),
    state: z.enum(statesOf('task')),
    policy_version: digest,
    deadline_at: instant,
    created_at: instant,
    ended_at: instant.nullable(),
    alive: z.int().meta({
      description: 'Credentials not yet seen gone, with those of tasks delegated from it',
    }),
  })
  .meta({ id: 'Task' });

export const credentialBody = z.strictObject({
  role: z.string().max(100),
  seal_to: jwk.optional(),
  claim: z.literal(true).optional().meta({
    description: 'Instead of seal_to, where the caller can make no key: see claim in the answer',
  }),
  /** No upper bound here: how long is too long depends on the role, which then says so. */
  ttl_seconds: z.int().min(1).optional(),
  reason: z.string().trim().max(2000).optional(),
  not_before: startAt.optional(),
  callback: z.strictObject({ url: z.string().max(2000) }).optional(),
  dpop_jkt: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/, 'the SHA-256 thumbprint of a key (RFC 7638)')
    .optional()
    .meta({ description: 'Binds the token to this key instead of the one of seal_to' }),
  options: anyJson.optional().meta({
    description: 'What the role lets you choose; see its kind of access in docs/credentials.md',
  }),
});

export const delegationBody = z.strictObject({
  agent: z.string(),
  roles: z.array(z.string().max(100)).max(50).optional(),
  ttl_seconds: z.int().min(1).max(900).default(300),
});

export const delegation = z
  .object({
    task: z.string(),
    agent: z.string(),
    roles: z.array(z.string()).nullable(),
    subject_token: z.string(),
    subject_token_type: z.string(),
    expires_at: instant,
  })
  .meta({ id: 'Delegation' });

export const credential = z
  .object({
    id: z.string(),
    task: z.string(),
    role: z.string(),
    issuer: z.string(),
    state: z.enum(statesOf('credential')),
    issued_at: instant.nullable(),
    expires_at: instant,
    last_used_at: instant.nullable(),
    revocable: z.boolean(),
    request: z.string().nullable(),
    grant: z.string().nullable().meta({ description: 'The standing grant behind it' }),
    attempts: z.int(),
    next_try_at: instant.nullable(),
    last_error: z
      .string()
      .nullable()
      .meta({ description: 'Why the last attempt to revoke failed' }),
    because: z.string().nullable().meta({ description: 'Why it ended, or is ending' }),
    ended_at: instant.nullable(),
    leaked_at: instant.nullable(),
    seconds_to_dead: z
      .number()
      .nullable()
      .meta({ description: 'From the report that it leaked until it was seen gone' }),
    seen_gone: z.boolean().nullable().meta({
      description: 'Whether its target was seen to know it no more; null while it is alive',
    }),
  })
  .meta({ id: 'Credential' });

export const renewBody = z.strictObject({
  ttl_seconds: z.int().min(1).optional(),
  seal_to: jwk.optional(),
});
export const renewedCredential = credential.extend({
  sealed: z.string().optional().meta({ description: 'Made anew, where renewing does that' }),
});

/** What rules with the mode `warn` would have done; not there where there is nothing to say. */
export const warnings = z.array(z.string()).optional();

const claim = z.object({ code: z.string() }).optional().meta({
  description:
    'With claim: the code that opens what is issued, once, at POST /v1/credentials/{id}/claim',
});

export const issuedCredential = credential.extend({
  sealed: z.string().meta({ description: 'JWE compact to seal_to: ECDH-ES, A256GCM' }),
  warnings,
  claim,
});

export const claimBody = z.strictObject({
  code: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'the code of the answer that issued it'),
});
export const claimedCredential = z.object({ id: z.string(), material: anyJson });

const party = z.object({ type: z.string(), id: z.string() });

/** @public Compared with the SDK’s own type. */
export const action = z
  .object({
    subject: party,
    actor_chain: z.array(party),
    action: z.string(),
    resource: party,
    parameters: anyJson,
    data_class: z.string().nullable(),
    destination: z.string().nullable(),
    context: anyJson,
  })
  .meta({ id: 'Action' });

export const request = z
  .object({
    id: z.string(),
    state: z.enum(statesOf('request')),
    action,
    digest,
    shown: digest.meta({ description: 'Digest of the card you would see; a vote carries it back' }),
    controls: z.array(z.string()),
    routes: z.array(
      z.object({
        name: z.string(),
        groups: z.array(z.string()),
        quorum: z.int(),
        approvals: z.int(),
        rule_digest: digest,
        stages: routeStages,
      }),
    ),
    votes: z.array(castVote),
    created_at: instant,
    expires_at: instant,
    decided_at: instant.nullable(),
    approved_until: instant.nullable(),
    starts_at: instant.nullable(),
    narrowed: z
      .object({ by: z.array(z.string()), limits: anyJson, action, digest })
      .nullable()
      .meta({ description: 'What approvers left of it: this, and not action, is what is issued' }),
    questions: z.array(question),
    collectable: z.boolean(),
    url: z.string(),
    credential: z.string().nullable(),
    denial: z
      .object({ reason: z.string().nullable(), disposition: z.enum(['revise', 'stop']) })
      .nullable(),
  })
  .meta({ id: 'Request' });

/** What waits for people, and why it does. */
export const heldAction = z.object({
  request,
  denial: z.object({ reasons: z.array(z.string()) }),
  warnings,
});

export const heldCredential = heldAction.extend({ claim });

export const madeJoinToken = z.object({ join_token: joinToken });
export const heldJoinToken = heldAction.extend({ join_token: joinToken });

export const collectBody = z.strictObject({ seal_to: jwk.optional(), action: anyJson.optional() });

export const event = z
  .object({
    specversion: z.literal('1.0'),
    id: z.string(),
    source: z.string(),
    type: z.string(),
    time: instant,
    subject: z.string(),
    data: anyJson,
    log_index: z.int().nullable(),
    disclosed: anyJson,
  })
  .meta({ id: 'Event' });

export const policyBody = z.strictObject({
  files: z.record(z.string().max(100), z.string().max(200_000)),
});

export const reviewBody = z.strictObject({
  title: name,
  due_seconds: z
    .int()
    .min(60)
    .max(90 * 86_400)
    .default(14 * 86_400),
});

export const lineBody = z.strictObject({
  decision: z.enum(['keep', 'revoke']),
  reason: z.string().trim().max(2000).optional(),
});

export const periodQuery = z.strictObject({
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
});

export const signingKey = z
  .object({
    kid: z.string(),
    use: z.enum(KEY_USES),
    algorithm: z.enum(['ES256', 'EdDSA']),
    driver: z.enum(KEY_DRIVERS),
    state: z.enum(SIGNING_KEY_STATES),
    published_at: instant,
    activates_at: instant,
    retires_at: instant.nullable(),
    revoked: z.boolean(),
  })
  .meta({ id: 'SigningKey' });

export const rotateBody = z.strictObject({
  use: z.enum(KEY_USES),
  now: z.boolean().optional(),
  revoke: z.boolean().optional(),
  reason: text.optional(),
});
