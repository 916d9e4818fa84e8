// Reading back the leaves that this service wrote itself.
import type { LoggedEvent } from '../../domain/event.ts';
import { parseJson, type JsonObject } from '../../domain/json.ts';

/** The event that a leaf holds. */
export const readLeaf = (leaf: string): LoggedEvent => asEvent(parseJson(leaf));

/** A leaf is what `leafText` wrote of such an event, and the table it is read from is append-only. */
const asEvent = (parsed: unknown): LoggedEvent => parsed as LoggedEvent;

/** What an event of ours says in public. */
export const detailOf = (leaf: string): JsonObject => readLeaf(leaf).data.detail;
