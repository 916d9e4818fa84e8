// Credentials as tables show them: what is known of each login, never its secret.
import type { Child } from 'hono/jsx';
import { Badge, Code, MaybeTime, Table, Time, Untrusted, words, type Html } from './parts.tsx';

export interface CredentialLine {
  id: string;
  role: string;
  issuer: string;
  target: string;
  state: string;
  request: string | null;
  /** The standing grant that it was given under. */
  grant: string | null;
  task: string;
  issuedAt: string | null;
  expiresAt: string;
  lastUsedAt: string | null;
  endedAt: string | null;
  because: string | null;
  attempts: number;
  nextTryAt: string | null;
  lastError: string | null;
  seenGone: boolean | null;
}

/** Credentials with what can be done about each, where the reader may. */
export const CredentialTable = ({
  rows,
  now,
  act,
}: {
  rows: readonly CredentialLine[];
  now: string;
  act?: (row: CredentialLine) => Child;
}): Html =>
  rows.length === 0 ? (
    <p class="quiet">None.</p>
  ) : (
    <Table
      caption="Credentials"
      rows={rows}
      columns={[
        {
          label: 'Credential',
          cell: (row) => (
            <>
              <a href={`/tasks/${row.task}#${row.id}`}>{row.role}</a>
              <span class="under">
                <Code text={row.id} />
              </span>
              {row.issuer === 'static' ? (
                <span class="under">
                  <a href={`/secrets/of/${row.id}`}>who had this secret</a>
                </span>
              ) : null}
              {row.grant === null ? null : (
                <span class="under">
                  <a href="/grants">STANDING: given without asking</a>
                </span>
              )}
              {row.request === null ? null : (
                <span class="under">
                  <a href={`/requests/${row.request}`}>approved by request</a>
                </span>
              )}
            </>
          ),
        },
        { label: 'State', cell: (row) => <State row={row} now={now} /> },
        {
          label: 'Ends',
          cell: (row) =>
            row.endedAt === null ? (
              <Time at={row.expiresAt} now={now} />
            ) : (
              <>
                <Time at={row.endedAt} now={now} />
                {row.because === null ? null : <span class="under">{words(row.because)}</span>}
              </>
            ),
        },
        { label: 'Last used', cell: (row) => <MaybeTime at={row.lastUsedAt} now={now} /> },
        ...(act ? [{ label: 'Action', cell: act }] : []),
      ]}
    />
  );

const State = ({ row, now }: { row: CredentialLine; now: string }): Html => (
  <>
    <Badge state={row.state} />
    {row.state === 'revoke_failed' ? (
      <span class="under">
        tried {row.attempts} times, again <MaybeTime at={row.nextTryAt} now={now} none="at once" />
        {row.lastError === null ? null : (
          <>
            {' '}
            (<Untrusted text={words(row.lastError)} />)
          </>
        )}
      </span>
    ) : null}
    {row.seenGone === false ? <span class="under">never seen gone</span> : null}
  </>
);
