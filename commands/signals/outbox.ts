// Writes what receivers are to be told, in the transaction of the change it tells of: one row per message. Sending is
// somebody else's work, so a receiver can neither slow a change nor fail it.
import { inArray } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import { receiver, signalDelivery, type event } from '../../db/schema/index.ts';
import { eventName } from '../../domain/event.ts';
import type { Id } from '../../domain/id.ts';
import { formsOf, signalOf, type SignalName } from '../../domain/signal.ts';
import { detailOf } from '../record/leaf.ts';

type EventRow = typeof event.$inferInsert;

/** Queues the signals among these events; says how many messages that makes. */
export async function queueSignals(
  tx: Transaction,
  events: readonly EventRow[],
  at: string,
  newSignalId: () => Id<'signal'>,
): Promise<number> {
  const signals = events.flatMap((row) => {
    const name = eventName(row.type);
    const signal = name && signalOf(name, detailOf(row.leaf));
    return signal ? [{ row, signal }] : [];
  });
  if (signals.length === 0) return 0;
  const receivers = await tx
    .select()
    .from(receiver)
    .where(inArray(receiver.state, ['enabled', 'paused']));
  const rows = signals.flatMap(({ row, signal }) =>
    receivers
      .filter((each) => each.signals.includes(signal))
      .flatMap((each) =>
        formsOf(signal, each).map((form) => ({
          id: newSignalId(),
          receiver: each.id,
          event: row.id,
          signal,
          form,
          subject: subjectOf(row, signal),
          nonce: null,
          state: 'pending' as const,
          attempts: 0,
          nextTryAt: at,
          tries: [],
          createdAt: at,
          endedAt: null,
        })),
      ),
  );
  if (rows.length > 0) await tx.insert(signalDelivery).values(rows);
  return rows.length;
}

/** What is kept in order: all that is said about one agent, or about one credential. */
function subjectOf(row: EventRow, signal: SignalName): string {
  const credential = detailOf(row.leaf)['credential'];
  if (signal.startsWith('credential.') && typeof credential === 'string') return credential;
  return row.agent ?? row.id;
}
