// Leaks on the console: a secret is pasted into a form, and goes from there to where the API takes it.
import { inArray } from 'drizzle-orm';
import { observedUse } from '../../commands/leaks/leak-use.ts';
import { findLeak, readLeaks, type LeakRead } from '../../commands/leaks/leaks.ts';
import { isAdmin } from '../../commands/principal.ts';
import { person } from '../../db/schema/people.ts';
import type { JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { LeakPage, LeaksPage, type LeakView } from '../../web/leaks.tsx';
import { leakBody, leakState, takeReport } from '../leaks.ts';
import {
  field,
  onceOf,
  page,
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { asMade, attempt, newOnce, parseFields, saidBy } from './forms.ts';

/** More reports than this are found through the API. */
const SHOWN = 100;

async function viewOf(deps: ConsoleDeps, read: LeakRead, withUse: boolean): Promise<LeakView> {
  const owners = read.matches.map(({ agent }) => agent.owner);
  const people = await deps.db.query.select().from(person).where(inArray(person.id, owners));
  const names = new Map<string, string>(people.map(({ id, name }) => [id, name]));
  const { leak: row } = read;
  return {
    id: row.id,
    state: leakState(read),
    source: row.source,
    where: row.place,
    seenAt: row.seenAt,
    reportedAt: row.reportedAt,
    secondsToDead: row.seconds,
    lookedFor: row.lookedFor,
    matches: await Promise.all(
      read.matches.map(async ({ match, agent, credential }) => ({
        agent: { id: agent.id, name: agent.name, state: agent.state },
        owner: names.get(agent.owner) ?? agent.owner,
        credential: credential && {
          id: credential.id,
          task: credential.task,
          role: credential.role,
          state: credential.state,
        },
        issuedAt: credential?.issuedAt ?? null,
        lastUsedAt: credential?.lastUsedAt ?? null,
        proof: match.proof,
        outcome: match.outcome,
        agentSuspended: match.agentSuspended,
        seen:
          withUse && credential
            ? (await observedUse(deps.db.query, credential)).map((each) => ({
                at: textOf(each['at']),
                kind: textOf(each['kind']),
                outcome: textOf(each['outcome']),
              }))
            : [],
      })),
    ),
  };
}

const textOf = (value: JsonValue | undefined): string | null =>
  typeof value === 'string' ? value : null;

async function showLeaks(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const reads = await readLeaks(deps.db.query, null, SHOWN);
  const rows: LeakView[] = [];
  for (const read of reads) rows.push(await viewOf(deps, read, false));
  return pageAfter(
    LeaksPage({
      shell: visit.shell,
      rows,
      said: refusal && saidBy(refusal),
      once: newOnce(),
      isAdmin: isAdmin(reader(visit)),
    }),
    refusal,
  );
}

const list: ConsoleRoute = {
  method: 'get',
  path: '/leaks',
  who: 'auditor',
  handle: (visit, deps) => showLeaks(visit, deps, null),
};

const report: ConsoleRoute = {
  method: 'post',
  path: '/leaks',
  sameAs: 'post /v1/leaks',
  who: 'admin',
  handle: async (visit, deps) => {
    const answer = await attempt(async () => {
      const where = field(visit, 'where');
      const body = parseFields(leakBody, {
        secret: visit.form.get('secret') ?? '',
        source: field(visit, 'source'),
        policy: field(visit, 'suspend') === 'on' ? 'suspend' : 'revoke',
        ...(where !== '' && { where }),
      });
      return takeReport(deps, visit.call, onceOf(visit), body);
    });
    if (answer instanceof Refusal) return showLeaks(visit, deps, answer);
    return redirect(`/leaks/${asMade(answer.body).id}`);
  },
};

const show: ConsoleRoute = {
  method: 'get',
  path: '/leaks/{id}',
  who: 'auditor',
  handle: async (visit, deps) => {
    const read = await findLeak(deps.db.query, visit.params['id'] ?? '');
    if (!read) throw new Refusal('not_found', 'There is no such report.');
    return page(LeakPage({ shell: visit.shell, leak: await viewOf(deps, read, true) }));
  },
};

export const leakPages = [list, report, show];
