// Controls, and the page that says whether one of them is real.
import type { Child } from 'hono/jsx';
import {
  LAYERS,
  type LayerName,
  type LayerState,
  type Verdict,
  type VerdictCase,
  type VerdictTest,
} from '../domain/verdict/types.ts';
import { Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  dateText,
  Empty,
  Facts,
  Notice,
  Panel,
  Table,
  Untrusted,
  words,
  type Html,
} from './parts.tsx';
import type { Shell } from './shell.ts';

/** A control with its verdict up to now, where the reader may see it. */
export interface ControlLine {
  id: string;
  route: string;
  title: string;
  verdict: Verdict | null;
}

/** The controls of the active policy. */
export const ControlsPage = ({
  shell,
  rows,
  audits,
}: {
  shell: Shell;
  rows: readonly ControlLine[];
  /** Whether the reader may see verdicts. */
  audits: boolean;
}): Html => (
  <Page
    shell={shell}
    title="Controls"
    lead="Each is one rule on one route. The question is whether it stands in the way, or only looks like it does."
  >
    <Panel title="Controls of the active policy">
      {rows.length === 0 ? (
        <Empty title="The policy has no control">
          <p>
            A permit with <code>@approval("route")</code> makes one: see the{' '}
            <a href="/policy">policy</a>.
          </p>
        </Empty>
      ) : (
        <Table
          caption="Controls"
          rows={rows}
          columns={[
            {
              label: 'Control',
              cell: (row) => (
                <>
                  {audits ? (
                    <a href={`/controls/${row.id}`}>
                      <Untrusted text={row.title} />
                    </a>
                  ) : (
                    <Untrusted text={row.title} />
                  )}
                  <span class="under">{row.id}</span>
                </>
              ),
            },
            {
              label: 'Verdict',
              cell: (row) =>
                row.verdict ? (
                  <Badge state={row.verdict.verdict} label={JUDGED[row.verdict.verdict]} />
                ) : (
                  <span class="quiet">{audits ? 'open it to judge' : 'for auditors'}</span>
                ),
            },
            {
              label: 'Operation',
              cell: (row) =>
                row.verdict ? <Badge state={row.verdict.layers.operation.state} /> : '–',
            },
            {
              label: 'Still needed',
              cell: (row) => (row.verdict ? `${row.verdict.needed.length} things` : '–'),
            },
          ]}
        />
      )}
    </Panel>
    {audits ? ASKED : null}
  </Page>
);

const ASKED = (
  <p>
    <a href="/attention">What all this asks of people</a>
  </p>
);

const JUDGED: Record<Verdict['verdict'], string> = {
  real: 'real',
  decorative: 'decorative',
  insufficient_evidence: 'not enough evidence',
};

const PLAIN: Record<Verdict['verdict'], string> = {
  real: 'This control stood in the way each time, people looked before they decided, and the record can be trusted.',
  decorative:
    'This control can be got around, and was. Approvals on it say little about what really ran.',
  insufficient_evidence:
    'Nothing here shows that it is decorative, and too little shows that it is real. What would settle it is listed below.',
};

/** The verdict on one control, for a period. */
export const VerdictPage = ({
  shell,
  title,
  verdict,
  asked,
}: {
  shell: Shell;
  title: string;
  verdict: Verdict;
  asked: { from: string; to: string };
}): Html => (
  <Page
    shell={shell}
    title={title}
    lead={
      <>
        Control <code>{verdict.control}</code>
      </>
    }
    back={{ href: '/controls', label: 'Controls' }}
  >
    {verdict.simulated ? (
      <Notice tone="warn" title="Simulated: every case was played by demo agents">
        <p>This is what a verdict looks like. It says nothing about real work.</p>
      </Notice>
    ) : null}
    <Headline verdict={verdict} />
    <ul class="layers">
      {LAYERS.map((name) => (
        <li>
          <a href={`#${name}`}>{LAYER_ASKS[name]}</a>
          <Badge state={verdict.layers[name].state} />
        </li>
      ))}
    </ul>
    <Needed verdict={verdict} />
    {LAYERS.map((name) => (
      <Panel
        title={`${name.charAt(0).toUpperCase()}${name.slice(1)}: ${LAYER_ASKS[name].toLowerCase()}`}
        id={name}
        actions={<Badge state={verdict.layers[name].state} />}
      >
        {verdict.layers[name].tests.map((test) => (
          <TestView test={test} />
        ))}
      </Panel>
    ))}
    <About verdict={verdict} asked={asked} />
  </Page>
);

const LAYER_ASKS: Record<LayerName, string> = {
  design: 'Could it be got around?',
  operation: 'Did it stand in the way each time?',
  deliberation: 'Did a person plausibly decide?',
  evidence: 'Can the record be trusted?',
};

const Headline = ({ verdict }: { verdict: Verdict }): Html => (
  <section class={`verdict verdict-${verdict.verdict}`} aria-labelledby="verdict">
    <h2 id="verdict" class="verdict-word">
      {HEADLINES[verdict.verdict]}
    </h2>
    <p>{PLAIN[verdict.verdict]}</p>
    <p class="note">
      From {dateText(verdict.period.from)} to {dateText(verdict.period.to)}.{' '}
      {verdict.grain === 'session'
        ? 'By session: a credential was approved, and then used freely. This does not say that each thing done with it was approved.'
        : 'By action: the exact bytes were approved.'}{' '}
      {verdict.interim ? 'Interim: no outside witness has cosigned the log after the period.' : ''}
    </p>
  </section>
);

const HEADLINES: Record<Verdict['verdict'], string> = {
  real: 'This control is real',
  decorative: 'This control is decorative',
  insufficient_evidence: 'Not enough evidence to tell',
};

const Needed = ({ verdict }: { verdict: Verdict }): Html | null =>
  verdict.needed.length === 0 ? null : (
    <Panel
      title="What would settle it"
      note="Each line is something the rule asks for before it says “real”, with the cheapest remedy. None of it has been shown."
    >
      <ul>
        {verdict.needed.map((line) => (
          <li>{remedy(line)}</li>
        ))}
      </ul>
    </Panel>
  );

function remedy(line: string): Child {
  const at = line.indexOf(': ');
  if (at < 0) return line;
  return (
    <>
      <strong>{line.slice(0, at)}</strong>: {line.slice(at + 2)}
    </>
  );
}

const STATE_WORDS: Record<LayerState, string> = {
  effective: 'effective',
  deficient: 'deficient',
  insufficient_data: 'not enough data',
};

const TestView = ({ test }: { test: VerdictTest }): Html => (
  <div class="test">
    <div class="test-head">
      <h3>{words(test.id)}</h3>
      <Badge
        state={test.state}
        label={
          test.population === 0 && test.state === 'insufficient_data'
            ? 'not tested'
            : STATE_WORDS[test.state]
        }
      />
    </div>
    <p>{sentence(test.says)}</p>
    <p class="test-numbers">
      Population {test.population}, exceptions {test.exceptions}. Passes with: {test.threshold}.
    </p>
    {test.cases.length === 0 ? null : (
      <details class="more-of" open={test.cases.length <= CASES_OPEN}>
        <summary>
          {test.cases.length} {test.cases.length === 1 ? 'case' : 'cases'} it rests on
        </summary>
        <ul>
          {test.cases.map((each) => (
            <li>
              <CaseView found={each} />
            </li>
          ))}
        </ul>
      </details>
    )}
  </div>
);

/** More cases than this are folded away behind their number. */
const CASES_OPEN = 5;

const sentence = (says: string): string => `${says.charAt(0).toUpperCase()}${says.slice(1)}.`;

const CaseView = ({ found }: { found: VerdictCase }): Html => (
  <>
    {found.says}
    <span class="under">
      {found.request === null ? null : (
        <>
          <a href={`/requests/${found.request}`}>the request</a>{' '}
        </>
      )}
      {found.events.map((event) => (
        <>
          <a href={`/log/${event}`} class="code">
            {event}
          </a>{' '}
        </>
      ))}
    </span>
  </>
);

const About = ({
  verdict,
  asked,
}: {
  verdict: Verdict;
  asked: { from: string; to: string };
}): Html => (
  <Panel
    title="How this was computed"
    note="From the log alone, by the same function that countersign audit verify runs with this server switched off."
  >
    <Facts
      facts={[
        { label: 'Log size', value: String(verdict.log.size) },
        { label: 'Log root', value: <Code text={verdict.log.root} /> },
        { label: 'Rule set', value: <Code text={verdict.rule_set} /> },
        { label: 'Period', value: `${verdict.period.from} to ${verdict.period.to}` },
      ]}
    />
    <form method="get" action={`/controls/${verdict.control}`} class="form form-inline">
      <TextField id="from" label="From (RFC 3339, UTC)" value={asked.from} />
      <TextField id="to" label="Up to" value={asked.to} />
      <Submit label="Judge this period" tone="plain" />
    </form>
    <p>
      <a
        href={`/v1/controls/${verdict.control}/verdict?from=${encodeURIComponent(verdict.period.from)}&to=${encodeURIComponent(verdict.period.to)}&size=${verdict.log.size}`}
      >
        This verdict as JSON
      </a>
    </p>
  </Panel>
);
