// Access tokens of our own: what they say, and whether all that they stand on still holds.
import { inArray } from 'drizzle-orm';
import type { JWTPayload } from 'jose';
import { findTask } from '../../commands/agents/tasks.ts';
import { isRevoked } from '../../commands/credentials/revoke-token.ts';
import type { TokenFacts } from '../../commands/principal.ts';
import { isWordGood } from '../../commands/sign-in/act-for-person.ts';
import { findSignedIn, readStanding } from '../../commands/sign-in/agent-sign-in.ts';
import { databaseTime } from '../../commands/unit.ts';
import type { AgentRow } from '../../db/rows.ts';
import { agent } from '../../db/schema/index.ts';
import { chainOfClaims, readConfirmation } from '../../domain/delegation.ts';
import { isId, type Id } from '../../domain/id.ts';
import type { JsonValue } from '../../domain/json.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import type { ApiDeps } from '../route.ts';

/** An access token for our own API, whose agent may be in any state. */
export interface OwnToken extends TokenFacts {
  jti: string;
  /** Whoever acts with it. */
  agent: AgentRow;
  /** Whoever acts first, then each agent on whose behalf. */
  chain: Id<'agent'>[];
  /** The person it acts for; null where it acts for agents, or for itself. */
  person: Id<'person'> | null;
  /** The task that it was handed on for; null for a token that an agent signed in with. */
  task: Id<'task'> | null;
  scope: string;
  /** The only agent that may exchange it; then it is good for nothing else. */
  mayAct: string | null;
  expiresAt: string;
}

/** Verifies a token as one of ours for our own API. */
export async function readOwnToken(token: string, deps: ApiDeps): Promise<OwnToken | null> {
  const { issuer } = deps.installation;
  const claims = await deps.tokens.verify(token, ACCESS_TOKEN, issuer, issuer);
  return claims && ownTokenOf(claims, deps);
}

/** What verified claims stand on; null if any of it is over, or they are in no form of ours. */
export async function ownTokenOf(claims: JWTPayload, deps: ApiDeps): Promise<OwnToken | null> {
  const said = readClaims(claims);
  if (!said || (await isRevoked(deps.db.query, said.jti))) return null;
  const [actor = '', ...behind] = said.chain;
  const holder = await findSignedIn(deps.db.query, deps.policies, {
    agent: actor,
    standing: said.standing,
    atSeconds: said.atSeconds,
  });
  if (!holder || !(await isChainGood(deps, behind, said.atSeconds))) return null;
  if (said.task !== null && !(await isTaskRunning(deps, said.task))) return null;
  const { atSeconds, chain, word, ...facts } = said;
  if (said.person !== null) {
    const given = { agent: holder, person: said.person, word };
    if (!(await isWordGood(deps.db.query, deps.policies, given))) return null;
  }
  return {
    ...facts,
    agent: holder,
    // Whoever acts was found, and everybody else in the chain.
    chain: chain as Id<'agent'>[],
    signedInAt: new Date(atSeconds * 1000).toISOString(),
  };
}

type Said = Omit<OwnToken, 'agent' | 'signedInAt' | 'chain'> & {
  chain: string[];
  /** The policy's entry by which it acts for a person. */
  word: string;
  atSeconds: number;
};

function readClaims(claims: JWTPayload): Said | null {
  const {
    sub = '',
    jti = '',
    exp = 0,
    auth_time: atSeconds,
    client_id: client,
    task_id: task,
  } = claims;
  const standing = readStanding(claims);
  const all = chainOfClaims(sub, asJson(claims['act']));
  if (standing === null || typeof atSeconds !== 'number' || all === null) return null;
  const person = isId('person', sub) ? sub : null;
  const chain = person === null ? all : all.slice(0, -1);
  // Only the outermost actor acts (RFC 8693 §4.1), and the token was given to nobody else.
  if (chain[0] !== client) return null;
  // A person's word is to one agent, which hands it on to nobody.
  if (person !== null && (chain.length !== 1 || task !== undefined)) return null;
  return {
    jti,
    chain,
    standing,
    atSeconds,
    person,
    word: typeof claims['word'] === 'string' ? claims['word'] : '',
    confirmation: readConfirmation(asJson(claims['cnf'])),
    task: typeof task === 'string' ? (task as Id<'task'>) : null,
    scope: typeof claims['scope'] === 'string' ? claims['scope'] : '',
    mayAct: readMayAct(asJson(claims['may_act'])),
    expiresAt: new Date(exp * 1000).toISOString(),
  };
}

/** Claims come from JSON that was parsed. */
const asJson = (claim: unknown): JsonValue | undefined => claim as JsonValue | undefined;

/** Nobody may act on a claim that names nobody. */
function readMayAct(claim: JsonValue | undefined): string | null {
  if (claim === undefined) return null;
  const isObject = typeof claim === 'object' && claim !== null && !Array.isArray(claim);
  return isObject && typeof claim['sub'] === 'string' ? claim['sub'] : '';
}

/** Every agent on whose behalf it is has been active since, so that stopping any of them ends it at once. */
async function isChainGood(deps: ApiDeps, behind: string[], atSeconds: number): Promise<boolean> {
  if (behind.length === 0) return true;
  const rows = await deps.db.query
    .select()
    .from(agent)
    .where(inArray(agent.id, behind as Id<'agent'>[]));
  const isGood = ({ state, admittedAt }: AgentRow): boolean =>
    state === 'active' &&
    admittedAt !== null &&
    atSeconds >= Math.floor(Date.parse(admittedAt) / 1000);
  return rows.length === behind.length && rows.every(isGood);
}

async function isTaskRunning(deps: ApiDeps, id: string): Promise<boolean> {
  const row = await findTask(deps.db.query, id);
  return row?.state === 'running' && (await databaseTime(deps.db.query)) < row.deadlineAt;
}
