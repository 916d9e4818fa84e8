// Lists come in pages; this walks them.
import type { Page } from './types.ts';

/** What every list takes. */
export interface ListOptions {
  /** Items on a page: 1 to 500, 50 if it is not said. */
  limit?: number | undefined;
  /** `next_cursor` of the page before. */
  cursor?: string | undefined;
}

/** Walks a list to its end, page by page: `eachItem((cursor) => client.agents.list({ cursor }))`. */
export async function* eachItem<T>(
  readPage: (cursor: string | undefined) => Promise<Page<T>>,
): AsyncGenerator<T, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await readPage(cursor);
    yield* page.data;
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}
