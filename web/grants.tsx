// Standing grants: what is given without anybody being asked, until when, and how to take it back.
import { Submit } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Empty,
  Form,
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

export interface GrantLine {
  id: string;
  agent: string;
  agentName: string;
  role: string;
  request: string;
  state: string;
  because: string | null;
  uses: number;
  used: number;
  purpose: string | null;
  expiresAt: string;
  /** Whether this reader may take it back. */
  isMine: boolean;
}

/** Every standing grant: those that can still be used first. */
export const GrantsPage = ({
  shell,
  open,
  over,
  said,
}: {
  shell: Shell;
  open: readonly GrantLine[];
  over: readonly GrantLine[];
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title="Standing"
    lead="What agents may use more than once without asking again. Each use is counted and logged; nothing here is renewed by itself."
  >
    <Problem said={said} />
    <Panel title="Standing now">
      {open.length === 0 ? (
        <Empty title="Nothing stands">
          <p>Every use of what is guarded is asked about.</p>
        </Empty>
      ) : (
        <Lines shell={shell} rows={open} />
      )}
    </Panel>
    {over.length > 0 ? (
      <Panel title="Over">
        <Lines shell={shell} rows={over} />
      </Panel>
    ) : null}
  </Page>
);

const Lines = ({ shell, rows }: { shell: Shell; rows: readonly GrantLine[] }): Html => (
  <Table
    caption="Standing grants"
    rows={rows}
    columns={[
      {
        label: 'Agent and role',
        cell: (row) => (
          <>
            <a href={`/agents/${row.agent}`}>
              <Untrusted text={row.agentName} />
            </a>
            <span class="under">{row.role}</span>
            <span class="under">
              <Code text={row.id} />
            </span>
          </>
        ),
      },
      {
        label: 'State',
        cell: (row) => (
          <>
            <Badge
              state={row.state === 'live' ? 'open' : 'none'}
              label={row.state === 'live' ? 'STANDING' : row.state}
            />
            {row.because === null ? null : <span class="under">{words(row.because)}</span>}
          </>
        ),
      },
      { label: 'Used', cell: (row) => `${row.used} of ${row.uses}` },
      {
        label: 'Purpose',
        cell: (row) => (row.purpose === null ? 'any' : <Untrusted text={row.purpose} />),
      },
      { label: 'Ends', cell: (row) => <Time at={row.expiresAt} now={shell.now} /> },
      {
        label: 'Agreed to',
        cell: (row) => <a href={`/requests/${row.request}`}>the request</a>,
      },
      {
        label: 'Take back',
        cell: (row) =>
          row.isMine ? (
            <Confirm label="Take back…">
              <Form shell={shell} action={`/grants/${row.id}/revoke`}>
                <p>Every credential that came from it ends, too.</p>
                <ReasonField id={`reason-${row.id}`} />
                <Submit label="Take it back" tone="danger" />
              </Form>
            </Confirm>
          ) : null,
      },
    ]}
  />
);
