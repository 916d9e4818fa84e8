// Everything that can act by itself, as an auditor counts it: agents that were registered here, identities that
// discovery found in the targets, and secrets that were put in to be lent.
import { count, countDistinct, eq, inArray, isNotNull, isNull, ne } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import {
  agent,
  agentKey,
  credential,
  foundIdentity,
  person,
  secretCustody,
  staticSecret,
} from '../../db/schema/index.ts';
import { UNSEEN_MS } from '../../domain/found-identity.ts';
import { toMs } from '../../domain/instant.ts';
import { ALIVE } from '../../domain/lifecycle.ts';
import type { PopulationMember } from '../../domain/population.ts';

/** All of them, agents first; what is gone, retired or was rejected is no part of it. */
export async function readPopulation(query: Query, now: string): Promise<PopulationMember[]> {
  return [
    ...(await registered(query)),
    ...(await discovered(query)),
    ...(await stored(query, now)),
  ];
}

async function registered(query: Query): Promise<PopulationMember[]> {
  const rows = await query
    .select({ agent, owner: person.name })
    .from(agent)
    .innerJoin(person, eq(person.id, agent.owner))
    .where(inArray(agent.state, ['requested', 'active', 'suspended']))
    .orderBy(agent.id);
  const keys = await query
    .select({ agent: agentKey.agent, number: count() })
    .from(agentKey)
    .where(eq(agentKey.state, 'active'))
    .groupBy(agentKey.agent);
  const held = await query
    .select({ agent: credential.agent, number: count() })
    .from(credential)
    .where(inArray(credential.state, [...ALIVE]))
    .groupBy(credential.agent);
  const keysOf = new Map(keys.map((row) => [row.agent, row.number]));
  const heldBy = new Map(held.map((row) => [row.agent, row.number]));
  return rows.map(({ agent: row, owner }) => ({
    source: 'registered',
    id: row.id,
    name: row.name,
    kind: row.kind,
    state: row.retiring ? 'retiring' : row.state,
    target: null,
    owner: row.owner,
    owner_name: owner,
    owner_by: 'registration',
    agent: null,
    risks: '',
    around: '',
    keys: keysOf.get(row.id) ?? 0,
    credentials: heldBy.get(row.id) ?? 0,
    expires_at: null,
    last_used_at: row.lastUsedAt,
    since: row.createdAt,
  }));
}

async function discovered(query: Query): Promise<PopulationMember[]> {
  const owner = agent.owner;
  const rows = await query
    .select({ row: foundIdentity, owner })
    .from(foundIdentity)
    .leftJoin(agent, eq(agent.id, foundIdentity.agent))
    .where(ne(foundIdentity.state, 'gone'))
    .orderBy(foundIdentity.id);
  const ids = rows.flatMap((each) => each.owner ?? each.row.guessedOwner ?? []);
  const people =
    ids.length === 0
      ? []
      : await query
          .select({ id: person.id, name: person.name })
          .from(person)
          .where(inArray(person.id, [...new Set(ids)]));
  const names = new Map<string, string>(people.map(({ id, name }) => [id, name]));
  return rows.map(({ row, owner: adopter }) => {
    const answering = adopter ?? row.guessedOwner;
    return {
      source: 'discovered',
      id: row.id,
      name: row.name,
      kind: row.kind,
      state: row.state,
      target: row.target,
      owner: answering,
      owner_name: answering && (names.get(answering) ?? null),
      owner_by: answering === null ? null : adopter === null ? 'guess' : 'registration',
      agent: row.agent,
      risks: row.risks.join(' '),
      around: row.around.join(' '),
      keys: 0,
      credentials: 0,
      expires_at: row.facts.expiresAt,
      last_used_at: row.usedAt,
      since: row.firstSeenAt,
    };
  });
}

async function stored(query: Query, now: string): Promise<PopulationMember[]> {
  const rows = await query
    .select({
      name: staticSecret.name,
      putAt: staticSecret.putAt,
      taintedAt: staticSecret.taintedAt,
    })
    .from(staticSecret)
    .where(isNotNull(staticSecret.sealed))
    .orderBy(staticSecret.name);
  const held = await query
    .select({ secret: secretCustody.secret, number: countDistinct(secretCustody.credential) })
    .from(secretCustody)
    .where(isNull(secretCustody.endedAt))
    .groupBy(secretCustody.secret);
  const heldOf = new Map(held.map((row) => [row.secret, row.number]));
  return rows.map(({ name, putAt, taintedAt }) => ({
    source: 'stored',
    id: name,
    name,
    kind: 'secret',
    state: taintedAt === null ? 'stored' : 'tainted',
    target: null,
    owner: null,
    owner_name: null,
    owner_by: null,
    agent: null,
    risks: toMs(now) - toMs(putAt) < UNSEEN_MS ? 'no_expiry' : 'no_expiry old_secret',
    around: '',
    keys: 0,
    credentials: heldOf.get(name) ?? 0,
    expires_at: null,
    last_used_at: null,
    since: putAt,
  }));
}
