// The page of whoever is signed in: who they are here, and their passkeys.
import { AbsencePanel, type Absences } from './absences.tsx';
import { Page } from './layout.tsx';
import {
  Confirm,
  Empty,
  Facts,
  Form,
  MaybeTime,
  Panel,
  Problem,
  Table,
  Time,
  Untrusted,
  type Html,
  type Said,
} from './parts.tsx';
import { AddPasskey, PasskeyScript, PasskeySignIn } from './passkey.tsx';
import type { Shell } from './shell.ts';

/** A passkey as lists show it. */
export interface PasskeyLine {
  id: string;
  name: string;
  synced: boolean;
  createdAt: string;
  lastUsedAt: string | null;
}

export interface Account {
  groups: readonly string[];
  signedInBy: 'link' | 'passkey';
  /** Whether they signed in within five minutes. */
  isFresh: boolean;
  passkeys: readonly PasskeyLine[];
  absences: Absences;
  /** Their Slack user, and who said that it is theirs; null where they have none. */
  slack: { user: string; by: 'them' | 'an administrator' } | null;
  said: Said | null;
}

/** Passkeys with what removes each. */
export const PasskeyTable = ({
  shell,
  rows,
  removeAt,
}: {
  shell: Shell;
  rows: readonly PasskeyLine[];
  /** Where a form that removes one goes. */
  removeAt: (id: string) => string;
}): Html => (
  <Table
    caption="Passkeys"
    rows={rows}
    columns={[
      {
        label: 'Name',
        cell: (row) => (
          <>
            <Untrusted text={row.name} />
            <span class="under">
              {row.synced ? 'may be copied between devices' : 'stays on one device'}
            </span>
          </>
        ),
      },
      { label: 'Added', cell: (row) => <Time at={row.createdAt} now={shell.now} /> },
      { label: 'Last used', cell: (row) => <MaybeTime at={row.lastUsedAt} now={shell.now} /> },
      {
        label: 'Remove',
        cell: (row) => (
          <Confirm label="Remove…">
            <Form shell={shell} action={removeAt(row.id)}>
              <p>It signs nothing any more; what it signed stays signed.</p>
              <button class="button button-danger" type="submit">
                Remove this passkey
              </button>
            </Form>
          </Confirm>
        ),
      },
    ]}
  />
);

export const AccountPage = ({ shell, account }: { shell: Shell; account: Account }): Html => (
  <Page shell={shell} title="Your account">
    <Problem said={account.said} />
    <Panel title="You">
      <Facts
        facts={[
          { label: 'Name', value: <Untrusted text={shell.reader?.name ?? ''} /> },
          { label: 'Roles', value: shell.reader?.roles.join(', ') || 'none' },
          { label: 'Groups', value: account.groups.join(', ') || 'none' },
          {
            label: 'Signed in',
            value: `with a ${account.signedInBy}, ${account.isFresh ? 'just now' : 'a while ago'}`,
          },
        ]}
      />
    </Panel>
    <Panel
      title="Passkeys"
      note="With a passkey you sign in without a link, and sign decisions that take more than a session. Adding or removing one is in the log."
    >
      {account.passkeys.length === 0 ? (
        <Empty title="You have no passkey">
          <p>Some requests can only be decided with one.</p>
        </Empty>
      ) : (
        <PasskeyTable
          shell={shell}
          rows={account.passkeys}
          removeAt={(id) => `/me/passkeys/${id}/remove`}
        />
      )}
    </Panel>
    {account.slack === null ? null : (
      <Panel title="Slack" note="A click of this Slack user is your vote.">
        <Facts
          facts={[
            { label: 'Slack user', value: <Untrusted text={account.slack.user} /> },
            { label: 'Linked by', value: account.slack.by === 'them' ? 'you' : account.slack.by },
          ]}
        />
        <Confirm label="Unlink…">
          <Form shell={shell} action="/me/slack/unlink">
            <p>Nothing it says counts as yours any more. Votes you gave stay given.</p>
            <button class="button button-danger" type="submit">
              Unlink this Slack user
            </button>
          </Form>
        </Confirm>
      </Panel>
    )}
    <Panel title="Add a passkey">
      <Adding shell={shell} account={account} />
    </Panel>
    <AbsencePanel
      shell={shell}
      action="/me/absences"
      absences={account.absences}
      note={`Who votes in your stead while you are away.${account.isFresh ? '' : ' Changing it takes a sign-in within the last five minutes: sign out, and in again.'}`}
    />
    <PasskeyScript shell={shell} />
  </Page>
);

/** A stolen session adds none: it takes a sign-in just now, and by a passkey where there is one. */
const Adding = ({ shell, account }: { shell: Shell; account: Account }): Html => {
  const hasOne = account.passkeys.length > 0;
  if (account.isFresh && (!hasOne || account.signedInBy === 'passkey'))
    return <AddPasskey shell={shell} />;
  if (hasOne)
    return (
      <>
        <p>To add or remove one, sign in with a passkey first: that is good for five minutes.</p>
        <PasskeySignIn shell={shell} next="/me" label="Use a passkey" />
      </>
    );
  return (
    <p>
      You signed in more than five minutes ago. Ask an administrator for a new link, sign out, sign
      in with it, and add the passkey then.
    </p>
  );
};
