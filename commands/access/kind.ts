// What a policy can say about one kind of access. One file each in this folder, beside its hands under
// activities/issuers/; kinds.ts lists them all.
import { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import type { OptionExtent } from '../../domain/narrowing.ts';
import type { TargetDefinition } from './kinds.ts';

/**
 * Who can say that a credential is dead: its target, when it is asked; our own lease, from which whoever checks it is
 * answered; nothing but the clock; or nobody at all.
 */
export type Witness = 'target' | 'lease' | 'clock' | 'nobody';

/**
 * What a second attempt at one lease does to the first: takes its place; stands beside it, and both end with the lease;
 * or makes one more that lives by itself, so that one whose answer was lost cannot be ended and is waited for.
 */
export type Attempts = 'replace' | 'share' | 'add';

/** One kind of access: how policies describe it, and what is true of it wherever it leads. */
export interface AccessKind<R> {
  /** Where it is issued: a target of the policy, or a name of our own. */
  target: (role: R) => string;
  /** Where using it leads, as approvers read it. */
  destination: (role: R) => string;
  /** What it gives, in words that follow "gives". */
  gives: (role: R) => string;
  /** What it reaches there. Roles of one target that share none of it cannot stand in for one another. */
  reaches: (role: R) => string[];
  /** Whether revoking ends what the credential can do before it would expire by itself. */
  revocable: (role: R, target: TargetDefinition | null) => boolean;
  /**
   * The seconds that the other side lets a credential live whatever we asked for; 0 where it obeys the lease.
   * Counted from the last moment it could have been made, it bounds the life of what a crash left behind.
   */
  longestSeconds: (role: R, target: TargetDefinition | null) => number;
  /** Whether the other side ends it by its own clock, should nobody come to end it. */
  backstop: (role: R) => boolean;
  witness: (role: R, target: TargetDefinition | null) => Witness;
  attempts: (role: R) => Attempts;
  /** Whether its target can be asked for all that is ours there. */
  listed: boolean;
  /**
   * Whether it can be renewed: its end moved where it is, or one made anew for the same key. Not at all where this is
   * not said.
   */
  renewal?: 'extended' | 'fresh';
  /**
   * Reads what a caller asked for within a role, in the form that people approve and the issuer then gets. Throws a
   * Refusal for what the role does not allow.
   */
  readOptions: (role: R, options: JsonObject) => Promise<JsonObject>;
  /** What of its options an approver can leave less of, and all that each can be. Nothing where this is not said. */
  extents?: (role: R, options: JsonObject) => Record<string, OptionExtent>;
  /** What is wrong with a role at its target, in words for whoever writes the policy. */
  mistake?: (role: R, target: TargetDefinition) => string | null;
}

const DAY = 86_400;

export const policyName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'lower-case letters, digits and dashes');
/** A setting of the process, by the name of its environment variable: policies hold no secrets. */
export const variable = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]*$/, 'the name of an environment variable');
export const seconds = (most: number) => z.number().int().min(1).max(most);

/** Who answers for what is given: an e-mail address of a person, or a group. */
export const resourceOwner = z
  .string()
  .regex(
    /^(?:[a-z0-9][a-z0-9_.-]{0,62}|[^\s@:]{1,64}@[^\s@:]{1,190})$/,
    'the e-mail address of a person, or a group',
  )
  .optional();

/** What every target says that can be asked which identities it has. */
export const targetCommon = {
  /** How often it is asked by itself; once a day if this is not said. */
  discover_every_seconds: z
    .number()
    .int()
    .min(300)
    .max(30 * DAY)
    .optional(),
  owner: resourceOwner,
};

/** What every role says, whatever it gives. */
export const roleCommon = {
  title: z.string().min(1).max(100),
  data_class: z.string().min(1).max(40).default('internal'),
  reason: z.enum(['required', 'optional']).default('optional'),
  ttl_seconds_default: seconds(DAY).default(900),
  ttl_seconds_max: seconds(DAY).default(3600),
  /** How long it may last in all when it is renewed; as long as one that is not where this is not said. */
  renew_seconds_max: seconds(7 * DAY).optional(),
  owner: resourceOwner,
};
