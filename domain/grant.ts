// Standing grants: what may vary between the uses of one approval, and whether an action is such a use.
import type { Action } from './action.ts';
import { digestOf, type Digest } from './digest.ts';
import { addSeconds, secondsBetween } from './instant.ts';
import type { JsonObject } from './json.ts';

/** What asking for a standing grant is called. */
export const OPEN_GRANT = 'grant:open';

/** The bounds of what may vary. Everything else about an action is what people agreed to, or it is not covered. */
export interface GrantBounds {
  /** The purpose that the task has to declare; null is any. */
  purpose: string | null;
  /** The longest that one credential may be asked for. */
  ttl_seconds: number;
}

/**
 * The digest that all actions of a grant share: the action with its varying members replaced by their bounds. Which
 * task it is for, who set that off, why, and which key a token is bound to may all differ; who asks, on whose behalf,
 * for what, where and with which options may not.
 */
export function patternDigest(action: Action, bounds: GrantBounds): Digest {
  const { confirmation: _bound, ttl_seconds: _ttl, ...kept } = action.parameters;
  const party = ({ type, id }: { type: string; id: string }): JsonObject => ({ type, id });
  return digestOf('countersign/grant-pattern/v1', {
    subject: party(action.subject),
    actor_chain: action.actor_chain.map(party),
    action: action.action,
    resource: party(action.resource),
    parameters: { ...kept, ttl_seconds: { at_most: bounds.ttl_seconds } },
    data_class: action.data_class,
    destination: action.destination,
    context: { purpose: bounds.purpose },
  });
}

/** What a grant covers, as it follows from what people agreed to: approvers may have made it less than was asked. */
export function coverOf(agreed: Action): { bounds: GrantBounds; pattern: Digest } {
  const { uses: _uses, for_seconds: _for, purpose, ...parameters } = agreed.parameters;
  const bounds = {
    purpose: typeof purpose === 'string' ? purpose : null,
    ttl_seconds: Number(parameters['ttl_seconds']),
  };
  const use = { ...agreed, action: 'credential:request', parameters };
  return { bounds, pattern: patternDigest(use, bounds) };
}

/** Whether an action is one that a grant is for: within its bounds, and otherwise the same. */
export function isCovered(
  action: Action,
  { bounds, pattern }: { bounds: GrantBounds; pattern: Digest },
): boolean {
  const { ttl_seconds: ttl } = action.parameters;
  // Written so that what is no number is not within.
  if (!(typeof ttl === 'number' && ttl <= bounds.ttl_seconds)) return false;
  if (bounds.purpose !== null && action.context['purpose'] !== bounds.purpose) return false;
  return patternDigest(action, bounds) === pattern;
}

/** When its approvers are told that a grant is about to end: nine tenths through its time. */
export const warnAt = ({
  createdAt,
  expiresAt,
}: {
  createdAt: string;
  expiresAt: string;
}): string => addSeconds(createdAt, secondsBetween(createdAt, expiresAt) * 0.9);
