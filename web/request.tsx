// The approver's page: exactly what would run, who asks, why it was held, how long is left, and the decision.
import type { Child } from 'hono/jsx';
import { visible } from '../domain/card.ts';
import { secondsBetween } from '../domain/instant.ts';
import { Ballots } from './ballot.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
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
        <WhyHeld view={view} />
      </div>
      <div class="split-side">
        {view.toAnswer.length === 0 ? null : <Answers shell={shell} view={view} />}
        <Ballots shell={shell} view={view} refused={refused} draft={draft} />
        <Votes view={view} now={shell.now} />
      </div>
      <div>
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

const Status = ({ view, now }: { view: RequestView; now: string }): Html => {
  if (view.state === 'pending')
    return (
      <div class="status status-pending">
        <Badge state="pending" />
        <p class="status-main">
          <span class="clock" data-until={view.expiresAt} data-now={now}>
            {spanText(Math.max(0, secondsBetween(now, view.expiresAt)))}
          </span>{' '}
          left to decide
        </p>
        <p class="quiet">
          Runs out <Time at={view.expiresAt} now={now} bare />. Running out is not a denial: it is
          recorded as an expiry.{' '}
          <a class="to-decision" href="#decide">
            Go to the decision
          </a>
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
          Approved by {by}, from {view.startsAt} on
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

/** What a label of the card means to somebody who decides. */
const LABELS: Record<string, string> = {
  'Parameter ttl_seconds': 'For how long',
  'Parameter not_before': 'Not before',
  'Parameter url': 'Address',
  'Parameter method': 'Method',
  'Parameter body': 'Body',
  'Parameter headers': 'Headers',
  'Parameter preview': 'What is there now',
  'Context reason': 'Reason given',
  'Context purpose': 'Purpose of the task',
  'Context task': 'Task',
  'Context triggered_by': 'Set off by',
  'Context triggered_by_proof': 'Proof of who did',
};

/** Plain names that are right for calls alone. */
const CALL_LABELS = new Set(['Parameter body', 'Parameter headers', 'Parameter preview']);

/** Labels say where a line of the action stands; these are the ones with a plainer name. */
function labelOf(label: string, view: RequestView): string {
  if (view.card.action['action'] === 'agent:admit' && label === 'Context purpose') return 'Purpose';
  if (view.card.action['action'] !== 'http:call' && CALL_LABELS.has(label)) return label;
  return LABELS[label] ?? label;
}

/** Who says what is only said. */
const claimOf = (label: string): string =>
  label.startsWith('Answer ') ? 'said in answer' : 'said by the requester';

function cardText(label: string, text: string): Child {
  if (label.endsWith('_seconds') && /^\d+$/.test(text))
    return `${spanText(Number(text))} (${text} seconds)`;
  return <Untrusted text={text} />;
}

const WhatRuns = ({ view }: { view: RequestView }): Html => (
  <Panel title="What you decide on" note={grain(view)}>
    <Facts
      facts={[
        ...view.card.lines.map(({ label, text, claimed }) => ({
          label: labelOf(label, view),
          value: (
            <>
              {cardText(label, text)}
              {claimed ? <span class="claimed">{claimOf(label)}</span> : null}
            </>
          ),
        })),
        view.role && { label: 'What the role gives', value: visible(roleText(view.role)) },
        view.task && {
          label: 'Behind the task',
          value: (
            <>
              <Untrusted text={view.task.trigger} /> <ProofBadge proof={view.task.proof} />{' '}
              <a href={`/tasks/${view.task.id}`}>see the task</a>
            </>
          ),
        },
        view.agent === null
          ? null
          : { label: 'Registry', value: <a href={`/agents/${view.agent}`}>see the agent</a> },
      ]}
    />
  </Panel>
);

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

const PROOFS: Record<string, { state: string; label: string }> = {
  verified: { state: 'effective', label: 'verified' },
  claimed: { state: 'pending', label: 'only claimed' },
  none: { state: 'none', label: 'nobody named' },
};

const ProofBadge = ({ proof }: { proof: string }): Html => {
  const { state, label } = PROOFS[proof] ?? { state: 'none', label: proof };
  return <Badge state={state} label={label} />;
};

function grain(view: RequestView): string {
  switch (view.card.action['action']) {
    case 'credential:request':
      return 'You approve a session: a login with this role, for this long. What is then done with it is not approved statement by statement, and the verdict on this control says so.';
    case 'grant:open':
      return 'You approve many uses at once: until it ends, each of them is given without asking you or anybody again.';
    case 'credential:break_glass':
      return 'This goes past the people who would have to be asked. Confirm it only if you know of the emergency yourself: your name stands under it, and none of you can do it again before somebody else has reviewed it.';
    case 'break_glass:prepare':
      return 'You let a login lie ready at its target, which two people can open together while this service is down, without asking you or anybody. Its use is seen afterwards, and reviewed.';
    case 'access:evaluate':
      return 'You let exactly this be done once, where an enforcement point of others stands guard. What it says of whom and what this is about is its own word.';
    case 'agent:admit':
      return 'You let an identity in, with these keys. What it may then ask for is up to the policy.';
    case 'agent:add_key':
      if (isForJoinToken(view))
        return 'Whoever first comes with this join token brings a key, and can sign in as the agent with it from then on.';
      return 'Whoever holds this key can sign in as the agent from then on, beside the keys it has.';
    case 'policy:activate':
      return 'You replace the rules that everything else here is decided by.';
    default:
      return 'You approve exactly this action, once.';
  }
}

const isForJoinToken = ({ card }: RequestView): boolean =>
  typeof card.action['parameters'] === 'object' &&
  card.action['parameters'] !== null &&
  'join_token' in card.action['parameters'];

const roleText = ({ title, gives, seconds }: NonNullable<RequestView['role']>): string =>
  `${title}: ${gives}, for at most ${spanText(seconds)} at a time (by today’s policy)`;

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
