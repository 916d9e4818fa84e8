// One agent: what it is, what hangs off it, and stopping it.
import type { AgentLine } from './agents.tsx';
import { CredentialTable, type CredentialLine } from './credentials.tsx';
import { AreaField, SelectField, Submit } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Copy,
  Facts,
  Form,
  MaybeTime,
  Notice,
  Panel,
  Problem,
  ReasonField,
  Table,
  Time,
  Untrusted,
  type Html,
  type Said,
} from './parts.tsx';
import { RequestTable, type RequestSummary } from './requests.tsx';
import type { Shell } from './shell.ts';

interface TaskLine {
  id: string;
  purpose: string;
  state: string;
  createdAt: string;
  deadlineAt: string;
}

/** One agent with everything that hangs off it. */
export interface AgentView extends AgentLine {
  purpose: string;
  spiffeId: string | null;
  retiring: boolean;
  createdAt: string;
  rotationDueAt: string | null;
  reviewDueAt: string | null;
  request: string | null;
  /** Since when nobody active answers for it. */
  orphanedAt: string | null;
  keys: {
    id: string;
    thumbprint: string;
    state: string;
    createdAt: string;
    retireAt: string | null;
  }[];
  /** Tokens with which a workload may still bring a key of its own. */
  joinTokens: { id: string; request: string | null; createdAt: string; expiresAt: string }[];
  tasks: TaskLine[];
  credentials: CredentialLine[];
  requests: RequestSummary[];
  isAdmin: boolean;
  audits: boolean;
}

/** The page of one agent. */
export const AgentPage = ({
  shell,
  view,
  said,
}: {
  shell: Shell;
  view: AgentView;
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title={view.name}
    heading={
      <>
        {view.name} <Badge state={view.state} />
      </>
    }
    lead={<Untrusted text={view.purpose} />}
    back={{ href: '/agents', label: 'Agents' }}
  >
    <Problem said={said} />
    {view.state === 'requested' && view.request !== null ? (
      <div class="notice notice-warn">
        <p class="notice-title">It is not admitted yet</p>
        <p>
          <a href={`/requests/${view.request}`}>The request that decides</a>
        </p>
      </div>
    ) : null}
    {view.orphanedAt === null ? null : (
      <div class="notice notice-warn">
        <p class="notice-title">Its owner has left</p>
        <p>
          Nobody answers for it since <Time at={view.orphanedAt} now={shell.now} />. It starts no
          new task once its time of grace is over: give it another owner.
        </p>
      </div>
    )}
    {view.rotationDueAt !== null && view.rotationDueAt <= shell.now ? (
      <div class="notice notice-warn">
        <p class="notice-title">A new key is due</p>
        <p>Add one beside the others, move the agent to it, and then take the old one away.</p>
      </div>
    ) : null}
    <div class="split">
      <div>
        <Panel title="Tasks" note="Everything an agent holds hangs off one. The newest first.">
          <TaskTable rows={view.tasks} now={shell.now} />
        </Panel>
        <Panel title="Credentials" note="The newest first. No secret is ever shown here.">
          <CredentialTable rows={view.credentials} now={shell.now} />
        </Panel>
        <Panel title="Requests" note="The newest first.">
          {view.requests.length === 0 ? (
            <p class="quiet">None.</p>
          ) : (
            <RequestTable rows={view.requests} now={shell.now} caption="Requests of this agent" />
          )}
        </Panel>
      </div>
      <div class="split-side">
        <Identity view={view} now={shell.now} />
        <Keys shell={shell} view={view} />
        {view.isAdmin ? <JoinTokens shell={shell} view={view} /> : null}
        {view.isAdmin ? <Stop shell={shell} view={view} /> : null}
      </div>
    </div>
  </Page>
);

const NOT_YET = 'not before it is admitted';

const Identity = ({ view, now }: { view: AgentView; now: string }): Html => (
  <Panel title="Identity">
    <Facts
      facts={[
        { label: 'Owner', value: <Untrusted text={view.owner} /> },
        { label: 'Team', value: <Untrusted text={view.team} /> },
        { label: 'Kind', value: view.kind.replaceAll('_', ' ') },
        { label: 'SPIFFE ID', value: view.spiffeId ? <Code text={view.spiffeId} /> : NOT_YET },
        { label: 'Id', value: <Code text={view.id} /> },
        {
          label: 'Alive',
          value: `${view.alive} ${view.alive === 1 ? 'credential' : 'credentials'}`,
        },
        { label: 'Registered', value: <Time at={view.createdAt} now={now} /> },
        { label: 'Last used', value: <MaybeTime at={view.lastUsedAt} now={now} /> },
        {
          label: 'Rotation due',
          value: <MaybeTime at={view.rotationDueAt} now={now} none={NOT_YET} />,
        },
        {
          label: 'Review due',
          value: <MaybeTime at={view.reviewDueAt} now={now} none={NOT_YET} />,
        },
      ]}
    />
    {view.audits ? (
      <p class="note">
        <a href={`/log?agent=${view.id}`}>Every event of this agent</a>
      </p>
    ) : null}
  </Panel>
);

const Keys = ({ shell, view }: { shell: Shell; view: AgentView }): Html => (
  <Panel title="Keys">
    <ul class="plain">
      {view.keys.map((key) => (
        <li>
          <Badge state={key.state} /> <Code text={key.thumbprint} />
          <span class="under">
            added <Time at={key.createdAt} now={shell.now} />
            {key.retireAt === null || key.state !== 'active' ? null : (
              <>
                , no key any more <Time at={key.retireAt} now={shell.now} />
              </>
            )}
          </span>
          {view.isAdmin && key.state === 'active' && view.keys.length > 1 ? (
            <Confirm label="Take away…">
              <Form shell={shell} action={`/agents/${view.id}/keys/${key.id}/revoke`}>
                <p>The agent can no longer sign in with it.</p>
                <Submit label="Take this key away" tone="danger" />
              </Form>
            </Confirm>
          ) : null}
        </li>
      ))}
    </ul>
    {view.isAdmin ? (
      <details class="more-of">
        <summary>Add a key</summary>
        <Form shell={shell} action={`/agents/${view.id}/keys`}>
          <AreaField
            id="new-key"
            name="key"
            label="Public key (JWK)"
            hint="People agreed to the keys it has, so they are asked about another. Both work until one is taken away."
            required
            rows={4}
            mono
          />
          <Submit label="Add" tone="plain" />
        </Form>
      </details>
    ) : null}
  </Panel>
);

const TTLS = [
  { value: '900', label: '15 minutes' },
  { value: '3600', label: 'an hour' },
  { value: '86400', label: 'a day' },
];

const JoinTokens = ({ shell, view }: { shell: Shell; view: AgentView }): Html => (
  <Panel title="Join tokens" note="For a workload whose key is not known yet: it brings one, once.">
    {view.joinTokens.length === 0 ? (
      <p class="quiet">None is open.</p>
    ) : (
      <ul class="plain">
        {view.joinTokens.map((token) => (
          <li>
            <Code text={token.id} />
            <span class="under">
              good until <Time at={token.expiresAt} now={shell.now} />
              {token.request === null ? null : (
                <>
                  , if <a href={`/requests/${token.request}`}>people agree</a>
                </>
              )}
            </span>
          </li>
        ))}
      </ul>
    )}
    {view.state === 'active' && !view.retiring ? (
      <details class="more-of">
        <summary>Make a join token</summary>
        <Form shell={shell} action={`/agents/${view.id}/join-tokens`}>
          <SelectField id="ttl_seconds" label="Good for" value="3600" options={TTLS} />
          <p class="note">It is shown once. Whoever has it can become the agent.</p>
          <Submit label="Make it" tone="plain" />
        </Form>
      </details>
    ) : null}
  </Panel>
);

/** The one page that ever shows a join token. */
export const JoinTokenPage = ({
  shell,
  agent,
  token,
  request,
  expiresAt,
}: {
  shell: Shell;
  agent: { id: string; name: string };
  token: string;
  request: string | null;
  expiresAt: string;
}): Html => (
  <Page
    shell={shell}
    title="A join token"
    lead={<Untrusted text={`for ${agent.name}`} />}
    back={{ href: `/agents/${agent.id}`, label: agent.name }}
  >
    {request === null ? null : (
      <Notice tone="warn" title="It waits for people">
        <p>
          It is good for nothing until <a href={`/requests/${request}`}>this request</a> is approved
          by those who agree to keys.
        </p>
      </Notice>
    )}
    <Panel
      title="The token"
      note="Shown this once and kept nowhere: copy it now. Loading this page again makes another."
    >
      <Copy text={token} label="Join token" />
      <Facts
        facts={[
          { label: 'Good until', value: <Time at={expiresAt} now={shell.now} /> },
          { label: 'Good for', value: 'one key, from the first who comes with it' },
        ]}
      />
    </Panel>
    <Panel
      title="Where the workload runs"
      note="Save the token in a file there. The key is made there and stays there."
    >
      <Copy text="countersign agent join --token join.token --out key.json" label="Command" />
    </Panel>
  </Page>
);

const STEPS: readonly { verb: string; label: string; says: string; from: readonly string[] }[] = [
  {
    verb: 'suspend',
    label: 'Suspend',
    says: 'Nothing new is given, and everything it holds is revoked. Its tasks stay open.',
    from: ['active'],
  },
  {
    verb: 'resume',
    label: 'Resume',
    says: 'It may ask again. What was revoked stays revoked.',
    from: ['suspended'],
  },
  {
    verb: 'kill',
    label: 'Kill',
    says: 'Everything it holds is revoked and all its tasks end, now.',
    from: ['active', 'suspended'],
  },
  {
    verb: 'retire',
    label: 'Retire',
    says: 'For good: its tasks end, and its name is never given to another.',
    from: ['active', 'suspended'],
  },
];

const Stop = ({ shell, view }: { shell: Shell; view: AgentView }): Html => {
  const steps = STEPS.filter((step) => step.from.includes(view.state));
  return (
    <Panel title="Stop or resume">
      {view.retiring ? (
        <p>It is being retired, and will be once nothing of it is alive.</p>
      ) : (
        steps.map(({ verb, label, says }) => (
          <Confirm label={`${label}…`}>
            <Form shell={shell} action={`/agents/${view.id}/${verb}`}>
              <p>{says}</p>
              <ReasonField id={`${verb}-reason`} />
              <Submit label={`${label} ${view.name}`} tone="danger" />
            </Form>
          </Confirm>
        ))
      )}
      {steps.length === 0 ? <p class="quiet">There is nothing to stop.</p> : null}
    </Panel>
  );
};

const TaskTable = ({ rows, now }: { rows: readonly TaskLine[]; now: string }): Html =>
  rows.length === 0 ? (
    <p class="quiet">None.</p>
  ) : (
    <Table
      caption="Tasks"
      rows={rows}
      columns={[
        {
          label: 'Task',
          cell: (row) => (
            <a href={`/tasks/${row.id}`}>
              <Untrusted text={row.purpose} />
            </a>
          ),
        },
        { label: 'State', cell: (row) => <Badge state={row.state} /> },
        { label: 'Started', cell: (row) => <Time at={row.createdAt} now={now} /> },
        { label: 'Deadline', cell: (row) => <Time at={row.deadlineAt} now={now} /> },
      ]}
    />
  );
