// What `import … from 'countersign/sdk'` gives.
export { openClient, type Client, type ClientOptions } from './client.ts';
export {
  withTask,
  type CallWish,
  type CredentialWish,
  type RunningTask,
  type StatementWish,
  type WithTaskOptions,
} from './with-task.ts';
export { CountersignError, type ErrorCode } from './error.ts';
export {
  generateKey,
  parsePrivateKey,
  parsePublicKey,
  publicKeyOf,
  type PrivateJwk,
  type PublicJwk,
} from './keys.ts';
export { joinAgent, type JoinOptions } from './join.ts';
export {
  actionDigest,
  guard,
  type Guarded,
  type Permit,
  type ReceiptOrder,
  type ReceiptOutcome,
  type Finding,
  type Redemption,
} from './permits.ts';
export { openSealed } from './seal.ts';
export {
  verifySignal,
  verifyWebhook,
  type ReceivedWebhook,
  type SignalMessage,
  type AskedEvent,
  type DecidedEvent,
  type WebhookEvent,
} from './webhook.ts';
export type { LeakReport, ReceiverOrder } from './signals.ts';
export type { ScannerOrder } from './sources.ts';
export type { SignalName } from '../domain/signal.ts';
export type * from './signal-types.ts';
export { eachItem, type ListOptions } from './lists.ts';
export type { AgentCredential, ClientCredential } from './sign-in.ts';
export type { CallOptions } from './transport.ts';
export type { AgentOrder } from './agents.ts';
export type { DelegationOrder, EndOptions, TaskFilter, TaskOrder } from './tasks.ts';
export type {
  CredentialOrder,
  CredentialOutcome,
  Denied,
  Held,
  Issued,
  RenewalOrder,
} from './credentials.ts';
export type { KillOrder, RevocationOrder, StopOptions } from './revocations.ts';
export type { BreakGlassKit, Emergency, EmergencyFilter, KitFilter } from './break-glass.ts';
export type { ApproverWebhook, ChannelStanding, EmailSettings } from './channels.ts';
export type { Grant, GrantFilter, GrantOrder } from './grants.ts';
export type { Answered, OnQuestion, WaitOptions } from './requests.ts';
export type {
  CallAnswer,
  CallOrder,
  Ran,
  RunFailed,
  RunHeld,
  RunOrder,
  RunOutcome,
  RunRows,
} from './runs.ts';
export type { Absence, Away, Invitation, Passkey, PersonChange } from './people.ts';
export type { EventFilter, FollowOptions } from './events.ts';
export type { Period } from './evidence.ts';
export type { JwtSvid, RevocationLists, TrustBundles, X509Svid, X509SvidOrder } from './svids.ts';
export type { KeyRotation, OnCallNow, OnCallSource, SlackSettings } from './administration.ts';
export type * from './stopping-types.ts';
export type * from './types.ts';
export type * from './policy-types.ts';
export type * from './request-types.ts';
export type { SimulatedChange, SimulatedSide, Simulation } from '../domain/simulation.ts';
export type { Verdict, VerdictCase, VerdictLayer, VerdictTest } from '../domain/verdict/types.ts';
export type { AttentionReport } from '../domain/attention.ts';
export type { PopulationMember } from '../domain/population.ts';
export type { Adoption, FoundIdentity, TargetDiscovery, TargetLook } from './discovery.ts';
