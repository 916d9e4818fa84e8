// The two forms that decide a request, or why there are none.
import { visible } from '../domain/card.ts';
import { Hidden, isSigned, signAt } from './ballot-parts.tsx';
import { Drafted, Narrow } from './narrow.tsx';
import { Badge, Confirm, Field, Form, Panel, Untrusted, words, type Html } from './parts.tsx';
import { PasskeyScript, WhatYouSign } from './passkey.tsx';
import { Ask } from './questions.tsx';
import type { Draft, Refused, RequestView } from './request-data.ts';
import { PROOF } from './request-decides.tsx';
import type { Shell } from './shell.ts';

/** The decision: two forms, or a sentence that says why there is nothing to press. */
export const Ballots = ({
  shell,
  view,
  refused,
  draft,
}: {
  shell: Shell;
  view: RequestView;
  refused: Refused | null;
  draft: Draft | null;
}): Html => {
  const { standing } = view;
  if (standing.kind === 'over') return <Outcome view={view} />;
  if (standing.kind === 'may_not')
    return (
      <Panel title="Your decision" id="decide">
        <p class="strong">{standing.title}</p>
        <p>{visible(standing.says)}</p>
        {standing.link ? (
          <p>
            <a class="button" href={standing.link.href}>
              {standing.link.label}
            </a>
          </p>
        ) : null}
      </Panel>
    );
  return (
    <Panel title="Your decision" id="decide" note="Recorded under your name, with what you saw.">
      {standing.inSteadOf ? (
        <p class="strong">
          You vote in the stead of <Untrusted text={standing.inSteadOf} />, who is away.
        </p>
      ) : null}
      {(standing.notFor ?? []).map(({ title, strength }) => (
        <p class="strong">
          As you are signed in, your vote does not count for <Untrusted text={title} />, which takes{' '}
          {PROOF[strength]}. <a href="/me">Your account</a> says how.
        </p>
      ))}
      {draft ? (
        <Drafted shell={shell} view={view} draft={draft} />
      ) : (
        <Approve shell={shell} view={view} refused={refused} />
      )}
      <Narrow shell={shell} view={view} />
      {view.asks.length === 0 ? null : <Ask shell={shell} view={view} />}
      <Confirm label="Deny…">
        <Deny shell={shell} view={view} refused={refused} />
      </Confirm>
      {isSigned(view) ? <PasskeyScript shell={shell} /> : null}
    </Panel>
  );
};

interface BallotProps {
  shell: Shell;
  view: RequestView;
  refused: Refused | null;
}

const Approve = ({ shell, view, refused }: BallotProps): Html => (
  <Form shell={shell} action={`/requests/${view.id}`} sign={signAt(view)}>
    <Hidden view={view} decision="approve" />
    <Field id="approve-reason" label="Note (optional)">
      <textarea id="approve-reason" name="reason" rows={2} maxlength={2000}>
        {refused?.reason ?? ''}
      </textarea>
    </Field>
    {isSigned(view) ? <WhatYouSign decision="approve" view={view} /> : null}
    <button class="button button-primary button-wide" type="submit">
      {isSigned(view) ? 'Sign and approve' : 'Approve'}
    </button>
  </Form>
);

const Deny = ({ shell, view, refused }: BallotProps): Html => (
  <Form shell={shell} action={`/requests/${view.id}`} sign={signAt(view)}>
    <Hidden view={view} decision="deny" />
    <Field
      id="deny-reason"
      label="Reason"
      hint="The requester reads this. Say what would have to be different."
    >
      <textarea
        id="deny-reason"
        name="reason"
        rows={3}
        maxlength={2000}
        required
        aria-describedby="deny-reason-hint"
      >
        {refused?.reason ?? ''}
      </textarea>
    </Field>
    <fieldset>
      <legend class="legend">What the agent should do</legend>
      <label class="choice" for="disposition-revise">
        <input type="radio" id="disposition-revise" name="disposition" value="revise" checked />
        Change it and ask again
      </label>
      <label class="choice" for="disposition-stop">
        <input type="radio" id="disposition-stop" name="disposition" value="stop" />
        Stop: do not ask again
      </label>
    </fieldset>
    {isSigned(view) ? <WhatYouSign decision="deny" view={view} /> : null}
    <button class="button button-danger button-wide" type="submit">
      {isSigned(view) ? 'Sign and deny' : 'Deny'}
    </button>
  </Form>
);

const Outcome = ({ view }: { view: RequestView }): Html => (
  <Panel title="Outcome" id="decide">
    <p>
      <Badge state={view.state} />
    </p>
    {view.decidedBy === null ? null : (
      <p>
        Decided by <Untrusted text={view.decidedBy} />.
      </p>
    )}
    {view.denial ? (
      <>
        {view.denial.reason === null ? (
          <p class="quiet">No reason was given.</p>
        ) : (
          <blockquote>
            <Untrusted text={view.denial.reason} />
          </blockquote>
        )}
        <p>
          {view.denial.disposition === 'revise'
            ? 'The agent may change it and ask again.'
            : 'The agent was told to stop.'}
        </p>
      </>
    ) : null}
    {view.failure === null ? null : <p>It could not be carried out: {words(view.failure)}.</p>}
    {view.state === 'approved' ? (
      <p>The agent can now collect exactly this, once, until the approval runs out.</p>
    ) : null}
    {view.credential ? (
      <p>
        Its credential is <Badge state={view.credential.state} />
        {view.task ? (
          <>
            {' '}
            <a href={`/tasks/${view.task.id}`}>under its task</a>
          </>
        ) : null}
        .
      </p>
    ) : null}
  </Panel>
);
