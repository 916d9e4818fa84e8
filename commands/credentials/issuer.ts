// The hands of one kind of access. One file each under activities/issuers/.
import type { Confirmation } from '../../domain/delegation.ts';
import type { Census } from '../../domain/found-identity.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { RoleDefinition, TargetDefinition } from '../access/kinds.ts';
import type { StatusPlace } from './token-status.ts';

export interface LeaseToIssue {
  credential: Id<'credential'>;
  agent: Id<'agent'>;
  agentName: string;
  spiffeId: string;
  /** On whose behalf, from the agent that handed on last to the one whose task it is; SPIFFE IDs. */
  onBehalfOf: string[];
  /** What a token is bound to. */
  confirmation: Confirmation | null;
  /** Where the status of a token is found; null for what is no token. */
  status: StatusPlace | null;
  task: Id<'task'>;
  purpose: string;
  role: string;
  definition: RoleDefinition;
  /** The control whose people agreed to it, if any had to. */
  control?: string | null;
  /** What was asked for within the role, as its kind of access read it. */
  options: JsonObject;
  target: TargetRef;
  expiresAt: string;
  /** After this the target must refuse to make it. */
  issueBy: string;
  /** Counts the attempts at one lease: a slower, earlier one must not replace what a later one made. */
  attempt: number;
}

/** One target as the policy defines it now; no definition where it is our own, or policy has it no more. */
export interface TargetRef {
  name: string;
  definition: TargetDefinition | null;
}

/** What an issuer made. */
export interface Issued {
  /** What its holder is given, sealed to their key at once and kept nowhere else. */
  material: JsonObject;
  /** What ending it takes and does not follow from the lease. A secret like the material: kept encrypted, or `null`. */
  handle: string | null;
  /** When the other side lets it die, where that is not when the lease ends. */
  diesAt: string | null;
}

/** A lease whose credential is to be ended. */
export interface LeaseToEnd {
  credential: Id<'credential'>;
  /** Of everything that was made for it, oldest first; attempts that a crash cut short left none. */
  handles: readonly string[];
  /** Whether an attempt at it was never heard of again: what that made, if anything, has no handle here. */
  unheard: boolean;
  /** By then the other side has let all of it die, whatever we do; null where nobody knows, as for an orphan. */
  diesAt: string | null;
}

export interface RevokeOutcome {
  credential: Id<'credential'>;
  /** A short, stable word for what went wrong; null when all was done that can be. */
  code: string | null;
  sessionsEnded: number;
  /** When trying again makes sense, where that is known. */
  tryAt?: string;
}

/** `unknowable` where the other side cannot be asked, and never forgets by itself. */
export type Death = 'gone' | 'alive' | 'unknowable';

export interface Issuer {
  /** Makes the credential. Repeating it for a lease replaces what was made. Throws a TargetError. */
  issue(lease: LeaseToIssue): Promise<Issued>;
  /** Moves the end of what was made for a lease, and never back. Only where renewing extends. Throws a TargetError. */
  renew?(lease: LeaseToIssue): Promise<void>;
  /** Ends credentials and their sessions as far as that can be done. Idempotent; one failing holds up no other. */
  revoke(target: TargetRef, leases: readonly LeaseToEnd[]): Promise<RevokeOutcome[]>;
  /** Looks, after a revocation and apart from it, whether the other side still takes them. */
  verifyDead(target: TargetRef, leases: readonly LeaseToEnd[]): Promise<Death[]>;
  /** Everything of ours that the target knows; null where it cannot be asked. */
  list(target: TargetRef): Promise<Id<'credential'>[] | null>;
  /**
   * Every identity there that is not a lease of ours. `roles` are those that policy opens there, to say which of them
   * it can do without. Left out where there are none, or nobody can be asked.
   */
  discover?(target: TargetRef, roles: ReadonlyMap<string, RoleDefinition>): Promise<Census>;
  /** Logins that lie ready for when we are down; left out where there can be none. */
  kits?: KitHands;
}

/** A login that is to lie ready for when we are down. Its password is nobody's business but its holders'. */
export interface KitLogin {
  kit: Id<'glassKit'>;
  target: TargetRef;
  definition: RoleDefinition;
  expiresAt: string;
  issueBy: string;
  attempt: number;
  /** What the target keeps of the password: it never hears the password itself. */
  verifier: string;
}

/** Where such a login is used. */
export interface KitPlace {
  host: string;
  port: number;
  database: string;
  username: string;
}

/** What was made once, to be found again as it was. */
export type MadeKit = Pick<KitLogin, 'kit' | 'target' | 'definition' | 'expiresAt' | 'attempt'> & {
  salt: string;
};

/** Whether the login is as it was made: not there, or with other rights, another end or another password. */
export type KitState = 'good' | 'missing' | 'altered';

/** What an issuer can do that lets logins lie ready. Each throws a TargetError where the target cannot be asked. */
export interface KitHands {
  /** Makes the login. Repeating it replaces the password. */
  make(login: KitLogin): Promise<KitPlace>;
  /** Ends it and its sessions, and looks that it is gone. Idempotent. */
  end(
    target: TargetRef,
    kit: Id<'glassKit'>,
  ): Promise<{ code: string | null; sessionsEnded: number; seenGone: boolean }>;
  check(kit: MadeKit): Promise<KitState>;
  /** Every login of this kind that the target has of ours. */
  list(target: TargetRef): Promise<Id<'glassKit'>[]>;
}

/** The target could not be reached or refused; trying again later may work. */
export class TargetError extends Error {
  readonly code: string;
  /** The other side said no: whatever it might have made, it did not. */
  readonly nothingMade: boolean;
  constructor(code: string, options?: ErrorOptions & { nothingMade?: boolean }) {
    super(code, options);
    this.code = code;
    this.nothingMade = options?.nothingMade ?? false;
  }
}
