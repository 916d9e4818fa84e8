// Delivers wake-ups to Temporal: at least once, coalesced, and starting the workflow if there is none. A workflow
// holds no facts, so one that was lost is simply started again by the next wake.
import type { Client } from '@temporalio/client';
import {
  defineSearchAttributeKey,
  SearchAttributeType,
  TypedSearchAttributes,
} from '@temporalio/common';
import { and, asc, eq } from 'drizzle-orm';
import type { Database } from '../db/client.ts';
import { wake } from '../db/schema/index.ts';
import { TASK_QUEUE, wake as wakeSignal } from '../workflows/contract.ts';

const BATCH_MAX = 100;

const KIND = defineSearchAttributeKey('CsKind', SearchAttributeType.KEYWORD);
const AGENT = defineSearchAttributeKey('CsAgent', SearchAttributeType.KEYWORD);

type WakeRow = typeof wake.$inferSelect;

/** Delivers what is waiting; says how many were delivered. Throws when Temporal cannot be reached. */
export async function relayOnce(db: Database, client: Client): Promise<number> {
  const rows = await db.query.select().from(wake).orderBy(asc(wake.at)).limit(BATCH_MAX);
  await Promise.all(
    rows.map(async (row) => {
      await deliver(client, row);
      // Only if nobody woke it again meanwhile; otherwise the row stands for that later wake.
      await db.query
        .delete(wake)
        .where(and(eq(wake.workflow, row.workflow), eq(wake.sequence, row.sequence)));
    }),
  );
  return rows.length;
}

async function deliver(client: Client, row: WakeRow): Promise<void> {
  await client.workflow.signalWithStart(row.kind, {
    workflowId: row.workflow,
    taskQueue: TASK_QUEUE,
    args: [argumentOf(row)],
    signal: wakeSignal,
    signalArgs: [],
    typedSearchAttributes: new TypedSearchAttributes([
      { key: KIND, value: row.kind },
      ...(row.agent === null ? [] : [{ key: AGENT, value: row.agent }]),
    ]),
  });
}

/** What a workflow cares for is told it by name where its id says more than that. */
const argumentOf = ({ kind, workflow }: WakeRow): string =>
  kind === 'target' || kind === 'discovery' ? workflow.slice(`${kind}:`.length) : workflow;
