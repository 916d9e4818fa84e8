// Finding requests by a word, for people who ask from Slack.
import { desc, ilike, or, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { request } from '../../db/schema/index.ts';

export const FOUND_MAX = 10;

/** The newest requests whose id, action, resource or agent has this text in it. */
export function findRequests(query: Query, text: string): Promise<RequestRow[]> {
  const pattern = `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
  return query
    .select()
    .from(request)
    .where(
      or(
        ilike(request.id, pattern),
        sql`${request.names}->>'agent' ilike ${pattern}`,
        sql`${request.action}->'resource'->>'id' ilike ${pattern}`,
        sql`${request.action}->>'action' ilike ${pattern}`,
      ),
    )
    .orderBy(desc(request.id))
    .limit(FOUND_MAX);
}
