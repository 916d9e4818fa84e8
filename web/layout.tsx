// The frame of every page: head, navigation, who is signed in.
import type { Child } from 'hono/jsx';
import { visible } from '../domain/card.ts';
import { Notice, Untrusted, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

const PLACES: readonly { href: string; label: string }[] = [
  { href: '/', label: 'Inbox' },
  { href: '/requests', label: 'Requests' },
  { href: '/grants', label: 'Standing' },
  { href: '/break-glass', label: 'Emergency' },
  { href: '/on-duty', label: 'On duty' },
  { href: '/agents', label: 'Agents' },
  { href: '/people', label: 'People' },
  { href: '/controls', label: 'Controls' },
  { href: '/findings', label: 'Findings' },
  { href: '/reviews', label: 'Reviews' },
  { href: '/discovery', label: 'Discovery' },
  { href: '/leaks', label: 'Leaks' },
  { href: '/secrets', label: 'Secrets' },
  { href: '/stopping', label: 'Stopping' },
  { href: '/log', label: 'Log' },
  { href: '/policy', label: 'Policy' },
  { href: '/docs', label: 'API reference' },
];

const AUDITED: readonly string[] = [
  '/people',
  '/discovery',
  '/leaks',
  '/secrets',
  '/log',
  '/stopping',
];

/** Tasks are reached through their agent, so that is where they belong. */
function isHere(href: string, path: string): boolean {
  if (href === '/') return path === '/';
  if (href === '/agents' && path.startsWith('/tasks')) return true;
  return path === href || path.startsWith(`${href}/`);
}

const mayAudit = (roles: readonly string[]): boolean =>
  roles.includes('admin') || roles.includes('auditor');

const Mark = (): Html => (
  <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
    <rect class="mark-ground" x="1" y="1" width="30" height="30" rx="8" />
    <path class="mark-stroke" d="M8 17.5l4.2 4.2L19.5 12" />
    <path class="mark-stroke mark-second" d="M15.5 20.2l1.5 1.5L24.5 12" />
  </svg>
);

const Brand = (): Html => (
  <a class="brand" href="/">
    <Mark />
    <span>Countersign</span>
  </a>
);

const Links = ({ shell }: { shell: Shell }): Html => (
  <ul class="places">
    {PLACES.filter(
      ({ href }) => !AUDITED.includes(href) || mayAudit(shell.reader?.roles ?? []),
    ).map(({ href, label }) => (
      <li>
        <a href={href} aria-current={isHere(href, shell.path) ? 'page' : undefined}>
          <span>{label}</span>
          {href === '/' && shell.waiting > 0 ? (
            <span class="count">
              {shell.waiting}
              <span class="sr-only"> waiting for you</span>
            </span>
          ) : null}
        </a>
      </li>
    ))}
  </ul>
);

const Account = ({ shell }: { shell: Shell }): Html | null =>
  shell.reader && (
    <div class="account">
      <p class="account-name">
        <a href="/me" aria-current={shell.path === '/me' ? 'page' : undefined}>
          <Untrusted text={shell.reader.name} />
        </a>
      </p>
      <p class="account-roles">{shell.reader.roles.join(', ') || 'no roles'}</p>
      <form method="post" action="/sign-out">
        <input type="hidden" name="csrf_token" value={shell.csrf} />
        <button class="button button-quiet" type="submit">
          Sign out
        </button>
      </form>
    </div>
  );

const Sides = ({ shell }: { shell: Shell }): Html => (
  <>
    <header class="topbar">
      <Brand />
      <details class="menu">
        <summary class="button button-quiet">
          Menu
          {shell.waiting > 0 ? <span class="count">{shell.waiting}</span> : null}
        </summary>
        <nav class="menu-body" aria-label="Main menu">
          <Links shell={shell} />
          <Account shell={shell} />
        </nav>
      </details>
    </header>
    <div class="sidebar">
      <Brand />
      <nav aria-label="Main">
        <Links shell={shell} />
      </nav>
      <Account shell={shell} />
    </div>
  </>
);

const Broken = ({ number }: { number: number }): Html => (
  <Notice tone="bad" title="The glass is broken">
    <p>
      <a href="/break-glass">
        {number === 1 ? 'One emergency waits' : `${number} emergencies wait`} for a review
      </a>
      , and somebody may hold access that its approvers were not asked about.
    </p>
  </Notice>
);

/** A whole document. The title is also the one `h1`. */
export const Page = ({
  shell,
  title,
  lead,
  back,
  heading,
  children,
}: {
  shell: Shell;
  title: string;
  lead?: Child;
  back?: { href: string; label: string };
  /** The title as it is shown, where it holds more than text. */
  heading?: Child;
  children?: Child;
}): Html => (
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta name="color-scheme" content="light dark" />
      <title>{`${visible(title)} · Countersign`}</title>
      <link rel="icon" href={shell.assets.icon} type="image/svg+xml" />
      <link rel="stylesheet" href={shell.assets.style} />
      <script src={shell.assets.script} defer></script>
    </head>
    <body class={shell.reader ? 'signed-in' : 'signed-out'}>
      <a class="skip" href="#main">
        Skip to content
      </a>
      {shell.reader ? (
        <Sides shell={shell} />
      ) : (
        <header class="topbar topbar-plain">
          <Brand />
        </header>
      )}
      <main id="main" tabindex={-1}>
        {shell.emergencies ? <Broken number={shell.emergencies} /> : null}
        <div class="page-head">
          {back ? (
            <p class="back">
              <a href={back.href}>← {visible(back.label)}</a>
            </p>
          ) : null}
          <h1>{heading ?? visible(title)}</h1>
          {lead ? <p class="lead">{typeof lead === 'string' ? visible(lead) : lead}</p> : null}
        </div>
        {children}
      </main>
    </body>
  </html>
);
