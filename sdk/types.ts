// What the API answers, member for member: the names here are the ones in the documents and in the log. A test
// holds these types against the server's own schemas.
import type { Action } from '../domain/action.ts';
import type { Channel } from '../domain/approval.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import type {
  AgentState,
  CredentialState,
  RequestState,
  RunState,
  TaskState,
} from '../domain/lifecycle.ts';
import type { RequestQuestion, RouteStage } from './request-types.ts';

/** One page of a list; `next_cursor` leads to the next one, or is null on the last. */
export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** What an agent is; cases of `demo` never count in a verdict on production. */
export type AgentKind = 'ai_agent' | 'service' | 'ci' | 'demo';
/** What a person may do; for what they may decide, see their groups. */
export type PersonRole = 'admin' | 'approver' | 'auditor' | 'owner';

/** A public key of an agent, as the registry knows it. */
export interface RegisteredKey {
  id: string;
  thumbprint: string;
  state: 'active' | 'revoked';
  /** From then on it is no key any more; null where nobody said so. */
  retire_at: string | null;
}

/** What a key of the server signs. */
export type KeyUse = 'tokens' | 'x509';

/** A key that signs for the server: published before it signs, and kept for what it signed. */
export interface SigningKey {
  kid: string;
  use: KeyUse;
  algorithm: 'ES256' | 'EdDSA';
  driver: 'sealed' | 'transit';
  state: 'published' | 'active' | 'retiring' | 'retired';
  published_at: string;
  /** When it began to sign, or is to begin. */
  activates_at: string;
  /** When it goes, once it does not sign any more. */
  retires_at: string | null;
  /** Whether it was dropped at once, with everything it had signed. */
  revoked: boolean;
}

/** The keys that are published after turning to another, and what that means. */
export interface RotatedKeys {
  data: SigningKey[];
  says: string;
}

/** What waits for people, and why it does. */
export interface HeldAction {
  request: AccessRequest;
  denial: { reasons: string[] };
  /** What rules that are being tried out would have done. */
  warnings?: string[];
}

/** A registered agent. */
export interface Agent {
  id: string;
  name: string;
  kind: AgentKind;
  owner: string;
  /** The agent it is a sub-agent of. */
  parent: string | null;
  team: string;
  purpose: string;
  state: AgentState;
  retiring: boolean;
  spiffe_id: string | null;
  keys: RegisteredKey[];
  /** The request in which people decide whether to admit it. */
  request: string | null;
  /** Credentials not yet seen gone. */
  alive: number;
  created_at: string;
  last_used_at: string | null;
  rotation_due_at: string | null;
  review_due_at: string | null;
  /** Since when nobody active answers for it. */
  orphaned_at: string | null;
}

/** A right to bring one key to an agent, once. */
export interface JoinToken {
  id: string;
  /** Whoever has it can become the agent. */
  token: string;
  expires_at: string;
}

/** An agent as it is told to whoever registered it. */
export interface NewAgent extends Agent {
  /** With `join`: good once the agent is admitted. */
  join_token?: JoinToken | undefined;
}

/** A join token that was just made. */
export interface MadeJoinToken {
  join_token: JoinToken;
}

/** The agent that a key now signs in as. */
export interface Joined {
  agent: { id: string; name: string; spiffe_id: string | null };
  key: RegisteredKey;
}

/** One piece of work by one agent. */
export interface Task {
  id: string;
  agent: string;
  /** The task it was delegated from. */
  parent: string | null;
  /** Whoever acts first, then each agent on whose behalf. */
  chain: string[];
  /** The roles that were delegated; null is no limit. */
  roles: string[] | null;
  purpose: string;
  triggered_by: string | null;
  triggered_by_proof: 'verified' | 'claimed' | 'none';
  /** The signed event that set it off. */
  trigger: { source: string; type: string; id: string } | null;
  state: TaskState;
  policy_version: string;
  deadline_at: string;
  created_at: string;
  ended_at: string | null;
  /** Credentials not yet seen gone. */
  alive: number;
}

/** Part of a task, handed on to one other agent. */
export interface Delegation {
  task: string;
  agent: string;
  roles: string[] | null;
  /** For that agent to exchange, once (RFC 8693). */
  subject_token: string;
  subject_token_type: string;
  expires_at: string;
}

/** A lease on a role, without its secret. */
export interface Credential {
  id: string;
  task: string;
  role: string;
  issuer: string;
  state: CredentialState;
  issued_at: string | null;
  expires_at: string;
  last_used_at: string | null;
  revocable: boolean;
  request: string | null;
  attempts: number;
  next_try_at: string | null;
  /** Why the last attempt to revoke it failed. */
  last_error: string | null;
  /** Why it ended, or is ending. */
  because: string | null;
  ended_at: string | null;
  /** When it was reported to have leaked. */
  leaked_at: string | null;
  /** From then until it was seen gone. */
  seconds_to_dead: number | null;
  /** Whether its target was seen to know it no more; null while it is alive. */
  seen_gone: boolean | null;
}

/** A login to a PostgreSQL database. */
export interface PostgresMaterial {
  kind: 'postgres';
  host: string;
  port: number;
  database: string;
  username: string;
  password: string;
  /** All of the above as one connection string. */
  url: string;
}

/** A login to a MySQL or MariaDB. */
export interface MysqlMaterial {
  kind: 'mysql';
  host: string;
  port: number;
  database: string;
  username: string;
  password: string;
  /** Whether the server lets the login in over TLS only. */
  tls: boolean;
  /** All of the above but `tls` as one connection string. */
  url: string;
}

/** A login to a Redis. */
export interface RedisMaterial {
  kind: 'redis';
  host: string;
  port: number;
  username: string;
  password: string;
  tls: boolean;
  /** All of the above as one connection string: `rediss:` where it takes TLS. */
  url: string;
}

/** A signed token for somebody else's API. */
export interface JwtMaterial {
  kind: 'jwt';
  token: string;
}

/** A session of an AWS role. */
export interface AwsMaterial {
  kind: 'aws';
  access_key_id: string;
  secret_access_key: string;
  session_token: string;
  region: string;
  role_arn: string;
  /** When AWS ends the session by itself: no sooner than a quarter of an hour after it was made. */
  session_expires_at: string;
}

/** An installation token of a GitHub App. */
export interface GithubMaterial {
  kind: 'github';
  /** Opaque, and of no particular length. */
  token: string;
  api: string;
  repositories: string[];
  permissions: Record<string, string>;
  token_expires_at: string;
}

/** A token of a Kubernetes service account. */
export interface KubernetesMaterial {
  kind: 'kubernetes';
  token: string;
  api: string;
  namespace: string;
  service_account: string;
  token_expires_at: string;
}

/** An access token of somebody else's authorization server. */
export interface OauthMaterial {
  kind: 'oauth';
  access_token: string;
  token_type: 'Bearer';
  scopes: string[];
  resources: string[];
  token_expires_at: string;
}

/** A secret that somebody put in once. */
export interface StaticMaterial {
  kind: 'static';
  name: string;
  version: number;
  value: string;
}

/** The secret itself, opened. */
export type Material =
  | PostgresMaterial
  | MysqlMaterial
  | RedisMaterial
  | JwtMaterial
  | AwsMaterial
  | GithubMaterial
  | KubernetesMaterial
  | OauthMaterial
  | StaticMaterial;

/** What is known of a stored secret: never its value. */
export interface StaticSecret {
  name: string;
  version: number;
  put_by: string;
  put_at: string;
  /** Since when somebody knows it whose lease is over; a new version ends that. */
  tainted_at: string | null;
}

/** One loan in a secret's chain of custody. */
export interface SecretCustody {
  credential: string;
  version: number;
  agent: string;
  task: string;
  given_at: string;
  ended_at: string | null;
}

/** One statement that was run for an agent. */
export interface Run {
  id: string;
  task: string;
  /** Of a statement. */
  role: string | null;
  /** Of a call. */
  upstream: string | null;
  call: string | null;
  /** What its text says it does, or the policy says of the call. */
  effect: 'read' | 'write' | 'define' | 'access' | 'opaque' | 'delete';
  state: RunState;
  outcome: 'committed' | 'read' | 'answered' | null;
  /** Why it failed: an SQLSTATE, or a word of ours. */
  code: string | null;
  rows: number | null;
  /** How often a call went out, or may have. */
  sends: number;
  /** What a call was answered with, and how much of that came. */
  status: number | null;
  bytes: number | null;
  is_cut: boolean | null;
  /** Whether our own secret stood in the answer. */
  is_masked: boolean | null;
  result_digest: string | null;
  /** Of exactly what ran. */
  digest: string;
  request: string | null;
  credential: string | null;
  created_at: string;
  finished_at: string | null;
}

/** What the policy engine said about an action. */
export interface Evaluation {
  id: string;
  policy_version: string;
  reasons: string[];
}

/** Something that waits, or waited, for people. */
export interface AccessRequest {
  id: string;
  state: RequestState;
  action: Action;
  digest: string;
  shown: string;
  controls: string[];
  routes: {
    name: string;
    groups: string[];
    quorum: number;
    approvals: number;
    rule_digest: string;
    stages: RouteStage[];
  }[];
  votes: {
    id: string;
    person: string;
    decision: 'approve' | 'deny';
    channel: Channel;
    at: string;
    /** Who was away and had them vote; null for a vote of their own. */
    in_stead_of: string | null;
  }[];
  created_at: string;
  expires_at: string;
  decided_at: string | null;
  approved_until: string | null;
  /** From when on it is issued; null for once it is approved. */
  starts_at: string | null;
  /** What approvers left of it: this, and not `action`, is what is issued. */
  narrowed: { by: string[]; limits: JsonValue; action: Action; digest: string } | null;
  /** What approvers asked; those `to` the agent are for `requests.answer`. */
  questions: RequestQuestion[];
  collectable: boolean;
  /** The page where people decide. */
  url: string;
  credential: string | null;
  denial: { reason: string | null; disposition: 'revise' | 'stop' } | null;
}

/** Somebody who can be asked. */
export interface Person {
  id: string;
  name: string;
  roles: PersonRole[];
  groups: string[];
  state: 'active' | 'deactivated';
}

/** A person with a link that lets them in once. */
export interface InvitedPerson extends Person {
  sign_in_url: string;
  sign_in_expires_at: string;
}

/** One fact of the record (CloudEvents 1.0). */
export interface RecordedEvent {
  specversion: '1.0';
  id: string;
  source: string;
  type: string;
  time: string;
  subject: string;
  data: JsonObject;
  /** Its place in the log; null until it has one. */
  log_index: number | null;
  /** Private fields, as far as the reader may see them. */
  disclosed: Record<string, JsonValue>;
}

/** One approval rule on one route: what a verdict is about. */
export interface Control {
  id: string;
  route: string;
  title: string;
}

/** One line of the lifecycle report: an agent and one thing it holds, or an agent that holds nothing. */
export interface LifecycleLine {
  agent: string;
  agent_name: string;
  agent_state: string;
  kind: string;
  team: string;
  owner: string;
  owner_name: string;
  owner_active: boolean;
  orphaned: boolean;
  key_age_days: number | null;
  rotation_overdue: boolean;
  agent_last_used_at: string | null;
  credential: string | null;
  role: string | null;
  credential_state: string | null;
  issued_at: string | null;
  expires_at: string | null;
  credential_last_used_at: string | null;
  age_seconds: number | null;
  task: string | null;
  task_purpose: string | null;
}

/** The lifecycle report: everything that is alive, and every agent that could come back to life. */
export interface LifecycleReport {
  generated_at: string;
  data: LifecycleLine[];
}

/** A campaign in which people keep or revoke what agents hold. */
export interface Review {
  id: string;
  title: string;
  state: 'open' | 'closed';
  scope_digest: string;
  created_at: string;
  due_at: string;
  closed_at: string | null;
}

/** One line of a review: what was there when it was opened, what was decided, and proof of what was done. */
export interface ReviewLine {
  id: string;
  agent: string;
  credential: string | null;
  snapshot: Record<string, unknown>;
  recommendation: 'keep' | 'revoke';
  basis: string;
  decision: 'keep' | 'revoke' | null;
  decided_by: string | null;
  decided_at: string | null;
  reason: string | null;
  proof: { state: string; seen_gone_at: string | null } | null;
}

/** A review with all its lines. */
export interface ReviewWithLines extends Review {
  lines: ReviewLine[];
}

/** The active policy, file by file. */
export interface ActivePolicy {
  version: string;
  files: Record<string, string>;
}

/** A proposed policy: active already when there is no request, else waiting for people. */
export interface ProposedPolicy {
  version: string;
  request?: AccessRequest;
}

/** Which build a server runs, and under which names it signs. */
export interface ServerVersion {
  version: string;
  issuer: string;
  trust_domain: string;
  log_origin: string;
  /** The key that verifies callbacks; see `verifyWebhook`. */
  webhook_key: string;
}

/** RFC 7662. Everything but `active` is there only when it is true. */
export type Introspection =
  | { active: false }
  | {
      active: true;
      sub: string | null;
      exp: number | null;
      jti: string | null;
      task_id: string | null;
      [claim: string]: unknown;
    };
