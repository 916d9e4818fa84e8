// What every issuer of credentials can do. One file each under activities/issuers/.
import type { Confirmation } from '../domain/delegation.ts';
import type { Id } from '../domain/id.ts';
import type { JsonObject } from '../domain/json.ts';
import type { RoleDefinition, TargetDefinition } from './policy-bundle.ts';
import type { StatusPlace } from './token-status.ts';

export interface LeaseToIssue {
  credential: Id<'credential'>;
  agent: Id<'agent'>;
  spiffeId: string;
  /** On whose behalf, from the agent that handed on last to the one whose task it is; SPIFFE IDs. */
  onBehalfOf: string[];
  /** What a token is bound to. */
  confirmation: Confirmation | null;
  /** Where the status of a token is found; null for what is no token. */
  status: StatusPlace | null;
  task: Id<'task'>;
  role: string;
  definition: RoleDefinition;
  target: TargetDefinition | null;
  expiresAt: string;
  /** After this the target must refuse to make the login. */
  issueBy: string;
  /** Counts the attempts at one lease: a slower, earlier one must not replace what a later one made. */
  attempt: number;
}

/** One target as the policy defines it now. */
export interface TargetRef {
  name: string;
  definition: TargetDefinition | null;
}

export type RevokeOutcome =
  /** Seen gone in the target, just now. */
  | { credential: Id<'credential'>; gone: true; sessionsEnded: number }
  | { credential: Id<'credential'>; gone: false; code: string };

export interface Issuer {
  /** Whether revoking ends what the credential can do before it expires. */
  revocable: boolean;
  /** Makes the login and returns its material. Repeating it for a lease replaces the material. */
  issue(lease: LeaseToIssue): Promise<JsonObject>;
  /** Ends logins and their sessions, and looks whether they are gone. Idempotent. */
  revoke(target: TargetRef, credentials: readonly Id<'credential'>[]): Promise<RevokeOutcome[]>;
  /** Every login of ours that the target knows. */
  list(target: TargetRef): Promise<Id<'credential'>[]>;
}

/** The target could not be reached or refused; trying again later may work. */
export class TargetError extends Error {
  readonly code: string;
  constructor(code: string, options?: ErrorOptions) {
    super(code, options);
    this.code = code;
  }
}
