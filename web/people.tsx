// People: who there is, inviting somebody, and changing what they may do.
import { AbsencePanel, type Absences } from './absences.tsx';
import { PasskeyTable, type PasskeyLine } from './account.tsx';
import { Choice, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Copy,
  Form,
  Notice,
  Panel,
  Problem,
  Table,
  Time,
  Untrusted,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface PersonLine {
  id: string;
  name: string;
  email: string | null;
  roles: readonly string[];
  groups: readonly string[];
  slack: string | null;
  state: string;
}

/** A link that was just made: shown on this page and nowhere again. */
export interface NewLink {
  name: string;
  url: string;
  expiresAt: string;
}

/** What a form about a person offers, and what it holds. */
export interface Rights {
  roles: readonly string[];
  /** Groups that the policy's routes name. */
  groups: readonly string[];
  values: Readonly<Record<string, string>>;
}

/** Everybody, and the form that invites. */
export const PeoplePage = ({
  shell,
  rows,
  link,
  said,
  rights,
  once,
  isAdmin,
}: {
  shell: Shell;
  rows: readonly PersonLine[];
  link: NewLink | null;
  said: Said | null;
  rights: Rights;
  once: string;
  isAdmin: boolean;
}): Html => (
  <Page
    shell={shell}
    title="People"
    lead="Only people can decide. They sign in with a link that works once."
  >
    {link ? <LinkNotice link={link} now={shell.now} /> : null}
    <Panel title="Everybody" actions={isAdmin ? <a href="#invite">Invite somebody</a> : null}>
      <PeopleTable rows={rows} isAdmin={isAdmin} />
    </Panel>
    {isAdmin ? (
      <Panel title="Invite somebody" id="invite">
        <Problem said={said} />
        <Form shell={shell} action="/people#invite">
          <input type="hidden" name="once" value={once} />
          <div class="pair">
            <TextField id="name" label="Name" required max={200} value={rights.values['name']} />
            <TextField
              id="email"
              label="Email (optional)"
              type="email"
              value={rights.values['email']}
            />
          </div>
          <RightsFields rights={rights} />
          <Submit label="Invite" />
        </Form>
      </Panel>
    ) : null}
  </Page>
);

const PeopleTable = ({
  rows,
  isAdmin,
}: {
  rows: readonly PersonLine[];
  isAdmin: boolean;
}): Html => (
  <Table
    caption="People"
    rows={rows}
    columns={[
      {
        label: 'Name',
        cell: (row) => (
          <>
            {isAdmin ? (
              <a href={`/people/${row.id}`}>
                <Untrusted text={row.name} />
              </a>
            ) : (
              <Untrusted text={row.name} />
            )}
            {row.email === null ? null : (
              <span class="under">
                <Untrusted text={row.email} />
              </span>
            )}
          </>
        ),
      },
      { label: 'Roles', cell: (row) => row.roles.join(', ') || <span class="quiet">none</span> },
      { label: 'Groups', cell: (row) => row.groups.join(', ') || <span class="quiet">none</span> },
      { label: 'State', cell: (row) => <Badge state={row.state} /> },
    ]}
  />
);

const LinkNotice = ({ link, now }: { link: NewLink; now: string }): Html => (
  <Notice tone="good" title="Pass this link on">
    <p>
      It signs in <Untrusted text={link.name} /> once, until <Time at={link.expiresAt} now={now} />.
      It is shown here and nowhere again.
    </p>
    <Copy text={link.url} label="Sign-in link" />
  </Notice>
);

const ROLE_SAYS: Record<string, string> = {
  admin: 'invites, stops agents, proposes policy',
  approver: 'decides on requests of their groups',
  auditor: 'reads everything, changes nothing',
  owner: 'answers for agents',
};

const RightsFields = ({ rights: { roles, groups, values } }: { rights: Rights }): Html => (
  <>
    <fieldset>
      <legend class="legend">Roles</legend>
      {roles.map((role) => (
        <Choice
          id={`role-${role}`}
          label={role}
          hint={ROLE_SAYS[role]}
          checked={values[`role-${role}`] === 'on'}
        />
      ))}
    </fieldset>
    <TextField
      id="groups"
      label="Groups"
      hint={`Separated by commas. The routes of today’s policy ask: ${groups.join(', ') || 'nobody'}.`}
      value={values['groups']}
    />
  </>
);

/** One person, for administrators. */
export const PersonPage = ({
  shell,
  row,
  link,
  said,
  rights,
  passkeys,
  absences,
}: {
  shell: Shell;
  row: PersonLine;
  link: NewLink | null;
  passkeys: readonly PasskeyLine[];
  absences: Absences;
  said: Said | null;
  rights: Rights;
}): Html => (
  <Page
    shell={shell}
    title={row.name}
    heading={
      <>
        <Untrusted text={row.name} /> <Badge state={row.state} />
      </>
    }
    lead={<Code text={row.id} />}
    back={{ href: '/people', label: 'People' }}
  >
    {link ? <LinkNotice link={link} now={shell.now} /> : null}
    <Panel
      title="What they may do"
      note="Votes that are not yet counted are judged by what is true then."
    >
      <Problem said={said} />
      <Form shell={shell} action={`/people/${row.id}`}>
        <RightsFields rights={rights} />
        <TextField id="slack" label="Slack user id (optional)" value={rights.values['slack']} />
        <Choice
          id="active"
          label="Active"
          hint="Without it, every session ends and no vote counts."
          checked={rights.values['active'] === 'on'}
        />
        <Submit label="Save" />
      </Form>
    </Panel>
    {passkeys.length === 0 ? null : (
      <Panel
        title="Passkeys"
        note="Remove one that is lost. Once the last one is gone, a new link lets its person add another."
      >
        <PasskeyTable
          shell={shell}
          rows={passkeys}
          removeAt={(id) => `/people/${row.id}/passkeys/${id}/remove`}
        />
      </Panel>
    )}
    <AbsencePanel
      shell={shell}
      action={`/people/${row.id}/absences`}
      absences={absences}
      note="Who votes in their stead while they are away."
    />
    <NewLinkPanel shell={shell} id={row.id} />
  </Page>
);

const NewLinkPanel = ({ shell, id }: { shell: Shell; id: string }): Html => (
  <Panel title="A new sign-in link" note="Earlier links that were not used stop working.">
    <Form shell={shell} action={`/people/${id}/links`}>
      <Submit label="Make a link" tone="plain" />
    </Form>
  </Panel>
);
