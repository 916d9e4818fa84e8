// Every page of the console: the second table of routes, beside that of the API.
import { Refusal } from '../../domain/refusal.ts';
import { accountPages } from './account.ts';
import { agentPages } from './agents.ts';
import { serveAsset } from './assets.ts';
import { breakGlassPages } from './break-glass.ts';
import type { ConsoleRoute } from './console.ts';
import { controlPages } from './controls.ts';
import { discoveryPages } from './discovery.ts';
import { dutyPages } from './duty.ts';
import { findingPages } from './findings.ts';
import { glassKitPages } from './glass-kits.ts';
import { grantPages } from './grants.ts';
import { leakPages } from './leaks.ts';
import { logPages } from './log.ts';
import { peoplePages } from './people.ts';
import { questionPages } from './questions.ts';
import { referencePages } from './reference.ts';
import { requestPages } from './requests.ts';
import { reviewPages } from './reviews.ts';
import { secretPages } from './secrets.ts';
import { signInPages } from './sign-in.ts';
import { slackLinkPages } from './slack-link.ts';
import { stoppingPages } from './stopping.ts';

const assets: ConsoleRoute = {
  method: 'get',
  path: '/assets/{file}',
  who: 'anyone',
  handle: ({ params, query }) => {
    const file = serveAsset(params['file'] ?? '', query.get('v') ?? undefined);
    if (!file) throw new Refusal('not_found', 'There is no such file.');
    return Promise.resolve(file);
  },
};

export const CONSOLE: readonly ConsoleRoute[] = [
  assets,
  ...signInPages,
  ...slackLinkPages,
  ...accountPages,
  ...requestPages,
  ...grantPages,
  ...glassKitPages,
  ...breakGlassPages,
  ...dutyPages,
  ...findingPages,
  ...questionPages,
  ...agentPages,
  ...peoplePages,
  ...controlPages,
  ...reviewPages,
  ...discoveryPages,
  ...leakPages,
  ...secretPages,
  ...stoppingPages,
  ...logPages,
  ...referencePages,
];
