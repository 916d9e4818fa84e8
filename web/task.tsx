// One task: who set it off, what was given under it, and ending it.
import { CredentialTable, type CredentialLine } from './credentials.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Facts,
  Form,
  MaybeTime,
  Panel,
  Problem,
  ReasonField,
  Time,
  Untrusted,
  type Html,
  type Said,
} from './parts.tsx';
import { RequestTable, type RequestSummary } from './requests.tsx';
import type { Shell } from './shell.ts';
import { ForceClose } from './stopping.tsx';

export interface TaskView {
  id: string;
  purpose: string;
  state: string;
  reason: string | null;
  agent: { id: string; name: string };
  trigger: string;
  proof: string;
  policyVersion: string;
  deadlineAt: string;
  createdAt: string;
  endedAt: string | null;
  alive: number;
  credentials: CredentialLine[];
  requests: RequestSummary[];
  /** Whether the reader may revoke what was given here. */
  mayRevoke: boolean;
  /** How often a revocation fails before it may be given up; nobody but an administrator ever may. */
  forceCloseAttempts: number;
  isAdmin: boolean;
  audits: boolean;
}

const LIVE = ['pending', 'active'];

/** The page of one task. */
export const TaskPage = ({
  shell,
  view,
  said,
}: {
  shell: Shell;
  view: TaskView;
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title={view.purpose}
    heading={
      <>
        <Untrusted text={view.purpose} /> <Badge state={view.state} />
      </>
    }
    lead={<>A task of {view.agent.name}. What it was given ends with it.</>}
    back={{ href: `/agents/${view.agent.id}`, label: view.agent.name }}
  >
    <Problem said={said} />
    <div class="split">
      <div>
        <Panel title="Credentials" note={`${view.alive} not yet seen gone.`}>
          <CredentialTable
            rows={view.credentials}
            now={shell.now}
            {...(view.mayRevoke && {
              act: (row: CredentialLine) =>
                LIVE.includes(row.state) ? (
                  <Confirm label="Revoke…">
                    <Form shell={shell} action={`/credentials/${row.id}/revoke`}>
                      <p>Its sessions are ended and the login is removed from {row.target}.</p>
                      <ReasonField id={`reason-${row.id}`} />
                      <button class="button button-danger" type="submit">
                        Revoke
                      </button>
                    </Form>
                  </Confirm>
                ) : (
                  <ForceClose shell={shell} row={row} attempts={view.forceCloseAttempts} />
                ),
            })}
          />
        </Panel>
        <Panel title="Requests">
          {view.requests.length === 0 ? (
            <p class="quiet">Nothing was held.</p>
          ) : (
            <RequestTable rows={view.requests} now={shell.now} caption="Requests of this task" />
          )}
        </Panel>
      </div>
      <div class="split-side">
        <About view={view} now={shell.now} />
        {view.isAdmin && view.state === 'running' ? <End shell={shell} view={view} /> : null}
      </div>
    </div>
  </Page>
);

const About = ({ view, now }: { view: TaskView; now: string }): Html => (
  <Panel title="About">
    <Facts
      facts={[
        { label: 'Agent', value: <a href={`/agents/${view.agent.id}`}>{view.agent.name}</a> },
        {
          label: 'Set off by',
          value: (
            <>
              <Untrusted text={view.trigger} />{' '}
              <Badge
                state={view.proof === 'verified' ? 'effective' : 'none'}
                label={view.proof === 'none' ? 'nobody named' : view.proof}
              />
            </>
          ),
        },
        { label: 'Started', value: <Time at={view.createdAt} now={now} /> },
        { label: 'Deadline', value: <Time at={view.deadlineAt} now={now} /> },
        { label: 'Ended', value: <MaybeTime at={view.endedAt} now={now} none="not yet" /> },
        view.reason === null ? null : { label: 'Reason', value: <Untrusted text={view.reason} /> },
        { label: 'Policy', value: <Code text={view.policyVersion} /> },
        { label: 'Id', value: <Code text={view.id} /> },
      ]}
    />
    {view.audits ? (
      <p class="note">
        <a href={`/log?task=${view.id}`}>Every event of this task</a>
      </p>
    ) : null}
  </Panel>
);

const End = ({ shell, view }: { shell: Shell; view: TaskView }): Html => (
  <Panel title="End it">
    <Confirm label="Complete…">
      <Form shell={shell} action={`/tasks/${view.id}/complete`}>
        <p>Everything under it is revoked, and the task ends as completed.</p>
        <button class="button button-danger" type="submit">
          Complete the task
        </button>
      </Form>
    </Confirm>
    <Confirm label="Fail…">
      <Form shell={shell} action={`/tasks/${view.id}/fail`}>
        <p>Everything under it is revoked, and the task ends as failed.</p>
        <ReasonField id="fail-reason" required />
        <button class="button button-danger" type="submit">
          Fail the task
        </button>
      </Form>
    </Confirm>
  </Panel>
);
