// The page behind the one-time address that /countersign link gives: it is read by GET, and confirmed by its button.
import { eq } from 'drizzle-orm';
import { findOffer, linkSlack, whyNotLinked } from '../../commands/slack/links.ts';
import { transact } from '../../commands/unit.ts';
import { person } from '../../db/schema/index.ts';
import { Refusal } from '../../domain/refusal.ts';
import { SlackLinkedPage, SlackLinkPage } from '../../web/slack-link.tsx';
import { STATUS } from '../problem.ts';
import { page, reader, type ConsoleRoute } from './console.ts';

const show: ConsoleRoute = {
  method: 'get',
  path: '/link-slack/{token}',
  who: 'member',
  handle: async (visit, deps) => {
    const { shell } = visit;
    const token = visit.params['token'] ?? '';
    const { query } = deps.db;
    const offer = await findOffer(query, token);
    const [who] = await query
      .select()
      .from(person)
      .where(eq(person.id, reader(visit).id));
    const refusal = who ? whyNotLinked(offer, who, shell.now) : null;
    if (!who || !offer || refusal)
      return page(
        SlackLinkedPage({ shell, says: refusal?.message ?? 'Sign in again.' }),
        refusal ? STATUS[refusal.code] : 403,
      );
    return page(
      SlackLinkPage({
        shell,
        offer: {
          ...{ token, user: offer.slackUser, name: offer.slackName, team: offer.slackTeam },
          email: offer.email,
          replaces: who.slackUserId === offer.slackUser ? null : who.slackUserId,
        },
      }),
    );
  },
};

const confirm: ConsoleRoute = {
  method: 'post',
  path: '/link-slack/{token}',
  sameAs: 'put /v1/session/slack',
  who: 'member',
  handle: async (visit, deps) => {
    const { shell } = visit;
    try {
      await transact(deps, visit.call, (unit) =>
        linkSlack(unit, reader(visit), visit.params['token'] ?? ''),
      );
      return page(SlackLinkedPage({ shell, says: null }));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return page(SlackLinkedPage({ shell, says: error.message }), STATUS[error.code]);
    }
  },
};

export const slackLinkPages = [show, confirm];
