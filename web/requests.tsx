// Lists of requests: the inbox, and all of them.
import { Page } from './layout.tsx';
import {
  Badge,
  Copy,
  distanceText,
  Empty,
  More,
  Panel,
  Table,
  Time,
  Untrusted,
  type Html,
} from './parts.tsx';
import type { Shell } from './shell.ts';

/** A request as lists show it. */
export interface RequestSummary {
  id: string;
  state: string;
  title: string;
  purpose: string | null;
  approvals: number;
  quorum: number;
  createdAt: string;
  expiresAt: string;
}

/** What the inbox holds for one person. */
export interface Inbox {
  waiting: RequestSummary[];
  /** More wait than are shown. */
  capped: boolean;
  /** Asked by this person or by an agent of theirs, newest first. */
  own: RequestSummary[];
  agents: { id: string; name: string; state: string; alive: number }[];
  /** How far this installation has come, for the first steps. */
  installation: { agents: number; people: number; requests: number };
  publicUrl: string;
  isAdmin: boolean;
}

/** The first page: what waits for its reader, then what is theirs. */
export const InboxPage = ({ shell, inbox }: { shell: Shell; inbox: Inbox }): Html => (
  <Page
    shell={shell}
    title="Inbox"
    lead={
      inbox.waiting.length === 0
        ? 'Nothing waits for you.'
        : `${inbox.waiting.length}${inbox.capped ? '+' : ''} ${inbox.waiting.length === 1 ? 'request waits' : 'requests wait'} for your decision. The ones that run out first come first.`
    }
  >
    <Panel title="Waiting for you">
      {inbox.waiting.length === 0 ? (
        <Empty title="No request waits for your decision">
          <p>
            You will find requests here when an agent asks for something your groups decide on. What
            you asked for yourself, or an agent of yours did, is for others to decide.
          </p>
        </Empty>
      ) : (
        <ul class="cards">
          {inbox.waiting.map((row) => (
            <WaitingCard row={row} now={shell.now} />
          ))}
        </ul>
      )}
    </Panel>
    {inbox.installation.requests <= 1 && inbox.isAdmin ? <FirstSteps inbox={inbox} /> : null}
    {inbox.own.length > 0 ? (
      <Panel title="Asked by you or your agents" note="The newest ten.">
        <RequestTable rows={inbox.own} now={shell.now} caption="Requests you asked for or own" />
      </Panel>
    ) : null}
    {inbox.agents.length > 0 ? (
      <Panel title="Your agents" note="You answer for these.">
        <Table
          caption="Agents you own"
          rows={inbox.agents}
          columns={[
            { label: 'Agent', cell: (row) => <a href={`/agents/${row.id}`}>{row.name}</a> },
            { label: 'State', cell: (row) => <Badge state={row.state} /> },
            { label: 'Credentials alive', cell: (row) => row.alive },
          ]}
        />
      </Panel>
    ) : null}
  </Page>
);

const WaitingCard = ({ row, now }: { row: RequestSummary; now: string }): Html => (
  <li class="card">
    <a class="card-link" href={`/requests/${row.id}`}>
      <span class="card-title">
        <Untrusted text={row.title} />
      </span>
      {row.purpose === null ? null : (
        <span class="card-line">
          For: <Untrusted text={row.purpose} />
        </span>
      )}
      <span class="card-line">
        {row.approvals} of {row.quorum} approvals · runs out <Time at={row.expiresAt} now={now} />
      </span>
    </a>
  </li>
);

const FirstSteps = ({ inbox }: { inbox: Inbox }): Html => (
  <Panel
    title="First steps"
    note="An agent cannot do anything yet. These three steps take it to its first approved credential."
  >
    <ol class="steps">
      <li>
        <h3>Invite somebody to decide</h3>
        <p>
          Nobody approves for their own agents, so it takes two people.{' '}
          <a href="/people">Invite a person</a> into a group that a route names, such as{' '}
          <code>data-owners</code>.
        </p>
      </li>
      <li>
        <h3>Register an agent</h3>
        <p>
          <a href="/agents#register">Register it here</a> with its public key, or send the same by
          hand:
        </p>
        <Copy
          label="Register an agent with curl"
          text={`curl -sS ${inbox.publicUrl}/v1/agents \\
  -H "Authorization: Bearer $COUNTERSIGN_ADMIN_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"name":"orders-bot","kind":"ai_agent","owner":"psn_…","team":"core",
       "purpose":"order support","keys":[{"kty":"EC","crv":"P-256","x":"…","y":"…"}]}'`}
        />
        <p>Being let in is a request like any other: it appears above, for you to decide.</p>
      </li>
      <li>
        <h3>Let it ask</h3>
        <p>
          The agent starts a task and asks for a role. <code>orders-readonly</code> is given at
          once; <code>orders-write</code> is held until somebody says yes. The{' '}
          <a href="/docs">API reference</a> has every call, and <code>npm run demo</code> plays it
          all through.
        </p>
      </li>
    </ol>
  </Panel>
);

/** Requests as a table. */
export const RequestTable = ({
  rows,
  now,
  caption,
}: {
  rows: readonly RequestSummary[];
  now: string;
  caption: string;
}): Html => (
  <Table
    caption={caption}
    rows={rows}
    columns={[
      {
        label: 'Request',
        cell: (row) => (
          <>
            <a href={`/requests/${row.id}`}>
              <Untrusted text={row.title} />
            </a>
            {row.purpose === null ? null : (
              <span class="under">
                For: <Untrusted text={row.purpose} />
              </span>
            )}
          </>
        ),
      },
      {
        label: 'State',
        cell: (row) => (
          <>
            <Badge state={row.state} />
            {row.state === 'pending' ? (
              <span class="under">runs out {distanceText(row.expiresAt, now)}</span>
            ) : null}
          </>
        ),
      },
      { label: 'Approvals', cell: (row) => `${row.approvals} of ${row.quorum}` },
      { label: 'Opened', cell: (row) => <Time at={row.createdAt} now={now} /> },
    ]}
  />
);

/** Every request, by state. */
export const RequestsPage = ({
  shell,
  rows,
  state,
  states,
  next,
}: {
  shell: Shell;
  rows: readonly RequestSummary[];
  state: string | null;
  states: readonly string[];
  next: string | null;
}): Html => (
  <Page shell={shell} title="Requests" lead="What agents and people asked for, newest first.">
    <nav class="filters" aria-label="By state">
      <a href="/requests" aria-current={state === null ? 'true' : undefined}>
        All
      </a>
      {states.map((each) => (
        <a href={`/requests?state=${each}`} aria-current={state === each ? 'true' : undefined}>
          {each}
        </a>
      ))}
    </nav>
    <Panel title={state === null ? 'All requests' : `Requests that are ${state}`}>
      {rows.length === 0 ? (
        <Empty title={state === null ? 'Nobody has asked for anything yet' : `None is ${state}`}>
          <p>
            A request appears when policy says that people decide: an agent wants to be admitted, a
            role is held by a route, a policy is to be activated.
          </p>
        </Empty>
      ) : (
        <RequestTable rows={rows} now={shell.now} caption="Requests" />
      )}
      <More href={next} label="Older requests" />
    </Panel>
  </Page>
);
