// Loads what the pages about requests show.
import { eq } from 'drizzle-orm';
import { accessOf } from '../../commands/access/kinds.ts';
import { findTask } from '../../commands/agents/tasks.ts';
import { standingsOf } from '../../commands/approvals/approvers.ts';
import { addresseesOf, mayAnswer } from '../../commands/approvals/ask.ts';
import { dayBefore } from '../../commands/approvals/attention-budget.ts';
import { overBudgetNow } from '../../commands/approvals/attention.ts';
import { effectiveAction } from '../../commands/approvals/narrow.ts';
import { cardOf } from '../../commands/approvals/requests.ts';
import { countVotes, tallyOf, type Count } from '../../commands/approvals/tally.ts';
import type { PolicyBundle } from '../../commands/policy/bundle.ts';
import { readActiveBundle } from '../../commands/policy/policies.ts';
import { mayAudit, type PersonPrincipal } from '../../commands/principal.ts';
import { passkeysOf } from '../../commands/sign-in/passkeys.ts';
import type { Query } from '../../db/client.ts';
import type { RequestRow } from '../../db/rows.ts';
import { credential } from '../../db/schema/index.ts';
import {
  groupsAfter,
  isStrongEnough,
  routesFor,
  whyIneligible,
  type RouteRule,
  type Tally,
  type Voter,
} from '../../domain/approval.ts';
import { shownDigest } from '../../domain/card.ts';
import { secondsBetween } from '../../domain/instant.ts';
import { startOf } from '../../domain/narrowing.ts';
import type { RequestView, RouteView, Standing } from '../../web/request-data.ts';
import type { RequestSummary } from '../../web/requests.tsx';
import type { ConsoleDeps } from './console.ts';
import { personNames } from './names.ts';
import { narrowViewOf } from './narrow-form.ts';

/** A request as lists show it. */
async function summaryOf(query: Query, row: RequestRow, now: string): Promise<RequestSummary> {
  const tally = await tallyOf(query, row, now);
  const { purpose } = row.action.context;
  return {
    id: row.id,
    state: row.state,
    title: cardOf(row).title,
    purpose: typeof purpose === 'string' ? purpose : null,
    // With several routes, the one that is furthest from its quorum.
    ...(row.routes
      .map(({ name, rule }) => ({ approvals: tally.approvals[name] ?? 0, quorum: rule.quorum }))
      .toSorted((a, b) => b.quorum - b.approvals - (a.quorum - a.approvals))[0] ?? {
      approvals: 0,
      quorum: 0,
    }),
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
  };
}

export const summariesOf = (
  query: Query,
  rows: readonly RequestRow[],
  now: string,
): Promise<RequestSummary[]> => Promise.all(rows.map((row) => summaryOf(query, row, now)));

/** Everything the approver's page shows. */
export async function requestView(
  deps: ConsoleDeps,
  row: RequestRow,
  reader: PersonPrincipal,
  now: string,
): Promise<RequestView> {
  const query = deps.db.query;
  const card = cardOf(row);
  const count = await countVotes(query, row, now);
  const { votes } = count;
  const name = await personNames(query, [
    row.decidedBy,
    ...votes.flatMap((each) => [each.person, each.inSteadOf]),
  ]);
  const bundle = await readActiveBundle(query, deps.policies);
  return {
    id: row.id,
    state: row.state,
    card,
    shown: shownDigest(card),
    action: JSON.stringify(card.action, null, 2),
    role: roleOf(bundle, row),
    controls: row.controls,
    whyHeld: row.whyHeld,
    policyVersion: row.policyVersion,
    routes: routesOf(row, count.tally, now),
    votes: votes.map((each) => ({
      person: name(each.person),
      decision: each.decision,
      channel: each.channel,
      slackBinding: each.slackBinding,
      strength: each.strength,
      at: each.at,
      reason: each.reason,
      inSteadOf: each.inSteadOf && name(each.inSteadOf),
    })),
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
    decidedAt: row.decidedAt,
    decidedBy: row.decidedBy && name(row.decidedBy),
    approvedUntil: row.approvedUntil,
    startsAt: startOf(effectiveAction(row)),
    denial: row.denial,
    failure: row.failure,
    agent: row.agent,
    task: await taskOf(query, row),
    credential: await credentialOf(query, row),
    standing: await standingOf(query, row, count, reader, now),
    asks: addresseesOf(row),
    toAnswer: row.questions
      .filter((each) => each.state === 'open' && mayAnswer(reader, row, each))
      .map(({ id, by, text }) => ({ id, by: by.name, text })),
    attention: await overBudgetNow(query, row, reader.id, dayBefore(now)),
    narrowable: narrowViewOf(row),
    audits: mayAudit(reader),
  };
}

function routesOf(row: RequestRow, { approvals, stages, open }: Tally, now: string): RouteView[] {
  const elapsed = secondsBetween(row.createdAt, now);
  return row.routes.map(({ name, rule }) => ({
    name,
    title: rule.title,
    groups: groupsAfter(rule, elapsed),
    quorum: rule.quorum,
    approvals: approvals[name] ?? 0,
    stages: (stages[name] ?? []).map((stage, at) => ({
      title: stage.title,
      seats: stage.seats,
      state: stage.isComplete ? 'complete' : at === open[name] ? 'open' : 'waiting',
    })),
    strength: rule.strength,
    barred: barredWords(rule),
  }));
}

/** Who may not decide on a route, whatever groups they are in. */
export const barredWords = ({ independence }: RouteRule): string[] => [
  'whoever asked',
  ...(independence.owner === 'barred' ? ['the owner of the agent'] : []),
  ...(independence.triggerer === 'barred' ? ['whoever set off the task'] : []),
  'any agent or automation',
];

function roleOf(bundle: PolicyBundle, row: RequestRow): RequestView['role'] {
  if (row.action.resource.type !== 'role') return null;
  const role = bundle.roles.get(row.action.resource.id);
  if (!role) return null;
  return {
    title: role.title,
    gives: accessOf(role).gives(role),
    seconds: role.ttl_seconds_max,
  };
}

async function taskOf(query: Query, row: RequestRow): Promise<RequestView['task']> {
  const found = row.task === null ? null : await findTask(query, row.task);
  if (!found) return null;
  const name = await personNames(query, [found.triggeredBy]);
  return {
    id: found.id,
    purpose: found.purpose,
    state: found.state,
    trigger: found.triggeredBy === null ? 'No person' : name(found.triggeredBy),
    proof: found.triggeredByProof,
  };
}

async function credentialOf(query: Query, row: RequestRow): Promise<RequestView['credential']> {
  if (row.credential === null) return null;
  const [lease] = await query.select().from(credential).where(eq(credential.id, row.credential));
  return lease ? { id: lease.id, state: lease.state, expiresAt: lease.expiresAt } : null;
}

const WHY_NOT = {
  self_approval: {
    title: 'This is not for you to decide',
    says: 'You asked for it, own the agent, or set off its task. Nobody approves for themselves: somebody else in the groups named here has to decide.',
  },
  not_eligible: {
    title: 'You are not among its approvers',
    says: 'Your groups are not among those named here. You can read everything, and an administrator can change your groups.',
  },
  not_your_turn: {
    title: 'It is not your turn',
    says: 'The stages of this request come one after the other, and the people of another one decide now. Once theirs is complete you find it in your inbox.',
  },
};

/** Whether a vote of this reader would count. Only shown; `decide` is what checks. */
async function standingOf(
  query: Query,
  row: RequestRow,
  { votes, tally: { open } }: Count,
  reader: PersonPrincipal,
  now: string,
): Promise<Standing> {
  if (row.state !== 'pending') return { kind: 'over' };
  if (!(now < row.expiresAt))
    return {
      kind: 'may_not',
      title: 'The time to decide is over',
      says: 'It is being closed as expired, which is not recorded as anybody’s denial. The agent can ask again.',
    };
  if (votes.some((each) => each.person === reader.id))
    return {
      kind: 'may_not',
      title: 'You have voted',
      says: 'Your vote is below. The request waits for others.',
    };
  const elapsed = secondsBetween(row.createdAt, now);
  const voters = await (await standingsOf(query, reader.id, now))(row.routes);
  const why = (voter: Voter) => whyIneligible(voter, row.routes, row.involved, elapsed, open);
  const voter =
    voters.find((each) => why(each) === null) ??
    voters.find((each) => why(each) === 'not_your_turn') ??
    voters[0];
  const whyNot = voter ? why(voter) : 'not_eligible';
  if (!voter || whyNot) return { kind: 'may_not', ...WHY_NOT[whyNot ?? 'not_eligible'] };
  const mine = routesFor(voter, row.routes, row.involved, elapsed, open).filter(({ rule }) =>
    rule.channels.includes('web'),
  );
  if (mine.length === 0)
    return {
      kind: 'may_not',
      title: 'This is not decided here',
      says: 'Its route takes votes through other channels only.',
    };
  const hasPasskey = (await passkeysOf(query, reader.id)).length > 0;
  const wanted = mine.map(({ rule }) => rule.strength);
  const signs = hasPasskey && wanted.includes('passkey');
  if (!signs && !wanted.some((each) => isStrongEnough(reader.strength, each)))
    return { kind: 'may_not', ...(wanted.includes('fresh') ? SIGN_IN_AGAIN : ADD_PASSKEY) };
  const name = await personNames(query, [voter.inSteadOf ?? null]);
  const short = mine.filter(
    ({ rule }) => !signs && !isStrongEnough(reader.strength, rule.strength),
  );
  return {
    kind: 'may',
    inSteadOf: voter.inSteadOf ? name(voter.inSteadOf) : null,
    signs,
    notFor: short.map(({ rule }) => ({ title: rule.title, strength: rule.strength })),
  };
}

const ADD_PASSKEY = {
  title: 'This needs a passkey',
  says: 'It is decided by signing it with a passkey, and you have none yet.',
  link: { href: '/me', label: 'Add a passkey' },
};

const SIGN_IN_AGAIN = {
  title: 'This needs a stronger proof that you are here',
  says: 'Sign in again, with a passkey or a new link, and decide within five minutes.',
  link: { href: '/me', label: 'Sign in again' },
};
