// Stored secrets: what is known of each, its chain of custody, and when it is to be replaced. Never a secret itself.
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Facts,
  MaybeTime,
  More,
  Notice,
  Panel,
  Table,
  Time,
  Untrusted,
  words,
  type Html,
} from './parts.tsx';
import type { Shell } from './shell.ts';

interface SecretLine {
  name: string;
  version: number;
  putAt: string;
  /** Since when somebody knows this version who no longer should. */
  taintedAt: string | null;
  /** When it is to be replaced for its age; null where no role lends it. */
  dueAt: string | null;
}

export interface LoanLine {
  credential: string;
  state: string;
  version: number;
  agent: { id: string; name: string };
  task: string;
  givenAt: string;
  endedAt: string | null;
  places: readonly { kind: string; path: string; host: string | null; at: string }[];
}

export interface SecretView extends SecretLine {
  isRemoved: boolean;
  roles: readonly string[];
  changes: readonly { what: string; version: number; at: string; by: string }[];
  loans: readonly LoanLine[];
  next: string | null;
}

const Due = ({ row, now }: { row: SecretLine; now: string }): Html => {
  if (row.taintedAt !== null) return <Badge state="unmanaged" label="due now: tainted" />;
  if (row.dueAt === null) return <span class="quiet">no role lends it</span>;
  return row.dueAt <= now ? (
    <Badge state="unmanaged" label="due now: age" />
  ) : (
    <Time at={row.dueAt} now={now} />
  );
};

/** Every secret that was put in. */
export const SecretsPage = ({
  shell,
  rows,
  next,
}: {
  shell: Shell;
  rows: readonly SecretLine[];
  next: string | null;
}): Html => (
  <Page
    shell={shell}
    title="Secrets"
    lead="What people put in for targets that can issue nothing of their own. Who has had one knows it until it is replaced."
  >
    <Panel title="Stored secrets" note="Lent under leases, sealed to their holders, shown nowhere.">
      {rows.length === 0 ? (
        <p class="quiet">
          None. Put one in with <Code text="countersign secret put NAME" />.
        </p>
      ) : (
        <Table
          caption="Stored secrets"
          rows={rows}
          columns={[
            { label: 'Secret', cell: (row) => <a href={`/secrets/${row.name}`}>{row.name}</a> },
            { label: 'Version', cell: (row) => row.version },
            { label: 'Put in', cell: (row) => <Time at={row.putAt} now={shell.now} /> },
            { label: 'To be replaced', cell: (row) => <Due row={row} now={shell.now} /> },
          ]}
        />
      )}
      <More href={next} label="More secrets" />
    </Panel>
  </Page>
);

/** One secret: its versions, who had which, and where they put it. */
export const SecretPage = ({ shell, view }: { shell: Shell; view: SecretView }): Html => (
  <Page
    shell={shell}
    title={view.name}
    lead={view.isRemoved ? 'It was removed. Who had it stays on record.' : 'A stored secret'}
    back={{ href: '/secrets', label: 'Secrets' }}
  >
    {view.taintedAt === null || view.isRemoved ? null : (
      <Notice tone="warn" title="Somebody knows it whose lease is over">
        <p>
          Since <Time at={view.taintedAt} now={shell.now} />. Replace it where it is used, and put
          the new one in: <Code text={`countersign secret put ${view.name}`} />
        </p>
      </Notice>
    )}
    <Panel title="What is known of it">
      <Facts
        facts={[
          { label: 'Version', value: view.version },
          {
            label: view.isRemoved ? 'Removed' : 'Put in',
            value: <Time at={view.putAt} now={shell.now} />,
          },
          view.isRemoved
            ? null
            : { label: 'To be replaced', value: <Due row={view} now={shell.now} /> },
          {
            label: 'Lent by the roles',
            value: view.roles.join(', ') || <span class="quiet">none</span>,
          },
        ]}
      />
    </Panel>
    <Custody shell={shell} view={view} />
    <Panel title="Rotations" note="The latest first.">
      <Table
        caption="Rotations"
        rows={view.changes}
        columns={[
          { label: 'What', cell: (row) => words(row.what) },
          { label: 'Version', cell: (row) => row.version },
          { label: 'When', cell: (row) => <Time at={row.at} now={shell.now} /> },
          { label: 'By', cell: (row) => <Untrusted text={row.by} /> },
        ]}
      />
    </Panel>
  </Page>
);

const Custody = ({ shell, view }: { shell: Shell; view: SecretView }): Html => (
  <Panel
    title="Chain of custody"
    note="Who was given it and when, and where they said that they put it. The latest first."
  >
    {view.loans.length === 0 ? (
      <p class="quiet">Nobody was given it yet.</p>
    ) : (
      <Table
        caption="Chain of custody"
        rows={view.loans}
        columns={[
          {
            label: 'Who',
            cell: (row) => (
              <>
                <a href={`/agents/${row.agent.id}`}>
                  <Untrusted text={row.agent.name} />
                </a>
                <span class="under">
                  <a href={`/tasks/${row.task}#${row.credential}`}>its task</a>
                </span>
              </>
            ),
          },
          { label: 'Version', cell: (row) => row.version },
          { label: 'Given', cell: (row) => <Time at={row.givenAt} now={shell.now} /> },
          {
            label: 'Ended',
            cell: (row) => (
              <>
                <MaybeTime at={row.endedAt} now={shell.now} none="not yet" />{' '}
                <span class="under">
                  <Badge state={row.state} />
                </span>
              </>
            ),
          },
          { label: 'Put where', cell: (row) => <Places row={row} /> },
        ]}
      />
    )}
    <More href={view.next} label="Earlier loans" />
  </Panel>
);

const Places = ({ row }: { row: LoanLine }): Html =>
  row.places.length === 0 ? (
    <span class="quiet">not said</span>
  ) : (
    <ul class="plain">
      {row.places.map(({ kind, path, host }) => (
        <li>
          <Untrusted text={path} />
          <span class="under">
            {words(kind)}
            {host === null ? null : (
              <>
                {' on '}
                <Untrusted text={host} />
              </>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
