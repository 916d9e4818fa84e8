// The registry of agents, and registering one.
import { Page } from './layout.tsx';
import {
  Badge,
  Empty,
  MaybeTime,
  More,
  Panel,
  Problem,
  Table,
  Untrusted,
  type Html,
  type Said,
} from './parts.tsx';
import { Register, type Registration } from './register.tsx';
import type { Shell } from './shell.ts';

/** An agent as lists show it. */
export interface AgentLine {
  id: string;
  name: string;
  kind: string;
  state: string;
  owner: string;
  team: string;
  alive: number;
  lastUsedAt: string | null;
}

/** All agents, and the form that registers one. */
export const AgentsPage = ({
  shell,
  rows,
  next,
  registration,
  said,
}: {
  shell: Shell;
  rows: readonly AgentLine[];
  next: string | null;
  registration: Registration;
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title="Agents"
    lead="Identities that are not people. Each has an owner who answers for it, and keys of its own."
  >
    <Panel title="Registry" actions={<a href="#register">Register an agent</a>}>
      {rows.length === 0 ? (
        <Empty title="No agents yet">
          <p>Register one below. People then admit it.</p>
        </Empty>
      ) : (
        <Table
          caption="Agents"
          rows={rows}
          columns={[
            {
              label: 'Agent',
              cell: (row) => (
                <>
                  <a href={`/agents/${row.id}`}>{row.name}</a>
                  <span class="under">{row.kind.replaceAll('_', ' ')}</span>
                </>
              ),
            },
            { label: 'State', cell: (row) => <Badge state={row.state} /> },
            {
              label: 'Owner',
              cell: (row) => (
                <>
                  <Untrusted text={row.owner} />
                  <span class="under">
                    <Untrusted text={row.team} />
                  </span>
                </>
              ),
            },
            { label: 'Alive', cell: (row) => row.alive },
            {
              label: 'Last used',
              cell: (row) => <MaybeTime at={row.lastUsedAt} now={shell.now} />,
            },
          ]}
        />
      )}
      <More href={next} label="Older agents" />
    </Panel>
    <Panel
      title="Register an agent"
      id="register"
      note="Only the public half of a key comes here. Being admitted is then decided by people, as a request."
    >
      <Problem said={said} />
      <Register shell={shell} registration={registration} />
    </Panel>
  </Page>
);
