// How a workflow waits: until a moment, or until it is woken to look at its rows again.
import { condition, proxyActivities, setHandler } from '@temporalio/workflow';
import { wake, type Activities } from './contract.ts';

/** Waiting shorter than this would spin when two clocks disagree about a deadline. */
const WAIT_MIN_MS = 250;
/** Nobody is forgotten: without any deadline a workflow still looks once a week. */
const WAIT_MAX_MS = 7 * 86_400_000;

export interface Bell {
  /** Waits until the earliest of these moments, or until woken. True if it was woken. */
  until(...moments: (string | null)[]): Promise<boolean>;
}

/** Sets up the wake signal. Wakes that come while the workflow is busy are not lost. */
export function hangBell(): Bell {
  let rung = false;
  setHandler(wake, () => {
    rung = true;
  });
  return {
    until: async (...moments) => {
      const known = moments.filter((at) => at !== null).map((at) => Date.parse(at));
      const ms = Math.min(...known, Date.now() + WAIT_MAX_MS) - Date.now();
      await condition(() => rung, Math.max(ms, WAIT_MIN_MS));
      const woken = rung;
      rung = false;
      return woken;
    },
  };
}

export const fromNow = (seconds: number): string =>
  new Date(Date.now() + seconds * 1000).toISOString();

export const isPast = (at: string): boolean => Date.now() >= Date.parse(at);

/**
 * Work on our own rows and on targets: tried until it is done. An activity whose worker died is noticed by
 * its missing heartbeat.
 */
export const act = proxyActivities<Activities>({
  startToCloseTimeout: '60 seconds',
  heartbeatTimeout: '4 seconds',
  retry: {
    initialInterval: '500 milliseconds',
    backoffCoefficient: 2,
    maximumInterval: '30 seconds',
  },
});

/** Messages to people and callers: tried for a day, and never in the way of the work itself. */
export const send = proxyActivities<Activities>({
  startToCloseTimeout: '60 seconds',
  heartbeatTimeout: '4 seconds',
  scheduleToCloseTimeout: '1 day',
  retry: { initialInterval: '1 second', backoffCoefficient: 3, maximumInterval: '1 hour' },
});
