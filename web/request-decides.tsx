// Who decides a request and why they are asked, and what they have said so far.
import type { Child } from 'hono/jsx';
import type { Strength } from '../domain/approval.ts';
import { Badge, Code, Facts, Panel, Time, Untrusted, type Html } from './parts.tsx';
import { SLACK_BINDINGS, type RequestView, type RouteView } from './request-data.ts';

/** How somebody proves to be there, in words. */
export const PROOF: Record<Strength, string> = {
  session: 'any session',
  fresh: 'a sign-in within five minutes',
  passkey: 'a signature with a passkey',
};

/** Anybody of its groups, or so many of each, stage by stage. */
function whoDecides({ groups, stages }: RouteView): Child {
  const [only] = stages;
  if (stages.length < 2 && (only?.seats.length ?? 0) < 2) return `anybody in ${groups.join(', ')}`;
  const seats = (stage: RouteView['stages'][number]): string =>
    stage.seats
      .map((seat) => `${seat.approvals} of ${seat.quorum} ${seat.groups.join(' or ')}`)
      .join(', ');
  if (stages.length < 2 && only) return `${seats(only)}; nobody fills two seats`;
  return (
    <ol>
      {stages.map((stage) => (
        <li>
          {stage.title === null ? null : (
            <>
              <Untrusted text={stage.title} />:{' '}
            </>
          )}
          {seats(stage)} <span class="quiet">({stage.state})</span>
        </li>
      ))}
    </ol>
  );
}

export const WhyHeld = ({ view }: { view: RequestView }): Html => (
  <Panel title="Why it is held">
    {view.whyHeld.length === 0 ? null : (
      <ul>
        {view.whyHeld.map((reason) => (
          <li>
            <Untrusted text={reason} />
          </li>
        ))}
      </ul>
    )}
    {view.routes.map((route) => (
      <div class="route">
        <h3>
          {route.title}{' '}
          <span class="quiet">
            {route.approvals} of {route.quorum}{' '}
            {route.quorum === 1 ? 'approval' : 'approvals, by different people'}
          </span>
        </h3>
        <Facts
          facts={[
            { label: 'Route', value: <Code text={route.name} /> },
            { label: 'Who decides', value: whoDecides(route) },
            { label: 'Who may not', value: route.barred.join(', ') },
            {
              label: 'Sign-in',
              value: PROOF[route.strength],
            },
          ]}
        />
      </div>
    ))}
    <p class="note">
      {view.controls.length === 1 ? 'Control' : 'Controls'}:{' '}
      {view.controls.map((control, place) => (
        <>
          {place > 0 ? ', ' : ''}
          {view.audits ? <a href={`/controls/${control}`}>{control}</a> : control}
        </>
      ))}
      . Policy <Code text={view.policyVersion} />.
    </p>
  </Panel>
);

export const Votes = ({ view, now }: { view: RequestView; now: string }): Html => (
  <Panel title="Votes so far">
    {view.votes.length === 0 ? (
      <p class="quiet">{view.state === 'pending' ? 'Nobody has voted yet.' : 'Nobody voted.'}</p>
    ) : (
      <ul class="votes">
        {view.votes.map((vote) => (
          <li>
            <Badge
              state={vote.decision}
              label={vote.decision === 'approve' ? 'approved' : 'denied'}
            />{' '}
            <strong>
              <Untrusted text={vote.person} />
            </strong>
            <span class="under">
              <Time at={vote.at} now={now} />, by {vote.channel}
              {SLACK_BINDINGS[vote.slackBinding ?? ''] ?? ''}, {PROOF[vote.strength]}
            </span>
            {vote.inSteadOf === null ? null : (
              <span class="under">
                in the stead of <Untrusted text={vote.inSteadOf} />, who is away
              </span>
            )}
            {vote.reason === null ? null : (
              <blockquote>
                <Untrusted text={vote.reason} />
              </blockquote>
            )}
          </li>
        ))}
      </ul>
    )}
  </Panel>
);
