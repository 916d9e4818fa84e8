// Who could do what under one policy and can under another, found by asking both of them everything that either of
// them tells apart.
import { requiredSensors } from '../record/sensors.ts';
import { ANY_OTHER, askersFor, questionBy, type Asker } from './askers.ts';
import type { PolicyBundle } from './bundle.ts';
import type { PolicyChange } from './diff.ts';
import { evaluate, type Evaluation } from './evaluate.ts';
import { mattersOf, nameOfMatter, scopedRules, type Matter } from './scope.ts';

/** What is said of the access that a change of policy widens or narrows. */
export interface AccessDiff {
  changes: PolicyChange[];
  /** How many questions were put to both. */
  asked: number;
  /** What could not be asked about in full: its rules tell too many askers apart. */
  cut: string[];
}

/** Asks two policies everything that either of them tells apart. */
export function diffAccess(current: PolicyBundle, next: PolicyBundle): AccessDiff {
  const diff: AccessDiff = { changes: [], asked: 0, cut: [] };
  const rules = [...scopedRules(current), ...scopedRules(next)];
  for (const matter of mattersOfBoth(current, next)) {
    const { askers, isCut } = askersFor(
      matter,
      rules,
      callsOf(matter, current, next),
      purposesOf(current, next),
    );
    diff.asked += askers.length;
    if (isCut) diff.cut.push(nameOfMatter(matter));
    diff.changes.push(...changesFor(matter, askers, current, next));
  }
  return diff;
}

/** All that can be asked for under either, handing work on included. */
export function mattersOfBoth(current: PolicyBundle, next: PolicyBundle): Matter[] {
  const matters: Matter[] = [
    ...mattersOf(current),
    ...mattersOf(next),
    { action: 'token:exchange', resource: 'Agent' },
  ];
  return [...new Map(matters.map((matter) => [nameOfMatter(matter), matter])).values()];
}

/** Of the purposes of either, one of each kind: those that serve the same and allow the same are treated alike. */
function purposesOf(...bundles: PolicyBundle[]): string[] {
  const kinds = new Map<string, string>();
  const names = new Set(bundles.flatMap(({ purposes }) => [...(purposes?.keys() ?? [])]));
  for (const name of names) {
    const definitions = bundles.map(({ purposes }) => purposes?.get(name));
    const kind = definitions.map((each) => [each?.business_function, each?.actions]);
    kinds.set(JSON.stringify(kind), name);
  }
  return [...kinds.values()];
}

/** What can be called under either, for an upstream. */
const callsOf = (matter: Matter, ...bundles: PolicyBundle[]): string[] =>
  'upstream' in matter
    ? bundles.flatMap(({ upstreams }) => Object.keys(upstreams.get(matter.upstream)?.calls ?? {}))
    : [];

function changesFor(
  matter: Matter,
  askers: readonly Asker[],
  current: PolicyBundle,
  next: PolicyBundle,
): PolicyChange[] {
  const before = askers.map((asker) => outcomeOf(current, matter, asker));
  const after = askers.map((asker) => outcomeOf(next, matter, asker));
  const groups = new Map<string, { was: Outcome; is: Outcome; who: Asker[] }>();
  const moves = askers.map((asker, at) => {
    const [was, is] = [before[at] ?? GONE, after[at] ?? GONE];
    const move = `${was.says} → ${is.says}`;
    if (was.says === is.says) return '';
    const group = groups.get(move) ?? { was, is, who: [] };
    group.who.push(asker);
    groups.set(move, group);
    return move;
  });
  const telling = tellingPaths(askers, moves);
  return [...groups].map(([move, { was, is, who }]) => ({
    direction: directionOf(was, is),
    about: 'access',
    subject: nameOfMatter(matter),
    who: whoIs(who, telling),
    says: move,
  }));
}

interface Outcome {
  decision: Evaluation['decision'];
  routes: string[];
  says: string;
}

const GONE: Outcome = { decision: 'deny', routes: [], says: 'denied' };

function outcomeOf(bundle: PolicyBundle, matter: Matter, asker: Asker): Outcome {
  const question = questionBy(bundle, matter, asker);
  // Who asks for a role that is not there is told so, whatever the rules say about it.
  if (!question) return GONE;
  const sensors = requiredSensors(bundle);
  const { decision, routes, waived } = evaluate(bundle, { ...question, sensors });
  if (decision === 'deny') return GONE;
  const past =
    waived.length === 0
      ? ''
      : `, past ${waived.map(({ control, rule }) => `${control} by the waiver ${rule}`).join(' and ')}`;
  if (decision === 'permit') return { decision, routes: [], says: `permitted${past}` };
  const by = routes.map(({ name }) => name).toSorted();
  return { decision, routes: by, says: `held by ${by.join(' and ')}${past}` };
}

const RANK = { deny: 0, hold: 1, permit: 2 } as const;

function directionOf(was: Outcome, is: Outcome): PolicyChange['direction'] {
  const step = RANK[is.decision] - RANK[was.decision];
  if (step !== 0) return step > 0 ? 'wider' : 'narrower';
  if (was.routes.every((route) => is.routes.includes(route))) return 'narrower';
  return is.routes.every((route) => was.routes.includes(route)) ? 'wider' : 'changed';
}

/** What about askers decides whether something changes for them. */
function tellingPaths(askers: readonly Asker[], moves: readonly string[]): string[] {
  const paths = [...(askers[0]?.keys() ?? [])];
  return paths.filter((path) => {
    const others = new Map<string, string>();
    return askers.some((asker, at) => {
      const rest = paths
        .filter((each) => each !== path)
        .map((each) => `${each}=${asker.get(each)}`)
        .join('&');
      const move = moves[at] ?? '';
      const known = others.get(rest);
      others.set(rest, move);
      return known !== undefined && known !== move;
    });
  });
}

const WHO_MAX = 6;

/** Those for whom it changes, in words; everybody, where nothing about them matters. */
function whoIs(askers: readonly Asker[], telling: readonly string[]): string[] {
  if (telling.length === 0) return ['everybody'];
  const told = new Set(
    askers.map((asker) => telling.map((path) => `${path} ${shown(asker.get(path))}`).join(', ')),
  );
  const [...words] = told;
  return words.length <= WHO_MAX
    ? words
    : [...words.slice(0, WHO_MAX), `and ${words.length - WHO_MAX} more kinds of askers`];
}

const shown = (value: unknown): string =>
  value === ANY_OTHER ? 'any other' : JSON.stringify(value ?? null);
