// The API reference, as a page.
import type { Child } from 'hono/jsx';
import { Page } from './layout.tsx';
import { Badge, Copy, Panel, type Html } from './parts.tsx';
import type { Shell } from './shell.ts';

/** One member of a body or an answer; nested ones are named with their path. */
export interface Member {
  name: string;
  type: string;
  /** The schema it refers to, if it is one of ours. */
  refers: string | null;
  required: boolean;
  says: string;
}

export interface Shape {
  /** The schema it is, where it has a name. */
  refers: string | null;
  /** What it is when it is no object: a list of something, text. */
  type: string;
  members: Member[];
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  who: string;
  events: string[];
  parameters: Member[];
  body: { contentType: string; shape: Shape } | null;
  answers: { status: string; says: string; contentType: string | null; shape: Shape | null }[];
  refusals: { status: string; codes: string[] }[];
}

export interface Reference {
  groups: { name: string; operations: Operation[] }[];
  schemas: { name: string; shape: Shape }[];
  refusalCodes: { code: string; status: number }[];
  eventTypes: { name: string; open: readonly string[]; committed: readonly string[] }[];
  publicUrl: string;
}

const anchor = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

/** The whole reference, from our own OpenAPI document. */
export const ReferencePage = ({
  shell,
  reference,
}: {
  shell: Shell;
  reference: Reference;
}): Html => (
  <Page
    shell={shell}
    title="API reference"
    lead={
      <>
        Everything this server answers. The same as a file for tools:{' '}
        <a href="/openapi.json">OpenAPI 3.1</a>.
      </>
    }
  >
    <Start reference={reference} />
    <Contents reference={reference} />
    {reference.groups.map(({ name, operations }) => (
      <Panel title={name} id={anchor(name)}>
        {operations.map((operation) => (
          <OperationView operation={operation} />
        ))}
      </Panel>
    ))}
    <Refusals reference={reference} />
    <Events reference={reference} />
    <Panel title="Schemas" id="schemas">
      {reference.schemas.map(({ name, shape }) => (
        <div class="operation" id={`schema-${anchor(name)}`}>
          <h3>{name}</h3>
          <ShapeView shape={shape} />
        </div>
      ))}
    </Panel>
  </Page>
);

const Contents = ({ reference }: { reference: Reference }): Html => (
  <Panel title="Contents">
    <nav aria-label="Contents of the reference" class="contents">
      {reference.groups.map(({ name, operations }) => (
        <div>
          <a class="contents-group" href={`#${anchor(name)}`}>
            {name}
          </a>
          <ul class="plain-links">
            {operations.map(({ id, method, path }) => (
              <li>
                <a href={`#${id}`}>
                  <code>
                    {method} {path}
                  </code>
                </a>
              </li>
            ))}
          </ul>
        </div>
      ))}
      <div>
        {['Refusals', 'Events', 'Schemas'].map((part) => (
          <a class="contents-group contents-part" href={`#${anchor(part)}`}>
            {part}
          </a>
        ))}
      </div>
    </nav>
  </Panel>
);

const Start = ({ reference: { publicUrl } }: { reference: Reference }): Html => (
  <Panel title="How calls work">
    <ul>
      <li>
        An agent signs in at <a href="#postOauth2Token">/oauth2/token</a> with a key of its own and
        sends <code>Authorization: Bearer …</code>. A person has a session cookie and sends{' '}
        <code>X-CSRF-Token</code> with writes. Automation sends the admin token, and can never vote.
      </li>
      <li>
        Errors are RFC 9457 problem documents with a stable <code>code</code>:{' '}
        <a href="#refusals">all of them</a>.
      </li>
      <li>
        A POST with an <code>Idempotency-Key</code> has one effect and one answer, however often it
        is sent.
      </li>
      <li>
        Lists go on with <code>?cursor=</code>. <code>Prefer: wait=N</code> waits for a change.
      </li>
    </ul>
    <Copy
      label="From a task to an approved credential with curl"
      text={`TOKEN=$(npx countersign token --agent $AGENT --key orders-bot.json)

TASK=$(curl -sS ${publicUrl}/v1/tasks -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"purpose":"order support","ttl_seconds":600}' | grep -o 'tsk_[a-z0-9]*' | head -1)

# Held for people. With "claim" no key is needed: keep the code of the answer.
curl -sS ${publicUrl}/v1/tasks/$TASK/credentials -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" -H "Idempotency-Key: $(uuidgen)" \\
  -d '{"role":"orders-write","reason":"refund order 7","claim":true}'

# REQUEST is the id in that answer; this ends when somebody has decided.
curl -sS ${publicUrl}/v1/requests/$REQUEST -H "Authorization: Bearer $TOKEN" -H "Prefer: wait=60"
curl -sS ${publicUrl}/v1/requests/$REQUEST/collect -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" -d '{}'

# CREDENTIAL is the id of what was collected, and CODE the one kept: what it opens is told once.
curl -sS ${publicUrl}/v1/credentials/$CREDENTIAL/claim -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" -H "Idempotency-Key: $(uuidgen)" -d "{\\"code\\":\\"$CODE\\"}"`}
    />
  </Panel>
);

const OperationView = ({ operation }: { operation: Operation }): Html => (
  <div class="operation" id={operation.id}>
    <h3 class="operation-head">
      <span class={`method method-${operation.method.toLowerCase()}`}>{operation.method}</span>
      <code>{operation.path}</code>
    </h3>
    <p>{operation.summary}.</p>
    <p class="note">
      For: {operation.who}.
      {operation.events.length === 0 ? null : (
        <>
          {' '}
          Events:{' '}
          {operation.events.map((event, place) => (
            <>
              {place > 0 ? ', ' : ''}
              <a href={`#event-${anchor(event)}`}>{event}</a>
            </>
          ))}
          .
        </>
      )}
    </p>
    {operation.parameters.length === 0 ? null : (
      <Members title="Parameters" members={operation.parameters} />
    )}
    {operation.body ? (
      <details class="more-of">
        <summary>Body ({operation.body.contentType})</summary>
        <ShapeView shape={operation.body.shape} />
      </details>
    ) : null}
    {operation.answers.map((answer) => (
      <Answer answer={answer} />
    ))}
    <p class="refusals">
      {operation.refusals.map(({ status, codes }) => (
        <span class="refusal">
          <strong>{status}</strong>{' '}
          {codes.map((code, place) => (
            <>
              {place > 0 ? ', ' : ''}
              <a href={`#refusal-${code}`}>{code}</a>
            </>
          ))}
        </span>
      ))}
    </p>
  </div>
);

const Answer = ({ answer }: { answer: Operation['answers'][number] }): Html => {
  const head: Child = (
    <>
      <Badge state="active" label={answer.status} /> {answer.says}
    </>
  );
  if (!answer.shape)
    return (
      <p>
        {head} {answer.contentType === null ? null : <code>{answer.contentType}</code>}
      </p>
    );
  return (
    <details class="more-of">
      <summary>
        <span>{head}</span>
      </summary>
      <ShapeView shape={answer.shape} />
    </details>
  );
};

const SchemaLink = ({ name, text }: { name: string; text?: string }): Html => (
  <a href={`#schema-${anchor(name)}`}>{text ?? name}</a>
);

const ShapeView = ({ shape }: { shape: Shape }): Html => {
  if (shape.refers !== null)
    return (
      <p>
        <SchemaLink name={shape.refers} text={shape.type} />
      </p>
    );
  if (shape.members.length === 0) return <p>{shape.type}</p>;
  return <Members title="Members" members={shape.members} />;
};

const Members = ({ title, members }: { title: string; members: readonly Member[] }): Html => (
  <table class="rows rows-members">
    <caption class="sr-only">{title}</caption>
    <thead>
      <tr>
        <th scope="col">{title}</th>
        <th scope="col">Type</th>
        <th scope="col">What it is</th>
      </tr>
    </thead>
    <tbody>
      {members.map((member) => (
        <tr>
          <td data-label={title}>
            <div class="cell">
              <code>{member.name}</code>
              {member.required ? null : <span class="under">optional</span>}
            </div>
          </td>
          <td data-label="Type">
            <div class="cell">
              {member.refers === null ? (
                member.type
              ) : (
                <SchemaLink name={member.refers} text={member.type} />
              )}
            </div>
          </td>
          <td data-label="What it is">
            <div class="cell">{member.says}</div>
          </td>
        </tr>
      ))}
    </tbody>
  </table>
);

const Refusals = ({ reference }: { reference: Reference }): Html => (
  <Panel
    title="Refusals"
    id="refusals"
    note="Every way this product says no. Codes are added, never renamed; the detail of each answer says what to do."
  >
    <ul class="codes">
      {reference.refusalCodes.map(({ code, status }) => (
        <li id={`refusal-${code}`}>
          <code>{code}</code> <span class="quiet">{status}</span>
        </li>
      ))}
    </ul>
  </Panel>
);

const Events = ({ reference }: { reference: Reference }): Html => (
  <Panel
    title="Events"
    id="events"
    note="Public members stand in the log for anybody to read; of private ones the log holds only a salted commitment."
  >
    <table class="rows">
      <caption class="sr-only">Types of events</caption>
      <thead>
        <tr>
          <th scope="col">Type</th>
          <th scope="col">Public</th>
          <th scope="col">Private</th>
        </tr>
      </thead>
      <tbody>
        {reference.eventTypes.map(({ name, open, committed }) => (
          <tr id={`event-${anchor(name)}`}>
            <td data-label="Type">
              <code class="cell">{name}</code>
            </td>
            <td data-label="Public">
              <div class="cell">{open.join(', ') || '–'}</div>
            </td>
            <td data-label="Private">
              <div class="cell">{committed.join(', ') || '–'}</div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </Panel>
);
