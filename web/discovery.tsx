// Identities that targets have and nobody registered: what is risky about each, and what becomes of it.
import { AreaField, SelectField, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Facts,
  Form,
  MaybeTime,
  More,
  Panel,
  Problem,
  ReasonField,
  Table,
  Time,
  Untrusted,
  words,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface FoundView {
  id: string;
  target: string;
  name: string;
  state: string;
  risks: readonly string[];
  around: readonly string[];
  groups: readonly string[];
  serves: string | null;
  expiresAt: string | null;
  comment: string | null;
  firstSeenAt: string;
  lastSeenAt: string;
  usedAt: string | null;
  guess: { person: string; name: string; because: string } | null;
  agent: { id: string; name: string } | null;
  decidedAt: string | null;
  reason: string | null;
}

/** What is risky, in words. */
const Risks = ({ found }: { found: FoundView }): Html =>
  found.risks.length === 0 ? (
    <span class="quiet">none known</span>
  ) : (
    <>
      {found.risks.map((risk) => (
        <>
          <Badge state={risk} />{' '}
        </>
      ))}
    </>
  );

const BECAUSE: Record<string, string> = {
  email_in_comment: 'their address is in the comment',
  name_in_comment: 'their name is in the comment',
  login_name: 'it is called like them',
  owns_users: 'they alone have agents there',
};

/** All of them, a page at a time, and the button that looks again. */
export const DiscoveryPage = ({
  shell,
  rows,
  next,
  said,
  once,
  isAdmin,
}: {
  shell: Shell;
  rows: readonly FoundView[];
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
    {isAdmin ? (
      <Panel title="Look now">
        <Problem said={said} />
        <Form shell={shell} action="/discovery">
          <input type="hidden" name="once" value={once} />
          <p>Asks every target of the active policy. Nothing is changed there.</p>
          <Submit label="Ask the targets" />
        </Form>
      </Panel>
    ) : null}
    <Panel title="Found">
      {rows.length === 0 ? (
        <p class="quiet">Nothing yet.</p>
      ) : (
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
                  <span class="under">{row.target}</span>
                </>
              ),
            },
            { label: 'State', cell: (row) => <Badge state={row.state} /> },
            { label: 'Risks', cell: (row) => <Risks found={row} /> },
            {
              label: 'Likely owner',
              cell: (row) =>
                row.guess ? (
                  <Untrusted text={row.guess.name} />
                ) : (
                  <span class="quiet">nobody known</span>
                ),
            },
            { label: 'Used', cell: (row) => <MaybeTime at={row.usedAt} now={shell.now} /> },
          ]}
        />
      )}
      <More href={next} label="More" />
    </Panel>
  </Page>
);

export interface AdoptForm {
  people: readonly { id: string; name: string }[];
  kinds: readonly string[];
  values: Readonly<Record<string, string>>;
  once: string;
}

/** One identity. Forms are for administrators, and only while there is something to decide. */
export const FoundPage = ({
  shell,
  found,
  said,
  adopt,
}: {
  shell: Shell;
  found: FoundView;
  said: Said | null;
  adopt: AdoptForm | null;
}): Html => (
  <Page
    shell={shell}
    title="An identity"
    heading={
      <>
        <Untrusted text={found.name} /> <Badge state={found.state} />
      </>
    }
    lead={<Code text={found.id} />}
    back={{ href: '/discovery', label: 'Discovery' }}
  >
    <Problem said={said} />
    <About shell={shell} found={found} />
    {adopt && (found.state === 'unmanaged' || found.state === 'ignored') ? (
      <Adopt shell={shell} found={found} form={adopt} />
    ) : null}
    {adopt && found.state === 'unmanaged' ? (
      <Panel title="Leave it as it is">
        <Form shell={shell} action={`/discovery/${found.id}/ignore`}>
          <ReasonField id="ignore-reason" required />
          <Submit label="Ignore" tone="plain" />
        </Form>
      </Panel>
    ) : null}
  </Page>
);

const About = ({ shell, found }: { shell: Shell; found: FoundView }): Html => (
  <Panel title="What the target says">
    <Facts
      facts={[
        { label: 'Target', value: found.target },
        found.serves === null ? null : { label: 'Serves as', value: words(found.serves) },
        { label: 'Risks', value: <Risks found={found} /> },
        found.around.length === 0
          ? null
          : { label: 'Stands beside', value: found.around.join(', ') },
        { label: 'Groups', value: <Untrusted text={found.groups.join(', ') || 'none'} /> },
        {
          label: 'Comment',
          value: found.comment === null ? 'none' : <Untrusted text={found.comment} />,
        },
        {
          label: 'Likely owner',
          value: found.guess ? (
            <>
              <Untrusted text={found.guess.name} />: {BECAUSE[found.guess.because] ?? ''}
            </>
          ) : (
            'nobody known'
          ),
        },
        {
          label: 'Expires',
          value: <MaybeTime at={found.expiresAt} now={shell.now} none="never" />,
        },
        { label: 'Used', value: <MaybeTime at={found.usedAt} now={shell.now} /> },
        { label: 'First found', value: <Time at={found.firstSeenAt} now={shell.now} /> },
        { label: 'Last found', value: <Time at={found.lastSeenAt} now={shell.now} /> },
        found.agent === null
          ? null
          : {
              label: 'Agent',
              value: <a href={`/agents/${found.agent.id}`}>{found.agent.name}</a>,
            },
        found.decidedAt === null
          ? null
          : { label: 'Decided', value: <Time at={found.decidedAt} now={shell.now} /> },
        found.reason === null
          ? null
          : { label: 'Because', value: <Untrusted text={found.reason} /> },
      ]}
    />
  </Panel>
);

const Adopt = ({
  shell,
  found,
  form: { people, kinds, values, once },
}: {
  shell: Shell;
  found: FoundView;
  form: AdoptForm;
}): Html => (
  <Panel title="Adopt it">
    <Form shell={shell} action={`/discovery/${found.id}/adopt`}>
      <input type="hidden" name="once" value={once} />
      <p>
        Registers the agent that takes over; people then admit it. The login in the target stays as
        it is until you drop it there.
      </p>
      <div class="pair">
        <TextField
          id="name"
          label="Name of the agent"
          hint="Left empty, it follows from the login."
          max={63}
          value={values['name']}
        />
        <SelectField
          id="kind"
          label="Kind"
          value={values['kind'] ?? 'service'}
          options={kinds.map((kind) => ({ value: kind, label: words(kind) }))}
        />
      </div>
      <div class="pair">
        <SelectField
          id="owner"
          label="Owner"
          value={values['owner'] ?? found.guess?.person}
          options={people.map(({ id, name }) => ({ value: id, label: name }))}
        />
        <TextField id="team" label="Team" required max={100} value={values['team']} />
      </div>
      <AreaField id="purpose" label="Purpose" required max={2000} value={values['purpose']} />
      <AreaField
        id="key"
        label="Public key (JWK)"
        hint="The public part that keygen prints."
        required
        rows={4}
        mono
        value={values['key']}
      />
      <Submit label="Adopt" />
    </Form>
  </Panel>
);
