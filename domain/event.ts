// The one event: what each type says in public, what it only commits to, and the bytes that become a log leaf.
import type { Party } from './action.ts';
import { commitmentTo, type Digest } from './digest.ts';
import type { Id } from './id.ts';
import { canonicalJson, type JsonObject, type JsonValue } from './json.ts';

/**
 * Each type's fields, once. Public ones are ids, enums, counts and times: all that a verdict may read.
 * Private ones are names, reasons and parameters: the leaf holds a salted commitment to each.
 */
export const EVENTS = {
  'agent.requested': {
    public: ['kind', 'owner', 'parent', 'registered_by', 'key_thumbprints'],
    private: ['name', 'team', 'purpose'],
  },
  'agent.admitted': { public: ['permit'], private: ['spiffe_id'] },
  'agent.rejected': { public: ['because'], private: [] },
  'agent.signed_in': {
    public: ['method', 'key', 'way_in', 'certificate', 'token_id', 'expires_at'],
    private: ['workload'],
  },
  'agent.suspended': { public: ['by', 'credentials'], private: ['reason'] },
  'agent.resumed': { public: ['by'], private: ['reason'] },
  'agent.retired': { public: ['by'], private: ['reason'] },
  'agent.key_added': { public: ['key', 'thumbprint'], private: [] },
  'agent.join_token_made': { public: ['join_token', 'expires_at', 'by'], private: [] },
  'agent.joined': { public: ['join_token', 'key', 'thumbprint'], private: [] },
  'agent.key_revoked': { public: ['key', 'thumbprint'], private: [] },
  'agent.key_retiring': { public: ['key', 'thumbprint', 'retire_at'], private: [] },
  'agent.review_due': { public: ['due_at'], private: [] },
  'agent.rotation_due': { public: ['due_at'], private: [] },
  'agent.orphaned': { public: ['owner', 'grace_ends_at'], private: [] },
  'agent.owner_changed': { public: ['owner', 'replaces', 'because'], private: [] },
  'person.invited': {
    public: ['roles', 'groups', 'invited_by'],
    private: ['name', 'email', 'slack_user_id'],
  },
  'person.changed': {
    public: ['roles', 'groups', 'state', 'slack_changed', 'changed_by'],
    private: ['name', 'email', 'slack_user_id'],
  },
  'person.slack_linked': { public: ['binding'], private: ['slack_user_id'] },
  'person.slack_unlinked': { public: ['by', 'because'], private: ['slack_user_id'] },
  'person.link_made': { public: ['made_by', 'expires_at'], private: [] },
  'person.passkey_added': {
    public: ['passkey', 'public_key', 'site', 'origin', 'synced', 'signed_in_by'],
    private: ['name'],
  },
  'person.passkey_removed': { public: ['passkey', 'by'], private: ['name'] },
  'person.passkey_regressed': { public: ['passkey', 'kept', 'said', 'used_for'], private: [] },
  'person.signed_in': { public: ['method', 'passkey'], private: [] },
  'person.signed_out': { public: [], private: [] },
  'task.started': {
    public: [
      'triggered_by',
      'triggered_by_proof',
      'trigger_source',
      'deadline_at',
      'parent',
      'roles',
    ],
    private: ['purpose', 'trigger_event'],
  },
  'task.purpose_changed': {
    public: ['by', 'kept', 'revoked', 'requests_closed'],
    private: ['purpose', 'replaces', 'reason'],
  },
  'task.delegated': { public: ['token_id', 'to', 'roles', 'expires_at'], private: [] },
  'task.ending': { public: ['outcome', 'credentials'], private: ['reason'] },
  'task.completed': { public: ['credentials'], private: [] },
  'task.failed': { public: ['credentials'], private: ['reason'] },
  'task.expired': { public: ['credentials'], private: [] },
  'task.killed': { public: ['credentials'], private: ['reason'] },
  'token.exchanged': {
    public: ['token_id', 'subject_token_id', 'roles', 'expires_at'],
    private: [],
  },
  'token.exchanged_for_person': {
    public: ['token_id', 'word', 'roles', 'expires_at'],
    private: ['issuer', 'subject'],
  },
  'token.revoked': { public: ['token_id', 'by', 'expires_at'], private: [] },
  'evaluation.decided': {
    public: [
      'evaluation',
      'action',
      'resource',
      'reasons',
      'controls',
      'routes',
      'observed',
      'waived',
    ],
    private: ['action_digest', 'questions'],
  },
  'access.searched': {
    public: ['search', 'kind', 'looked_at', 'found', 'is_first'],
    private: ['subject', 'resource'],
  },
  'request.opened': {
    public: [
      'evaluation',
      'action',
      'resource',
      'controls',
      'routes',
      'requester',
      'owners',
      'triggered_by',
      'triggered_by_proof',
      'expires_at',
      'risk',
      'simulated',
    ],
    private: ['action_body', 'reason', 'case_kind'],
  },
  'request.approved': {
    public: [
      'deciding_vote',
      'approved_by',
      'approved_until',
      'starts_at',
      'effective_ref',
      'narrowed_by',
      'within_votes',
    ],
    private: ['effective_body', 'limits'],
  },
  'request.denied': { public: ['deciding_vote', 'denied_by', 'disposition'], private: ['reason'] },
  'request.expired': { public: ['expires_at', 'had_approval'], private: [] },
  'request.cancelled': { public: ['by'], private: [] },
  'request.superseded': { public: ['code', 'policy'], private: [] },
  'request.failed': { public: ['code'], private: [] },
  'request.reminded': { public: ['reminder', 'groups'], private: [] },
  'request.stage_opened': { public: ['route', 'stage', 'groups'], private: [] },
  'request.escalated': { public: ['step', 'groups'], private: [] },
  'request.consumed': { public: ['credential'], private: [] },
  'vote.cast': {
    public: [
      'vote',
      'person',
      'decision',
      'channel',
      'strength',
      'groups',
      'routes',
      'stages',
      'in_stead_of',
      'absence',
      'shown',
      'shown_covers_action',
      'invited_by',
      'opened_at',
      'narrows',
      'approves_ref',
      'within_shown',
      'slack_binding',
      'step_up',
    ],
    private: ['reason', 'limits', 'step_up_salt'],
  },
  'question.asked': {
    public: ['question', 'person', 'to', 'clock', 'answer_by', 'expires_at'],
    private: ['text'],
  },
  'question.answered': { public: ['question', 'by', 'expires_at'], private: ['text'] },
  'question.lapsed': { public: ['question', 'because', 'expires_at'], private: [] },
  'vote.refused': { public: ['code', 'person', 'principal', 'channel', 'decision'], private: [] },
  'attention.exceeded': { public: ['person', 'route', 'votes', 'budget'], private: [] },
  'permit.issued': { public: ['permit', 'expires_at', 'uses', 'effective_ref'], private: [] },
  'permit.redeemed': {
    public: ['permit', 'digest_matches', 'rules_unchanged', 'effective_ref'],
    private: [],
  },
  'permit.refused': { public: ['permit', 'code'], private: [] },
  'permit.voided': { public: ['permit', 'code'], private: [] },
  'receipt.recorded': { public: ['permit', 'digest_matches', 'outcome', 'effect'], private: [] },
  'credential.intended': {
    public: [
      'credential',
      'evaluation',
      'role',
      'issuer',
      'target',
      'permit',
      'expires_at',
      'issue_by',
      'attempt',
    ],
    private: [],
  },
  'credential.issued': {
    public: ['credential', 'role', 'issuer', 'target', 'permit', 'expires_at', 'seal_thumbprint'],
    private: [],
  },
  'credential.resealed': { public: ['credential', 'attempt', 'seal_thumbprint'], private: [] },
  'credential.delivered': { public: ['credential', 'delivery', 'kind'], private: ['path', 'host'] },
  'credential.collected': { public: ['credential'], private: [] },
  'credential.claimed': { public: ['credential'], private: [] },
  'credential.abandoned': { public: ['credential', 'seen_gone'], private: [] },
  'credential.revoke_intended': { public: ['credential', 'because', 'by'], private: ['reason'] },
  'credential.revoked': {
    public: ['credential', 'because', 'seen_gone', 'sessions_ended', 'attempts'],
    private: [],
  },
  'credential.revoke_failed': {
    public: ['credential', 'attempts', 'next_try_at', 'code'],
    private: [],
  },
  'credential.force_closed': { public: ['credential', 'attempts', 'code'], private: ['reason'] },
  'credential.renew_intended': { public: ['credential', 'expires_at', 'replaces'], private: [] },
  'credential.renewed': { public: ['credential', 'expires_at', 'fresh'], private: [] },
  'credential.renew_failed': { public: ['credential', 'code'], private: [] },
  'revocation.ordered': {
    public: ['revocation', 'scope', 'because', 'credentials', 'by'],
    private: ['of', 'reason'],
  },
  'revocation.done': {
    public: ['revocation', 'credentials', 'not_seen_gone', 'seconds'],
    private: [],
  },
  'kill.ordered': {
    public: ['scope', 'stop', 'revocation', 'agents', 'tasks', 'credentials', 'by'],
    private: ['of', 'reason'],
  },
  'kill.lifted': { public: ['stop', 'by'], private: ['reason'] },
  'run.intended': {
    public: [
      'run',
      'role',
      'target',
      'upstream',
      'call',
      'effect',
      'permit',
      'credential',
      'attempt',
      'run_by',
    ],
    private: [],
  },
  'run.sent': { public: ['run', 'sends', 'attempt', 'run_by'], private: [] },
  'run.finished': {
    public: [
      'run',
      'state',
      'outcome',
      'code',
      'rows',
      'status',
      'bytes',
      'is_cut',
      'is_masked',
      'sends',
      'permit',
      'credential',
      'attempt',
    ],
    private: ['result_digest'],
  },
  'runtime.observed': {
    public: [
      'kind',
      'target',
      'grade',
      'controls',
      'credential',
      'login',
      'effect',
      'outcome',
      'session_ref',
      'at',
      'skew_ms',
      'statements',
    ],
    private: ['login_name', 'statement_digest', 'objects'],
  },
  'policy.activated': { public: ['replaces', 'by', 'waives'], private: [] },
  'review.opened': { public: ['lines', 'scope_digest', 'due_at', 'opened_by'], private: ['title'] },
  'review.decided': {
    public: ['line', 'line_of', 'decision', 'person', 'credential'],
    private: ['reason'],
  },
  'review.closed': { public: ['kept', 'revoked', 'undecided'], private: [] },
  'receiver.added': {
    public: ['receiver', 'kind', 'signals', 'wise', 'reasons', 'by'],
    private: ['url'],
  },
  'receiver.changed': { public: ['receiver', 'state', 'because', 'by'], private: [] },
  'receiver.removed': { public: ['receiver', 'undelivered', 'by'], private: [] },
  'receiver.tested': { public: ['receiver', 'delivery', 'by'], private: [] },
  'receiver.delivery_failed': {
    public: ['receiver', 'delivery', 'signal', 'attempts', 'code'],
    private: [],
  },
  'scanner.added': { public: ['scanner', 'kind', 'policy', 'by'], private: ['name'] },
  'scanner.removed': { public: ['scanner', 'by'], private: [] },
  'leak.reported': {
    public: ['leak', 'scanner', 'looked_for', 'matches', 'seen_at', 'by'],
    private: ['source', 'where'],
  },
  'leak.matched': {
    public: ['leak', 'credential', 'proof', 'outcome', 'agent_suspended'],
    private: [],
  },
  'leak.closed': { public: ['leak', 'credentials', 'seconds'], private: [] },
  'target.discovered': {
    public: ['target', 'identities', 'found', 'changed', 'gone', 'left_out', 'gaps', 'by'],
    private: [],
  },
  'target.discovery_failed': { public: ['target', 'code', 'answered_at', 'by'], private: [] },
  'identity.found': {
    public: ['found', 'target', 'kind', 'because', 'risks', 'around'],
    private: ['name'],
  },
  'identity.changed': {
    public: ['found', 'target', 'kind', 'changes', 'risks', 'around'],
    private: ['name'],
  },
  'identity.gone': { public: ['found', 'target'], private: ['name'] },
  'identity.adopted': { public: ['found', 'target', 'agent', 'by'], private: ['name'] },
  'identity.ignored': {
    public: ['found', 'target', 'risks', 'by'],
    private: ['name', 'reason'],
  },
  'trigger.source_added': { public: ['source', 'thumbprint', 'by'], private: ['name'] },
  'trigger.source_removed': { public: ['source', 'by'], private: [] },
  'authority.certified': { public: ['kid', 'fingerprint', 'not_after'], private: [] },
  'authority.server_certified': {
    public: ['serial', 'authority', 'key_thumbprint', 'expires_at'],
    private: ['spiffe_id'],
  },
  'trust.bundle_changed': {
    public: ['source', 'bundle', 'sequence', 'authorities', 'keys'],
    private: ['trust_domain'],
  },
  'svid.issued': {
    public: ['kind', 'id', 'credential', 'authority', 'key_thumbprint', 'expires_at'],
    private: ['spiffe_id', 'audience'],
  },
  'svid.revoked': { public: ['kind', 'count', 'credential', 'because'], private: [] },
  'key.published': {
    public: ['use', 'algorithm', 'driver', 'activates_at', 'by'],
    private: [],
  },
  'key.activated': { public: ['use', 'replaces', 'by'], private: [] },
  'key.retired': { public: ['use', 'because', 'by'], private: ['reason'] },
  'integration.changed': { public: ['integration', 'by'], private: [] },
  'secret.put': { public: ['secret', 'version', 'by'], private: [] },
  'secret.rotated': { public: ['secret', 'version', 'replaces', 'by'], private: [] },
  'secret.removed': { public: ['secret', 'version', 'by'], private: [] },
  'secret.given': { public: ['secret', 'version', 'credential'], private: [] },
  'secret.tainted': { public: ['secret', 'version', 'credential'], private: [] },
  'secret.rotation_due': { public: ['secret', 'version', 'because', 'due_at'], private: [] },
  'report.read': { public: ['report', 'by'], private: [] },
} as const satisfies Record<string, { public: readonly string[]; private: readonly string[] }>;

type Catalogue = typeof EVENTS;
export type EventName = keyof Catalogue;
export type EventType<N extends EventName = EventName> = `dev.countersign.${N}.v1`;
export type PublicField<N extends EventName> = Catalogue[N]['public'][number];
export type PrivateField<N extends EventName> = Catalogue[N]['private'][number];

/** What every event is about: each member is stated, and null says "explicitly none". */
export interface EventFacts {
  actor_chain: Party[];
  human: string | null;
  task: Id<'task'> | null;
  session: string | null;
  agent: Id<'agent'> | null;
  policy_version: Digest | null;
  control: string | null;
  request: Id<'request'> | null;
  action_ref: Digest | null;
  decision: string | null;
  posture: JsonObject | null;
  cause: string | null;
  trace_id: string | null;
}

export interface EventData extends EventFacts {
  detail: JsonObject;
  private: Record<string, Digest>;
}

/** An event as it is logged: the leaf is exactly the canonical form of this. */
export interface LoggedEvent {
  specversion: '1.0';
  id: Id<'event'>;
  source: string;
  type: EventType;
  time: string;
  subject: string;
  data: EventData;
}

export const eventType = <N extends EventName>(name: N): EventType<N> =>
  `dev.countersign.${name}.v1`;

export function eventName(type: string): EventName | null {
  const name = /^dev\.countersign\.(.+)\.v1$/.exec(type)?.[1];
  return name !== undefined && Object.hasOwn(EVENTS, name) ? asEventName(name) : null;
}

/** Only called with a name found among the catalogue's own keys. */
const asEventName = (name: string): EventName => name as EventName;

/** The commitment that stands in the leaf for one private field. */
export function privateCommitment(salt: Uint8Array, field: string, value: JsonValue): Digest {
  return commitmentTo(`countersign/private/v1/${field}`, salt, value);
}

/** The bytes of the leaf, as text. Stored as written and never serialised again. */
export function leafText(event: LoggedEvent): string {
  return canonicalJson({
    specversion: event.specversion,
    id: event.id,
    source: event.source,
    type: event.type,
    time: event.time,
    subject: event.subject,
    data: dataAsJson(event.data),
  });
}

function dataAsJson({ actor_chain, ...rest }: EventData): JsonObject {
  return { ...rest, actor_chain: actor_chain.map(({ type, id }) => ({ type, id })) };
}
