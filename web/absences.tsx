// Who votes in the stead of somebody who is away: what was said of it, and the form that says it.
import { SelectField, Submit, TextField } from './fields.tsx';
import {
  Badge,
  Confirm,
  Empty,
  Form,
  Panel,
  Problem,
  Table,
  Time,
  Untrusted,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface AbsenceLine {
  id: string;
  standIn: string;
  startsAt: string;
  endsAt: string;
  state: 'ahead' | 'away' | 'over' | 'withdrawn';
}

export interface Absences {
  rows: readonly AbsenceLine[];
  /** Who can stand in: people who may vote, without whoever is away. */
  standIns: readonly { id: string; name: string }[];
  /** What was typed into a form that was refused. */
  values: Readonly<Record<string, string>>;
  said: Said | null;
}

const STATES: Record<AbsenceLine['state'], { state: string; label: string }> = {
  ahead: { state: 'pending', label: 'to come' },
  away: { state: 'open', label: 'away now' },
  over: { state: 'none', label: 'over' },
  withdrawn: { state: 'none', label: 'taken back' },
};

/** The absences of one person. `action` is where its forms go. */
export const AbsencePanel = ({
  shell,
  action,
  absences,
  note,
}: {
  shell: Shell;
  action: string;
  absences: Absences;
  note: string;
}): Html => (
  <Panel title="Away" note={note} id="away">
    <Problem said={absences.said} />
    {absences.rows.length === 0 ? (
      <Empty title="Nobody stands in">
        <p>
          While somebody is away and nobody stands in, what waits for them waits for others of their
          groups, or runs out.
        </p>
      </Empty>
    ) : (
      <Lines shell={shell} action={action} rows={absences.rows} />
    )}
    {absences.standIns.length === 0 ? (
      <p>Nobody else here may vote, so nobody can stand in.</p>
    ) : (
      <details class="confirm" open={absences.said !== null}>
        <summary class="button">Name a stand-in…</summary>
        <div class="confirm-body">
          <Away shell={shell} action={action} absences={absences} />
        </div>
      </details>
    )}
  </Panel>
);

const Lines = ({
  shell,
  action,
  rows,
}: {
  shell: Shell;
  action: string;
  rows: readonly AbsenceLine[];
}): Html => (
  <Table
    caption="Absences"
    rows={rows}
    columns={[
      { label: 'Stand-in', cell: (row) => <Untrusted text={row.standIn} /> },
      { label: 'State', cell: ({ state }) => <Badge {...STATES[state]} /> },
      { label: 'From', cell: (row) => <Time at={row.startsAt} now={shell.now} /> },
      { label: 'To', cell: (row) => <Time at={row.endsAt} now={shell.now} /> },
      {
        label: 'Take back',
        cell: (row) =>
          row.state === 'ahead' || row.state === 'away' ? (
            <Confirm label="Take back…">
              <Form shell={shell} action={`${action}/${row.id}/remove`}>
                <p>What the stand-in voted on and is not decided yet counts no more.</p>
                <Submit label="Take it back" tone="danger" />
              </Form>
            </Confirm>
          ) : null,
      },
    ]}
  />
);

const Away = ({
  shell,
  action,
  absences: { standIns, values },
}: {
  shell: Shell;
  action: string;
  absences: Absences;
}): Html => (
  <Form shell={shell} action={`${action}#away`}>
    <SelectField
      id="stand_in"
      label="Who votes meanwhile"
      hint="By the groups of whoever is away, and as one human with them: whoever votes first has voted."
      value={values['stand_in'] ?? ''}
      options={standIns.map(({ id, name }) => ({ value: id, label: name }))}
    />
    <div class="pair">
      <TextField
        id="starts_at"
        label="From (UTC)"
        hint="Left empty: from now on."
        type="datetime-local"
        value={values['starts_at']}
      />
      <TextField
        id="ends_at"
        label="To (UTC)"
        hint="At most 90 days later."
        type="datetime-local"
        required
        value={values['ends_at']}
      />
    </div>
    <Submit label="Say so" />
  </Form>
);
