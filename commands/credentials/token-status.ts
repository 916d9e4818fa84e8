// Token status lists (draft-ietf-oauth-status-list): one bit per token, so that whoever checks tokens offline learns
// of a revocation, and we learn nothing of who is checked.
import { randomInt } from 'node:crypto';
import { desc, lt, notExists, sql } from 'drizzle-orm';
import type { Query, Transaction } from '../../db/client.ts';
import { statusList, tokenStatus } from '../../db/schema/index.ts';
import type { Digest } from '../../domain/digest.ts';
import type { Id } from '../../domain/id.ts';
import { readActiveBundle, type PolicyCache } from '../policy/policies.ts';
import type { Standing } from '../sign-in/agent-sign-in.ts';
import type { Unit } from '../unit.ts';

/** Places in one list. */
const STATUS_LIST_LENGTH = 2 ** 17;

/** A list whose places are taken this often in a row is nearly half full, and the next one is opened. */
const TRIES_MAX = 6;

/** Where the status of a token is found: the list and the place in it. */
export interface StatusPlace {
  list: number;
  index: number;
}

/** The `status` claim that leads to a place. */
export const statusClaim = (issuer: string, { list, index }: StatusPlace) => ({
  status_list: { idx: index, uri: statusListUrl(issuer, list) },
});

/** Where a list is published; its own subject says the same. */
export const statusListUrl = (issuer: string, list: number): string =>
  `${issuer}/oauth2/status-lists/${list}`;

export interface StatusOf {
  jti: string;
  credential: Id<'credential'> | null;
  agents: Id<'agent'>[];
  standing: Standing | null;
  task: Id<'task'> | null;
  /** Where that is not now: who signs in within the second of being resumed does so in the next one. */
  signedInAt?: string;
  expiresAt: string;
}

/** Takes a random place for a token. Two who draw the same one do not both get it, and none is given twice. */
export async function takeStatusPlace(unit: Unit, token: StatusOf): Promise<StatusPlace> {
  let list = (await newestList(unit.sql)) ?? (await openList(unit, 0));
  for (let tries = 1; ; tries += 1) {
    const index = randomInt(STATUS_LIST_LENGTH);
    const [taken] = await unit.sql
      .insert(tokenStatus)
      .values({ ...rowOf(token), list, index, signedInAt: token.signedInAt ?? unit.at })
      .onConflictDoNothing()
      .returning({ index: tokenStatus.index });
    if (taken) return { list, index };
    if (tries % TRIES_MAX === 0) list = await openList(unit, list);
  }
}

/** Keeps the place of a credential for as long as it now lasts. */
export async function keepStatusPlace(
  unit: Unit,
  id: Id<'credential'>,
  expiresAt: string,
): Promise<void> {
  await unit.sql
    .update(tokenStatus)
    .set({ expiresAt })
    .where(sql`${tokenStatus.credential} = ${id}`);
}

/** Takes a place for a token that an agent signs in with. */
export const placeForSignIn = (
  unit: Unit,
  {
    agent,
    ...token
  }: Pick<StatusOf, 'jti' | 'standing' | 'signedInAt' | 'expiresAt'> & { agent: Id<'agent'> },
): Promise<StatusPlace> =>
  takeStatusPlace(unit, { ...token, credential: null, agents: [agent], task: null });

const rowOf = ({ jti, credential, agents, standing, task, expiresAt }: StatusOf) => ({
  jti,
  credential,
  agents,
  key: standing?.kind === 'key' ? standing.key : null,
  wayIn: standing?.kind === 'way_in' ? standing.wayIn : null,
  task,
  expiresAt,
});

async function newestList(query: Transaction): Promise<number | null> {
  const [row] = await query
    .select({ id: statusList.id })
    .from(statusList)
    .orderBy(desc(statusList.id))
    .limit(1);
  return row?.id ?? null;
}

/** Opens the list after this one, unless somebody else just did. */
async function openList(unit: Unit, after: number): Promise<number> {
  const id = after + 1;
  await unit.sql.insert(statusList).values({ id, openedAt: unit.at }).onConflictDoNothing();
  return id;
}

/** The place that was taken for a credential, or null. */
export async function placeOfCredential(
  query: Query | Transaction,
  id: Id<'credential'>,
): Promise<StatusPlace | null> {
  const [row] = await query
    .select({ list: tokenStatus.list, index: tokenStatus.index })
    .from(tokenStatus)
    .where(sql`${tokenStatus.credential} = ${id}`);
  return row ?? null;
}

/** The bits of a list, lowest first in each byte: 1 is a token that must not be taken. Null for a list that is not there. */
export async function statusBits(
  query: Query,
  policies: PolicyCache,
  list: number,
): Promise<Uint8Array | null> {
  const [known] = await query
    .select({ id: statusList.id })
    .from(statusList)
    .where(sql`${statusList.id} = ${list}`);
  if (!known) return null;
  const { federation } = await readActiveBundle(query, policies);
  const bits = new Uint8Array(STATUS_LIST_LENGTH / 8);
  const waysIn = federation.waysIn.map(({ digest }) => digest);
  for (const index of await deadPlaces(query, list, waysIn))
    bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
  return bits;
}

/** The places of tokens that would still be good by their own words, and stand on something that is not. */
async function deadPlaces(query: Query, list: number, waysIn: Digest[]): Promise<number[]> {
  const rows = await query.execute<{ index: number }>(sql`
    select s.index from token_status s
    where s.list = ${list} and s.expires_at > clock_timestamp() and (
      exists (select from revoked_token r where r.jti = s.jti)
      or (s.credential is not null and not exists (
        select from credential c where c.id = s.credential and c.state in ('pending', 'active')))
      or (s.key is not null and not exists (
        select from agent_key k where k.id = s.key and k.state = 'active'))
      or (s.way_in is not null and s.way_in <> all(${sql.param(`{${waysIn.join(',')}}`)}::text[]))
      or (s.task is not null and not exists (
        select from task t where t.id = s.task and t.state = 'running'))
      or exists (
        select from agent a where a.id = any(s.agents)
          and (a.state <> 'active' or date_trunc('second', a.admitted_at) > s.signed_in_at)))`);
  return rows.map(({ index }) => index);
}

/** Forgets places whose tokens expired, list by list: a place of a list that is still filled is never free again. */
export async function forgetStatusLists(unit: Unit, before: string): Promise<void> {
  const newest = (await newestList(unit.sql)) ?? 0;
  const over = unit.sql
    .select({ one: sql`1` })
    .from(tokenStatus)
    .where(sql`${tokenStatus.list} = ${statusList.id} and ${tokenStatus.expiresAt} > ${before}`);
  const gone = await unit.sql
    .select({ id: statusList.id })
    .from(statusList)
    .where(sql`${lt(statusList.id, newest)} and ${notExists(over)}`);
  for (const { id } of gone) {
    await unit.sql.delete(tokenStatus).where(sql`${tokenStatus.list} = ${id}`);
    await unit.sql.delete(statusList).where(sql`${statusList.id} = ${id}`);
  }
}
