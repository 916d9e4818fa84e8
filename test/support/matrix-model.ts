// What has to come of a vote, by who casts it, where, on what, and when. Written from the contract alone: it calls
// nothing of the product, so that both can be wrong only in different ways.

export const KINDS = [
  'credential',
  'risky credential',
  'statement',
  'grant',
  'emergency',
  'admission',
  'key',
  'policy',
  'access',
] as const;
export type KindName = (typeof KINDS)[number];

export const STATES = [
  'pending',
  'due',
  'approved',
  'denied',
  'expired',
  'cancelled',
  'consumed',
  'superseded',
  'failed',
] as const;
export type StateName = (typeof STATES)[number];

export const ROLES = [
  'approver',
  'stand-in',
  'stranger',
  'requester',
  'trigger',
  'auditor',
  'administrator',
  'deactivated',
  'unlinked',
  'agent',
  'automation',
  'forged',
  'nobody',
] as const;
export type RoleName = (typeof ROLES)[number];

export const DOORS = ['api', 'form', 'button', 'modal', 'socket'] as const;
export type DoorName = (typeof DOORS)[number];

export interface Cell {
  kind: KindName;
  state: StateName;
  role: RoleName;
  door: DoorName;
}

const SLACK: readonly DoorName[] = ['button', 'modal', 'socket'];
export const isSlack = (door: DoorName): boolean => SLACK.includes(door);

/** The channel that a vote through a door is recorded with. */
export const channelOf = (door: DoorName): string =>
  isSlack(door) ? 'slack' : door === 'form' ? 'web' : 'api';

/** Slack cards of these offer no decision; the first for its risk, the second for the proof of presence it wants. */
export const isForSlack = (kind: KindName): boolean =>
  kind !== 'risky credential' && kind !== 'emergency';

/** Requests under a task, which some human set off. */
const UNDER_TASK: readonly KindName[] = [
  'credential',
  'risky credential',
  'statement',
  'emergency',
];

/** States in which the two slower ways through Slack are tried on every kind; on credentials they are in all. */
const THOROUGH: readonly StateName[] = ['pending', 'denied'];

/** Whether there is such a cell: nobody sets off what has no task, and not everybody has every door. */
export function exists({ kind, state, role, door }: Cell): boolean {
  if (role === 'trigger' && !UNDER_TASK.includes(kind)) return false;
  if (kind !== 'credential' && door === 'socket') return false;
  if (kind !== 'credential' && door === 'modal' && !THOROUGH.includes(state)) return false;
  if (isSlack(door)) return !['agent', 'automation', 'forged', 'nobody'].includes(role);
  return role !== 'unlinked';
}

/** The outcome by which a door turns somebody away before anybody looks at the request; null where it lets them in. */
function atTheDoor({ role, door }: Cell): string | null {
  if (isSlack(door)) return null;
  // A session ends with its person.
  if (role === 'nobody' || role === 'deactivated') return 'unauthenticated';
  if (role === 'forged') return 'forbidden';
  // Tokens are no sessions, and pages are for sessions.
  if (door === 'form' && (role === 'agent' || role === 'automation')) return 'unauthenticated';
  return null;
}

/** In the order of the contract: human, not self, eligible, strength, state and time, shown. */
export function expected(cell: Cell): string {
  const { kind, state, role, door } = cell;
  const turnedAway = atTheDoor(cell);
  if (turnedAway !== null) return turnedAway;
  if (role === 'agent' || role === 'automation' || role === 'unlinked') return 'human_required';
  if (role === 'requester' || role === 'trigger') return 'self_approval';
  if (role !== 'approver' && role !== 'stand-in') return 'not_eligible';
  if (isSlack(door) && kind === 'emergency') return 'stronger_auth_required';
  if (state === 'due' || state === 'expired') return 'request_expired';
  if (state !== 'pending') return 'already_decided';
  if (isSlack(door) && !isForSlack(kind)) return 'shown_mismatch';
  return 'taken';
}

/** Whether the one function that decides hears of it, and so writes an event of its refusal. */
export const isHeard = (cell: Cell): boolean => atTheDoor(cell) === null;

/** As what a refused voter stands in the event. */
export const principalOf = (role: RoleName): string =>
  role === 'agent'
    ? 'agent'
    : role === 'automation'
      ? 'service'
      : role === 'unlinked'
        ? 'slack'
        : 'person';

export const WITHDRAWERS = ['asker', 'other agent', 'approver', 'automation', 'nobody'] as const;
export type Withdrawer = (typeof WITHDRAWERS)[number];

/** The two calls that withdraw: ours, and that of the access request profile. */
export const WITHDRAWALS = ['/v1', '/access/v1'] as const;
export type Withdrawal = (typeof WITHDRAWALS)[number];

/** What comes of withdrawing. Each surface withdraws what was asked for on it; of the other's it knows nothing. */
export function withdrawn(
  kind: 'credential' | 'access',
  state: StateName,
  who: Withdrawer,
  by: Withdrawal,
): number {
  if (who === 'nobody') return 401;
  if (by === '/access/v1' && who === 'approver') return 403;
  if (by === '/v1' && (who === 'approver' || who === 'automation')) return 403;
  const isOwn = who === 'asker' && (by === '/v1') === (kind === 'credential');
  if (!isOwn) return 404;
  // Nobody withdraws what ran out of time: that stays an expiry.
  return state === 'pending' ? 200 : 409;
}

/** The status that an answer over HTTP has with each outcome. */
export const STATUS_OF: Record<string, number> = {
  unauthenticated: 401,
  forbidden: 403,
  human_required: 403,
  self_approval: 403,
  not_eligible: 403,
  stronger_auth_required: 403,
  already_decided: 409,
  shown_mismatch: 409,
  request_expired: 410,
};
