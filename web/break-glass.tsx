// Emergency access: declaring it, every use of it, and the reviews that have to follow.
import { AreaField, SelectField, Submit, TextField } from './fields.tsx';
import { Kits, Prepare, type KitLine } from './glass-kits.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Empty,
  Form,
  Notice,
  Panel,
  Problem,
  Table,
  Time,
  Untrusted,
  words,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface EmergencyLine {
  id: string;
  request: string;
  /** Null where it was a login that lay ready, which is no agent's. */
  agent: string | null;
  agentName: string | null;
  role: string;
  gates: readonly string[];
  people: readonly string[];
  incident: string | null;
  continues: number;
  state: 'declared' | 'review_open' | 'reviewed';
  declaredAt: string;
  openedAt: string | null;
  reviewDueAt: string | null;
  reviewedBy: string | null;
  disposition: string | null;
  findings: string | null;
  /** Effects that independent eyes saw so far. */
  effects: number;
}

export interface EmergencyView {
  open: readonly EmergencyLine[];
  past: readonly EmergencyLine[];
  once: string;
  /** Logins that lie ready for when we are down. */
  kits: readonly KitLine[];
  /** What was typed into a form that was refused. */
  values: Record<string, string>;
  mayDeclare: boolean;
}

/** The page of emergencies. */
export const EmergencyPage = ({
  shell,
  view,
  said,
}: {
  shell: Shell;
  view: EmergencyView;
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title="Emergency"
    lead="Access past the people who would have to be asked: by two people at least, for a while, and reviewed before the next time."
  >
    <Problem said={said} />
    {view.open.map((row) => (
      <Open shell={shell} row={row} />
    ))}
    <Panel title="Past">
      {view.past.length === 0 ? (
        <Empty title="The glass was never broken, and every review is closed">
          <p>What is declared here is shown to everybody, and stays in the log.</p>
        </Empty>
      ) : (
        <Past shell={shell} rows={view.past} />
      )}
    </Panel>
    <Kits shell={shell} kits={view.kits} />
    {view.mayDeclare ? <Declare shell={shell} view={view} /> : null}
    {view.mayDeclare ? <Prepare shell={shell} once={view.once} values={view.values} /> : null}
  </Page>
);

const Open = ({ shell, row }: { shell: Shell; row: EmergencyLine }): Html => (
  <Notice tone="bad" title={row.state === 'declared' ? 'Declared' : 'Used, and not reviewed'}>
    <p>
      <strong>{row.role}</strong> <Whose row={row} />, past {row.gates.join(', ')}, by{' '}
      <Untrusted text={row.people.join(' and ')} />,{' '}
      <Time at={row.openedAt ?? row.declaredAt} now={shell.now} />.{' '}
      <a href={`/requests/${row.request}`}>What was said</a>.
    </p>
    {row.incident === null ? null : (
      <p>
        Incident <Untrusted text={row.incident} />, time {row.continues + 1} of it.
      </p>
    )}
    {row.reviewDueAt === null ? null : (
      <>
        <p>
          {row.effects} effects of it were seen by independent eyes. Its review is due{' '}
          <Time at={row.reviewDueAt} now={shell.now} />; until it is closed, neither this gate nor
          this agent nor these people have another emergency.
        </p>
        <Confirm label="Review it…">
          <Form shell={shell} action={`/break-glass/${row.id}/review`}>
            <AreaField
              id={`findings-${row.id}`}
              name="findings"
              label="What it did, and how you know"
              required
              max={2000}
            />
            <SelectField
              id={`disposition-${row.id}`}
              name="disposition"
              label="It was"
              value="justified"
              options={[
                { value: 'justified', label: 'Justified' },
                { value: 'needs_work', label: 'Justified, and something has to change' },
                { value: 'misused', label: 'Misused' },
              ]}
            />
            <Submit label="Close the review" />
          </Form>
        </Confirm>
      </>
    )}
  </Notice>
);

const Whose = ({ row: { agent, agentName } }: { row: EmergencyLine }): Html =>
  agent === null ? (
    <>while this was down, by the login that lay ready</>
  ) : (
    <>
      for{' '}
      <a href={`/agents/${agent}`}>
        <Untrusted text={agentName ?? agent} />
      </a>
    </>
  );

const Past = ({ shell, rows }: { shell: Shell; rows: readonly EmergencyLine[] }): Html => (
  <Table
    caption="Past emergencies"
    rows={rows}
    columns={[
      {
        label: 'Emergency',
        cell: (row) => (
          <>
            <a href={`/requests/${row.request}`}>{row.role}</a>
            <span class="under">
              <Code text={row.id} />
            </span>
          </>
        ),
      },
      { label: 'Agent', cell: (row) => <Untrusted text={row.agentName ?? 'none: offline'} /> },
      { label: 'By', cell: (row) => <Untrusted text={row.people.join(', ')} /> },
      {
        label: 'When',
        cell: (row) => <Time at={row.openedAt ?? row.declaredAt} now={shell.now} />,
      },
      {
        label: 'Review',
        cell: (row) =>
          row.disposition === null ? (
            <Badge state="none" label="not used" />
          ) : (
            <>
              <Badge
                state={row.disposition === 'misused' ? 'deficient' : 'effective'}
                label={words(row.disposition)}
              />
              <span class="under">
                <Untrusted text={`${row.reviewedBy ?? ''}: ${row.findings ?? ''}`} />
              </span>
            </>
          ),
      },
    ]}
  />
);

const Declare = ({ shell, view }: { shell: Shell; view: EmergencyView }): Html => (
  <Panel
    title="Declare an emergency"
    note="Everybody is told at once. A second person confirms it on the page of its request."
    id="declare"
  >
    <Confirm label="Break the glass…">
      <Form shell={shell} action="/break-glass">
        <input type="hidden" name="once" value={view.once} />
        <TextField
          id="task"
          label="Task"
          hint="The running task that needs it: tsk_…"
          value={view.values['task']}
          required
          max={100}
        />
        <TextField id="role" label="Role" value={view.values['role']} required max={100} />
        <AreaField
          id="reason"
          label="What has happened"
          value={view.values['reason']}
          required
          max={2000}
        />
        <TextField
          id="incident"
          label="Incident"
          hint="Its id where you keep incidents. Only the same incident may go on before a review."
          value={view.values['incident']}
          max={100}
        />
        <AreaField
          id="seal_to"
          label="Public key"
          hint="A JWK of whoever shall have the credential; it is sealed to this key."
          value={view.values['seal_to']}
          required
          max={2000}
          mono
        />
        <Submit label="Declare it" tone="danger" />
      </Form>
    </Confirm>
  </Panel>
);
