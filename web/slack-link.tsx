// The page on which a signed-in person says that a Slack user is theirs. Opening it does nothing.
import { visible } from '../domain/card.ts';
import { Page } from './layout.tsx';
import { Facts, Notice, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

/** What Slack says about the user that is to be linked. */
export interface OfferedUser {
  token: string;
  user: string;
  name: string;
  team: string;
  email: string | null;
  /** The Slack user that is theirs until now. */
  replaces: string | null;
}

/** Asks whether this Slack user is the reader. */
export const SlackLinkPage = ({ shell, offer }: { shell: Shell; offer: OfferedUser }): Html => (
  <Page
    shell={shell}
    title="Link Slack"
    lead="From then on, a click of this Slack user is your vote."
  >
    <div class="narrow">
      <section class="panel">
        <h2>Is this you?</h2>
        <Facts
          facts={[
            { label: 'Slack calls them', value: visible(offer.name) },
            { label: 'Slack user', value: visible(offer.user) },
            { label: 'Workspace', value: visible(offer.team) },
            { label: 'E-mail in Slack', value: visible(offer.email ?? 'not told') },
          ]}
        />
        <Notice tone="warn" title="Only if you asked for it yourself, just now, in Slack">
          <p>
            If somebody sent you this address, close the page: whoever confirms it lets that Slack
            user vote in their name.
          </p>
        </Notice>
        {offer.replaces === null ? null : (
          <p>It takes the place of {visible(offer.replaces)}, which is yours now.</p>
        )}
        <form method="post" action={`/link-slack/${encodeURIComponent(offer.token)}`} class="form">
          <input type="hidden" name="csrf_token" value={shell.csrf} />
          <button class="button button-primary" type="submit">
            Yes, this Slack user is me
          </button>
        </form>
      </section>
    </div>
  </Page>
);

/** What came of it. */
export const SlackLinkedPage = ({ shell, says }: { shell: Shell; says: string | null }): Html => (
  <Page
    shell={shell}
    title={says === null ? 'Linked' : 'Not linked'}
    lead={says ?? 'Slack knows you now. Use /countersign unlink there to take it back.'}
  >
    <div class="narrow">
      <p>
        <a href="/">What waits for me</a>
      </p>
    </div>
  </Page>
);
