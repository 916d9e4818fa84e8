// What a test needs of an issuer and its target to hold the issuer to the laws of all of them.
import { endCredentials } from '../../../activities/ending.ts';
import type { RoleDefinition } from '../../../commands/access/kinds.ts';
import type { Issuer, LeaseToEnd, LeaseToIssue, TargetRef } from '../../../commands/issuer.ts';
import { newId } from '../../../commands/unit.ts';
import type { Id } from '../../../domain/id.ts';
import type { JsonObject } from '../../../domain/json.ts';

/** One issuer with a real target, or the best stand-in for it that there is. */
export interface IssuerFixture {
  ours: Issuer;
  /** The same kind of issuer of another deployment at the same target; null where targets are never shared. */
  theirs: Issuer | null;
  target: TargetRef;
  /** The same with a target that is down; null where there is none to reach. */
  down: Issuer | null;
  /** A role that `works` can use what it gives. */
  role: RoleDefinition;
  /** What is asked for within the role; nothing where it takes no options. */
  options?: JsonObject;
  /** Whether the target lets somebody in who has this, asked as its holder would. */
  works(material: JsonObject): Promise<boolean>;
  /** The parts of what is given that nobody else may see. */
  secretsOf(material: JsonObject): string[];
  /** Whether material made before, for the same lease, ends when new material is made. */
  replaces: boolean;
  /** Whether revoking ends what the other side lets in at once. */
  revocable: boolean;
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
