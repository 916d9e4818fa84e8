// Leaked secrets: the form to paste one into, what each report led to, and whether it is dead.
import { AreaField, Choice, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Facts,
  Form,
  MaybeTime,
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

interface LeakMatchView {
  agent: { id: string; name: string; state: string };
  owner: string;
  credential: { id: string; task: string; role: string; state: string } | null;
  issuedAt: string | null;
  lastUsedAt: string | null;
  proof: string;
  outcome: string;
  agentSuspended: boolean;
  seen: readonly { at: string | null; kind: string | null; outcome: string | null }[];
}

export interface LeakView {
  id: string;
  state: string;
  source: string;
  where: string | null;
  seenAt: string | null;
  reportedAt: string;
  secondsToDead: number | null;
  lookedFor: Readonly<Record<string, number>>;
  matches: readonly LeakMatchView[];
}

/** What is in a form that takes a secret is never shown again, whatever came of it. */
const ReportForm = ({ shell, once }: { shell: Shell; once: string }): Html => (
  <Form shell={shell} action="/leaks">
    <input type="hidden" name="once" value={once} />
    <AreaField
      id="secret"
      label="What was found"
      hint="The secret, with whatever is around it. It is looked for and forgotten: nothing of it is kept."
      required
      max={65_536}
      rows={4}
      mono
    />
    <div class="pair">
      <TextField id="source" label="Who found it" required max={200} />
      <TextField
        id="where"
        label="Where (optional)"
        hint="A place, without the secret in it."
        max={2000}
      />
    </div>
    <Choice
      id="suspend"
      label="Suspend the agent as well"
      hint="Everything else it holds ends too, and it gets nothing more."
      checked={false}
    />
    <Submit label="End it" tone="danger" />
  </Form>
);

/** Every report, newest first, and the form that makes one. */
export const LeaksPage = ({
  shell,
  rows,
  said,
  once,
  isAdmin,
}: {
  shell: Shell;
  rows: readonly LeakView[];
  said: Said | null;
  once: string;
  isAdmin: boolean;
}): Html => (
  <Page
    shell={shell}
    title="Leaks"
    lead="A secret was found where it does not belong: whose it is, and its end."
  >
    {isAdmin ? (
      <Panel title="Report one">
        <Problem said={said} />
        <ReportForm shell={shell} once={once} />
      </Panel>
    ) : null}
    <Panel title="Reports">
      {rows.length === 0 ? (
        <p class="quiet">None.</p>
      ) : (
        <Table
          caption="Reports"
          rows={rows}
          columns={[
            {
              label: 'Report',
              cell: (row) => (
                <>
                  <a href={`/leaks/${row.id}`}>
                    <Time at={row.reportedAt} now={shell.now} />
                  </a>
                  <span class="under">
                    <Untrusted text={row.source} />
                  </span>
                </>
              ),
            },
            { label: 'It is', cell: (row) => <Badge state={row.state} /> },
            {
              label: 'Whose',
              cell: (row) =>
                row.matches.map(({ agent }) => agent.name).join(', ') || (
                  <span class="quiet">nobody’s here</span>
                ),
            },
            { label: 'Dead after', cell: (row) => seconds(row.secondsToDead) },
          ]}
        />
      )}
    </Panel>
  </Page>
);

const seconds = (value: number | null): string => (value === null ? '–' : `${value.toFixed(1)} s`);

/** One report. */
export const LeakPage = ({ shell, leak }: { shell: Shell; leak: LeakView }): Html => (
  <Page
    shell={shell}
    title="A leak"
    heading={
      <>
        A leak <Badge state={leak.state} />
      </>
    }
    lead={<Code text={leak.id} />}
    back={{ href: '/leaks', label: 'Leaks' }}
  >
    <Panel title="The report">
      <Facts
        facts={[
          { label: 'Source', value: <Untrusted text={leak.source} /> },
          leak.where === null ? null : { label: 'Where', value: <Untrusted text={leak.where} /> },
          { label: 'Found', value: <MaybeTime at={leak.seenAt} now={shell.now} none="not said" /> },
          { label: 'Reported', value: <Time at={leak.reportedAt} now={shell.now} /> },
          { label: 'Dead after', value: seconds(leak.secondsToDead) },
          {
            label: 'Looked for',
            value: Object.entries(leak.lookedFor)
              .map(([kind, number]) => `${number} ${kind}`)
              .join(', '),
          },
        ]}
      />
    </Panel>
    {leak.matches.map((match) => (
      <Match shell={shell} match={match} />
    ))}
  </Page>
);

const Match = ({ shell, match }: { shell: Shell; match: LeakMatchView }): Html => (
  <Panel title={match.agent.name}>
    <Facts
      facts={[
        {
          label: 'Agent',
          value: (
            <>
              <a href={`/agents/${match.agent.id}`}>{match.agent.name}</a>{' '}
              <Badge state={match.agent.state} />
            </>
          ),
        },
        { label: 'Owner', value: <Untrusted text={match.owner} /> },
        {
          label: 'What',
          value:
            match.credential === null ? (
              'an access token of the agent itself'
            ) : (
              <>
                <a href={`/tasks/${match.credential.task}#${match.credential.id}`}>
                  {match.credential.role}
                </a>{' '}
                <Badge state={match.credential.state} />
              </>
            ),
        },
        { label: 'Proof', value: match.proof === 'secret' ? 'the secret itself' : 'only its name' },
        { label: 'Outcome', value: words(match.outcome) },
        match.agentSuspended ? { label: 'Agent suspended', value: 'by this report' } : null,
        { label: 'Given', value: <MaybeTime at={match.issuedAt} now={shell.now} none="–" /> },
        { label: 'Last used', value: <MaybeTime at={match.lastUsedAt} now={shell.now} /> },
      ]}
    />
    {match.seen.length === 0 ? (
      <p class="quiet">No observer of the target saw it used.</p>
    ) : (
      <Table
        caption="What observers of the target saw"
        rows={match.seen}
        columns={[
          { label: 'When', cell: (row) => <MaybeTime at={row.at} now={shell.now} none="–" /> },
          { label: 'What', cell: (row) => words(row.kind ?? '–') },
          { label: 'Outcome', cell: (row) => words(row.outcome ?? '–') },
        ]}
      />
    )}
  </Panel>
);
