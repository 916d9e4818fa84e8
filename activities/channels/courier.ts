// Carries notices to where approvers read them. Each way is served on its own, so that a slow one keeps nobody waiting.
import { findChannel } from '../../commands/channels/channels.ts';
import { channelsDue } from '../../commands/channels/notices.ts';
import { databaseTime, type Call } from '../../commands/unit.ts';
import type { ChannelRow } from '../../db/rows.ts';
import { EMAIL } from '../../domain/notice.ts';
import type { NoticeDeps } from '../notices.ts';
import { serveMail } from './mail.ts';
import { serveWebhook } from './webhook.ts';

export interface NoticeCourier {
  /** Begins to serve every way on which something is due and which is not being served. */
  look(): Promise<void>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

/** Opens a courier; one per worker, and several workers share the work. */
export function openNoticeCourier(
  deps: NoticeDeps,
  call: Call,
  failed: (error: unknown) => void,
): NoticeCourier {
  const busy = new Map<string, Promise<void>>();
  let closing = false;
  const serve = async (name: string): Promise<void> => {
    while (!closing) {
      const row = await findChannel(deps.db.query, name);
      if (row?.state !== 'enabled' || !(await serveOnce(deps, call, row))) return;
    }
  };
  return {
    look: async () => {
      const now = await databaseTime(deps.db.query);
      for (const name of await channelsDue(deps.db.query, now, [...busy.keys()])) {
        const work = serve(name)
          .catch(failed)
          .finally(() => busy.delete(name));
        busy.set(name, work);
      }
    },
    close: async () => {
      closing = true;
      await Promise.all(busy.values());
    },
  };
}

/** One batch; true if all of it was taken, so that it is worth asking for more at once. */
const serveOnce = (deps: NoticeDeps, call: Call, row: ChannelRow): Promise<boolean> =>
  row.name === EMAIL ? serveMail(deps, call, row) : serveWebhook(deps, call, row);
