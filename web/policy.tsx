// The active policy, to read.
import { Page } from './layout.tsx';
import { Code, Panel, spanText, Table, Untrusted, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

export interface PolicyView {
  version: string;
  routes: {
    name: string;
    title: string;
    /** How many of whom, in words. */
    seats: string;
    expirySeconds: number;
    validSeconds: number;
    strength: string;
    barred: string;
  }[];
  roles: {
    name: string;
    title: string;
    gives: string;
    dataClass: string;
    maxSeconds: number;
    reason: string;
  }[];
  upstreams: {
    name: string;
    title: string;
    base: string;
    dataClass: string;
    /** Each call with what it does: "get-ticket (read)". */
    calls: readonly string[];
  }[];
  rules: {
    id: string;
    effect: string;
    route: string | null;
    control: string | null;
    mode: string;
  }[];
  files: { name: string; text: string }[];
}

/** Who decides, what can be asked for, and the files themselves. */
export const PolicyPage = ({ shell, view }: { shell: Shell; view: PolicyView }): Html => (
  <Page
    shell={shell}
    title="Policy"
    lead="What is active now. It is files with tests; replacing it is itself a request that people decide."
  >
    <Panel
      title="Active version"
      note={
        <>
          To change it: <code>countersign policy check</code>, then{' '}
          <code>countersign policy push</code>.
        </>
      }
    >
      <p>
        <Code text={view.version} />
      </p>
    </Panel>
    <Routes view={view} />
    <Panel title="Roles" note="What can be asked for.">
      <Table
        caption="Roles"
        rows={view.roles}
        columns={[
          {
            label: 'Role',
            cell: (row) => (
              <>
                <strong>{row.name}</strong>
                <span class="under">{row.title}</span>
              </>
            ),
          },
          { label: 'Gives', cell: (row) => row.gives },
          { label: 'Data', cell: (row) => row.dataClass },
          { label: 'At most', cell: (row) => spanText(row.maxSeconds) },
          { label: 'Reason', cell: (row) => row.reason },
        ]}
      />
    </Panel>
    {view.upstreams.length === 0 ? null : <Upstreams view={view} />}
    <Panel title="Rules" note="One line for each Cedar policy.">
      <Table
        caption="Rules"
        rows={view.rules}
        columns={[
          { label: 'Rule', cell: (row) => <strong>{row.id}</strong> },
          { label: 'Effect', cell: (row) => row.effect },
          { label: 'Held by', cell: (row) => row.route ?? <span class="quiet">nobody</span> },
          { label: 'Control', cell: (row) => row.control ?? <span class="quiet">none</span> },
          { label: 'Mode', cell: (row) => row.mode },
        ]}
      />
    </Panel>
    <Panel title="Files">
      {view.files.map(({ name, text }) => (
        <details class="more-of">
          <summary>{name}</summary>
          <pre tabindex={0} aria-label={name}>
            <Untrusted text={text} />
          </pre>
        </details>
      ))}
    </Panel>
  </Page>
);

const Upstreams = ({ view }: { view: PolicyView }): Html => (
  <Panel title="APIs" note="What is called for agents. Nothing else of them can be called.">
    <Table
      caption="APIs"
      rows={view.upstreams}
      columns={[
        {
          label: 'API',
          cell: (row) => (
            <>
              <strong>{row.name}</strong>
              <span class="under">
                <Untrusted text={row.title} />
              </span>
            </>
          ),
        },
        { label: 'Address', cell: (row) => row.base },
        { label: 'Data', cell: (row) => <Untrusted text={row.dataClass} /> },
        { label: 'Calls', cell: (row) => row.calls.join(', ') },
      ]}
    />
  </Panel>
);

const Routes = ({ view }: { view: PolicyView }): Html => (
  <Panel title="Routes" note="Who decides, how many, and how soon.">
    <Table
      caption="Routes"
      rows={view.routes}
      columns={[
        {
          label: 'Route',
          cell: (row) => (
            <>
              <strong>{row.name}</strong>
              <span class="under">{row.title}</span>
            </>
          ),
        },
        {
          label: 'Who decides',
          cell: (row) => row.seats,
        },
        { label: 'Who may not', cell: (row) => row.barred },
        { label: 'To decide in', cell: (row) => spanText(row.expirySeconds) },
        { label: 'Approval lasts', cell: (row) => spanText(row.validSeconds) },
        { label: 'Sign-in', cell: (row) => row.strength },
      ]}
    />
  </Panel>
);
