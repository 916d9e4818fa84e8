// Has a target asked, as often as policy says, which identities it has. When that next is stands in rows; a look that
// somebody ordered meanwhile puts it off.
import { continueAsNew, proxyActivities, workflowInfo } from '@temporalio/workflow';
import { fromNow, hangBell } from './bell.ts';
import type { Activities, DiscoveryWorkflow } from './contract.ts';

/** A look may take minutes, unlike all else that workflows have done; nothing waits for one. */
const { discoverTarget } = proxyActivities<Activities>({
  startToCloseTimeout: '6 minutes',
  heartbeatTimeout: '10 seconds',
  retry: {
    initialInterval: '10 seconds',
    backoffCoefficient: 2,
    maximumInterval: '10 minutes',
  },
});

/** A wake that crosses with our end is waited for this long, so that it is not lost. */
const LAST_CALL_SECONDS = 1;

export const discovery: DiscoveryWorkflow = async (target) => {
  const bell = hangBell();
  for (;;) {
    const { nextAt } = await discoverTarget(target);
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<DiscoveryWorkflow>(target);
    const isWoken = await bell.until(nextAt ?? fromNow(LAST_CALL_SECONDS));
    if (nextAt === null && !isWoken) return 'unknown';
  }
};
