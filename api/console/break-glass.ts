// The page of emergencies, and its forms.
import { findRequest } from '../../commands/approvals/requests.ts';
import { declareEmergency } from '../../commands/exceptions/break-glass.ts';
import {
  effectsOfUse,
  newestEmergencies,
  reviewEmergency,
} from '../../commands/exceptions/glass-review.ts';
import { answerOnce } from '../../commands/once.ts';
import { isMember, mayVote } from '../../commands/principal.ts';
import { refuseWithoutLog } from '../../commands/record/log-health.ts';
import { transact } from '../../commands/unit.ts';
import type { BreakGlassRow } from '../../db/rows.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { EmergencyPage, type EmergencyLine } from '../../web/break-glass.tsx';
import { declarationBody, glassReviewBody, stateOf } from '../break-glass.ts';
import { asJsonObject } from '../json-body.ts';
import { accepted } from '../route.ts';
import {
  field,
  onceOf,
  pageAfter,
  reader,
  redirect,
  type ConsoleDeps,
  type ConsoleRoute,
  type Visit,
} from './console.ts';
import { asMade, attempt, newOnce, parseFields, saidBy, typed } from './forms.ts';
import { kitLines } from './kit-lines.ts';
import { agentNames, personNames } from './names.ts';

/** Emergencies on the page; the API has the rest. */
const SHOWN = 100;

/** The page, with what was wrong with what was sent. */
export async function showEmergencies(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const { query } = deps.db;
  const rows = await newestEmergencies(query, SHOWN);
  const agentName = await agentNames(
    query,
    rows.flatMap(({ agent }) => agent ?? []),
  );
  const name = await personNames(
    query,
    rows.flatMap(({ people, closedBy }) => [...people, closedBy]),
  );
  const kits = await kitLines(visit, deps);
  const lines = await Promise.all(
    rows.map((row) => lineOf(deps, row, row.agent && agentName(row.agent), name)),
  );
  const isOpen = ({ line, isWaiting }: Lined): boolean =>
    line.state === 'review_open' || (line.state === 'declared' && isWaiting);
  const who = reader(visit);
  return pageAfter(
    EmergencyPage({
      shell: visit.shell,
      view: {
        open: lines.filter(isOpen).map(({ line }) => line),
        past: lines.filter((each) => !isOpen(each)).map(({ line }) => line),
        once: newOnce(),
        values: typed(visit),
        kits,
        mayDeclare: isMember(who) && mayVote(who.roles),
      },
      said: refusal && saidBy(refusal),
    }),
    refusal,
  );
}

interface Lined {
  line: EmergencyLine;
  /** Whether it could still be confirmed. */
  isWaiting: boolean;
}

async function lineOf(
  deps: ConsoleDeps,
  row: BreakGlassRow,
  agentName: string | null,
  name: (id: string) => string,
): Promise<Lined> {
  const request = await findRequest(deps.db.query, row.request);
  const { id, agent, role, gates, incident, continues, disposition, findings } = row;
  const line = {
    ...{ id, request: row.request, agent, agentName, role, gates, incident, continues },
    people: row.people.map(name),
    state: stateOf(row),
    declaredAt: row.createdAt,
    openedAt: row.openedAt,
    reviewDueAt: row.reviewDueAt,
    reviewedBy: row.closedBy && name(row.closedBy),
    disposition,
    findings,
    effects: row.effects ?? (await effectsOfUse(deps.db.query, row, request?.credential ?? null)),
  };
  return { line, isWaiting: request?.state === 'pending' };
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/break-glass',
  who: 'person',
  handle: (visit, deps) => showEmergencies(visit, deps, null),
};

const declare: ConsoleRoute = {
  method: 'post',
  path: '/break-glass',
  sameAs: 'post /v1/break-glass',
  who: 'member',
  handle: async (visit, deps) => {
    const answer = await attempt(async () => {
      const incident = field(visit, 'incident');
      const body = parseFields(declarationBody, {
        task: field(visit, 'task'),
        role: field(visit, 'role'),
        reason: field(visit, 'reason'),
        seal_to: jwkFrom(field(visit, 'seal_to')),
        ...(incident !== '' && { incident }),
      });
      const declaration = {
        task: body.task,
        role: body.role,
        sealTo: await readPublicKey(asJsonObject(body.seal_to), 'seal_key_invalid'),
        ttlSeconds: null,
        options: {},
        reason: body.reason,
        incident: body.incident ?? null,
      };
      return answerOnce(deps, visit.call, onceOf(visit), async (unit) => {
        await refuseWithoutLog(unit.sql);
        const declared = await declareEmergency(unit, deps, reader(visit), declaration);
        return declared instanceof Refusal ? declared : accepted({ id: declared.request.id });
      });
    });
    if (answer instanceof Refusal) return showEmergencies(visit, deps, answer);
    return redirect(`/requests/${asMade(answer.body).id}`);
  },
};

/** What was typed as a key; what is no JSON is no key either, and is refused as one. */
export function jwkFrom(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const review: ConsoleRoute = {
  method: 'post',
  path: '/break-glass/{id}/review',
  sameAs: 'post /v1/break-glass/{id}/review',
  who: 'member',
  handle: async (visit, deps) => {
    const done = await attempt(async () => {
      const body = parseFields(glassReviewBody, {
        findings: field(visit, 'findings'),
        disposition: field(visit, 'disposition'),
      });
      return transact(deps, visit.call, (unit) =>
        reviewEmergency(unit, reader(visit), visit.params['id'] ?? '', body),
      );
    });
    return done instanceof Refusal ? showEmergencies(visit, deps, done) : redirect('/break-glass');
  },
};

export const breakGlassPages = [show, declare, review];
