// @spec AuthZEN-1.0#section-8
// Searches: who may do this, to what, or what at all. Candidates are what the policy and our tables know of; each is
// judged as if it were asked about, and only a plain yes is a result.
import { and, asc, eq, gt } from 'drizzle-orm';
import { agent, person } from '../../db/schema/index.ts';
import type { Named, Tuple } from '../../domain/access-tuple.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Deps } from '../deps.ts';
import { schemaOf } from '../policy/bundle-schema.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import type { Reader } from '../policy/party-entities.ts';
import type { Unit } from '../unit.ts';
import { actionFor, judgeQuestion, refuseAboutOthers, standingOf } from './ask.ts';
import { kindOf, whyNotApplicable } from './question.ts';

/** What is searched for; the other two are given. */
export const SEARCHES = ['subject', 'resource', 'action'] as const;
export type Search = (typeof SEARCHES)[number];

export interface Wanted {
  search: Search;
  /** With nothing in the place that is searched for, save its type and what is claimed of it. */
  pattern: Tuple;
  /** The last candidate that was looked at before; null at the beginning. */
  after: string | null;
  limit: number;
}

export interface Found {
  results: JsonObject[];
  /** Where to go on; null at the end. */
  next: string | null;
}

/** One call looks at this many candidates, whatever its limit: the rest is on further pages. */
const LOOKED_AT_MAX = 200;

/** One page of results, recorded as one search. */
export async function searchAccess(unit: Unit, deps: Deps, wanted: Wanted): Promise<Found> {
  const { search, pattern, after, limit } = wanted;
  const standing = await standingOf(unit, deps);
  const { bundle } = standing;
  await refuseAboutOthers(unit, bundle, [
    search === 'subject' ? { type: pattern.subject.type, id: null } : pattern.subject,
  ]);
  const candidates = await candidatesFor(unit.sql, bundle, wanted, LOOKED_AT_MAX + 1);
  const results: JsonObject[] = [];
  let looked = 0;
  for (const candidate of candidates.slice(0, LOOKED_AT_MAX)) {
    if (results.length === limit) break;
    looked += 1;
    const tuple = filledIn(search, pattern, candidate);
    const { decision } = await judgeQuestion(unit, standing, actionFor(unit, bundle, tuple));
    if (decision === 'permit') results.push(resultOf(search, pattern, candidate));
  }
  const { principal } = unit.call;
  unit.emit('access.searched', {
    subject: principal.id,
    policy_version: bundle.version,
    detail: {
      search,
      kind: kindOf(bundle, pattern),
      looked_at: looked,
      found: results.length,
      is_first: after === null,
    },
    private: { subject: pattern.subject.id, resource: pattern.resource.id },
  });
  const last = candidates[looked - 1];
  return { results, next: looked < candidates.length ? (last ?? after) : null };
}

function filledIn(search: Search, pattern: Tuple, candidate: string): Tuple {
  if (search === 'action') return { ...pattern, action: { ...pattern.action, name: candidate } };
  return { ...pattern, [search]: { ...pattern[search], id: candidate } };
}

const resultOf = (search: Search, pattern: Tuple, candidate: string): JsonObject =>
  search === 'action' ? { name: candidate } : { type: pattern[search].type, id: candidate };

async function candidatesFor(
  tx: Reader,
  bundle: PolicyBundle,
  { search, pattern, after }: Wanted,
  most: number,
): Promise<string[]> {
  if (search === 'action') {
    const names = [...schemaOf(bundle).actions.keys()].filter(
      (name) => whyNotApplicable(bundle, filledIn(search, pattern, name)) === null,
    );
    return page(names, after, most);
  }
  // An action that no such subject does to such a resource is done by none of them.
  if (whyNotApplicable(bundle, pattern) !== null) return [];
  return idsOf(tx, bundle, pattern[search], after, most);
}

/** Ids of one type, in an order that stays. */
async function idsOf(
  tx: Reader,
  bundle: PolicyBundle,
  { type }: Named,
  after: string | null,
  most: number,
): Promise<string[]> {
  if (type === 'Agent') {
    const rows = await tx
      .select({ id: agent.id })
      .from(agent)
      .where(
        and(
          eq(agent.state, 'active'),
          after === null ? undefined : gt(agent.id, after as Id<'agent'>),
        ),
      )
      .orderBy(asc(agent.id))
      .limit(most);
    return rows.map(({ id }) => id);
  }
  if (type === 'Person') {
    const rows = await tx
      .select({ id: person.id })
      .from(person)
      .where(
        and(
          eq(person.state, 'active'),
          after === null ? undefined : gt(person.id, after as Id<'person'>),
        ),
      )
      .orderBy(asc(person.id))
      .limit(most);
    return rows.map(({ id }) => id);
  }
  return page(namesOf(bundle, type), after, most);
}

function namesOf(bundle: PolicyBundle, type: string): string[] {
  if (type === 'Role') return [...bundle.roles.keys()];
  if (type === 'Upstream') return [...bundle.upstreams.keys()];
  const listed = schemaOf(bundle).types.get(type)?.ids ?? [];
  const declared = [...bundle.entities.values()].filter(({ uid }) => uid.type === type);
  return [...listed, ...declared.map(({ uid }) => uid.id)];
}

const page = (names: readonly string[], after: string | null, most: number): string[] =>
  names
    .filter((name) => after === null || name > after)
    .toSorted()
    .slice(0, most);
