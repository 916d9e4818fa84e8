// The approver's page: exactly what would run, who asks, why it was held, how long is left, and the decision.
import type { Child } from 'hono/jsx';
import { visible } from '../domain/card.ts';
import { secondsBetween } from '../domain/instant.ts';
import { Ballots } from './ballot.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  dateText,
  Facts,
  MaybeTime,
  Notice,
  Panel,
  spanText,
  Time,
  Untrusted,
  words,
  type Html,
} from './parts.tsx';
import { Answers } from './questions.tsx';
import { WhatRuns } from './request-card.tsx';
import type { Draft, Refused, RequestView } from './request-data.ts';
import { Votes, WhyHeld } from './request-decides.tsx';
import type { Shell } from './shell.ts';

/** The whole page. */
export const RequestPage = ({
  shell,
  view,
  refused,
  draft = null,
}: {
  shell: Shell;
  view: RequestView;
  refused: Refused | null;
  draft?: Draft | null;
}): Html => (
  <Page
    shell={shell}
    title={view.card.title}
    heading={<Untrusted text={view.card.title} />}
    back={{ href: '/requests', label: 'Requests' }}
  >
    {refused ? (
      <Notice tone="bad" title={refused.says}>
        <p>{visible(refused.advice)}</p>
      </Notice>
    ) : null}
    <Status view={view} now={shell.now} />
    {view.state === 'pending'
      ? (view.attention ?? []).map(({ route, votes, budget }) => (
          <Notice tone="warn" title={`You decided ${votes} requests on ${route} within a day`}>
            <p>
              Its owners plan for {budget} a person. Nothing stops you: take a break, or leave this
              one to somebody else.
            </p>
          </Notice>
        ))
      : null}
    {view.state === 'pending' ? <JustDecided id={view.id} /> : null}
    {view.card.warnings.length > 0 ? (
      <Notice tone="bad" title="This text holds characters that cannot be seen">
        <p>
          They are written out below, in red or as ⟨U+…⟩. Text with hidden or reordering characters
          can be made to read as something else: if you did not expect them, deny.
        </p>
        <ul>
          {view.card.warnings.map((warning) => (
            <li>{warning}</li>
          ))}
        </ul>
      </Notice>
    ) : null}
    <div class="split split-three">
      <div>
        <WhatRuns view={view} />
        <ToDecision view={view} now={shell.now} />
      </div>
      <div class="split-side">
        {view.toAnswer.length === 0 ? null : <Answers shell={shell} view={view} />}
        <Ballots shell={shell} view={view} refused={refused} draft={draft} />
        <Votes view={view} now={shell.now} />
      </div>
      <div>
        <WhyHeld view={view} />
        <ExactAction view={view} />
        <Evidence view={view} now={shell.now} />
      </div>
    </div>
  </Page>
);

/** Shown by the page's script once it is over. */
const JustDecided = ({ id }: { id: string }): Html => (
  <div class="notice notice-info" data-watch={id} hidden role="status">
    <p class="notice-title">This was just decided, or ran out</p>
    <p>
      <a href={`/requests/${id}`}>Show what came of it</a>
    </p>
  </div>
);

const Clock = ({ view, now }: { view: RequestView; now: string }): Html => (
  <span class="clock" data-until={view.expiresAt} data-now={now}>
    {spanText(Math.max(0, secondsBetween(now, view.expiresAt)))}
  </span>
);

/** On a phone: at hand while the card is read, and gone where what is to be done begins. */
const ToDecision = ({ view, now }: { view: RequestView; now: string }): Html | null => {
  const isAsked = view.toAnswer.length > 0;
  if (!isAsked && view.standing.kind !== 'may') return null;
  return (
    <p class="to-decision">
      <span class="strong">
        <Clock view={view} now={now} /> left
      </span>
      <a class="button button-primary" href={isAsked ? '#answer' : '#decide'}>
        {isAsked ? 'Answer' : 'Decide'}
      </a>
    </p>
  );
};

const Status = ({ view, now }: { view: RequestView; now: string }): Html => {
  if (view.state === 'pending')
    return (
      <div class="status status-pending">
        <Badge state="pending" />
        <p class="status-main">
          <Clock view={view} now={now} /> left to decide
        </p>
        <p class="quiet">
          Runs out <Time at={view.expiresAt} now={now} bare />. Running out is not a denial: it is
          recorded as an expiry.
        </p>
      </div>
    );
  return (
    <div class="status">
      <Badge state={view.state} />
      <p class="status-main">{outcome(view)}</p>
      {view.decidedAt === null ? null : (
        <p class="quiet">
          <Time at={view.decidedAt} now={now} />
        </p>
      )}
    </div>
  );
};

function outcome(view: RequestView): Child {
  const by = view.decidedBy === null ? null : <Untrusted text={view.decidedBy} />;
  switch (view.state) {
    case 'approved':
      return view.startsAt === null ? (
        <>Approved by {by}; not yet collected</>
      ) : (
        <>
          Approved by {by}, from {dateText(view.startsAt)} on
        </>
      );
    case 'consumed':
      return <>Approved by {by}, and used</>;
    case 'denied':
      return <>Denied by {by}</>;
    case 'expired':
      return view.decidedBy === null ? 'Nobody decided in time' : <>Approved by {by}, never used</>;
    case 'failed':
      return `Approved, but could not be carried out: ${words(view.failure ?? 'unknown')}`;
    case 'cancelled':
      return 'Withdrawn before anybody decided';
    case 'superseded':
      return 'Closed undecided: the policy changed since it was opened';
    default:
      return words(view.state);
  }
}

const ExactAction = ({ view }: { view: RequestView }): Html => (
  <Panel title="The exact action">
    <pre tabindex={0} aria-label="The action as JSON">
      <Untrusted text={view.action} />
    </pre>
    <p class="note">
      Its digest is <Code text={view.card.digest} />. Only an action with this digest can run on an
      approval, once.
    </p>
  </Panel>
);

const Evidence = ({ view, now }: { view: RequestView; now: string }): Html => (
  <Panel title="For the record">
    <Facts
      facts={[
        { label: 'Request', value: <Code text={view.id} /> },
        { label: 'Opened', value: <Time at={view.createdAt} now={now} /> },
        { label: 'What you are shown', value: <Code text={view.shown} /> },
        view.approvedUntil === null
          ? null
          : { label: 'Good until', value: <MaybeTime at={view.approvedUntil} now={now} /> },
        view.credential && {
          label: 'Credential',
          value: (
            <>
              <Code text={view.credential.id} /> <Badge state={view.credential.state} />
            </>
          ),
        },
      ]}
    />
    <p class="note">
      A vote carries the digest of the card above as its voter saw it, and when they first opened
      this page.
      {view.audits ? (
        <>
          {' '}
          <a href={`/log?request=${view.id}`}>Every event of this request</a>
        </>
      ) : null}
    </p>
  </Panel>
);
