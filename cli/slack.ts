// What the worker does for Slack beside its workflows.
import type { NoticeDeps } from '../activities/notices.ts';
import { refreshBehind } from '../activities/slack/cards.ts';
import { openSlackDesk, type SlackDesk } from '../activities/slack/desk.ts';
import { openSlackSocket, type SlackSocket } from '../activities/slack/socket.ts';
import { readSlack } from '../commands/integrations.ts';
import { faultFields, type Log } from '../commands/log-line.ts';
import type { Delivered } from '../commands/slack/deliveries.ts';
import { formErrors } from '../commands/slack/forms.ts';
import { keepDelivery } from '../commands/slack/inbox.ts';
import { transact, type Call } from '../commands/unit.ts';
import type { Service } from './compose.ts';
import { startLoop, type Loop } from './loops.ts';

/** What it takes to tell people something. */
export const noticeDeps = ({ config, deps, egress, keys }: Service): NoticeDeps => ({
  ...deps,
  egress,
  webhooks: keys.webhooks,
  publicUrl: config.publicUrl,
});

const asLoop: Call = { principal: { kind: 'workflow', id: 'slack' }, traceId: null };

/** How often it is looked for what others left undone in Slack. */
const SLACK_MS = 5_000;

/** Works off what a process that died had taken from Slack, and brings up to date what Slack did not take in time. */
export async function startSlack(service: Service): Promise<Loop> {
  const { log } = service;
  const deps = noticeDeps(service);
  const desk = openSlackDesk(deps, log);
  const socket = keepSocket(deps, desk, log);
  const loop = await startLoop({
    name: 'slack',
    log,
    everyMs: SLACK_MS,
    round: async () => {
      await socket.look();
      await desk.sweep();
      await refreshBehind(deps, asLoop, (error) => log('slack_failed', faultFields(error)));
      return false;
    },
  });
  return {
    stop: async () => {
      await loop.stop();
      await socket.close();
      await desk.close();
    },
  };
}

interface KeptSocket {
  /** Opens, replaces or closes the connection, as the settings are now. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Every worker has a connection of its own: Slack takes ten, sends each envelope over one of them, and what it sends
 * over two is kept once. So none has to lead, and one that dies leaves the others listening.
 */
function keepSocket(deps: NoticeDeps, desk: SlackDesk, log: Log): KeptSocket {
  let open: { settings: string; socket: SlackSocket } | null = null;
  const keep = async (delivered: Delivered): Promise<void> => {
    const call: Call = { principal: { kind: 'slack', id: delivered.delivery.user }, traceId: null };
    const { delivery, digest } = delivered;
    const isNew = await transact(deps, call, (unit) => keepDelivery(unit, digest, delivery));
    if (isNew) desk.work(digest);
  };
  const close = async (): Promise<void> => {
    const closing = open;
    open = null;
    await closing?.socket.close();
  };
  return {
    look: async () => {
      const slack = await readSlack(deps.db.query, deps.vault);
      const token = slack?.app_token;
      const settings = JSON.stringify([slack?.api_url, token]);
      if (open?.settings === settings) return;
      await close();
      if (!slack || token === undefined) return;
      const socket = openSlackSocket({ egress: deps.egress, slack }, token, {
        keep,
        formErrors: (delivered) => formErrors(deps.db.query, delivered),
        log,
      });
      open = { settings, socket };
    },
    close,
  };
}
