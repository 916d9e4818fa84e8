// What the worker does for Slack beside its workflows.
import type { NoticeDeps } from '../activities/notices.ts';
import { refreshBehind } from '../activities/slack/cards.ts';
import { openSlackDesk } from '../activities/slack/desk.ts';
import { faultFields } from '../commands/log-line.ts';
import type { Call } from '../commands/unit.ts';
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
  const loop = await startLoop({
    name: 'slack',
    log,
    everyMs: SLACK_MS,
    round: async () => {
      await desk.sweep();
      await refreshBehind(deps, asLoop, (error) => log('slack_failed', faultFields(error)));
      return false;
    },
  });
  return {
    stop: async () => {
      await loop.stop();
      await desk.close();
    },
  };
}
