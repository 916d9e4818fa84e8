// What a test needs of an issuer and its target to hold the issuer to the laws of all of them.
import { endCredentials } from '../../../activities/ending.ts';
import type { RoleDefinition } from '../../../commands/access/kinds.ts';
import type { Issuer, LeaseToEnd, LeaseToIssue, TargetRef } from '../../../commands/issuer.ts';
import { newId } from '../../../commands/unit.ts';
import type { Id } from '../../../domain/id.ts';
import type { JsonObject } from '../../../domain/json.ts';

/** A kind of access, for the table of them all in all.ts. */
export interface IssuerKind {
  name: string;
  /**
   * What ends a credential of this kind: the target, when it is revoked; our own lease, which whoever checks it asks; or
   * time alone, as the other side takes nothing back.
   */
  endedBy: 'target' | 'lease' | 'time';
  /** Whether what was made before, for the same lease, ends when something new is made. */
  replaces: boolean;
  /** Whether the target itself makes nothing once the lease's time to be issued is over. */
  refusesLate: boolean;
  start(): Promise<IssuerFixture>;
}

/** One issuer with a real target, or the best stand-in for it that there is. */
export interface IssuerFixture {
  ours: Issuer;
  /** The same kind of issuer, of another deployment, at the same target; null where targets are never shared. */
  theirs: Issuer | null;
  /** The same kind of issuer, its target out of reach; null where there is none to reach. */
  down: Issuer | null;
  target: TargetRef;
  /** A role, and what is asked for within it. */
  role: RoleDefinition;
  options?: JsonObject;
  /** Whether somebody who has this is let in where it leads. */
  works: (material: JsonObject) => Promise<boolean>;
  /** What nobody but the holder may see of it. */
  secretsOf: (material: JsonObject) => string[];
  /** What nobody but the issuer may see. */
  ownSecrets: string[];
  close(): Promise<void>;
}

export const inSeconds = (seconds: number): string =>
  new Date(Date.now() + seconds * 1000).toISOString();

/** What every role says, for tests that care about the rest. */
export const anyRole = {
  title: 'Read',
  data_class: 'internal',
  reason: 'optional' as const,
  ttl_seconds_default: 60,
  ttl_seconds_max: 60,
};

/** A lease as the service would hand it to an issuer. */
export const leaseOf = (
  definition: RoleDefinition,
  target: TargetRef,
  more: Partial<LeaseToIssue> = {},
): LeaseToIssue => ({
  credential: newId('credential'),
  agent: newId('agent'),
  agentName: 'bot',
  spiffeId: 'spiffe://test/agent/bot',
  onBehalfOf: [],
  confirmation: null,
  status: null,
  task: newId('task'),
  purpose: 'test',
  role: 'orders-readonly',
  definition,
  options: {},
  target,
  expiresAt: inSeconds(60),
  issueBy: inSeconds(30),
  attempt: 1,
  ...more,
});

/** Leases of which no handle is known: what a crash left, or a kind of access that needs none. */
export const withoutHandles = (credentials: readonly Id<'credential'>[]): LeaseToEnd[] =>
  credentials.map((credential) => ({ credential, handles: [], diesAt: null }));

/** Ends them as the reaper does, and says of each whether it is over. */
export const ended = async (issuer: Issuer, target: TargetRef, leases: readonly LeaseToEnd[]) =>
  (await endCredentials(issuer, target, leases)).map(({ outcome, isOver }) => ({
    ...outcome,
    isOver,
  }));
