// One identity that a target has and nobody registered: what is risky about it, and what becomes of it.
import { AreaField, SelectField, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import {
  Badge,
  Code,
  Facts,
  Form,
  MaybeTime,
  Panel,
  Problem,
  ReasonField,
  Time,
  Untrusted,
  words,
  type Fact,
  type Html,
  type Said,
} from './parts.tsx';
import type { Shell } from './shell.ts';

export interface FoundView {
  id: string;
  target: string;
  kind: string;
  name: string;
  state: string;
  isEnabled: boolean;
  /** Countersign itself works through it. */
  isOurs: boolean;
  risks: readonly string[];
  around: readonly string[];
  groups: readonly string[];
  permissions: readonly string[];
  usableBy: readonly string[];
  createdAt: string | null;
  secretChangedAt: string | null;
  /** What the target did not tell. */
  unknown: readonly string[];
  difference: { kind: string; at: string; changes: readonly string[] };
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
export const Risks = ({ found }: { found: FoundView }): Html =>
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

/** What was last different about it, in words. */
export const differenceOf = ({ difference: { kind, changes } }: FoundView): string =>
  kind === 'changed' && changes.length > 0 ? `changed: ${changes.map(words).join(', ')}` : kind;

/** Where the target does not tell, not having seen it says nothing. */
export const Used = ({ found, now }: { found: FoundView; now: string }): Html => (
  <MaybeTime
    at={found.usedAt}
    now={now}
    none={found.unknown.includes('used_at') ? 'unknown' : 'not seen'}
  />
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
    {adopt && !found.isOurs && (found.state === 'unmanaged' || found.state === 'ignored') ? (
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

/** Names of others, one after another. */
const Words = ({ list }: { list: readonly string[] }): Html => (
  <Untrusted text={list.join('; ') || 'none'} />
);

const About = ({ shell, found }: { shell: Shell; found: FoundView }): Html => (
  <Panel title="What the target says">
    <Facts
      facts={[...whatItIs(found), ...whenItWas(found, shell.now), ...decided(found, shell.now)]}
    />
  </Panel>
);

const whatItIs = (found: FoundView): (Fact | null)[] => [
  { label: 'Target', value: found.target },
  { label: 'Kind', value: words(found.kind) },
  found.isEnabled ? null : { label: 'Switched off', value: 'yes, in the target' },
  found.serves === null ? null : { label: 'Serves as', value: words(found.serves) },
  { label: 'Risks', value: <Risks found={found} /> },
  found.around.length === 0 ? null : { label: 'Stands beside', value: found.around.join(', ') },
  { label: 'Groups', value: <Words list={found.groups} /> },
  { label: 'May', value: <Words list={found.permissions} /> },
  { label: 'Used from or by', value: <Words list={found.usableBy} /> },
  found.unknown.length === 0
    ? null
    : { label: 'Not told', value: found.unknown.map(words).join(', ') },
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
];

const whenItWas = (found: FoundView, now: string): (Fact | null)[] => [
  {
    label: 'Expires',
    value: (
      <MaybeTime
        at={found.expiresAt}
        now={now}
        none={found.unknown.includes('expires_at') ? 'unknown' : 'never'}
      />
    ),
  },
  found.createdAt === null
    ? null
    : { label: 'Made', value: <Time at={found.createdAt} now={now} /> },
  found.secretChangedAt === null
    ? null
    : {
        label: 'Secret last changed',
        value: <Time at={found.secretChangedAt} now={now} />,
      },
  { label: 'Used', value: <Used found={found} now={now} /> },
  { label: 'First found', value: <Time at={found.firstSeenAt} now={now} /> },
  { label: 'Last found', value: <Time at={found.lastSeenAt} now={now} /> },
  {
    label: 'Last difference',
    value: (
      <>
        {differenceOf(found)} <Time at={found.difference.at} now={now} />
      </>
    ),
  },
];

/** What people made of it. */
const decided = (found: FoundView, now: string): (Fact | null)[] => [
  found.agent === null
    ? null
    : {
        label: 'Agent',
        value: <a href={`/agents/${found.agent.id}`}>{found.agent.name}</a>,
      },
  found.decidedAt === null
    ? null
    : { label: 'Decided', value: <Time at={found.decidedAt} now={now} /> },
  found.reason === null ? null : { label: 'Because', value: <Untrusted text={found.reason} /> },
];

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
        Registers the agent that takes over; people then admit it. What the target has stays as it
        is until you drop it there.
      </p>
      <div class="pair">
        <TextField
          id="name"
          label="Name of the agent"
          hint="Left empty, it follows from the name above."
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
