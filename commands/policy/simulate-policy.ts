// What another policy would have said to what really happened: the newest recorded evaluations are put to it and to
// the active one, and what would come out otherwise is grouped by the rules that decide.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inArray } from 'drizzle-orm';
import type { Query } from '../../db/client.ts';
import { request, task } from '../../db/schema/index.ts';
import type { Action, Party } from '../../domain/action.ts';
import { isSameRoute, type FrozenRoute } from '../../domain/approval.ts';
import { eventType } from '../../domain/event.ts';
import { Refusal } from '../../domain/refusal.ts';
import {
  SIMULATED_KINDS,
  type SimulatedChange,
  type SimulatedKind,
  type SimulatedSide,
  type Simulation,
} from '../../domain/simulation.ts';
import type { Deps } from '../deps.ts';
import { eventOf, readEvents, type EventOf, type EventRead } from '../record/events.ts';
import { requiredSensors } from '../record/sensors.ts';
import type { PolicyBundle } from './bundle.ts';
import { evaluate, togetherAs, type Evaluation } from './evaluate.ts';
import { readActiveBundle } from './policies.ts';
import { evaluateAction } from './questions.ts';
import { replayedQuestions } from './recorded-questions.ts';

/** How many recorded actions one simulation looks at. */
export const SIMULATED_MAX = 10_000;
const BUDGET_MS = 8_000;
/** Others have their turn after so many. */
const TURN = 20;
const PAGE = 200;
const EXAMPLES_MAX = 3;

let isRunning = false;

/** Puts the newest recorded actions to another policy. One at a time: it takes much of a processor. */
export async function simulatePolicy(
  deps: Deps,
  next: PolicyBundle,
  last: number,
): Promise<Simulation | Refusal> {
  if (isRunning)
    return new Refusal('unavailable', 'Another simulation is running: try again in a few seconds.');
  isRunning = true;
  try {
    return await replay(deps, next, last);
  } finally {
    isRunning = false;
  }
}

async function replay(deps: Deps, next: PolicyBundle, last: number): Promise<Simulation> {
  const current = await readActiveBundle(deps.db.query, deps.policies);
  const until = performance.now() + BUDGET_MS;
  const found: Simulation = {
    version: next.version,
    against: current.version,
    looked_at: 0,
    as_recorded: 0,
    as_now: 0,
    not_replayable: 0,
    ended: 'all',
    lose_a_gate: 0,
    changes: [],
  };
  const groups = new Map<string, SimulatedChange>();
  for await (const recorded of newestFirst(deps.db.query)) {
    if (found.looked_at === last) found.ended = 'limit';
    else if (performance.now() > until) found.ended = 'time';
    if (found.ended !== 'all') break;
    found.looked_at += 1;
    if (found.looked_at % TURN === 0) await nextTurn();
    const judged = await judgeBoth(deps.db.query, current, next, recorded);
    found[judged?.asked ?? 'not_replayable'] += 1;
    if (judged) note(groups, recorded, judged);
  }
  found.changes = [...groups.values()].toSorted(
    (one, other) =>
      SIMULATED_KINDS.indexOf(one.kind) - SIMULATED_KINDS.indexOf(other.kind) ||
      other.count - one.count,
  );
  found.lose_a_gate = found.changes
    .filter(({ after, lost_routes: lost }) => after.decision !== 'deny' && lost.length > 0)
    .reduce((sum, { count }) => sum + count, 0);
  return found;
}

/** What was recorded of one evaluation, and what its action was where more than that is known. */
interface Recorded {
  event: EventRead;
  action: Action | null;
}

async function* newestFirst(query: Query): AsyncGenerator<Recorded> {
  for (let after: string | null = null; ;) {
    const page: EventRead[] = await readEvents(
      query,
      { type: eventType('evaluation.decided'), after, newestFirst: true, limit: PAGE },
      true,
    );
    // A recorded question is all it takes; what lacks one is asked again from the rows.
    const actions = await actionsOf(
      query,
      page.filter(({ disclosed }) => disclosed['questions'] === undefined),
    );
    for (const event of page) yield { event, action: actions.get(event.id) ?? null };
    if (page.length < PAGE) return;
    after = page.at(-1)?.id ?? null;
  }
}

interface Judged {
  asked: 'as_recorded' | 'as_now';
  before: Evaluation;
  after: Evaluation;
}

async function judgeBoth(
  query: Query,
  current: PolicyBundle,
  next: PolicyBundle,
  { event, action }: Recorded,
): Promise<Judged | null> {
  const { questions } = event.disclosed;
  // Nobody asked for what lies ready for when we are down, so there is no question to put again.
  if (Array.isArray(questions) && questions.length === 0) return null;
  if (questions !== undefined && questions !== null) {
    const by = (bundle: PolicyBundle): Evaluation =>
      togetherAs(
        replayedQuestions(questions, bundle).map((each) =>
          // Whether anybody saw was recorded only where a rule asked for it: where none did, all that is compared is the rules.
          evaluate(bundle, { ...each, sensors: each.sensors ?? requiredSensors(bundle) }),
        ),
      );
    return { asked: 'as_recorded', before: by(current), after: by(next) };
  }
  if (!action) return null;
  const before = await evaluateAction(query, current, action);
  return { asked: 'as_now', before, after: await evaluateAction(query, next, action) };
}

function note(
  groups: Map<string, SimulatedChange>,
  { event }: Recorded,
  { before, after }: Judged,
): void {
  const lost = lostRoutes(before.routes, after.routes);
  const kind = kindOf(before, after, lost);
  if (kind === null) return;
  const sides = [sideOf(before), sideOf(after)] as const;
  const key = JSON.stringify([kind, sides]);
  const group = groups.get(key) ?? {
    kind,
    before: sides[0],
    after: sides[1],
    lost_routes: lost,
    count: 0,
    examples: [],
  };
  group.count += 1;
  if (group.examples.length < EXAMPLES_MAX) group.examples.push(exampleOf(event));
  groups.set(key, group);
}

const lostRoutes = (before: readonly FrozenRoute[], after: readonly FrozenRoute[]): string[] =>
  before
    .filter((route) => !after.some((each) => isSameRoute(each, route)))
    .map(({ name }) => name)
    .toSorted();

function kindOf(before: Evaluation, after: Evaluation, lost: string[]): SimulatedKind | null {
  if (before.decision === after.decision)
    return lost.length > 0 || before.routes.length !== after.routes.length ? 'other_routes' : null;
  if (after.decision === 'deny') return 'newly_denied';
  if (before.decision === 'deny') return 'no_longer_denied';
  return after.decision === 'hold' ? 'newly_held' : 'no_longer_held';
}

const sideOf = ({ decision, reasons, routes, controls, waived }: Evaluation): SimulatedSide => ({
  decision,
  reasons: reasons.toSorted(),
  routes: routes.map(({ name }) => name).toSorted(),
  controls: controls.toSorted(),
  waived: [...new Set(waived.map(({ control }) => control))].toSorted(),
});

function exampleOf(read: EventRead): SimulatedChange['examples'][number] {
  const { time, subject, data } = eventOf('evaluation.decided', read);
  const { action, resource } = data.detail;
  return { evaluation: subject, at: time, agent: agentOf(data.actor_chain), action, resource };
}

const agentOf = (chain: readonly Party[]): string | null =>
  chain.find(({ type }) => type === 'agent')?.id ?? null;

/** The actions of evaluations whose questions were not kept or are erased, as far as rows still tell. */
async function actionsOf(query: Query, events: readonly EventRead[]): Promise<Map<string, Action>> {
  const read = events.map((each) => ({ id: each.id, ...eventOf('evaluation.decided', each) }));
  if (read.length === 0) return new Map();
  const held = await query
    .select({ evaluation: request.evaluation, action: request.action })
    .from(request)
    .where(
      inArray(
        request.evaluation,
        read.map(({ subject }) => subject),
      ),
    );
  const tasks = await query
    .select()
    .from(task)
    .where(
      inArray(
        task.id,
        read.flatMap(({ data }) => data.task ?? []),
      ),
    );
  const actions = read.flatMap(({ id, subject, data }): [string, Action][] => {
    const known = held.find(({ evaluation }) => evaluation === subject)?.action;
    if (known) return [[id, known]];
    const owner = tasks.find((row) => row.id === data.task);
    return owner ? [[id, rebuilt(data, owner)]] : [];
  });
  return new Map(actions);
}

/** What was plainly permitted or denied under a task, without what only its own parameters would tell. */
function rebuilt(
  { actor_chain: chain, detail }: EventOf<'evaluation.decided'>['data'],
  owner: typeof task.$inferSelect,
): Action {
  return {
    subject: chain.at(-1) ?? { type: 'agent', id: owner.agent },
    actor_chain: chain,
    action: detail.action,
    resource: detail.resource,
    parameters: {},
    data_class: null,
    destination: null,
    context: { purpose: owner.purpose, triggered_by_proof: owner.triggeredByProof },
  };
}
