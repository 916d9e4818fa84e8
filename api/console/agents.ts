// Agents, their tasks and credentials. Each form runs the command that the API runs.
import {
  asAgentId,
  beginRetirement,
  findAgent,
  killAgent,
  registerAgent,
  resumeAgent,
  suspendAgent,
} from '../../commands/agents/agents.ts';
import { askForKey, revokeKey } from '../../commands/agents/change-keys.ts';
import { endTask } from '../../commands/agents/tasks.ts';
import { revokeCredential } from '../../commands/credentials/credentials.ts';
import { answerOnce } from '../../commands/once.ts';
import { askForJoinToken } from '../../commands/sign-in/join.ts';
import { transact, type Unit } from '../../commands/unit.ts';
import { AGENT_KINDS } from '../../db/schema/agents.ts';
import { JsonError, parseJson, type JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { readPublicKey } from '../../keys/public-key.ts';
import { AgentPage, JoinTokenPage } from '../../web/agent.tsx';
import { AgentsPage } from '../../web/agents.tsx';
import { TaskPage } from '../../web/task.tsx';
import { pageOf, readCursor } from '../cursor.ts';
import { created } from '../route.ts';
import * as shape from '../schemas.ts';
import { refuseStrangers, visibleCredential, visibleTask } from '../tasks.ts';
import { activePeople, agentLines, agentView, newestAgents, taskView } from './agent-view.ts';
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
import { asMade, attempt, newOnce, parseFields, saidBy, typed } from './forms.ts';

const PAGE_SIZE = 50;
const LIST = 'agents-newest';

const list: ConsoleRoute = {
  method: 'get',
  path: '/agents',
  who: 'person',
  handle: (visit, deps) => showAgents(visit, deps, null),
};

async function showAgents(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const { query } = deps.db;
  const cursor = visit.query.get('cursor') ?? undefined;
  const before = readCursor(deps.keys.cursors, LIST, cursor);
  const rows = await newestAgents(query, before === null ? null : asAgentId(before), PAGE_SIZE + 1);
  const found = pageOf(rows, PAGE_SIZE, (row) => row.id, deps.keys.cursors, LIST);
  return pageAfter(
    AgentsPage({
      shell: visit.shell,
      rows: await agentLines(query, found.rows),
      next: found.next === null ? null : `/agents?cursor=${found.next}`,
      registration: {
        kinds: AGENT_KINDS.filter((kind) => kind !== 'demo'),
        people: await activePeople(query),
        values: typed(visit),
        once: newOnce(),
      },
      said: refusal && saidBy(refusal),
    }),
    refusal,
  );
}

const register: ConsoleRoute = {
  method: 'post',
  path: '/agents',
  sameAs: 'post /v1/agents',
  who: 'member',
  handle: async (visit, deps) => {
    const answer = await attempt(async () => {
      const key = keyFrom(visit);
      const body = parseFields(shape.agentBody, {
        name: field(visit, 'name'),
        kind: field(visit, 'kind'),
        owner: field(visit, 'owner'),
        team: field(visit, 'team'),
        purpose: field(visit, 'purpose'),
        keys: [key],
      });
      const keys = [await readPublicKey(key, 'weak_key')];
      return answerOnce(deps, visit.call, onceOf(visit), async (unit) => {
        const row = await registerAgent(unit, deps, { ...body, keys, joinUntil: null });
        return row instanceof Refusal ? row : created({ id: row.id });
      });
    });
    if (answer instanceof Refusal) return showAgents(visit, deps, answer);
    return redirect(`/agents/${asMade(answer.body).id}`);
  },
};

/** The public key in a form. */
export function keyFrom(visit: Visit): JsonObject {
  const text = field(visit, 'key');
  try {
    const parsed = parseJson(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  throw new Refusal(
    'weak_key',
    'The key is not a JWK: paste one JSON object with kty, crv, x and y.',
  );
}

const show: ConsoleRoute = {
  method: 'get',
  path: '/agents/{id}',
  who: 'person',
  handle: (visit, deps) => showAgent(visit, deps, null),
};

async function showAgent(
  visit: Visit,
  deps: ConsoleDeps,
  refusal: Refusal | null,
): Promise<Response> {
  const row = await findAgent(deps.db.query, visit.params['id'] ?? '');
  if (!row) throw new Refusal('not_found', 'There is no such agent.');
  const view = await agentView(deps.db.query, row, reader(visit), visit.shell.now);
  return pageAfter(
    AgentPage({ shell: visit.shell, view, said: refusal && saidBy(refusal) }),
    refusal,
  );
}

/** A form on the page of an agent: it runs, and the page it leads to shows what came of it. */
const agentForm = <T>(
  path: `/${string}`,
  sameAs: `${string} /${string}`,
  work: (unit: Unit, id: string, visit: Visit, deps: ConsoleDeps) => Promise<T | Refusal>,
  next: (done: T, id: string) => string = (_done, id) => `/agents/${id}`,
): ConsoleRoute => ({
  method: 'post',
  path,
  sameAs,
  who: 'admin',
  handle: async (visit, deps) => {
    const id = visit.params['id'] ?? '';
    const done = await attempt(() =>
      transact(deps, visit.call, (unit) => work(unit, id, visit, deps)),
    );
    return done instanceof Refusal ? showAgent(visit, deps, done) : redirect(next(done, id));
  },
});

const reasonOf = (visit: Visit): string | null => field(visit, 'reason') || null;

const STEPS = {
  suspend: suspendAgent,
  resume: resumeAgent,
  kill: killAgent,
  retire: beginRetirement,
};

const steps = Object.entries(STEPS).map(([verb, step]) =>
  agentForm(`/agents/{id}/${verb}`, `post /v1/agents/{id}/${verb}`, (unit, id, visit) =>
    step(unit, id, reasonOf(visit)),
  ),
);

const takeKey = agentForm(
  '/agents/{id}/keys/{key}/revoke',
  'delete /v1/agents/{id}/keys/{key}',
  (unit, id, visit) => revokeKey(unit, id, visit.params['key'] ?? ''),
);

const giveKey = agentForm(
  '/agents/{id}/keys',
  'post /v1/agents/{id}/keys',
  async (unit, id, visit, deps) =>
    askForKey(unit, deps, id, await readPublicKey(keyFrom(visit), 'weak_key')),
  (done, id) => ('request' in done ? `/requests/${done.request.id}` : `/agents/${id}`),
);

/** The token is on the page that answers, and nowhere else: loading it again would make another. */
const giveJoinToken: ConsoleRoute = {
  method: 'post',
  path: '/agents/{id}/join-tokens',
  sameAs: 'post /v1/agents/{id}/join-tokens',
  who: 'admin',
  handle: async (visit, deps) => {
    const id = visit.params['id'] ?? '';
    const made = await attempt(() => {
      const { ttl_seconds: seconds } = parseFields(shape.joinTokenBody, {
        ttl_seconds: Number(field(visit, 'ttl_seconds')),
      });
      return transact(deps, visit.call, (unit) => askForJoinToken(unit, deps, id, seconds));
    });
    if (made instanceof Refusal) return showAgent(visit, deps, made);
    const row = await findAgent(deps.db.query, id);
    return page(
      JoinTokenPage({
        shell: visit.shell,
        agent: { id, name: row?.name ?? id },
        token: made.token,
        request: made.request?.id ?? null,
        expiresAt: made.row.expiresAt,
      }),
    );
  },
};

const showTask: ConsoleRoute = {
  method: 'get',
  path: '/tasks/{id}',
  who: 'person',
  handle: (visit, deps) => taskPage(visit, deps, visit.params['id'] ?? '', null),
};

async function taskPage(
  visit: Visit,
  deps: ConsoleDeps,
  id: string,
  refusal: Refusal | null,
): Promise<Response> {
  const row = await visibleTask(deps, visit.person, id);
  const view = await taskView(deps.db.query, row, reader(visit), visit.shell.now);
  return pageAfter(
    TaskPage({ shell: visit.shell, view, said: refusal && saidBy(refusal) }),
    refusal,
  );
}

const ending = (verb: 'complete' | 'fail', outcome: 'completed' | 'failed'): ConsoleRoute => ({
  method: 'post',
  path: `/tasks/{id}/${verb}`,
  sameAs: `post /v1/tasks/{id}/${verb}`,
  who: 'admin',
  handle: async (visit, deps) => {
    const id = visit.params['id'] ?? '';
    const done = await attempt(async () => {
      const { reason } = parseFields(
        verb === 'fail' ? shape.failBody : shape.reasonBody,
        verb === 'fail' ? { reason: field(visit, 'reason') } : {},
      );
      await transact(deps, visit.call, (unit) => endTask(unit, id, outcome, reason ?? null));
      return null;
    });
    return done instanceof Refusal ? taskPage(visit, deps, id, done) : redirect(`/tasks/${id}`);
  },
});

const revoke: ConsoleRoute = {
  method: 'post',
  path: '/credentials/{id}/revoke',
  sameAs: 'post /v1/credentials/{id}/revoke',
  who: 'member',
  handle: async (visit, deps) => {
    const lease = await visibleCredential(deps, visit.person, visit.params['id']);
    await refuseStrangers(deps, visit.person, lease.agent);
    await transact(deps, visit.call, (unit) =>
      revokeCredential(unit, lease.id, 'revoked', reasonOf(visit)),
    );
    return redirect(`/tasks/${lease.task}`);
  },
};

export const agentPages = [
  list,
  register,
  show,
  ...steps,
  takeKey,
  giveKey,
  giveJoinToken,
  showTask,
  ending('complete', 'completed'),
  ending('fail', 'failed'),
  revoke,
];
