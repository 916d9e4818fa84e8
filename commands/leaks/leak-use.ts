// What is known of the use of a credential: what independent observers of its target saw.
import type { CredentialRow } from '../../db/rows.ts';
import { eventType } from '../../domain/event.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { readEvents, type Reader } from '../record/events.ts';

/** The newest of what was seen; the rest is in the log. */
const SEEN_MAX = 20;
const READ_MAX = 500;

/** What observers saw done with a credential, newest first. */
export async function observedUse(query: Reader, lease: CredentialRow): Promise<JsonObject[]> {
  const filter = {
    task: lease.task,
    type: eventType('runtime.observed'),
    after: null,
    newestFirst: true,
    limit: READ_MAX,
  };
  const events = await readEvents(query, filter, false);
  return events
    .map(({ event }) => asObject(asObject(event['data'])['detail']))
    .filter((detail) => detail['credential'] === lease.id)
    .slice(0, SEEN_MAX)
    .map(({ at = null, kind = null, effect = null, outcome = null, session_ref = null }) => ({
      at,
      kind,
      effect,
      outcome,
      session: session_ref,
    }));
}

/** Both members are objects in every event. */
const asObject = (value: JsonValue | undefined): JsonObject => (value ?? {}) as JsonObject;
