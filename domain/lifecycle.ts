// The states of each noun and the moves between them, as tables. A state without moves is final.

const LIFECYCLES = {
  agent: {
    requested: ['active', 'rejected'],
    active: ['suspended', 'retired'],
    suspended: ['active', 'retired'],
    rejected: [],
    retired: [],
  },
  task: {
    running: ['ending'],
    ending: ['completed', 'failed', 'expired', 'killed'],
    completed: [],
    failed: [],
    expired: [],
    killed: [],
  },
  credential: {
    // A pending lease may already have a role behind it, so it too can only end through revocation.
    pending: ['active', 'revoking'],
    active: ['revoking'],
    revoking: ['revoked', 'expired', 'abandoned', 'revoke_failed'],
    revoke_failed: ['revoked', 'expired', 'abandoned', 'revoke_failed', 'force_closed'],
    // Given up by a person's word, and never seen gone; the sweep goes on looking for it.
    force_closed: [],
    revoked: [],
    expired: [],
    abandoned: [],
  },
  request: {
    pending: ['approved', 'denied', 'expired', 'cancelled', 'superseded'],
    approved: ['consumed', 'expired', 'failed'],
    denied: [],
    expired: [],
    cancelled: [],
    superseded: [],
    failed: [],
    consumed: [],
  },
  run: {
    running: ['done', 'failed', 'unknown'],
    done: [],
    failed: [],
    // The target no longer knew what became of its transaction.
    unknown: [],
  },
  grant: {
    live: ['spent', 'expired', 'revoked', 'voided'],
    // Nothing more is given by it, and what was given may still be taken back with it.
    spent: ['expired', 'revoked', 'voided'],
    expired: [],
    revoked: [],
    voided: [],
  },
  glassKit: {
    // Agreed to; its holders have yet to bring their keys.
    waiting: ['making', 'ending'],
    making: ['ready', 'ending'],
    ready: ['ending'],
    // Whatever is at the target is being taken away, until it is seen gone.
    ending: ['ended'],
    ended: [],
  },
  permit: {
    live: ['redeemed', 'lapsed', 'voided'],
    // What it led to was not handed over when policy stopped allowing it.
    redeemed: ['voided'],
    lapsed: [],
    voided: [],
  },
} as const satisfies Record<string, Record<string, readonly string[]>>;

type Lifecycles = typeof LIFECYCLES;
export type LifecycleNoun = keyof Lifecycles;
export type StateOf<N extends LifecycleNoun> = Extract<keyof Lifecycles[N], string>;

export type AgentState = StateOf<'agent'>;
export type TaskState = StateOf<'task'>;
export type CredentialState = StateOf<'credential'>;
export type RequestState = StateOf<'request'>;
export type PermitState = StateOf<'permit'>;
export type GrantState = StateOf<'grant'>;
export type RunState = StateOf<'run'>;

export function statesOf<N extends LifecycleNoun>(noun: N): [StateOf<N>, ...StateOf<N>[]] {
  const [first, ...rest] = Object.keys(LIFECYCLES[noun]) as StateOf<N>[];
  if (first === undefined) throw new RangeError(`${noun} has no states`);
  return [first, ...rest];
}

/** Whether the table allows this move. */
export function canMove<N extends LifecycleNoun>(
  noun: N,
  from: StateOf<N>,
  to: StateOf<N>,
): boolean {
  return movesFrom(noun, from)?.includes(to) ?? false;
}

export function isFinal<N extends LifecycleNoun>(noun: N, state: StateOf<N>): boolean {
  return movesFrom(noun, state)?.length === 0;
}

/** Where a state may lead; undefined for what is no state, even if every object has such a member. */
function movesFrom(noun: LifecycleNoun, state: string): readonly string[] | undefined {
  const table: Record<string, readonly string[]> = LIFECYCLES[noun];
  return Object.hasOwn(table, state) ? table[state] : undefined;
}

/** Credential states in which the target may still know the login. */
export const ALIVE: readonly CredentialState[] = ['pending', 'active', 'revoking', 'revoke_failed'];
