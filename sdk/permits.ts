// For enforcement points: permits that people's approvals end in, redeemed before each use and answered for after it.
import { digestOf } from '../domain/digest.ts';
import type { JsonObject } from '../domain/json.ts';
import type { Client } from './client.ts';
import { path } from './path.ts';
import type { CallOptions, Transport } from './transport.ts';

/** What came of a use. */
export type ReceiptOutcome = 'done' | 'failed' | 'unknown';

/** What is wrong with a use: nobody said in time what came of it, or something else ran. */
export type Finding = 'receipt_missing' | 'digest_mismatch';

/** A use of a permit. */
export interface Redemption {
  id: string;
  redeemed_at: string;
  receipt_due_at: string;
  receipt: {
    outcome: ReceiptOutcome;
    digest_run: string;
    digest_matches: boolean;
    result_digest: string | null;
    recorded_at: string;
    is_late: boolean;
  } | null;
  finding: Finding | null;
}

/** What people approved, for one enforcement point to carry out. */
export interface Permit {
  id: string;
  request: string;
  audience: string;
  action_digest: string;
  state: 'live' | 'redeemed' | 'lapsed' | 'voided';
  uses: number;
  uses_left: number;
  expires_at: string;
  redemptions: Redemption[];
}

/** What an enforcement point says of one use. */
export interface ReceiptOrder {
  permit: string;
  redemption: string;
  outcome: ReceiptOutcome;
  /** Of the action as it ran: `actionDigest`. */
  digestRun: string;
  resultDigest?: string | undefined;
}

/** The digest of an action, by which it is approved, redeemed and answered for. */
export const actionDigest = (action: JsonObject): string =>
  digestOf('countersign/action/v1', action);

export const permitCalls = (transport: Transport) => ({
  /** The signed form, a JWT for its enforcement point, with what it says and the action as it was approved. */
  signed: (request: string, options?: CallOptions) =>
    transport.get<Omit<Permit, 'redemptions'> & { permit: string; action: JsonObject }>(
      path`/v1/requests/${request}/permit`,
      options,
    ),

  get: (id: string, options?: CallOptions) =>
    transport.get<Permit>(path`/v1/permits/${id}`, options),

  /** Permits with a use that nobody answered for, or that ran something else; of one kind if it is said. */
  findings: (kind?: Finding, options?: CallOptions) =>
    transport.get<{ data: Permit[] }>('/v1/permits', { ...options, query: { finding: kind } }),

  /** For one use, right before it; anything but an answer means that nothing may run. */
  redeem: (id: string, action: JsonObject, options?: CallOptions) =>
    transport.post<{ redemption: string; uses_left: number; receipt_due_at: string }>(
      path`/v1/permits/${id}/redeem`,
      { ...options, body: { action } },
    ),
});

export const receiptCalls = (transport: Transport) => ({
  /** Once for each use; the same again is the same. */
  record: (
    { permit, redemption, outcome, digestRun, resultDigest }: ReceiptOrder,
    options?: CallOptions,
  ) =>
    transport.post<Redemption>('/v1/receipts', {
      ...options,
      body: { permit, redemption, outcome, digest_run: digestRun, result_digest: resultDigest },
    }),
});

/** Something to run on a permit. */
export interface Guarded {
  permit: string;
  /** What is about to run, as it was approved. */
  action: JsonObject;
  /** Whether an error of the work means that it may have run all the same; if it is not said, it means that it failed. */
  isUnknown?: ((error: unknown) => boolean) | undefined;
  /** Told when no receipt could be left: what ran has run, and will be found to be unanswered for. */
  onReceiptLost?: ((error: unknown) => void) | undefined;
}

/** Redeems the permit, runs the work, and says what came of it. Without a redemption nothing runs. */
export async function guard<T>(
  client: Pick<Client, 'permits' | 'receipts'>,
  { permit, action, isUnknown, onReceiptLost }: Guarded,
  run: () => Promise<T>,
): Promise<T> {
  // As it is redeemed: whatever becomes of the object meanwhile, this is what was about to run.
  const digestRun = actionDigest(action);
  const { redemption } = await client.permits.redeem(permit, action);
  let outcome: ReceiptOutcome = 'done';
  try {
    return await run();
  } catch (error) {
    outcome = isUnknown?.(error) === true ? 'unknown' : 'failed';
    throw error;
  } finally {
    await client.receipts
      .record({ permit, redemption, outcome, digestRun })
      .catch((error: unknown) => onReceiptLost?.(error));
  }
}
