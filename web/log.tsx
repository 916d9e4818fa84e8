// The log: events as they were written, and what proves that they were.
import { SelectField, Submit, TextField } from './fields.tsx';
import { Page } from './layout.tsx';
import { Code, Copy, Empty, Facts, More, Panel, Time, Untrusted, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

/** One event with what its reader may see of its private parts. */
export interface EventView {
  id: string;
  /** The short name, such as `vote.cast`. */
  name: string;
  time: string;
  subject: string;
  decision: string | null;
  logIndex: number | null;
  links: { label: string; href: string }[];
  /** Public members, each as text. */
  detail: EventMember[];
  /** Private members that are still kept, each as text. */
  disclosed: EventMember[];
  /** Private members of which only the commitment is left, or that this reader may not see. */
  committed: string[];
}

/** The filter, as typed. */
export interface LogFilter {
  type: string;
  task: string;
  agent: string;
  request: string;
  control: string;
}

export interface Head {
  size: number;
  signedAt: string;
  checkpoint: string;
  verifierKey: string;
}

/** A page of events, and the newest checkpoint over all of them. */
export const LogPage = ({
  shell,
  events,
  filter,
  types,
  next,
  head,
}: {
  shell: Shell;
  events: readonly EventView[];
  filter: LogFilter;
  types: readonly string[];
  next: string | null;
  head: Head | null;
}): Html => (
  <Page
    shell={shell}
    title="Log"
    lead="Every change is one event, written in the transaction that made it. Nothing here is ever altered."
  >
    <Filter filter={filter} types={types} />
    <Panel title="Events" note="Newest first. Times are the database’s.">
      {events.length === 0 ? (
        <Empty title="No event matches">
          <p>
            <a href="/log">Show all of them</a>
          </p>
        </Empty>
      ) : (
        <ol class="events">
          {events.map((event) => (
            <li>
              <EventEntry event={event} now={shell.now} />
            </li>
          ))}
        </ol>
      )}
      <More href={next} label="Older events" />
    </Panel>
    <Checkpoint head={head} now={shell.now} />
  </Page>
);

const Filter = ({ filter, types }: { filter: LogFilter; types: readonly string[] }): Html => (
  <details class="panel more-of" open={Object.values(filter).some((text) => text !== '')}>
    <summary>Filter</summary>
    <form method="get" action="/log" class="form form-inline">
      <SelectField
        id="type"
        label="Type"
        value={filter.type}
        options={[
          { value: '', label: 'all types' },
          ...types.map((type) => ({ value: type, label: type })),
        ]}
      />
      <TextField id="agent" label="Agent id" value={filter.agent} />
      <TextField id="task" label="Task id" value={filter.task} />
      <TextField id="request" label="Request id" value={filter.request} />
      <TextField id="control" label="Control" value={filter.control} />
      <Submit label="Show" tone="plain" />
    </form>
  </details>
);

const EventEntry = ({ event, now }: { event: EventView; now: string }): Html => (
  <>
    <div class="event-head">
      <span class="event-index">{event.logIndex === null ? '…' : `#${event.logIndex}`}</span>
      <h3>
        <a href={`/log/${event.id}`}>{event.name}</a>
      </h3>
      <Time at={event.time} now={now} />
    </div>
    <p class="event-text">
      {event.detail.filter(hasText).slice(0, SUMMARY_MEMBERS).map(shortMember)}
      {event.disclosed.filter(hasText).map(shortMember)}
    </p>
    {event.links.length === 0 ? null : (
      <p class="event-links">
        {event.links.map(({ label, href }) => (
          <a href={href}>{label}</a>
        ))}
      </p>
    )}
  </>
);

/** Members of an event that the list shows, and how much of each; its own page has all of them. */
const SUMMARY_MEMBERS = 6;
const SUMMARY_CHARACTERS = 200;

interface EventMember {
  name: string;
  text: string;
}

const hasText = ({ text }: EventMember): boolean => text !== 'none';

const shortMember = ({ name, text }: EventMember): Html => (
  <span class="member">
    {name}{' '}
    <strong>
      {text.length > SUMMARY_CHARACTERS ? (
        `${text.length} characters, on its page`
      ) : (
        <Untrusted text={text} />
      )}
    </strong>
  </span>
);

const Checkpoint = ({ head, now }: { head: Head | null; now: string }): Html => (
  <Panel
    title="Checkpoint"
    id="checkpoint"
    note="A signed statement of how many events there are and what they hash to. Keep one outside: everything published before it can then be checked against it."
  >
    {head === null ? (
      <p class="quiet">The log is still empty.</p>
    ) : (
      <>
        <Facts
          facts={[
            { label: 'Size', value: `${head.size} events` },
            { label: 'Signed', value: <Time at={head.signedAt} now={now} /> },
          ]}
        />
        <Copy text={head.checkpoint} label="Newest checkpoint" />
        <h3>Verifier key</h3>
        <Copy text={head.verifierKey} label="Verifier key" />
        <p class="note">
          Anybody can fetch both, without signing in: <a href="/log/checkpoint">/log/checkpoint</a>{' '}
          and <a href="/log/vkey">/log/vkey</a>. The log is C2SP tlog-tiles.
        </p>
      </>
    )}
  </Panel>
);

/** One event, whole. */
export const EventPage = ({
  shell,
  event,
  leaf,
}: {
  shell: Shell;
  event: EventView;
  leaf: string;
}): Html => (
  <Page
    shell={shell}
    title={event.name}
    lead={<Code text={event.id} />}
    back={{ href: '/log', label: 'Log' }}
  >
    <Panel title="What it says">
      <Facts
        facts={[
          {
            label: 'Log index',
            value: event.logIndex === null ? 'within a second or two' : `#${event.logIndex}`,
          },
          { label: 'Time', value: <Time at={event.time} now={shell.now} /> },
          { label: 'Subject', value: <Code text={event.subject} /> },
          event.links.length === 0
            ? null
            : {
                label: 'About',
                value: event.links.map(({ label, href }) => (
                  <>
                    <a href={href}>{label}</a>{' '}
                  </>
                )),
              },
          ...event.detail.map(({ name, text }) => ({ label: name, value: <Code text={text} /> })),
        ]}
      />
    </Panel>
    <PrivateMembers event={event} />
    <Panel
      title="The leaf"
      note="Canonical JSON; indented here to be read. The file below is what was hashed, byte for byte."
    >
      <pre tabindex={0} aria-label="The leaf">
        {leaf}
      </pre>
      <p class="event-links">
        <a href={`/log/proof/${event.id}`}>Proof of inclusion</a>
        <a href={`/log/leaf/${event.id}`}>The leaf as a file</a>
      </p>
    </Panel>
  </Page>
);

const PrivateMembers = ({ event }: { event: EventView }): Html => (
  <Panel
    title="Private members"
    note="The log holds only a salted commitment to each. Erasing one breaks no proof."
  >
    {event.disclosed.length + event.committed.length === 0 ? (
      <p class="quiet">It has none.</p>
    ) : (
      <Facts
        facts={[
          ...event.disclosed.map(({ name, text }) => ({
            label: name,
            value: <Untrusted text={text} />,
          })),
          ...event.committed.map((name) => ({
            label: name,
            value: <span class="quiet">only its commitment is kept</span>,
          })),
        ]}
      />
    )}
  </Panel>
);
