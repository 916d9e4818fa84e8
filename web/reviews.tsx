// Lifecycle: who owns what, what it holds and when it was used; and reviews in which people keep or revoke.
import { Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Empty,
  Facts,
  Form,
  MaybeTime,
  Panel,
  Problem,
  ReasonField,
  spanText,
  Table,
  Time,
  Untrusted,
  words,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

/** One agent and one thing it holds, now or as it was when a review froze it. */
export interface HeldLine {
  agent: string;
  agentName: string;
  agentState: string;
  ownerName: string;
  team: string;
  orphaned: boolean;
  rotationOverdue: boolean;
  keyAgeDays: number | null;
  role: string | null;
  credential: string | null;
  credentialState: string | null;
  ageSeconds: number | null;
  lastUsedAt: string | null;
  task: string | null;
}

export interface ReviewSummary {
  id: string;
  title: string;
  state: string;
  createdAt: string;
  dueAt: string;
  closedAt: string | null;
}

/** The report of today, and every review. */
export const ReviewsPage = ({
  shell,
  reviews,
  lines,
  isAdmin,
  once,
  said,
}: {
  shell: Shell;
  reviews: readonly ReviewSummary[];
  /** Null for readers who may not see the report. */
  lines: readonly HeldLine[] | null;
  isAdmin: boolean;
  once: string;
  said: Said | null;
}): Html => (
  <Page
    shell={shell}
    title="Reviews"
    lead="In a review, people say of each thing an agent holds whether it is kept or revoked."
  >
    <Panel title="Reviews">
      {reviews.length === 0 ? (
        <Empty title="There has been no review">
          <p>
            Opening one freezes what every agent holds at that moment, so that nothing is added or
            lost while people decide.
          </p>
        </Empty>
      ) : (
        <Table
          caption="Reviews"
          rows={reviews}
          columns={[
            {
              label: 'Review',
              cell: (row) => (
                <a href={`/reviews/${row.id}`}>
                  <Untrusted text={row.title} />
                </a>
              ),
            },
            {
              label: 'State',
              cell: (row) => (
                <Badge state={row.state === 'open' ? 'open' : 'none'} label={row.state} />
              ),
            },
            { label: 'Opened', cell: (row) => <Time at={row.createdAt} now={shell.now} /> },
            { label: 'Due', cell: (row) => <Time at={row.dueAt} now={shell.now} /> },
          ]}
        />
      )}
    </Panel>
    {isAdmin ? <OpenReview shell={shell} once={once} said={said} /> : null}
    {lines === null ? null : <Report lines={lines} now={shell.now} />}
  </Page>
);

const OpenReview = ({
  shell,
  once,
  said,
}: {
  shell: Shell;
  once: string;
  said: Said | null;
}): Html => (
  <Panel title="Open a review" id="open">
    <Problem said={said} />
    <Form shell={shell} action="/reviews#open">
      <input type="hidden" name="once" value={once} />
      <div class="pair">
        <TextField id="title" label="Title" required max={200} />
        <TextField id="days" label="Days to decide" value="14" required max={2} pattern="[0-9]+" />
      </div>
      <Submit label="Open it" />
    </Form>
  </Panel>
);

const Report = ({ lines, now }: { lines: readonly HeldLine[]; now: string }): Html => (
  <Panel
    title="What agents hold now"
    note="Everything that is alive, and every agent that could come back to life."
    actions={
      <span class="actions">
        <a href="/v1/reports/lifecycle?format=csv">CSV</a>
        <a href="/v1/reports/lifecycle">JSON</a>
      </span>
    }
  >
    {lines.length === 0 ? (
      <Empty title="No agent holds anything, or could" />
    ) : (
      <Table
        caption="What agents hold"
        rows={lines}
        columns={[
          { label: 'Agent', cell: (row) => <Holder row={row} /> },
          { label: 'Owner', cell: (row) => <Owner row={row} /> },
          { label: 'Holds', cell: (row) => <Holds row={row} /> },
          { label: 'Last used', cell: (row) => <MaybeTime at={row.lastUsedAt} now={now} /> },
          { label: 'Keys', cell: (row) => <KeyAge row={row} /> },
        ]}
      />
    )}
  </Panel>
);

const Holder = ({ row }: { row: HeldLine }): Html => (
  <>
    <a href={`/agents/${row.agent}`}>{row.agentName}</a>
    <span class="under">{row.agentState}</span>
  </>
);

const Owner = ({ row }: { row: HeldLine }): Html => (
  <>
    <Untrusted text={row.ownerName} />
    {row.orphaned ? (
      <span class="under">
        <Badge state="denied" label="no longer active" />
      </span>
    ) : (
      <span class="under">
        <Untrusted text={row.team} />
      </span>
    )}
  </>
);

const Holds = ({ row }: { row: HeldLine }): Html =>
  row.role === null ? (
    <span class="quiet">nothing</span>
  ) : (
    <>
      {row.task === null ? (
        row.role
      ) : (
        <a href={`/tasks/${row.task}${row.credential === null ? '' : `#${row.credential}`}`}>
          {row.role}
        </a>
      )}{' '}
      {row.credentialState === null ? null : <Badge state={row.credentialState} />}
      {row.ageSeconds === null ? null : <span class="under">for {spanText(row.ageSeconds)}</span>}
    </>
  );

const KeyAge = ({ row }: { row: HeldLine }): Html => (
  <>
    {row.keyAgeDays === null ? (
      <span class="quiet">none</span>
    ) : (
      `${row.keyAgeDays} ${row.keyAgeDays === 1 ? 'day' : 'days'} old`
    )}
    {row.rotationOverdue ? (
      <span class="under">
        <Badge state="denied" label="rotation overdue" />
      </span>
    ) : null}
  </>
);

/** One frozen line, what was suggested, what was decided, and proof that it happened. */
export interface ReviewLine {
  id: string;
  held: HeldLine;
  recommendation: string;
  basis: string;
  decision: string | null;
  decidedBy: string | null;
  decidedAt: string | null;
  reason: string | null;
  proof: { state: string; seenGoneAt: string | null } | null;
}

export interface ReviewView extends ReviewSummary {
  scopeDigest: string;
  lines: ReviewLine[];
}

/** One review, line by line. */
export const ReviewPage = ({
  shell,
  view,
  said,
}: {
  shell: Shell;
  view: ReviewView;
  said: Said | null;
}): Html => {
  const of = (decision: string | null): number =>
    view.lines.filter((line) => line.decision === decision).length;
  return (
    <Page
      shell={shell}
      title={view.title}
      heading={
        <>
          <Untrusted text={view.title} />{' '}
          <Badge state={view.state === 'open' ? 'open' : 'none'} label={view.state} />
        </>
      }
      back={{ href: '/reviews', label: 'Reviews' }}
    >
      <Problem said={said} />
      <div class="tiles">
        <Tile number={of(null)} label="to decide" />
        <Tile number={of('keep')} label="kept" />
        <Tile number={of('revoke')} label="revoked" />
      </div>
      <Panel title="Lines" note="As they were when the review was opened.">
        {view.lines.length === 0 ? (
          <Empty title="There was nothing to review" />
        ) : (
          <Table
            caption="Lines of the review"
            rows={view.lines}
            columns={[
              { label: 'Agent', cell: ({ held }) => <Holder row={held} /> },
              { label: 'Owner', cell: ({ held }) => <Owner row={held} /> },
              { label: 'Holds', cell: ({ held }) => <Holds row={held} /> },
              {
                label: 'Suggested',
                cell: (line) => (
                  <>
                    <Badge state={line.recommendation} />
                    <span class="under">{line.basis}</span>
                  </>
                ),
              },
              {
                label: 'Decision',
                cell: (line) => <Decision shell={shell} review={view} line={line} />,
              },
            ]}
          />
        )}
      </Panel>
      <Record view={view} now={shell.now} />
    </Page>
  );
};

const Record = ({ view, now }: { view: ReviewView; now: string }): Html => (
  <Panel title="For the record">
    <Facts
      facts={[
        { label: 'Review', value: <Code text={view.id} /> },
        { label: 'Scope', value: <Code text={view.scopeDigest} /> },
        { label: 'Opened', value: <Time at={view.createdAt} now={now} /> },
        { label: 'Due', value: <Time at={view.dueAt} now={now} /> },
        {
          label: 'Closed',
          value: <MaybeTime at={view.closedAt} now={now} none="not yet" />,
        },
      ]}
    />
    <p>
      <a href={`/v1/reviews/${view.id}`}>This review as JSON</a>
    </p>
  </Panel>
);

const Tile = ({ number, label }: { number: number; label: string }): Html => (
  <div class="tile">
    <p class="tile-number">{number}</p>
    <p class="tile-label">{label}</p>
  </div>
);

const Decision = ({
  shell,
  review,
  line,
}: {
  shell: Shell;
  review: ReviewView;
  line: ReviewLine;
}): Html => {
  if (line.decision !== null) return <Decided line={line} now={shell.now} />;
  if (review.state !== 'open') return <span class="quiet">nobody decided</span>;
  const action = `/reviews/${review.id}/lines/${line.id}`;
  const what = line.held.role ?? line.held.agentName;
  return (
    <div class="actions">
      <Form shell={shell} action={action} kind="inline">
        <button class="button" type="submit" name="decision" value="keep">
          Keep<span class="sr-only"> {what}</span>
        </button>
      </Form>
      <Confirm label="Revoke…">
        <Form shell={shell} action={action}>
          <p>
            {line.held.credential === null
              ? 'The agent is stopped and its tasks end.'
              : 'The login is removed, and shown here as gone when it is seen gone.'}
          </p>
          <ReasonField id={`reason-${line.id}`} />
          <div>
            <button class="button button-danger" type="submit" name="decision" value="revoke">
              Revoke<span class="sr-only"> {what}</span>
            </button>
          </div>
        </Form>
      </Confirm>
    </div>
  );
};

const Decided = ({ line, now }: { line: ReviewLine; now: string }): Html => (
  <>
    <Badge state={line.decision ?? ''} label={line.decision === 'keep' ? 'kept' : 'revoked'} />
    <span class="under">
      by <Untrusted text={line.decidedBy ?? 'nobody'} />
      {line.decidedAt === null ? null : (
        <>
          , <Time at={line.decidedAt} now={now} />
        </>
      )}
    </span>
    {line.reason === null ? null : (
      <span class="under">
        <Untrusted text={line.reason} />
      </span>
    )}
    {line.proof ? (
      <span class="under">
        {line.proof.seenGoneAt === null ? (
          <>now {words(line.proof.state)}</>
        ) : (
          <>
            seen gone <Time at={line.proof.seenGoneAt} now={now} />
          </>
        )}
      </span>
    ) : null}
  </>
);
