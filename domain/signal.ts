// What is said to others when access ends: which events of ours are signals, and how each is said as a security event
// token (RFC 8417; OpenID SSF 1.0, CAEP 1.0, RISC 1.0, WISE) or as a webhook.
import type { EventName, LoggedEvent } from './event.ts';
import { toMs } from './instant.ts';
import type { JsonObject, JsonValue } from './json.ts';

/** What a receiver can ask for. */
export const SIGNALS = [
  'agent.suspended',
  'agent.resumed',
  'agent.retired',
  'agent.key_added',
  'agent.key_revoked',
  'credential.revoked',
  'credential.leaked',
] as const;
export type SignalName = (typeof SIGNALS)[number];

/** RFC 8417 §2.3: the type of a security event token. */
export const SECURITY_EVENT_TOKEN = 'secevent+jwt';
/** The webhook that only tests the way. */
export const VERIFICATION = 'receiver.verification';

const BASE = 'https://schemas.openid.net/secevent';
const CAEP = `${BASE}/caep/event-type`;
const RISC = `${BASE}/risc/event-type`;
const WISE = `${BASE}/wise/event-type`;
/** SSF 1.0 §8.1.4: the event that a receiver asks for to see that it is reached. */
export const SSF_VERIFICATION = `${BASE}/ssf/event-type/verification`;

/** A credential that ran out, or never came to be, was not revoked: nobody has to be told. */
const QUIET_ENDS: readonly JsonValue[] = ['ttl', 'issue_abandoned'];

/** The signal that an event of ours is, or null. */
export function signalOf(name: EventName, detail: JsonObject): SignalName | null {
  switch (name) {
    case 'agent.suspended':
    case 'agent.resumed':
    case 'agent.retired':
    case 'agent.key_added':
    case 'agent.key_revoked':
      return name;
    // From its intent on a lease is no longer good with us; the target follows within moments.
    case 'credential.revoke_intended':
      return QUIET_ENDS.includes(detail['because'] ?? null) ? null : 'credential.revoked';
    case 'leak.matched':
      return 'credential.leaked';
    default:
      return null;
  }
}

const SET_TYPES: Record<SignalName, { standard: readonly string[]; wise: readonly string[] }> = {
  'agent.suspended': {
    standard: [`${CAEP}/session-revoked`],
    wise: [`${WISE}/workload-disabled`],
  },
  'agent.resumed': { standard: [], wise: [`${WISE}/workload-enabled`] },
  'agent.retired': { standard: [], wise: [`${WISE}/workload-purged`] },
  'agent.key_added': { standard: [`${CAEP}/credential-change`], wise: [] },
  'agent.key_revoked': { standard: [`${CAEP}/credential-change`], wise: [] },
  'credential.revoked': { standard: [`${CAEP}/session-revoked`], wise: [] },
  'credential.leaked': {
    standard: [`${RISC}/credential-compromise`],
    wise: [`${WISE}/credential-compromise`],
  },
};

/** How a signal is said to one receiver; a SET tells of one event, so it may take several. */
export function formsOf(
  signal: SignalName,
  { kind, wise }: { kind: 'ssf' | 'webhook'; wise: boolean },
): readonly string[] {
  if (kind === 'webhook') return [signal];
  const { standard, wise: more } = SET_TYPES[signal];
  return wise ? [...standard, ...more] : standard;
}

/** All that a message is made of. */
export interface Telling {
  event: LoggedEvent;
  form: string;
  /** Of the agent; null if it was never admitted. */
  spiffeId: string | null;
  /** The issuer of the credential it is about. */
  issuedBy: string | null;
  /** What a person wrote, for receivers who may read it. */
  reason: string | null;
}

/** The claims of a SET that say what happened, and to whom. */
export function setClaims(telling: Telling): JsonObject {
  return {
    sub_id: subjectOf(telling),
    txn: telling.event.id,
    events: { [telling.form]: eventClaims(telling) },
  };
}

/**
 * An agent is named by its SPIFFE ID. A credential is a complex subject (SSF 1.0 §3.3): the agent as `application`, and
 * the one session of it that is meant. Receivers who do not know `session` are told by our configuration that they must.
 */
function subjectOf({ event, spiffeId, issuedBy }: Telling): JsonObject {
  const agent: JsonObject =
    spiffeId === null
      ? { format: 'opaque', id: event.data.agent }
      : { format: 'uri', uri: spiffeId };
  const credential = event.data.detail['credential'];
  if (typeof credential !== 'string') return agent;
  const session: JsonObject =
    issuedBy === 'jwt'
      ? { format: 'jwt_id', iss: event.source, jti: credential }
      : { format: 'opaque', id: credential };
  return { format: 'complex', application: agent, session };
}

function eventClaims(telling: Telling): JsonObject {
  const { event, form, reason } = telling;
  return {
    event_timestamp: Math.floor(toMs(event.time) / 1000),
    ...(form.startsWith(CAEP) && { initiating_entity: initiatorOf(event) }),
    ...(reason !== null && { reason_admin: { en: reason } }),
    ...aboutCredential(telling),
  };
}

function aboutCredential({ event, form, issuedBy }: Telling): JsonObject {
  const isAdded = event.type === 'dev.countersign.agent.key_added.v1';
  if (form === `${CAEP}/credential-change`)
    return { credential_type: 'app', change_type: isAdded ? 'create' : 'revoke' };
  if (form === `${RISC}/credential-compromise`)
    return {
      credential_type: issuedBy === 'x509' ? 'x509' : issuedBy === null ? 'app' : 'password',
    };
  if (form === `${WISE}/credential-compromise`)
    return {
      credential_type: issuedBy === 'x509' ? 'x509_generic' : 'api_key',
      credential_id: event.subject,
      reason: 'compromise',
    };
  return {};
}

/** CAEP 1.0 §2: who set it off. */
function initiatorOf({ data }: LoggedEvent): string {
  const type = data.actor_chain[0]?.type;
  if (data.detail['because'] === 'approval_ended') return 'policy';
  if (type === 'person' || type === 'service') return 'admin';
  return type === 'agent' ? 'user' : 'system';
}

const SAID = ['credential', 'because', 'by', 'key', 'thumbprint', 'leak', 'proof', 'outcome'];

/** The body of a webhook: the event's public facts under one name, and where in the log to find the rest. */
export function webhookBody({ event, form, spiffeId, reason }: Telling): JsonObject {
  const { agent, task, detail } = event.data;
  const said = Object.entries(detail).filter(([name]) => SAID.includes(name));
  return {
    type: form,
    timestamp: event.time,
    data: {
      event: event.id,
      agent,
      spiffe_id: spiffeId,
      task,
      ...Object.fromEntries(said),
      ...(reason !== null && { reason }),
    },
  };
}
