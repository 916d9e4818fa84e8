// A secret was found where it does not belong: whose it is, and its end. The text that was found is read for clues and
// then forgotten; nothing of it reaches a table, an event or an answer (I5).
import { and, arrayOverlaps, desc, eq, inArray, lt, or } from 'drizzle-orm';
import type { AgentRow, CredentialRow, LeakMatchRow, LeakRow } from '../../db/rows.ts';
import { agent, credential, leak, leakMatch, type LEAK_POLICIES } from '../../db/schema/index.ts';
import { isId, type Id } from '../../domain/id.ts';
import { fromMs, toMs } from '../../domain/instant.ts';
import { isFinal } from '../../domain/lifecycle.ts';
import { Refusal } from '../../domain/refusal.ts';
import { cluesIn, type Clues } from '../../keys/secret-text.ts';
import { ACCESS_TOKEN } from '../../keys/tokens.ts';
import { findAgent, lockAgent, suspendAgent } from '../agents/agents.ts';
import { revokeWhere } from '../agents/tasks.ts';
import { lockLease } from '../credentials/leases.ts';
import type { Deps } from '../deps.ts';
import { partyOf } from '../principal.ts';
import type { Reader } from '../record/events.ts';
import { newId, type Unit } from '../unit.ts';
import { closeLeak } from './leak-end.ts';

export interface LeakReport {
  /** What was found; never kept. */
  secret: string | null;
  /** What names it: a credential's id, the login, the certificate. Never kept either. */
  hint: string | null;
  source: string;
  place: string | null;
  seenAt: string | null;
  policy: (typeof LEAK_POLICIES)[number];
  scanner: Id<'scanner'> | null;
}

/** The agent whose own access token was found, signed out by whoever reports it. */
interface TokenFound {
  agent: AgentRow;
  isGood: boolean;
}

/** One secret given under more leases than this is for the next report: the first ends them. */
const MATCHES_MAX = 500;

interface Found {
  proven: Set<string>;
  credentials: CredentialRow[];
  tokens: TokenFound[];
}

/** Takes a report: what it leads to is on its way out when this commits. */
export async function reportLeak(unit: Unit, deps: Deps, report: LeakReport): Promise<LeakRow> {
  await refuseSecretPlaces(unit, deps, report);
  const clues = cluesIn(unit.vault, [report.secret ?? '', report.hint ?? ''].join('\n'));
  const secretOnly = cluesIn(unit.vault, report.secret ?? '');
  const found = await search(unit, deps, clues, secretOnly);
  const row = leakRow(unit, report, clues);
  await unit.sql.insert(leak).values(row);
  emitReported(unit, report, row, found.credentials.length + found.tokens.length);
  if (report.policy === 'suspend') await lockHolders(unit, found);
  const matches = await suspendAgents(unit, report, [
    ...(await endCredentials(unit, row, report, found)),
    ...(await signOut(unit, row, found.tokens)),
  ]);
  if (matches.length > 0) await unit.sql.insert(leakMatch).values(matches);
  for (const match of matches) emitMatched(unit, match);
  if (matches.some(({ outcome }) => outcome === 'revoked')) await closeLeak(unit, row.id);
  else await unit.sql.update(leak).set({ closedAt: unit.at }).where(eq(leak.id, row.id));
  const [after] = await unit.sql.select().from(leak).where(eq(leak.id, row.id));
  if (!after) throw new Error('a stored leak was not found');
  return after;
}

/** Agents before their credentials, as whoever suspends them locks both. */
async function lockHolders(unit: Unit, { credentials, tokens }: Found): Promise<void> {
  const ids = [...credentials.map((row) => row.agent), ...tokens.map((each) => each.agent.id)];
  for (const id of [...new Set(ids)].toSorted()) await lockAgent(unit, id);
}

/** Where it was found is kept, so it must not be what was found. */
async function refuseSecretPlaces(unit: Unit, deps: Deps, report: LeakReport): Promise<void> {
  const kept = [report.source, report.place ?? ''].join('\n');
  const secret = report.secret?.trim() ?? '';
  const clues = cluesIn(unit.vault, kept);
  const { proven } = await search(unit, deps, { ...clues, leases: [], names: [] }, clues);
  if ((secret !== '' && kept.includes(secret)) || proven.size > 0)
    throw new Refusal(
      'invalid_request',
      'The place or the source holds the secret itself, and both are kept: say them without it.',
    );
}

async function search(unit: Unit, deps: Deps, clues: Clues, proof: Clues): Promise<Found> {
  const signed = await readTokens(unit, deps, clues.tokens);
  const ids = [...clues.leases, ...signed.credentials].filter((id) => isId('credential', id));
  const marks = [...clues.secrets, ...clues.names];
  const credentials = await unit.sql
    .select()
    .from(credential)
    .where(
      or(
        marks.length === 0 ? undefined : arrayOverlaps(credential.fingerprints, marks),
        ids.length === 0 ? undefined : inArray(credential.id, ids),
        ids.length + marks.length === 0 ? eq(credential.id, 'crd_') : undefined,
      ),
    )
    .orderBy(credential.id)
    .limit(MATCHES_MAX);
  const secrets = new Set(proof.secrets);
  const shown = new Set(signed.credentials);
  const proven = credentials
    .filter(
      ({ id, fingerprints }) => shown.has(id) || fingerprints.some((each) => secrets.has(each)),
    )
    .map(({ id }) => id);
  return { proven: new Set(proven), credentials, tokens: signed.agents };
}

/** Tokens that this service signed: of credentials it issued, and of agents that signed in. */
async function readTokens(
  unit: Unit,
  deps: Deps,
  tokens: readonly string[],
): Promise<{ credentials: string[]; agents: TokenFound[] }> {
  const { issuer } = unit.installation;
  const credentials: string[] = [];
  const agents = new Map<string, TokenFound>();
  for (const token of tokens) {
    const claims = await deps.tokens.verify(token, ACCESS_TOKEN, issuer, null);
    if (claims?.jti === undefined) continue;
    // Whoever held it, not on whose behalf: nobody ends what another has by letting out a token of their own.
    const { client_id: client } = claims;
    if (isId('credential', claims.jti)) credentials.push(claims.jti);
    else if (claims.aud === issuer && typeof client === 'string' && isId('agent', client)) {
      const row = await findAgent(unit.sql, client);
      const since = Number(claims['auth_time']) * 1000;
      const isGood = row?.state === 'active' && since >= toMs(row.admittedAt ?? unit.at) - 1_000;
      if (row) agents.set(row.id, { agent: row, isGood });
    }
  }
  return { credentials, agents: [...agents.values()] };
}

const leakRow = (unit: Unit, report: LeakReport, clues: Clues): LeakRow => ({
  id: newId('leak'),
  source: report.source,
  scanner: report.scanner,
  place: report.place,
  seenAt: report.seenAt,
  lookedFor: {
    fingerprints: clues.secrets.length,
    tokens: clues.tokens.length,
    names: clues.leases.length,
    certificates: clues.names.length,
  },
  reportedBy: byWhom(unit),
  reportedAt: unit.at,
  closedAt: null,
  seconds: null,
});

const byWhom = (unit: Unit) => {
  const { type, id } = partyOf(unit.call.principal);
  return { type, id };
};

/** A name is no proof: an administrator is believed, a scanner has to show the secret. */
const mayEnd = (report: LeakReport, isProven: boolean): boolean =>
  isProven || report.scanner === null;

async function endCredentials(
  unit: Unit,
  row: LeakRow,
  report: LeakReport,
  { credentials, proven }: Found,
): Promise<LeakMatchRow[]> {
  const matches: LeakMatchRow[] = [];
  for (const { id } of credentials) {
    const lease = await lockLease(unit, id);
    const isProven = proven.has(lease.id);
    const isOver = isFinal('credential', lease.state);
    const outcome = isOver ? 'dead_before' : mayEnd(report, isProven) ? 'revoked' : 'named_only';
    if (outcome === 'revoked') await endCredential(unit, row, lease);
    matches.push({
      leak: row.id,
      subject: lease.id,
      credential: lease.id,
      agent: lease.agent,
      proof: isProven ? 'secret' : 'name',
      outcome,
      agentSuspended: false,
    });
  }
  return matches;
}

async function endCredential(unit: Unit, row: LeakRow, lease: CredentialRow): Promise<void> {
  // What an earlier report is already ending stays with that one: its time to dead began then.
  if (lease.leak === null)
    await unit.sql
      .update(credential)
      .set({ leak: row.id, leakedAt: row.reportedAt })
      .where(eq(credential.id, lease.id));
  await revokeWhere(unit, eq(credential.id, lease.id), 'leaked', null);
}

/** Ends every access token of an agent whose token was found; it signs in again with its key, which was not. */
async function signOut(
  unit: Unit,
  row: LeakRow,
  tokens: readonly TokenFound[],
): Promise<LeakMatchRow[]> {
  for (const { agent: holder, isGood } of tokens)
    if (isGood)
      await unit.sql
        .update(agent)
        // Tokens carry whole seconds: the one that was found may be of this one.
        .set({ admittedAt: fromMs(toMs(unit.at) + 1_000) })
        .where(eq(agent.id, holder.id));
  return tokens.map(({ agent: holder, isGood }) => ({
    leak: row.id,
    subject: holder.id,
    credential: null,
    agent: holder.id,
    proof: 'secret',
    outcome: isGood ? 'revoked' : 'dead_before',
    agentSuspended: false,
  }));
}

/** Where the report says so, whoever let a secret out is stopped altogether. */
async function suspendAgents(
  unit: Unit,
  report: LeakReport,
  matches: readonly LeakMatchRow[],
): Promise<LeakMatchRow[]> {
  if (report.policy !== 'suspend') return [...matches];
  const suspended = new Set<string>();
  for (const { agent: id, outcome } of matches) {
    if (outcome !== 'revoked' || suspended.has(id)) continue;
    const row = await findAgent(unit.sql, id);
    if (row?.state !== 'active') continue;
    await suspendAgent(unit, id, 'A secret of this agent was found outside.');
    suspended.add(id);
  }
  return matches.map((match) => ({ ...match, agentSuspended: suspended.has(match.agent) }));
}

function emitReported(unit: Unit, report: LeakReport, row: LeakRow, matches: number): void {
  unit.emit('leak.reported', {
    subject: row.id,
    detail: {
      leak: row.id,
      scanner: row.scanner,
      looked_for: row.lookedFor,
      matches,
      seen_at: row.seenAt,
      by: byWhom(unit),
    },
    private: { source: report.source, where: report.place },
  });
}

function emitMatched(unit: Unit, match: LeakMatchRow): void {
  unit.emit('leak.matched', {
    subject: match.leak,
    agent: match.agent,
    detail: {
      leak: match.leak,
      credential: match.credential,
      proof: match.proof,
      outcome: match.outcome,
      agent_suspended: match.agentSuspended,
    },
    private: {},
  });
}

/** A report with all it led to. */
export interface LeakRead {
  leak: LeakRow;
  matches: { match: LeakMatchRow; agent: AgentRow; credential: CredentialRow | null }[];
}

export async function readLeaks(
  query: Reader,
  after: string | null,
  limit: number,
): Promise<LeakRead[]> {
  const rows = await query
    .select()
    .from(leak)
    .where(after === null ? undefined : lt(leak.id, asLeakId(after)))
    .orderBy(desc(leak.id))
    .limit(limit);
  return withMatches(query, rows);
}

export async function findLeak(query: Reader, id: string): Promise<LeakRead | null> {
  const rows = await query
    .select()
    .from(leak)
    .where(and(eq(leak.id, asLeakId(id))));
  const [found] = await withMatches(query, rows);
  return found ?? null;
}

/** Ids that reach a query are only ever compared: another text finds nothing. */
const asLeakId = (id: string): Id<'leak'> => id as Id<'leak'>;

async function withMatches(query: Reader, rows: readonly LeakRow[]): Promise<LeakRead[]> {
  if (rows.length === 0) return [];
  const found = await query
    .select({ match: leakMatch, agent, credential })
    .from(leakMatch)
    .innerJoin(agent, eq(agent.id, leakMatch.agent))
    .leftJoin(credential, eq(credential.id, leakMatch.credential))
    .where(
      inArray(
        leakMatch.leak,
        rows.map(({ id }) => id),
      ),
    )
    .orderBy(leakMatch.subject);
  return rows.map((row) => ({
    leak: row,
    matches: found.filter(({ match }) => match.leak === row.id),
  }));
}
