// Discovery: the targets, when each was asked, and the identities that they have and nobody registered.
import { Submit } from './fields.tsx';
import { differenceOf, Risks, Used, type FoundView } from './found-identity.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Form,
  MaybeTime,
  More,
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

/** What is shown of everything that was found. */
export type DiscoveryFilter = 'all' | 'unmanaged' | 'different';

const FILTERS: Record<DiscoveryFilter, { label: string; title: string; none: string }> = {
  all: { label: 'All', title: 'Found', none: 'Nothing yet.' },
  unmanaged: {
    label: 'Undecided',
    title: 'Found, and nobody decided about it',
    none: 'Everything that was found is decided.',
  },
  different: {
    label: 'Different',
    title: 'New, changed or gone at the last look',
    none: 'Nothing was different at the last look.',
  },
};

/** Where a filter shows itself. */
const addressOf = (filter: DiscoveryFilter): string =>
  filter === 'all' ? '/discovery' : `/discovery?show=${filter}`;

/** The targets, what was found in them, a page at a time, and the button that looks again. */
export const DiscoveryPage = ({
  shell,
  targets,
  rows,
  filter,
  next,
  said,
  once,
  isAdmin,
}: {
  shell: Shell;
  targets: readonly TargetView[];
  rows: readonly FoundView[];
  filter: DiscoveryFilter;
  next: string | null;
  said: Said | null;
  once: string;
  isAdmin: boolean;
}): Html => (
  <Page
    shell={shell}
    title="Discovery"
    lead="What exists in the targets and nobody registered here, and who may answer for it."
  >
    <Targets shell={shell} targets={targets} said={said} once={once} isAdmin={isAdmin} />
    <nav class="filters" aria-label="What is shown">
      {FILTER_NAMES.map((each) => (
        <a href={addressOf(each)} aria-current={each === filter ? 'true' : undefined}>
          {FILTERS[each].label}
        </a>
      ))}
    </nav>
    <Panel title={FILTERS[filter].title}>
      {rows.length === 0 ? (
        <p class="quiet">{FILTERS[filter].none}</p>
      ) : (
        <FoundTable shell={shell} rows={rows} isDifferent={filter === 'different'} />
      )}
      <More href={next} label="More" />
    </Panel>
  </Page>
);

export const FILTER_NAMES = ['all', 'unmanaged', 'different'] as const;

const FoundTable = ({
  shell,
  rows,
  isDifferent,
}: {
  shell: Shell;
  rows: readonly FoundView[];
  isDifferent: boolean;
}): Html => (
  <Table
    caption="Identities that were found"
    rows={rows}
    columns={[
      {
        label: 'Identity',
        cell: (row) => (
          <>
            <a href={`/discovery/${row.id}`}>
              <Untrusted text={row.name} />
            </a>
            <span class="under">
              {words(row.kind)} · {row.target}
            </span>
          </>
        ),
      },
      {
        label: 'State',
        cell: (row) => (
          <>
            {row.isOurs && row.state === 'unmanaged' ? (
              <Badge state="ours" />
            ) : (
              <Badge state={row.state} />
            )}
            {row.isEnabled ? null : <span class="under">switched off</span>}
          </>
        ),
      },
      { label: 'Risks', cell: (row) => <Risks found={row} /> },
      isDifferent
        ? { label: 'Difference', cell: (row) => differenceOf(row) }
        : { label: 'Likely owner', cell: (row) => <LikelyOwner found={row} /> },
      { label: 'Used', cell: (row) => <Used found={row} now={shell.now} /> },
    ]}
  />
);

const LikelyOwner = ({ found }: { found: FoundView }): Html => {
  if (found.isOurs) return <span class="quiet">Countersign itself</span>;
  if (found.guess) return <Untrusted text={found.guess.name} />;
  return <span class="quiet">nobody known</span>;
};

/** A target, and what came of asking it. */
export interface TargetView {
  target: string;
  isSupported: boolean;
  askedAt: string | null;
  code: string | null;
  answeredAt: string | null;
  nextAt: string | null;
  identities: number;
  found: number;
  changed: number;
  gone: number;
  leftOut: number;
  gaps: readonly { kind: string; code: string }[];
}

const Targets = ({
  shell,
  targets,
  said,
  once,
  isAdmin,
}: {
  shell: Shell;
  targets: readonly TargetView[];
  said: Said | null;
  once: string;
  isAdmin: boolean;
}): Html => (
  <Panel title="Targets">
    <Problem said={said} />
    {targets.length === 0 ? (
      <p class="quiet">The active policy has no targets.</p>
    ) : (
      <Table
        caption="Targets, and when each was asked"
        rows={targets}
        columns={[
          { label: 'Target', cell: (row) => row.target },
          {
            label: 'Last answer',
            cell: (row) =>
              row.isSupported ? (
                <MaybeTime at={row.answeredAt} now={shell.now} />
              ) : (
                <span class="quiet">this kind cannot be asked</span>
              ),
          },
          { label: 'Said', cell: (row) => <SaidBy row={row} now={shell.now} /> },
          {
            label: 'Asked again',
            cell: (row) => <MaybeTime at={row.nextAt} now={shell.now} none="not by itself" />,
          },
        ]}
      />
    )}
    {isAdmin && targets.length > 0 ? (
      <Form shell={shell} action="/discovery">
        <input type="hidden" name="once" value={once} />
        <p>Asks every target of the active policy now. Nothing is changed there.</p>
        <Submit label="Ask the targets" />
      </Form>
    ) : null}
  </Panel>
);

/** What a target said when it was last asked, and what it kept to itself. */
const SaidBy = ({ row, now }: { row: TargetView; now: string }): Html => (
  <>
    {row.code !== null && row.askedAt !== null ? (
      <>
        <Badge state="failed" label={`nothing: ${words(row.code)}`} />
        <span class="under">
          asked <Time at={row.askedAt} now={now} bare />
        </span>
      </>
    ) : null}
    {row.answeredAt === null ? null : (
      <span class={row.code === null ? undefined : 'under'}>{differencesOf(row)}</span>
    )}
    {row.gaps.map(({ kind, code }) => (
      <span class="under">
        no {words(kind)}s: {words(code)}
      </span>
    ))}
    {row.leftOut > 0 ? <span class="under">{row.leftOut} more left out</span> : null}
  </>
);

const differencesOf = ({ identities, found, changed, gone }: TargetView): string => {
  const parts = [
    found > 0 ? `${found} new` : '',
    changed > 0 ? `${changed} changed` : '',
    gone > 0 ? `${gone} gone` : '',
  ].filter(Boolean);
  return `${identities} identities${parts.length > 0 ? `: ${parts.join(', ')}` : ', as before'}`;
};
