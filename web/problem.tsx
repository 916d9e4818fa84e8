// Pages for what went wrong, in words a person can act on.
import { Page } from './layout.tsx';
import type { Html } from './parts.tsx';
import type { Shell } from './shell.ts';

const TITLES: Record<number, string> = {
  400: 'That cannot be done like this',
  403: 'Not for you',
  404: 'There is nothing here',
  410: 'This is over',
  500: 'Something went wrong here',
  503: 'Not available just now',
};

/** One refusal as a page. */
export const ProblemPage = ({
  shell,
  status,
  says,
  requestId,
}: {
  shell: Shell;
  status: number;
  says: string;
  requestId: string;
}): Html => (
  <Page shell={shell} title={TITLES[status] ?? 'That was refused'} lead={says}>
    <section class="panel">
      <h2>Where to go from here</h2>
      <ul>
        <li>
          <a href="/">Back to the inbox</a>
        </li>
        <li>
          <a href="/docs">The API reference</a>
        </li>
      </ul>
      <p class="note">
        Status {status}. Request id <code class="code">{requestId}</code>.
      </p>
    </section>
  </Page>
);
