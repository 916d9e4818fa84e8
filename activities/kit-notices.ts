// Telling people of logins that lie ready: that one was used, as loudly as of any emergency, and that one ends soon.
import { findRequest } from '../commands/approvals/requests.ts';
import { kitsAt } from '../commands/exceptions/glass-kits.ts';
import { isWarningDue, noteKitWarned } from '../commands/exceptions/kit-care.ts';
import { noteTold, untoldUses } from '../commands/exceptions/kit-use.ts';
import { readSlack } from '../commands/integrations.ts';
import { databaseTime, transact, type Call } from '../commands/unit.ts';
import type { GlassKitRow } from '../db/rows.ts';
import type { NoticeDeps } from './notices.ts';
import { postMessage } from './slack/client.ts';

/** Posts what nobody was told of yet; that it was is noted afterwards. */
export async function tellOfKits(deps: NoticeDeps, call: Call, target: string): Promise<void> {
  for (const kit of await untoldUses(deps.db.query, target)) {
    await post(
      deps,
      kit,
      `BREAK-GLASS: the login that lay ready for ${kit.role} at ${kit.target} was used, first seen at ${kit.firstSeenAt}. It is taken away, and its review is open: ${deps.publicUrl}/break-glass`,
    );
    await transact(deps, call, (unit) => noteTold(unit, kit.id));
  }
  const now = await databaseTime(deps.db.query);
  for (const kit of await kitsAt(deps.db.query, target)) {
    if (!isWarningDue(kit, now)) continue;
    await post(
      deps,
      kit,
      `The login that lies ready for ${kit.role} at ${kit.target} ends at ${kit.expiresAt}. It is never renewed: prepare another where one is needed: ${deps.publicUrl}/break-glass`,
    );
    await transact(deps, call, (unit) => noteKitWarned(unit, kit.id));
  }
}

/** To the usual channel, and to those of the gates that it goes past. */
async function post(deps: NoticeDeps, kit: GlassKitRow, text: string): Promise<void> {
  const slack = await readSlack(deps.db.query, deps.vault);
  if (!slack) return;
  const agreed = await findRequest(deps.db.query, kit.request);
  const named = agreed?.routes.flatMap(({ rule }) => rule.slack?.channels ?? []) ?? [];
  const blocks = [{ type: 'section', text: { type: 'plain_text', text, emoji: false } }];
  for (const to of new Set([slack.channel, ...named]))
    await postMessage({ egress: deps.egress, slack }, { to, face: { text, blocks } });
}
