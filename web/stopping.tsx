// What stops much at once: the kill switch, orders to revoke, and revocations that fail.
import { CredentialTable, type CredentialLine } from './credentials.tsx';
import { SelectField, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Form,
  MaybeTime,
  Notice,
  Panel,
  Problem,
  ReasonField,
  Table,
  Time,
  Untrusted,
  words,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface OrderLine {
  id: string;
  by: string;
  of: string | null;
  because: string;
  reason: string;
  createdAt: string;
  credentials: number;
  alive: number;
  failing: number;
  notSeenGone: number;
  doneAt: string | null;
}

interface SweepLine {
  target: string;
  at: string;
  outcome: string;
  found: number;
  orphans: number;
  vanished: number;
}

export interface StoppingView {
  stop: { id: string; reason: string; createdAt: string; by: string } | null;
  failing: CredentialLine[];
  /** Given up by a person's word, and never seen gone. */
  forced: CredentialLine[];
  orders: OrderLine[];
  sweeps: SweepLine[];
  /** What was typed into the form that was refused. */
  values: Record<string, string>;
  /** How often a revocation fails before it may be given up. */
  attempts: number;
  isAdmin: boolean;
}

/** The page of what was stopped, is being stopped, and cannot be. */
export const StoppingPage = ({
  shell,
  view,
  said,
}: {
  shell: Shell;
  view: StoppingView;
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title="Stopping"
    lead="Stop an agent, a team or everything, and see what is still alive."
  >
    <Problem said={said} />
    {view.stop ? <Stopped shell={shell} stop={view.stop} isAdmin={view.isAdmin} /> : null}
    <div class="split">
      <div>
        <Panel title="Failing revocations" note="Tried again until they work.">
          <CredentialTable
            rows={view.failing}
            now={shell.now}
            {...(view.isAdmin && {
              act: (row: CredentialLine) => (
                <ForceClose shell={shell} row={row} attempts={view.attempts} />
              ),
            })}
          />
        </Panel>
        {view.forced.length > 0 ? (
          <Panel title="Given up, never seen gone" note="Still looked for at every sweep.">
            <CredentialTable rows={view.forced} now={shell.now} />
          </Panel>
        ) : null}
        <Panel title="Orders to revoke">
          <Orders rows={view.orders} now={shell.now} />
        </Panel>
        <Panel title="Targets" note="Each is compared with the leases every minute, both ways.">
          <Sweeps rows={view.sweeps} now={shell.now} />
        </Panel>
      </div>
      <div class="split-side">
        {view.isAdmin ? <KillSwitch shell={shell} values={view.values} /> : null}
      </div>
    </div>
  </Page>
);

const Stopped = ({
  shell,
  stop,
  isAdmin,
}: {
  shell: Shell;
  stop: NonNullable<StoppingView['stop']>;
  isAdmin: boolean;
}): Html => (
  <Notice tone="bad" title="Everything is stopped">
    <p>
      By <Untrusted text={stop.by} />, <Time at={stop.createdAt} now={shell.now} />:{' '}
      <Untrusted text={stop.reason} />. Nothing starts until people lift this.
    </p>
    {isAdmin ? (
      <Confirm label="Lift it…">
        <Form shell={shell} action="/stopping/lift">
          <p>
            People are asked first. What was revoked stays revoked, and each agent is resumed by
            itself.
          </p>
          <ReasonField id="lift-reason" required />
          <Submit label="Ask to lift it" tone="danger" />
        </Form>
      </Confirm>
    ) : null}
  </Notice>
);

const KillSwitch = ({ shell, values }: { shell: Shell; values: Record<string, string> }): Html => (
  <Panel title="Kill switch">
    <Confirm label="Stop agents…">
      <Form shell={shell} action="/stopping/kill">
        <p>They are suspended, their tasks end, and everything they hold is revoked, now.</p>
        <SelectField
          id="kill-scope"
          name="scope"
          label="What to stop"
          value={values['scope']}
          options={[
            { value: 'agent', label: 'One agent' },
            { value: 'chain', label: 'An agent and all that acts for it' },
            { value: 'team', label: 'A team' },
            { value: 'everything', label: 'Everything' },
          ]}
        />
        <TextField
          id="kill-id"
          name="id"
          label="Agent id, or name of the team"
          hint="Empty for everything."
          value={values['id']}
          max={200}
        />
        <TextField
          id="kill-confirm"
          name="confirm"
          label="For everything: type everything"
          max={100}
        />
        <ReasonField id="kill-reason" required />
        <Submit label="Stop" tone="danger" />
      </Form>
    </Confirm>
  </Panel>
);

/** The form with which a person gives up on a revocation, once it has failed often enough. */
export const ForceClose = ({
  shell,
  row,
  attempts,
}: {
  shell: Shell;
  row: CredentialLine;
  attempts: number;
}): Html =>
  row.state === 'revoke_failed' && row.attempts >= attempts ? (
    <Confirm label="Give up…">
      <Form shell={shell} action={`/credentials/${row.id}/force-close`}>
        <p>
          Nothing waits for it any more, and it stays marked as never seen gone. The login may still
          work in {row.target}: remove it there yourself.
        </p>
        <ReasonField id={`force-${row.id}`} required />
        <Submit label="Give up on it" tone="danger" />
      </Form>
    </Confirm>
  ) : (
    <span class="quiet">–</span>
  );

const Orders = ({ rows, now }: { rows: readonly OrderLine[]; now: string }): Html =>
  rows.length === 0 ? (
    <p class="quiet">None.</p>
  ) : (
    <Table
      caption="Orders to revoke"
      rows={rows}
      columns={[
        {
          label: 'Order',
          cell: (row) => (
            <>
              {words(row.by)} <Untrusted text={row.of ?? ''} />
              <span class="under">
                <Code text={row.id} />
              </span>
              <span class="under">
                <Untrusted text={row.reason} />
              </span>
            </>
          ),
        },
        { label: 'Ordered', cell: (row) => <Time at={row.createdAt} now={now} /> },
        { label: 'Alive', cell: (row) => `${row.alive} of ${row.credentials}` },
        { label: 'Failing', cell: (row) => String(row.failing) },
        { label: 'Not seen gone', cell: (row) => String(row.notSeenGone) },
        { label: 'Done', cell: (row) => <MaybeTime at={row.doneAt} now={now} none="not yet" /> },
      ]}
    />
  );

const Sweeps = ({ rows, now }: { rows: readonly SweepLine[]; now: string }): Html =>
  rows.length === 0 ? (
    <p class="quiet">None yet.</p>
  ) : (
    <Table
      caption="Targets"
      rows={rows}
      columns={[
        { label: 'Target', cell: (row) => row.target },
        { label: 'Last sweep', cell: (row) => <Time at={row.at} now={now} /> },
        {
          label: 'Outcome',
          cell: (row) => (
            <Badge
              state={row.outcome === 'compared' ? 'effective' : 'insufficient_data'}
              label={row.outcome}
            />
          ),
        },
        { label: 'Logins', cell: (row) => String(row.found) },
        { label: 'Orphans', cell: (row) => String(row.orphans) },
        { label: 'Vanished', cell: (row) => String(row.vanished) },
      ]}
    />
  );
