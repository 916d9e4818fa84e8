// Findings: uses of permits of which nobody said what came, or that ran something else than was approved.
import { Page } from './layout.tsx';
import { Badge, Code, Empty, Panel, Table, Time, Untrusted, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

export interface FindingLine {
  permit: string;
  request: string;
  title: string;
  audience: string;
  redemption: string;
  kind: 'receipt_missing' | 'digest_mismatch';
  redeemedAt: string;
  receiptDueAt: string;
  digestRun: string | null;
}

const KINDS: Record<FindingLine['kind'], string> = {
  receipt_missing: 'no receipt',
  digest_mismatch: 'something else ran',
};

/** The page of what enforcement points of others have not answered for. */
export const FindingsPage = ({
  shell,
  rows,
}: {
  shell: Shell;
  rows: readonly FindingLine[];
}): Html => (
  <Page
    shell={shell}
    title="Findings"
    lead="Approvals that an enforcement point of others used and did not answer for, or used for something else."
    back={{ href: '/controls', label: 'Controls' }}
  >
    <Panel
      title="Open"
      note="A late receipt closes the first kind. The other stays: an exception of its control."
    >
      {rows.length === 0 ? (
        <Empty title="Every use was answered for">
          <p>
            Once a permit was redeemed, its enforcement point has to say what came of it, within{' '}
            <code>receipt_within_seconds</code> of the route. What it leaves out appears here.
          </p>
        </Empty>
      ) : (
        <Table
          caption="Findings"
          rows={rows}
          columns={[
            {
              label: 'Request',
              cell: (row) => (
                <>
                  <a href={`/requests/${row.request}`}>
                    <Untrusted text={row.title} />
                  </a>
                  <span class="under">
                    <Code text={row.permit} />
                  </span>
                </>
              ),
            },
            {
              label: 'What is wrong',
              cell: (row) => (
                <>
                  <Badge state="deficient" label={KINDS[row.kind]} />
                  {row.digestRun === null ? null : (
                    <span class="under">
                      it ran <Code text={row.digestRun} />
                    </span>
                  )}
                </>
              ),
            },
            { label: 'Enforcement point', cell: (row) => <Untrusted text={row.audience} /> },
            { label: 'Used', cell: (row) => <Time at={row.redeemedAt} now={shell.now} /> },
            { label: 'Receipt due', cell: (row) => <Time at={row.receiptDueAt} now={shell.now} /> },
          ]}
        />
      )}
    </Panel>
  </Page>
);
