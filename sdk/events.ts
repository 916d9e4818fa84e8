// The record of what happened.
import type { ListOptions } from './lists.ts';
import { pause } from './retry.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { Page, RecordedEvent } from './types.ts';

/** Which events to read; without any member, all of them. */
export interface EventFilter {
  task?: string | undefined;
  request?: string | undefined;
  agent?: string | undefined;
  control?: string | undefined;
  /** In full, or by its short name: `vote.cast`. */
  type?: string | undefined;
}

/** How to follow the record. */
export interface FollowOptions extends CallOptions {
  /** How often to look when there is nothing new; 1 if it is not said. */
  everySeconds?: number | undefined;
}

const PAGE = 200;

export function eventCalls(transport: Transport) {
  /** Oldest first; an agent sees those of its own tasks. */
  const list = (filter: EventFilter & ListOptions = {}, options?: CallOptions) => {
    const { task, request, agent, control, type, limit, cursor } = filter;
    return transport.get<Page<RecordedEvent>>('/v1/events', {
      ...options,
      query: { task, request, agent, control, type, limit, cursor },
    });
  };
  /** Every event from the first one on, and then each new one as it comes, until the signal is aborted. */
  const follow = (filter: EventFilter = {}, options: FollowOptions = {}) =>
    followPages((cursor) => list({ ...filter, limit: PAGE, cursor }, options), options);
  return { list, follow };
}

/**
 * The last page has no cursor that leads on from it, so it is read again until there is a next one. What was
 * seen on it is remembered by id, for an event can become visible after a later one.
 */
async function* followPages(
  readPage: (cursor: string | undefined) => Promise<Page<RecordedEvent>>,
  { everySeconds = 1, signal }: FollowOptions,
): AsyncGenerator<RecordedEvent, void, undefined> {
  let cursor: string | undefined;
  let seen = new Set<string>();
  for (;;) {
    const page = await readPage(cursor);
    for (const event of page.data) {
      if (!seen.has(event.id)) yield event;
      seen.add(event.id);
    }
    if (page.next_cursor === null) {
      await pause(everySeconds * 1000, signal);
    } else {
      cursor = page.next_cursor;
      seen = new Set();
    }
  }
}
