// Verdicts as served: the leaves up to a size of the log, judged by the same function that an auditor runs offline.
import { and, asc, eq, inArray, lt, sql } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { event, logEntry } from '../../db/schema/index.ts';
import { base64 } from '../../domain/bytes.ts';
import { eventType, type EventName } from '../../domain/event.ts';
import { fromMs, toMs } from '../../domain/instant.ts';
import { parseJson } from '../../domain/json.ts';
import { rangeHash, type Hash } from '../../domain/merkle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { nodeReader } from '../../domain/tile.ts';
import { object, type Leaf } from '../../domain/verdict/facts.ts';
import { judge } from '../../domain/verdict/judge.ts';
import type { Verdict } from '../../domain/verdict/types.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { newestCheckpoint, readTile } from './log.ts';

/** A control: one rule on one route. */
export interface Control {
  id: string;
  route: string;
  title: string;
}

/** The controls of the active policy. */
export function controlsOf(bundle: PolicyBundle): Control[] {
  const controls = new Map<string, Control>();
  for (const { control, route, mode } of bundle.rules.values()) {
    // A rule that only observes stands in nobody's way, so it is no control.
    if (control === null || route === null || mode !== 'hold' || controls.has(control)) continue;
    const title = bundle.routes.get(route)?.rule.title ?? route;
    controls.set(control, { id: control, route, title });
  }
  return [...controls.values()];
}

export interface VerdictAsked {
  control: string;
  from: string | null;
  to: string | null;
  /** The size of the log to judge at; null for the newest checkpoint. */
  size: number | null;
}

/** Types of events that no verdict reads, save where they say that a gate was waived. */
const UNREAD: readonly EventName[] = [
  'agent.signed_in',
  'evaluation.decided',
  'report.read',
  'person.signed_in',
  'person.signed_out',
];

export async function readVerdict(query: Query, asked: VerdictAsked): Promise<Verdict> {
  const log = await logAt(query, asked.size);
  const leaves = await readLeaves(query, log.size);
  const period = periodOf(asked, leaves);
  return judge(leaves, { control: asked.control, period, log });
}

/** Whether the log speaks of a control, though today's policy may know it no more. */
export async function isControlInLog(query: Query, control: string): Promise<boolean> {
  const found = await query
    .select({ id: event.id })
    .from(event)
    .where(
      and(
        inArray(event.type, [eventType('request.opened'), eventType('runtime.observed')]),
        sql`${event.leaf}::jsonb #> '{data,detail,controls}' @> ${JSON.stringify([control])}::jsonb`,
      ),
    )
    .limit(1);
  return found.length > 0;
}

async function logAt(query: Query, size: number | null): Promise<{ size: number; root: string }> {
  const head = await newestCheckpoint(query);
  if (!head || head.size === 0)
    throw new Refusal('log_unavailable', 'The log is still empty: ask again in a second.');
  if (size === null || size === head.size) return { size: head.size, root: base64(head.root) };
  if (size > head.size)
    throw new Refusal('invalid_request', `The log has ${head.size} entries, not ${size}.`);
  return { size, root: base64(await rootAt(query, size)) };
}

async function rootAt(query: Query, size: number): Promise<Hash> {
  const read = nodeReader(size, async (name) => {
    const tile = await readTile(query, name);
    if (!tile) throw new Error(`the tile ${name.level}/${name.index} is missing`);
    return tile;
  });
  return rangeHash({ from: 0, to: size }, read);
}

async function readLeaves(query: Query, size: number): Promise<Leaf[]> {
  const rows = await query
    .select({ index: logEntry.index, leaf: event.leaf })
    .from(logEntry)
    .innerJoin(event, eq(event.id, logEntry.event))
    .where(and(lt(logEntry.index, size), notUnread()))
    .orderBy(asc(logEntry.index));
  return rows.map(({ index, leaf }) => ({ index, event: object(parseJson(leaf)) }));
}

const notUnread = () =>
  // Written as what is left out, so that a new type of event is read unless it says otherwise.
  sql`(${event.type} not in ${UNREAD.map((name) => eventType(name))} or ${waives})`;

/** Of all evaluations only those that found a gate waived. No text in canonical JSON has a bare quotation mark. */
const waives = sql`(${event.type} = ${eventType('evaluation.decided')} and ${event.leaf} like ${'%"waived":[{%'})`;

/** From the first leaf to just after the last one, unless the asker says otherwise. */
function periodOf(
  { from, to }: VerdictAsked,
  leaves: readonly Leaf[],
): { from: string; to: string } {
  const first = timeOf(leaves[0]);
  const last = timeOf(leaves.at(-1));
  const period = { from: from ?? first, to: to ?? fromMs(toMs(last) + 1) };
  if (!(period.from < period.to))
    throw new Refusal('invalid_request', 'The period is empty: from must be before to.');
  return period;
}

function timeOf(leaf: Leaf | undefined): string {
  const time = leaf?.event['time'];
  if (typeof time !== 'string')
    throw new Refusal('log_unavailable', 'The log is still empty: ask again in a second.');
  return time;
}
