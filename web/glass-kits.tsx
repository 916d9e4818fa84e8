// Logins that lie ready for when this service is down: what there is, what each holder has to do, and one half.
import { AreaField, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Confirm,
  Empty,
  Form,
  Panel,
  Table,
  Time,
  Untrusted,
  words,
  type Html,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface KitLine {
  id: string;
  request: string;
  role: string;
  target: string;
  state: string;
  holders: readonly { name: string; hasKey: boolean; hasCollected: boolean }[];
  createdAt: string;
  expiresAt: string;
  checkedAt: string | null;
  checked: string | null;
  because: string | null;
  failure: string | null;
  /** What the reader themselves has to do about it, as a holder. */
  mine: 'bring_key' | 'collect' | null;
  isMine: boolean;
}

/** Every kit, with what its reader can do. */
export const Kits = ({ shell, kits }: { shell: Shell; kits: readonly KitLine[] }): Html => (
  <Panel
    title="Ready for when this is down"
    note="Logins at their targets, the password of each split between two people. Their use is seen and reviewed afterwards."
    id="kits"
  >
    {kits.length === 0 ? (
      <Empty title="Nothing lies ready">
        <p>While this service is down, nobody gets past a gate.</p>
      </Empty>
    ) : (
      <Table
        caption="Logins that lie ready"
        rows={kits}
        columns={[
          {
            label: 'Login',
            cell: (row) => (
              <>
                <a href={`/requests/${row.request}`}>{row.role}</a> at {row.target}
                <span class="under">
                  <Code text={row.id} />
                </span>
              </>
            ),
          },
          { label: 'Held by', cell: (row) => <Holders row={row} /> },
          { label: 'Made ready', cell: (row) => <Time at={row.createdAt} now={shell.now} /> },
          { label: 'Ends', cell: (row) => <Time at={row.expiresAt} now={shell.now} /> },
          { label: 'State', cell: (row) => <State shell={shell} row={row} /> },
          { label: '', cell: (row) => <Doing shell={shell} row={row} /> },
        ]}
      />
    )}
  </Panel>
);

const Holders = ({ row }: { row: KitLine }): Html => (
  <>
    {row.holders.map(({ name, hasKey, hasCollected }) => (
      <span class="under">
        <Untrusted text={name} />
        {hasCollected ? ', has their half' : hasKey ? ', brought a key' : ', no key yet'}
      </span>
    ))}
  </>
);

const State = ({ shell, row }: { shell: Shell; row: KitLine }): Html => (
  <>
    <Badge state={row.state === 'ready' ? 'effective' : 'pending'} label={words(row.state)} />
    {row.because === null ? null : <span class="under">{words(row.because)}</span>}
    {row.failure === null ? null : <span class="under">target: {row.failure}</span>}
    {row.checkedAt === null ? null : (
      <span class="under">
        found {row.checked} <Time at={row.checkedAt} now={shell.now} />
      </span>
    )}
  </>
);

const Doing = ({ shell, row }: { shell: Shell; row: KitLine }): Html => (
  <>
    {row.mine === 'bring_key' ? (
      <Confirm label="Bring your key…">
        <Form shell={shell} action={`/break-glass/kits/${row.id}/key`}>
          <AreaField
            id={`key-${row.id}`}
            name="seal_to"
            label="Public key"
            hint="countersign break-glass key FILE makes one on your machine and prints this part."
            required
            max={2000}
            mono
          />
          <Submit label="Bring it" />
        </Form>
      </Confirm>
    ) : null}
    {row.mine === 'collect' ? (
      <Form shell={shell} action={`/break-glass/kits/${row.id}/share`}>
        <Submit label="Collect your half, once" />
      </Form>
    ) : null}
    {row.state === 'ready' ? (
      <Form shell={shell} action={`/break-glass/kits/${row.id}/check`}>
        <Submit label="Try it" />
      </Form>
    ) : null}
    {row.isMine && !['ending', 'ended'].includes(row.state) ? (
      <Confirm label="End it…">
        <Form shell={shell} action={`/break-glass/kits/${row.id}/end`}>
          <Submit label="End it now" tone="danger" />
        </Form>
      </Confirm>
    ) : null}
  </>
);

const WISHES: readonly { name: string; label: string; hint?: string }[] = [
  { name: 'target', label: 'Target' },
  { name: 'role', label: 'Role' },
  { name: 'first', label: 'First holder', hint: 'psn_…' },
  { name: 'second', label: 'Second holder', hint: 'psn_…' },
  {
    name: 'days',
    label: 'Days',
    hint: 'How long it lies ready; the route has the most that it may.',
  },
];

/** Asks for a login that lies ready. */
export const Prepare = ({
  shell,
  once,
  values,
}: {
  shell: Shell;
  once: string;
  values: Record<string, string>;
}): Html => (
  <Panel
    title="Prepare for an outage"
    note="The people of the gate are asked. Neither holder decides on it, and neither half opens anything alone."
    id="prepare"
  >
    <Confirm label="Prepare a login…">
      <Form shell={shell} action="/break-glass/kits">
        <input type="hidden" name="once" value={once} />
        {WISHES.map((wish) => (
          <TextField
            id={`kit-${wish.name}`}
            name={wish.name}
            label={wish.label}
            hint={wish.hint}
            value={values[wish.name]}
            required
            max={100}
          />
        ))}
        <AreaField
          id="kit-reason"
          name="reason"
          label="What for"
          value={values['reason']}
          required
          max={2000}
        />
        <Submit label="Ask for it" />
      </Form>
    </Confirm>
  </Panel>
);

/** One half, shown once. */
export const SharePage = ({
  shell,
  kit,
  seat,
  sealed,
}: {
  shell: Shell;
  kit: string;
  seat: number;
  sealed: string;
}): Html => (
  <Page
    shell={shell}
    title="Your half"
    lead="Shown this once. Keep it in a file on your own machine, beside the key that opens it, and off this service."
  >
    <Panel title={`Half ${seat} of ${kit}`}>
      <p>
        <Untrusted text={sealed} />
      </p>
      <p>
        While this service is down, either holder joins both:{' '}
        <Code text="countersign break-glass open YOURS THEIRS --key FILE" />. Afterwards its use is
        seen and reviewed, and the login is gone.
      </p>
    </Panel>
  </Page>
);
