// What a request is about, line by line as its approvers read it: what and why first, then who, then the ids.
import type { Child } from 'hono/jsx';
import { visible } from '../domain/card.ts';
import { Badge, dateText, Facts, Panel, spanText, Untrusted, type Html } from './parts.tsx';
import type { RequestView } from './request-data.ts';

/** What a label of the card means to somebody who decides. */
const LABELS: Record<string, string> = {
  'Parameter ttl_seconds': 'For how long',
  'Parameter not_before': 'Not before',
  'Parameter url': 'Address',
  'Parameter method': 'Method',
  'Parameter body': 'Body',
  'Parameter headers': 'Headers',
  'Parameter preview': 'What is there now',
  'Parameter incident': 'Incident',
  'Parameter continues': 'Earlier uses for this incident',
  'Parameter uses': 'How often',
  'Parameter for_seconds': 'Stands for',
  'Parameter purpose': 'For the purpose',
  'Context reason': 'Reason given',
  'Context purpose': 'Purpose of the task',
  'Context task': 'Task',
  'Context triggered_by': 'Set off by',
  'Context triggered_by_proof': 'Proof of who did',
};

/** Plain names that are right for calls alone. */
const CALL_LABELS = new Set(['Parameter body', 'Parameter headers', 'Parameter preview']);

/** Plain names that are right for statements alone. */
const STATEMENT_LABELS: Record<string, string> = {
  'Parameter statement': 'Statement',
  'Parameter parameters': 'Its parameters',
  'Parameter preview': 'What it would do',
  'Parameter effect': 'Effect',
  'Parameter max_affected_rows': 'Rows it may change',
  'Parameter max_rows': 'Rows it may return',
  'Parameter timeout_seconds': 'Stopped after',
};

/** Labels say where a line of the action stands; these are the ones with a plainer name. */
function labelOf(label: string, view: RequestView): string {
  const { action } = view.card.action;
  if (action === 'agent:admit' && label === 'Context purpose') return 'Purpose';
  if (action === 'statement:run' && label in STATEMENT_LABELS)
    return STATEMENT_LABELS[label] ?? label;
  if (action !== 'http:call' && CALL_LABELS.has(label)) return label;
  return LABELS[label] ?? label;
}

/** Who says what is only said. */
const claimOf = (label: string): string =>
  label.startsWith('Answer ') ? 'said in answer' : 'said by the requester';

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

function cardText(label: string, text: string, view: RequestView): Child {
  if (label.endsWith('_seconds') && /^\d+$/.test(text))
    return Number(text) < 60 ? `${text} seconds` : `${spanText(Number(text))} (${text} seconds)`;
  if (label === 'Parameter not_before' && INSTANT.test(text)) return `${dateText(text)} (${text})`;
  const isStatement = view.card.action['action'] === 'statement:run';
  if (isStatement && label === 'Parameter parameters') return <Places text={text} />;
  if (isStatement && label === 'Parameter statement')
    return (
      <span class="mono">
        <Untrusted text={text} />
      </span>
    );
  return <Untrusted text={text} />;
}

/** The parameters of a statement by the names that its text has for them; as they stand where that is no list. */
const Places = ({ text }: { text: string }): Html => {
  const values = listIn(text);
  if (values === null || values.length === 0) return <Untrusted text={text} />;
  return (
    <ul class="places-of">
      {values.map((value, at) => (
        <li>
          <span class="quiet">${at + 1}</span>{' '}
          <span class="mono">
            <Untrusted text={JSON.stringify(value)} />
          </span>
        </li>
      ))}
    </ul>
  );
};

function listIn(text: string): unknown[] | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

/** What is wanted and why comes first, then who; what only the record needs comes last. */
const FIRST: readonly string[] = ['Who', 'Wants', 'Parameter statement', 'Context reason'];
const LAST: readonly string[] = [
  'Context task',
  'Context triggered_by',
  'Context triggered_by_proof',
];

function rank({ label }: { label: string }): number {
  if (FIRST.includes(label)) return FIRST.indexOf(label) - FIRST.length;
  if (label.startsWith('Parameter ') || label.startsWith('Asked for ') || label === 'Narrowed')
    return 0;
  return LAST.includes(label) ? 2 : 1;
}

/** Every line of the card, with what it means and who says it. */
export const WhatRuns = ({ view }: { view: RequestView }): Html => (
  <Panel
    title={view.state === 'pending' ? 'What you decide on' : 'What was asked for'}
    note={view.state === 'pending' ? grain(view) : null}
  >
    <Facts
      facts={[
        ...view.card.lines
          .toSorted((a, b) => rank(a) - rank(b))
          .map(({ label, text, claimed }) => ({
            label: labelOf(label, view),
            value: (
              <>
                {cardText(label, text, view)}
                {claimed ? <span class="claimed">{claimOf(label)}</span> : null}
              </>
            ),
          })),
        view.role && { label: 'What the role gives', value: visible(roleText(view.role)) },
        view.task && {
          label: 'Behind the task',
          value: (
            <>
              <Untrusted text={view.task.trigger} /> <ProofBadge proof={view.task.proof} />{' '}
              <a href={`/tasks/${view.task.id}`}>see the task</a>
            </>
          ),
        },
        view.agent === null
          ? null
          : { label: 'Registry', value: <a href={`/agents/${view.agent}`}>see the agent</a> },
      ]}
    />
  </Panel>
);

const PROOFS: Record<string, { state: string; label: string }> = {
  verified: { state: 'effective', label: 'verified' },
  claimed: { state: 'pending', label: 'only claimed' },
  none: { state: 'none', label: 'nobody named' },
};

const ProofBadge = ({ proof }: { proof: string }): Html => {
  const { state, label } = PROOFS[proof] ?? { state: 'none', label: proof };
  return <Badge state={state} label={label} />;
};

function grain(view: RequestView): string {
  switch (view.card.action['action']) {
    case 'credential:request':
      return 'You approve a session: a login with this role, for this long. What is then done with it is not approved statement by statement, and the verdict on this control says so.';
    case 'grant:open':
      return 'You approve many uses at once: until it ends, each of them is given without asking you or anybody again.';
    case 'credential:break_glass':
      return 'This goes past the people who would have to be asked. Confirm it only if you know of the emergency yourself: your name stands under it, and none of you can do it again before somebody else has reviewed it.';
    case 'break_glass:prepare':
      return 'You let a login lie ready at its target, which two people can open together while this service is down, without asking you or anybody. Its use is seen afterwards, and reviewed.';
    case 'access:evaluate':
      return 'You let exactly this be done once, where an enforcement point of others stands guard. What it says of whom and what this is about is its own word.';
    case 'agent:admit':
      return 'You let an identity in, with these keys. What it may then ask for is up to the policy.';
    case 'agent:add_key':
      if (isForJoinToken(view))
        return 'Whoever first comes with this join token brings a key, and can sign in as the agent with it from then on.';
      return 'Whoever holds this key can sign in as the agent from then on, beside the keys it has.';
    case 'policy:activate':
      return 'You replace the rules that everything else here is decided by.';
    default:
      return 'You approve exactly this action, once.';
  }
}

const isForJoinToken = ({ card }: RequestView): boolean =>
  typeof card.action['parameters'] === 'object' &&
  card.action['parameters'] !== null &&
  'join_token' in card.action['parameters'];

const roleText = ({ title, gives, seconds }: NonNullable<RequestView['role']>): string =>
  `${title}: ${gives}, for at most ${spanText(seconds)} at a time (by today’s policy)`;
