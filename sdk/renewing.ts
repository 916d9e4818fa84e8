// Keeping a credential alive while the work that uses it goes on, for as long as its role lets it.
import type { Client } from './client.ts';
import { CountersignError, type ErrorCode } from './error.ts';
import type { PrivateJwk } from './keys.ts';
import type { Credential, Material } from './types.ts';

export interface Holding {
  credential: Credential;
  /** Kept up to date in place: a token that is made anew takes the place of the old one. */
  material: Material;
  sealKey: PrivateJwk;
  ttlSeconds: number | undefined;
}

/** A renewal is asked for when this part of the time that is left has passed. */
const PART = 2 / 3;
/** After a failure that may pass, it is tried again this soon. */
const RETRY_MS = 2_000;
/** The longest a timer of JavaScript waits. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Refusals after which asking again would change nothing: the credential ends when it says. */
const FINAL: readonly ErrorCode[] = [
  'not_renewable',
  'renewal_capped',
  'not_found',
  'wrong_state',
  'policy_changed',
  'denied',
  'task_not_running',
  'agent_not_active',
  'stopped',
  'seal_key_invalid',
  'unauthenticated',
];

/** Renews until told to stop, or until it can be renewed no more. Returns what stops it. */
export function keepRenewing(client: Client, holding: Holding): () => void {
  const stopped = new AbortController();
  // Counted by the server's clock, from what it said when it gave the credential.
  const ahead = Date.parse(holding.credential.issued_at ?? '') - Date.now();
  let expiresAt = holding.credential.expires_at;
  let timer: NodeJS.Timeout | undefined;
  const leftMs = (): number => Date.parse(expiresAt) - Date.now() - ahead;
  const schedule = (ms: number): void => {
    if (stopped.signal.aborted || !(ms > 0)) return;
    timer = setTimeout(() => void renew(), Math.min(ms, TIMER_MS_MAX));
    // The work keeps the process alive, and not the wish to go on.
    timer.unref();
  };
  const renew = async (): Promise<void> => {
    try {
      const { credential, material } = await client.credentials.renew(
        holding.credential.id,
        { ttlSeconds: holding.ttlSeconds, sealKey: holding.sealKey },
        { signal: stopped.signal },
      );
      if (material) Object.assign(holding.material, material);
      const gained = credential.expires_at !== expiresAt;
      expiresAt = credential.expires_at;
      if (gained) schedule(leftMs() * PART);
    } catch (error) {
      const isFinal = error instanceof CountersignError && FINAL.includes(error.code);
      if (!isFinal && leftMs() > 0) schedule(RETRY_MS);
    }
  };
  schedule(leftMs() * PART);
  return () => {
    stopped.abort();
    clearTimeout(timer);
  };
}
