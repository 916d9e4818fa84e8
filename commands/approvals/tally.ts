// Counts votes: whose count, on which route, as the tables know their people now.
import { and, inArray, isNotNull } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import type { RequestRow, VoteRow } from '../../db/rows.ts';
import { absence, person } from '../../db/schema/index.ts';
import {
  foldVotes,
  groupsOn,
  type CastVote,
  type FrozenRoute,
  type Tally,
  type Voter,
} from '../../domain/approval.ts';
import { asVoter, readOnCall, standIn, type Lock } from './approvers.ts';
import { votesOn } from './requests.ts';

/** The votes on a request, and what they amount to. */
export interface Count {
  votes: VoteRow[];
  tally: Tally;
  /** Whether a vote still counts on some route. */
  isGood: (vote: VoteRow) => boolean;
}

/** Counts the votes as their people stand now: who lost a group or was deactivated counts no more. */
export async function countVotes(
  query: Query | Transaction,
  row: RequestRow,
  at: string,
  lock: Lock = null,
): Promise<Count> {
  const votes = await votesOn(query, row.id);
  const ids = votes.flatMap(({ person: id, inSteadOf }) => [id, ...(inSteadOf ? [inSteadOf] : [])]);
  const read = query.select().from(person).where(inArray(person.id, ids)).orderBy(person.id);
  const people = await (lock ? read.for(lock) : read);
  const called = await readOnCall(query, row.routes, at, lock);
  const voters = new Map(people.map((who) => [who.id, asVoter(who, row.routes, called)]));
  const takenBack = await withdrawnUnder(query, votes);
  const groups = new Map(
    votes.map((vote) => [vote, takenBack.has(vote.absence ?? '') ? null : voterOf(vote, voters)]),
  );
  const groupsOf = (vote: VoteRow, { rule }: FrozenRoute): readonly string[] => {
    const voter = groups.get(vote);
    return voter ? groupsOn(voter, rule, row.involved) : [];
  };
  const byCast = new Map<CastVote, VoteRow>(votes.map((vote) => [vote, vote]));
  const tally = foldVotes(
    row.routes,
    votes,
    (cast, route) => {
      const vote = byCast.get(cast);
      return vote ? groupsOf(vote, route) : [];
    },
    elapsedSeconds(row, at),
  );
  return {
    votes,
    tally,
    isGood: (vote) => row.routes.some((route) => groupsOf(vote, route).length > 0),
  };
}

/** What the votes amount to. */
export const tallyOf = async (
  query: Query | Transaction,
  row: RequestRow,
  at: string,
  lock: Lock = null,
): Promise<Tally> => (await countVotes(query, row, at, lock)).tally;

function voterOf(vote: VoteRow, voters: ReadonlyMap<string, Voter>): Voter | null {
  const voter = voters.get(vote.person);
  if (!voter || vote.inSteadOf === null) return voter ?? null;
  const away = voters.get(vote.inSteadOf);
  return away ? standIn(voter, away) : null;
}

/** The absences that were taken back: a vote for somebody who is back, or never left, is none. */
async function withdrawnUnder(
  query: Query | Transaction,
  votes: readonly VoteRow[],
): Promise<Set<string>> {
  const ids = votes.flatMap(({ absence: id }) => id ?? []);
  if (ids.length === 0) return new Set();
  const rows = await query
    .select({ id: absence.id })
    .from(absence)
    .where(and(inArray(absence.id, ids), isNotNull(absence.withdrawnAt)));
  return new Set(rows.map(({ id }) => id));
}

/** How long a request has waited. */
export const elapsedSeconds = (row: Pick<RequestRow, 'createdAt'>, at: string): number =>
  (Date.parse(at) - Date.parse(row.createdAt)) / 1000;
