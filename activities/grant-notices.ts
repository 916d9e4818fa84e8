// Telling the approvers of a standing grant that it is about to end. It is never renewed by itself.
import { findAgent } from '../commands/agents/agents.ts';
import { grantsToWarn } from '../commands/exceptions/grant-ends.ts';
import { readSlack } from '../commands/integrations.ts';
import { databaseTime } from '../commands/unit.ts';
import { visible } from '../domain/card.ts';
import type { NoticeDeps } from './notices.ts';
import { postMessage } from './slack/client.ts';

/** Posts a warning for each grant of an agent that has to be warned of now; that it was is noted afterwards. */
export async function warnOfGrants(deps: NoticeDeps, id: string): Promise<void> {
  const agent = await findAgent(deps.db.query, id);
  const slack = agent && (await readSlack(deps.db.query, deps.vault));
  if (!agent || !slack) return;
  const now = await databaseTime(deps.db.query);
  for (const grant of await grantsToWarn(deps.db.query, agent.id, now)) {
    const left = grant.uses - grant.used;
    const text = `STANDING grant of ${visible(agent.name)} for ${grant.role} ends at ${grant.expiresAt}, with ${left} of ${grant.uses} uses left. It is not renewed by itself: ${deps.publicUrl}/grants`;
    const blocks = [{ type: 'section', text: { type: 'plain_text', text, emoji: false } }];
    const line = { egress: deps.egress, slack };
    await postMessage(line, { to: slack.channel, face: { text, blocks } });
  }
}
