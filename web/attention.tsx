// What was asked of people: who decided how much, which rules asked, and changes that somebody might propose.
import type { AttentionReport, RuleLoad, Share } from '../domain/attention.ts';
import { Page } from './layout.tsx';
import { Notice, Panel, spanText, Table, Untrusted, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

/** The page. */
export const AttentionPage = ({
  shell,
  report,
}: {
  shell: Shell;
  report: AttentionReport;
}): Html => (
  <Page
    shell={shell}
    title="Attention"
    lead={`What ${report.requests} requests of ${report.from.slice(0, 10)} to ${report.to.slice(0, 10)} asked of people. Measured, never enforced.`}
    back={{ href: '/controls', label: 'Controls' }}
  >
    {report.cut ? (
      <Notice tone="warn" title="There were more requests than this looked at">
        <p>Ask for a shorter period through the API.</p>
      </Notice>
    ) : null}
    <Approvers report={report} />
    <Rules report={report} />
    <Proposals report={report} />
  </Page>
);

const Approvers = ({ report }: { report: AttentionReport }): Html => (
  <Panel title="Approvers" note="By name for auditors. Groups are as they are now.">
    {report.approvers.length === 0 ? (
      <p class="quiet">Nobody was asked.</p>
    ) : (
      <Table
        caption="Approvers"
        rows={report.approvers}
        columns={[
          { label: 'Approver', cell: (row) => <Untrusted text={row.name ?? row.alias} /> },
          { label: 'Votes', cell: (row) => row.votes },
          { label: 'Most in an hour', cell: (row) => row.most_votes_per_hour },
          { label: 'Most open at once', cell: (row) => row.most_open_at_once },
          { label: 'Reminders', cell: (row) => row.reminders },
          {
            label: 'Over budget',
            cell: (row) =>
              row.over_budget
                .map(
                  ({ route, most_per_day: most, budget }) => `${route}: ${most} of ${budget} a day`,
                )
                .join(', ') || '–',
          },
        ]}
      />
    )}
  </Panel>
);

const Rules = ({ report }: { report: AttentionReport }): Html => (
  <Panel title="Rules" note="The noisiest first. Bounds are exact, at .95.">
    {report.rules.length === 0 ? (
      <p class="quiet">No rule asked anybody.</p>
    ) : (
      <Table
        caption="Rules"
        rows={report.rules}
        columns={[
          { label: 'Rule', cell: (row) => <Untrusted text={row.rule} /> },
          { label: 'Requests', cell: (row) => row.requests },
          { label: 'Time to decide', cell: (row) => timeOf(row) },
          { label: 'Denied', cell: (row) => shareText(row.denied) },
          { label: 'Narrowed', cell: (row) => shareText(row.narrowed) },
          { label: 'Expired', cell: (row) => shareText(row.expired) },
        ]}
      />
    )}
    {report.rules.map(({ rule, note }) =>
      note === null ? null : (
        <p class="quiet">
          <Untrusted text={rule} />: {note}
        </p>
      ),
    )}
  </Panel>
);

const Proposals = ({ report }: { report: AttentionReport }): Html => {
  const proposals = report.rules.flatMap(({ proposals: each }) => each);
  return (
    <Panel title="What this would justify" note="Nothing is changed by itself: edit and push it.">
      {proposals.length === 0 ? (
        <p class="quiet">Nothing. That people agreed to everything is no reason to ask less.</p>
      ) : (
        proposals.map(({ says, diff, evidence }) => (
          <div>
            <p>
              <Untrusted text={says} />
            </p>
            <pre class="code">{diff}</pre>
            <p class="quiet">
              {evidence.k} of {evidence.n}, a share of at least {evidence.lower}. Such as{' '}
              {evidence.requests.map((id) => (
                <>
                  <a href={`/requests/${id}`}>{id}</a>{' '}
                </>
              ))}
            </p>
          </div>
        ))
      )}
    </Panel>
  );
};

const timeOf = ({ median_seconds_to_decide: seconds }: RuleLoad): string =>
  seconds === null ? '–' : `${spanText(seconds)} (median)`;

/** Never a bare rate. */
function shareText({ k, n, lower, upper, enough }: Share): string {
  if (n === 0) return '–';
  return `${k} of ${n} ${enough ? `(${lower}–${upper})` : '(too few to say)'}`;
}
