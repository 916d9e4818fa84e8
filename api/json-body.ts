// Values that a schema let through as free-form JSON.
import type { JsonObject } from '../domain/json.ts';

/** Bodies are read by `parseJson`, so whatever is in them is JSON already. */
export const asJsonObject = (value: Record<string, unknown>): JsonObject => value as JsonObject;
