// Questions about a request: asking one before deciding, and answering what was asked.
import type { Addressee } from '../domain/question.ts';
import { Field, Form, Panel, Untrusted, type Html } from './parts.tsx';
import type { RequestView } from './request-data.ts';
import type { Shell } from './shell.ts';

interface Props {
  shell: Shell;
  view: RequestView;
}

const WHO: Record<Addressee, string> = {
  agent: 'the agent',
  owner: 'the owner of the agent',
  triggerer: 'whoever set off the task',
};

/** Asking, for whoever may decide. */
export const Ask = ({ shell, view }: Props): Html => (
  <details class="confirm">
    <summary class="button">Ask first…</summary>
    <Form shell={shell} action={`/requests/${view.id}/questions`}>
      <Field id="ask-to" label="Whom">
        <select id="ask-to" name="to">
          {view.asks.map((to) => (
            <option value={to}>{WHO[to]}</option>
          ))}
        </select>
      </Field>
      <Field
        id="ask-text"
        label="Question"
        hint="Everybody who decides sees it, and the answer as what they claim."
      >
        <textarea
          id="ask-text"
          name="text"
          rows={3}
          maxlength={1000}
          required
          aria-describedby="ask-text-hint"
        ></textarea>
      </Field>
      <button class="button button-wide" type="submit">
        Ask
      </button>
    </Form>
  </details>
);

/** Answering, for whom a question is for. */
export const Answers = ({ shell, view }: Props): Html => (
  <Panel title="You were asked" id="answer" note="An answer gives nobody a vote.">
    {view.toAnswer.map(({ id, by, text }) => (
      <>
        <p>
          <strong>
            <Untrusted text={by} />
          </strong>{' '}
          asks:
        </p>
        <blockquote>
          <Untrusted text={text} />
        </blockquote>
        <Form shell={shell} action={`/requests/${view.id}/questions/${id}/answer`}>
          <Field id={`answer-${id}`} label="Your answer">
            <textarea id={`answer-${id}`} name="text" rows={3} maxlength={2000} required></textarea>
          </Field>
          <button class="button button-primary" type="submit">
            Answer
          </button>
        </Form>
      </>
    ))}
  </Panel>
);
