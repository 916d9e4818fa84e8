// How one rule of a route compares with another: the one judgement of what asks less of people, for those who have to
// agree to it and for those who read about it.
import { isStrongEnough, strengthAt, type RouteRule } from '../../domain/approval.ts';
import { receiptWithin, usesOf } from '../../domain/permit-rule.ts';
import { ASK_DEFAULT } from '../../domain/question.ts';
import { seatsInWords, stagesOf, type StageRule } from '../../domain/seats.ts';

interface Facet {
  name: string;
  /** Whether the second rule asks for less than the first: fewer or other people, less proof, or for longer. */
  isLooser: (before: RouteRule, after: RouteRule) => boolean;
  show: (rule: RouteRule) => string;
}

const adds = (was: readonly string[], is: readonly string[]): boolean =>
  is.some((each) => !was.includes(each));

const risksOf = (...rules: readonly RouteRule[]): string[] =>
  rules.flatMap(({ strength_by_risk: byRisk = {} }) => Object.keys(byRisk));

const independence = (who: 'owner' | 'triggerer'): Facet => ({
  name: `independence of the ${who}`,
  isLooser: (before, after) =>
    before.independence[who] === 'barred' && after.independence[who] === 'allowed',
  show: (rule) => rule.independence[who],
});

const FACETS: readonly Facet[] = [
  {
    name: 'quorum',
    isLooser: (before, after) => after.quorum < before.quorum,
    show: ({ quorum }) => String(quorum),
  },
  {
    name: 'groups',
    // Whether a stage asks others is a matter of that stage.
    isLooser: (before, after) =>
      before.stages === undefined &&
      after.stages === undefined &&
      adds(before.groups, after.groups),
    show: ({ groups }) => groups.join(', '),
  },
  {
    name: 'seats',
    isLooser: (before, after) => !isKept(before, after),
    show: seatsInWords,
  },
  {
    name: 'same_person',
    isLooser: (before, after) =>
      before.stages !== undefined &&
      before.same_person === undefined &&
      after.same_person === 'allowed',
    show: ({ same_person: same }) => same ?? 'barred',
  },
  {
    name: 'channels',
    isLooser: (before, after) => adds(before.channels, after.channels),
    show: ({ channels }) => channels.join(', '),
  },
  {
    name: 'strength',
    isLooser: (before, after) => !isStrongEnough(after.strength, before.strength),
    show: ({ strength }) => strength,
  },
  {
    name: 'strength_by_risk',
    isLooser: (before, after) =>
      risksOf(before, after).some(
        (risk) => !isStrongEnough(strengthAt(after, risk), strengthAt(before, risk)),
      ),
    show: ({ strength_by_risk: byRisk = {} }) =>
      Object.entries(byRisk)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([risk, strength]) => `${risk}: ${strength}`)
        .join(', ') || 'none',
  },
  {
    name: 'valid_seconds',
    isLooser: (before, after) => after.valid_seconds > before.valid_seconds,
    show: ({ valid_seconds }) => String(valid_seconds),
  },
  {
    name: 'uses',
    isLooser: (before, after) => usesOf([{ rule: after }]) > usesOf([{ rule: before }]),
    show: (rule) => String(usesOf([{ rule }])),
  },
  {
    name: 'receipt_within_seconds',
    isLooser: (before, after) => receiptWithin(after) > receiptWithin(before),
    show: (rule) => String(receiptWithin(rule)),
  },
  independence('owner'),
  independence('triggerer'),
  {
    name: 'escalation',
    isLooser: (before, after) =>
      after.escalation.some((step) => {
        const known = before.escalation.filter(
          (each) => each.after_seconds <= step.after_seconds && each.for === step.for,
        );
        const asked = step.for === undefined ? before.groups : [step.for];
        return adds([...asked, ...known.flatMap(({ groups }) => groups)], step.groups);
      }),
    show: ({ escalation }) =>
      escalation
        .map(
          (step) =>
            `${step.groups.join(', ')}${step.for === undefined ? '' : ` for ${step.for}`} after ${step.after_seconds} s`,
        )
        .join('; ') || 'none',
  },
  {
    name: 'standing',
    isLooser: ({ standing: before }, { standing: after }) =>
      after !== undefined &&
      (before === undefined ||
        after.max_seconds > before.max_seconds ||
        after.max_uses > before.max_uses),
    show: ({ standing }) =>
      standing ? `${standing.max_uses} uses in ${standing.max_seconds} s` : 'not allowed',
  },
  {
    name: 'break_glass',
    isLooser: ({ break_glass: before }, { break_glass: after }) =>
      after !== undefined &&
      (before === undefined ||
        adds(before.groups, after.groups) ||
        after.quorum < before.quorum ||
        after.max_seconds > before.max_seconds ||
        after.cooldown_seconds < before.cooldown_seconds ||
        (after.offline?.max_days ?? 0) > (before.offline?.max_days ?? 0)),
    show: ({ break_glass: glass }) =>
      glass
        ? `${glass.quorum} of ${glass.groups.join(', ')} for ${glass.max_seconds} s, every ${glass.cooldown_seconds} s${glass.offline ? `, offline for ${glass.offline.max_days} days` : ''}`
        : 'not allowed',
  },
];

/** Whether every stage of a rule is there afterwards, in the same order, asking for no less; more may have come. */
function isKept(before: RouteRule, after: RouteRule): boolean {
  const left = stagesOf(after);
  // Who was needed from one group is needed from it still; without stages the other facets see the rest.
  if (before.stages === undefined && after.stages === undefined)
    return stagesOf(before).every((stage) => left.every((each) => keepsSeats(stage, each)));
  return stagesOf(before).every((stage) => {
    const at = left.findIndex((each) => isAsStrict(stage, each));
    left.splice(0, at < 0 ? left.length : at + 1);
    return at >= 0;
  });
}

const isAsStrict = (before: StageRule, after: StageRule): boolean =>
  !adds(before.groups, after.groups) && after.quorum >= before.quorum && keepsSeats(before, after);

const keepsSeats = (before: StageRule, after: StageRule): boolean =>
  Object.entries(before.seats ?? {}).every(
    ([group, number]) => (after.seats?.[group] ?? 0) >= number,
  );

/** Whether a rule asks for less than it did. */
export const isWeaker = (before: RouteRule, after: RouteRule): boolean =>
  FACETS.some((facet) => facet.isLooser(before, after));

/** One member of a route that is not what it was. */
interface RouteChange {
  direction: 'wider' | 'narrower' | 'changed';
  name: string;
  before: string;
  after: string;
}

/** What is neither easier nor harder for anybody: how long people have. */
const changed = (name: string, before: string, after: string): RouteChange | null =>
  before === after ? null : { direction: 'changed', name, before, after };

const showAsk = ({
  ask: { clock, answer_within_seconds: within } = ASK_DEFAULT,
}: RouteRule): string => `the clock ${clock}, ${within} s to answer`;

const showBudget = ({ attention_budget: budget }: RouteRule): string =>
  budget ? `${budget.per_approver_per_day} a day` : 'none';

/** What is different about a route, and for whom that makes it easier. */
export function routeChanges(before: RouteRule, after: RouteRule): RouteChange[] {
  const judged = FACETS.flatMap((facet): RouteChange[] => {
    const isLooser = facet.isLooser(before, after);
    const isStricter = facet.isLooser(after, before);
    if (!isLooser && !isStricter) return [];
    const direction = isLooser === isStricter ? 'changed' : isLooser ? 'wider' : 'narrower';
    return [{ direction, name: facet.name, before: facet.show(before), after: facet.show(after) }];
  });
  const times = [
    changed('expiry_seconds', String(before.expiry_seconds), String(after.expiry_seconds)),
    changed('attention_budget', showBudget(before), showBudget(after)),
    changed('ask', showAsk(before), showAsk(after)),
  ];
  return [...judged, ...times.filter((change) => change !== null)];
}
