// Who is on duty now: what each schedule said when it was last asked, who stands in for whom, and how they are told.
import { Page } from './layout.tsx';
import { Badge, Empty, Panel, Table, Time, Untrusted, words, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

export interface DutyLine {
  source: string;
  /** Routes of today that ask it. */
  routes: readonly string[];
  people: readonly string[];
  /** How many it named who are nobody here. */
  unmatched: number;
  lookedAt: string | null;
  /** Whether what it said is recent enough to count. */
  counts: boolean;
  code: string | null;
}

export interface StandInLine {
  person: string;
  standIn: string;
  endsAt: string;
}

export interface ChannelLine {
  name: string;
  kind: 'webhook' | 'e-mail';
  /** Whether anything is sent there. */
  isEnabled: boolean;
  failingSince: string | null;
  /** What came of the last attempt. */
  lastCode: string | null;
  waiting: number;
}

/** The page of who is on call, who is away, and by which ways they are told. */
export const DutyPage = ({
  shell,
  sources,
  away,
  channels,
}: {
  shell: Shell;
  sources: readonly DutyLine[];
  away: readonly StandInLine[];
  channels: readonly ChannelLine[];
}): Html => (
  <Page
    shell={shell}
    title="On duty"
    lead="Who decides by a schedule just now, and who votes for whom. A schedule that does not answer puts nobody on call."
  >
    <Panel title="On call">
      {sources.length === 0 ? (
        <Empty title="No schedule is connected">
          <p>
            An administrator connects one with <code>countersign on-call connect</code>, and a route
            asks it by <code>on_call</code> in <code>routes.yaml</code>.
          </p>
        </Empty>
      ) : (
        <Sources shell={shell} rows={sources} />
      )}
    </Panel>
    <Panel title="Away now" note="Everybody says so for themselves, on the page of their account.">
      {away.length === 0 ? (
        <Empty title="Nobody has a stand-in just now">
          <p>
            Say so under <a href="/me#away">your account</a> before you leave.
          </p>
        </Empty>
      ) : (
        <Table
          caption="Away now"
          rows={away}
          columns={[
            { label: 'Who', cell: (row) => <Untrusted text={row.person} /> },
            { label: 'Stand-in', cell: (row) => <Untrusted text={row.standIn} /> },
            { label: 'To', cell: (row) => <Time at={row.endsAt} now={shell.now} /> },
          ]}
        />
      )}
    </Panel>
    <Panel
      title="How they are told"
      note="Beside Slack and these pages. A way that fails keeps nobody from deciding here."
    >
      {channels.length === 0 ? (
        <Empty title="No webhook and no mail server is set up">
          <p>
            An administrator sets one up with <code>countersign channel</code>, and a route names it
            in <code>routes.yaml</code>.
          </p>
        </Empty>
      ) : (
        <Channels shell={shell} rows={channels} />
      )}
    </Panel>
  </Page>
);

const Channels = ({ shell, rows }: { shell: Shell; rows: readonly ChannelLine[] }): Html => (
  <Table
    caption="Ways to tell approvers"
    rows={rows}
    columns={[
      {
        label: 'Way',
        cell: (row) => (
          <>
            {row.name}
            {row.name === row.kind ? null : <span class="under">{row.kind}</span>}
          </>
        ),
      },
      { label: 'State', cell: (row) => <Told row={row} shell={shell} /> },
      { label: 'Waiting', cell: (row) => row.waiting },
    ]}
  />
);

const Told = ({ row, shell }: { row: ChannelLine; shell: Shell }): Html => {
  const { isEnabled, failingSince, lastCode } = row;
  if (isEnabled && failingSince === null) return <Badge state="effective" label="it takes them" />;
  return (
    <>
      <Badge state="failed" label={isEnabled ? 'it fails' : 'switched off'} />
      <span class="under">
        {lastCode === null ? null : <>{words(lastCode)} </>}
        {failingSince === null ? null : (
          <>
            since <Time at={failingSince} now={shell.now} />
          </>
        )}
      </span>
    </>
  );
};

const Sources = ({ shell, rows }: { shell: Shell; rows: readonly DutyLine[] }): Html => (
  <Table
    caption="Schedules"
    rows={rows}
    columns={[
      {
        label: 'Schedule',
        cell: (row) => (
          <>
            {row.source}
            <span class="under">
              {row.routes.length === 0 ? 'no route asks it' : `asked by ${row.routes.join(', ')}`}
            </span>
          </>
        ),
      },
      { label: 'On call', cell: (row) => <OnCall row={row} /> },
      {
        label: 'Last asked',
        cell: (row) =>
          row.lookedAt === null ? 'not yet' : <Time at={row.lookedAt} now={shell.now} />,
      },
      { label: 'Answer', cell: (row) => <Answer row={row} /> },
    ]}
  />
);

const OnCall = ({ row }: { row: DutyLine }): Html => (
  <>
    {row.people.length === 0 ? (
      <span class="quiet">nobody</span>
    ) : (
      <Untrusted text={row.people.join(', ')} />
    )}
    {row.unmatched === 0 ? null : (
      <span class="under">
        {row.unmatched} more whom nobody here is: their address there has to be that of a person
        here
      </span>
    )}
  </>
);

const Answer = ({ row }: { row: DutyLine }): Html => {
  if (row.lookedAt === null) return <Badge state="none" label="not asked yet" />;
  if (row.code !== null) return <Badge state="failed" label={words(row.code)} />;
  return row.counts ? (
    <Badge state="effective" label="it answered" />
  ) : (
    <Badge state="failed" label="too long ago" />
  );
};
