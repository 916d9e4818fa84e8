// What policy itself let past a control: neither approved by anybody nor a way round, so it is counted on its own, and
// good only where the people of that control agreed to the waiver.
import {
  object,
  objects,
  text,
  type Case,
  type Fact,
  type Facts,
  type WaivedPass,
} from './facts.ts';
import { named, wasUsed, type Exception, type Finding } from './finding.ts';
import { RULE } from './rule.ts';

interface Period {
  from: string;
  to: string;
}

/** The waiver under which a credential came to be, if one did. */
export function passOf(facts: Facts, credential: string | null): WaivedPass | null {
  const lease = facts.leases.get(credential ?? '');
  const request = lease?.request ?? '';
  const asked = facts.others.get(request) ?? facts.known.get(request);
  const evaluation = lease?.evaluation ?? text(asked?.opened.detail['evaluation']);
  return facts.waived.get(evaluation ?? '') ?? null;
}

/** Whether a control was waived, or could have been. */
export const isWaivable = (facts: Facts, control: string): boolean =>
  facts.waived.size > 0 ||
  facts.activations.some((fact) =>
    objects(fact.detail['waives']).some((waiver) => waiver['control'] === control),
  );

/** How many actions went past the control by a waiver, of all that came to it. */
export function waivedShare(
  facts: Facts,
  period: Period,
): { passed: number; all: number; isMost: boolean } {
  const passed = passesUsed(facts, period).length;
  const all = passed + facts.cases.length;
  return { passed, all, isMost: passed > all * RULE.waived_share_max };
}

/** Each waiver with what passed by it, held against who agreed to it. */
export function waived(
  facts: Facts,
  { control, period }: { control: string; period: Period },
): Finding {
  const used = passesUsed(facts, period);
  const exceptions = used.flatMap((pass) => unapproved(facts, control, pass));
  const { passed, all, isMost } = waivedShare(facts, period);
  const rules = [...new Set(used.flatMap(({ rules: by }) => by))].toSorted();
  const seen = facts.effects.flatMap(({ credential }) => passOf(facts, credential)?.rules ?? []);
  const lines = rules.map((rule) => {
    const actions = used.filter(({ rules: by }) => by.includes(rule)).length;
    const effects = seen.filter((by) => by === rule).length;
    return `${actions} passed by the waiver ${rule} (${effects} effects of theirs were seen)`;
  });
  return {
    id: 'waived',
    population: all,
    exceptions,
    unknown: isMost
      ? used.map(({ fact }) => ({
          request: null,
          events: [fact.id],
          says: 'let past by policy, as most of what came to this control was',
        }))
      : [],
    threshold: `each waiver agreed to by the approvers of this control; at most ${RULE.waived_share_max} of all actions`,
    says: `${passed} of ${all} actions were asked of nobody here${lines.length > 0 ? `: ${lines.join('; ')}` : ''}`,
  };
}

/** Those of which something came: what was permitted and never issued passed nothing. */
function passesUsed(
  { waived: passes, leases, others, known }: Facts,
  { from, to }: Period,
): WaivedPass[] {
  const issued = new Map<string, boolean>();
  for (const { evaluation, issued: was } of leases.values())
    if (evaluation !== null) issued.set(evaluation, was || (issued.get(evaluation) ?? false));
  const held = new Map<string, Case>();
  for (const each of [...others.values(), ...known.values()])
    held.set(text(each.opened.detail['evaluation']) ?? '', each);
  return [...passes].flatMap(([evaluation, pass]) => {
    if (pass.fact.time < from || pass.fact.time >= to) return [];
    const request = held.get(evaluation);
    const isUsed = request ? wasUsed(request) : (issued.get(evaluation) ?? true);
    return isUsed ? [pass] : [];
  });
}

function unapproved(facts: Facts, control: string, { fact, rules }: WaivedPass): Exception[] {
  const bad = rules.filter((rule) => !wasAgreedTo(facts, control, rule, fact));
  // One good waiver is all it takes: any other changed nothing.
  if (bad.length < rules.length) return [];
  const rule = bad.join('+');
  return [
    {
      mechanism: `waived × ${rule} × ${control}`,
      effect: true,
      case: {
        request: null,
        events: [fact.id],
        says: `let past by the waiver ${rule}, to which nobody who decides at this control agreed`,
      },
    },
  ];
}

/** Whether the policy that brought the waiver, as it was when it was used, was approved by this control’s own people. */
function wasAgreedTo(facts: Facts, control: string, rule: string, used: Fact): boolean {
  const before = facts.activations.filter(
    (each) => each.index < used.index && each.subject === used.policyVersion,
  );
  const inForce = before.at(-1);
  const digest = inForce && digestIn(inForce, control, rule);
  if (!inForce || digest === undefined || digest === null) return false;
  const earlier = facts.activations.filter((each) => each.index <= inForce.index).toReversed();
  const since = earlier.findIndex((each) => digestIn(each, control, rule) !== digest);
  const brought = earlier[(since === -1 ? earlier.length : since) - 1];
  const asked = facts.known.get(brought?.request ?? '');
  const approved = asked && named(asked, 'request.approved')[0];
  return brought !== undefined && approved !== undefined && approved.index < brought.index;
}

const digestIn = ({ detail }: Fact, control: string, rule: string): string | null => {
  const found = objects(detail['waives']).find(
    (waiver) => waiver['control'] === control && waiver['rule'] === rule,
  );
  return text(object(found)['digest']);
};
