// Values that a schema let through as free-form JSON.
import type { JsonObject, JsonValue } from '../domain/json.ts';

/** Bodies are read by `parseJson`, so whatever is in them is JSON already. */
export const asJsonObject = (value: Record<string, unknown>): JsonObject => value as JsonObject;

/** The members of an answer; none where it is no object. */
export const asMembers = (body: JsonValue): JsonObject =>
  typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {};
