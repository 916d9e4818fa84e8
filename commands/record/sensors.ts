// Which targets are seen by independent eyes right now: what a rule with @requires_sensor waits for.
import { gt, sql } from 'drizzle-orm';
import { sensorCursor } from '../../db/schema/index.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import type { Question } from '../policy/evaluate.ts';
import type { Reader } from '../policy/party-entities.ts';

/** An observer that did not prove for this long that it sees is silent. */
const SILENT_SECONDS = 60;

/** What a question says of sensors; nothing where no rule of the policy asks for any. */
export async function sensorsFor(
  reader: Reader,
  bundle: PolicyBundle,
): Promise<Pick<Question, 'sensors'>> {
  const required = requiredSensors(bundle);
  if (required.length === 0) return {};
  // By the database's own clock, at this moment: a transaction that waited must not go by when it began.
  const rows = await reader
    .select({ target: sensorCursor.target })
    .from(sensorCursor)
    .where(
      gt(sensorCursor.aliveAt, sql`clock_timestamp() - make_interval(secs => ${SILENT_SECONDS})`),
    );
  return { sensors: required.filter((target) => rows.some((row) => row.target === target)) };
}

/** Every target that a rule wants to be seen. */
export const requiredSensors = ({ rules }: PolicyBundle): string[] => [
  ...new Set([...rules.values()].flatMap(({ sensor }) => sensor ?? [])),
];
