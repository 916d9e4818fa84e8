// Keeps what was fetched from somebody else: fetched once for all who ask at the same time, again when it is due, and
// never believed for longer than a bound, however long their server is down.

/** What a fetch brought, and for how long its source says that it is good. */
export interface Fetched<T> {
  value: T;
  freshSeconds: number;
}

interface Entry<T> {
  value: T;
  fetchedAt: number;
  freshUntil: number;
}

/** A failed or forced fetch is not repeated sooner, whoever asks: a flood of unknown keys costs the issuer nothing. */
const RETRY_MS = 30_000;
/** What could not be fetched again for this long is no longer known. */
const BOUND_MS = 30 * 60_000;
/** More sources than any policy has; beyond it the oldest is forgotten. */
const SOURCES_MAX = 500;

export interface Keeper<T> {
  /** What was fetched last, if it is still to go by; fetches nothing. */
  last(source: string): T | null;
  /** The value of a source; throws what the fetch threw when there is none to go by. */
  get(source: string, fetch: () => Promise<Fetched<T>>, newer: boolean): Promise<T>;
}

export function openKeeper<T>(now: () => number): Keeper<T> {
  const entries = new Map<string, Entry<T>>();
  const tried = new Map<string, { at: number; error: unknown }>();
  const running = new Map<string, Promise<void>>();

  const refetch = async (source: string, fetch: () => Promise<Fetched<T>>): Promise<void> => {
    tried.set(source, { at: now(), error: null });
    try {
      const { value, freshSeconds } = await fetch();
      const fetchedAt = now();
      forgetOldest(entries);
      entries.set(source, { value, fetchedAt, freshUntil: fetchedAt + freshSeconds * 1000 });
    } catch (error) {
      tried.set(source, { at: now(), error });
    }
  };

  const fetchOnce = (source: string, fetch: () => Promise<Fetched<T>>): Promise<void> => {
    const started = running.get(source);
    if (started) return started;
    const beginning = refetch(source, fetch).finally(() => running.delete(source));
    running.set(source, beginning);
    return beginning;
  };

  const last = (source: string): T | null => {
    const kept = entries.get(source);
    return kept && now() - kept.fetchedAt < BOUND_MS ? kept.value : null;
  };

  return {
    last,
    get: async (source, fetch, newer) => {
      const entry = entries.get(source);
      const isDue = newer || !entry || now() >= entry.freshUntil;
      const attempt = tried.get(source);
      const mayTry = running.has(source) || !attempt || now() - attempt.at >= RETRY_MS;
      if (isDue && mayTry) await fetchOnce(source, fetch);
      const kept = last(source);
      if (kept !== null) return kept;
      entries.delete(source);
      throw tried.get(source)?.error ?? new Error('nothing was fetched');
    },
  };
}

function forgetOldest(entries: Map<string, unknown>): void {
  const [oldest] = entries.keys();
  if (entries.size >= SOURCES_MAX && oldest !== undefined) entries.delete(oldest);
}
