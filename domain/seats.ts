// The seats of a route: how many people of which groups have to agree, and in which order. One human fills one seat.

/** The group of whoever owns what is asked for. No group of people has a colon in its name. */
export const RESOURCE_OWNER = 'resource:owner';

const ON_CALL = 'on-call:';

/** The group of whoever is on call by this source. */
export const onCallGroup = (source: string): string => `${ON_CALL}${source}`;

/** Whether a group is one that people are put into, and not one that a duty makes. */
export const isGroupOfPeople = (group: string): boolean => !group.includes(':');

/** One step of a route: who is asked, and how many of them have to agree before the next step begins. */
export interface StageRule {
  title: string | null;
  groups: string[];
  /** Distinct people in all. */
  quorum: number;
  /** How many of them from each group; without it they may come from any. */
  seats?: Record<string, number>;
}

/** Groups that join when time has passed. */
export interface EscalationStep {
  after_seconds: number;
  groups: string[];
  /** The group whose seats they may fill; without it, any. */
  for?: string;
}

/** The part of a rule that says who sits where. */
export interface SeatRule {
  groups: string[];
  /** Distinct people in all. */
  quorum: number;
  seats?: Record<string, number>;
  /** Steps one after the other; without them everybody is asked at once. */
  stages?: StageRule[];
  /** Whether one person may fill seats of two stages; they may not unless it says so. */
  same_person?: 'allowed';
  /** Escalation adds people, never an approval. */
  escalation: EscalationStep[];
}

/** Seats of one kind: this many people, each of any of these groups. */
export interface SeatKind {
  groups: string[];
  quorum: number;
}

/** Somebody who could take a seat. */
export interface Sitter {
  id: string;
  groups: readonly string[];
}

/** How far a stage is. */
export interface StageProgress {
  title: string | null;
  quorum: number;
  approvals: number;
  seats: (SeatKind & { approvals: number })[];
  isComplete: boolean;
}

/** The stages of a rule in their order; a rule without any is one stage. */
export const stagesOf = ({ stages, groups, quorum, seats }: SeatRule): StageRule[] =>
  stages ?? [{ title: null, groups, quorum, ...(seats && { seats }) }];

/** The seats of a stage as they can be filled once this much time has passed. */
export function seatKinds(
  stage: StageRule,
  escalation: readonly EscalationStep[],
  elapsedSeconds: number,
): SeatKind[] {
  const due = escalation.filter((step) => elapsedSeconds >= step.after_seconds);
  const widened = (groups: readonly string[]): string[] => {
    const joining = due.filter((step) => step.for === undefined || groups.includes(step.for));
    return [...new Set([...groups, ...joining.flatMap((step) => step.groups)])];
  };
  if (stage.seats === undefined) return [{ groups: widened(stage.groups), quorum: stage.quorum }];
  return Object.entries(stage.seats)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([group, quorum]) => ({ groups: widened([group]), quorum }));
}

/** Every group that a rule could ever ask. */
export const groupsEver = ({ groups, escalation }: SeatRule): string[] => [
  ...new Set([...groups, ...escalation.flatMap((step) => step.groups)]),
];

/** The sources of who is on call that a rule asks. */
export const sourcesIn = (rule: SeatRule): string[] =>
  groupsEver(rule).flatMap((group) =>
    group.startsWith(ON_CALL) ? [group.slice(ON_CALL.length)] : [],
  );

const fits = ({ groups }: Sitter, kind: SeatKind): boolean =>
  groups.some((group) => kind.groups.includes(group));

/** Whether somebody of these groups could take any of the seats. */
export const canSit = (groups: readonly string[], kinds: readonly SeatKind[]): boolean =>
  kinds.some((kind) => fits({ id: '', groups }, kind));

/** A seat that asks for nobody is never filled by nobody. */
const needed = ({ quorum }: SeatKind): number => Math.max(1, quorum);

/**
 * How many seats of each kind are taken when as many as possible are (a maximum matching). Whoever could sit in two
 * places sits in one; nobody is kept out of a seat by somebody who could as well sit elsewhere.
 */
export function fillSeats(kinds: readonly SeatKind[], sitters: readonly Sitter[]): number[] {
  const people = [...new Map(sitters.map((sitter) => [sitter.id, sitter])).values()].toSorted(
    (a, b) => (a.id < b.id ? -1 : 1),
  );
  // Of no kind are there more seats to fill than people who could.
  const seats = kinds.flatMap((kind, at) =>
    Array.from({ length: Math.min(needed(kind) || 0, people.length) }, () => at),
  );
  const taken = new Map<number, Sitter>();
  const seat = (sitter: Sitter, tried: Set<number>): boolean =>
    seats.some((at, place) => {
      const kind = kinds[at];
      if (!kind || tried.has(place) || !fits(sitter, kind)) return false;
      tried.add(place);
      const there = taken.get(place);
      if (there && !seat(there, tried)) return false;
      taken.set(place, sitter);
      return true;
    });
  for (const sitter of people) seat(sitter, new Set());
  return kinds.map((_, at) => [...taken.keys()].filter((place) => seats[place] === at).length);
}

/** How far a stage is, with these people's approvals. */
export function progressOf(
  { title, quorum }: StageRule,
  kinds: readonly SeatKind[],
  sitters: readonly Sitter[],
): StageProgress {
  const [only] = kinds;
  // Where all seats are alike, whoever is more than enough is counted, too.
  const filled =
    kinds.length === 1 && only
      ? [new Set(sitters.filter((each) => fits(each, only)).map(({ id }) => id)).size]
      : fillSeats(kinds, sitters);
  const seats = kinds.map((kind, at) => ({ ...kind, approvals: filled[at] ?? 0 }));
  return {
    title,
    quorum,
    approvals: filled.reduce((sum, count) => sum + count, 0),
    seats,
    isComplete: seats.length > 0 && seats.every((kind) => kind.approvals >= needed(kind)),
  };
}

/** Whether these people could fill every seat of a rule, with those who will have joined after this long. */
export function isReachable(
  rule: SeatRule,
  sitters: readonly Sitter[],
  elapsedSeconds: number,
): boolean {
  const stages = stagesOf(rule).map((stage) => seatKinds(stage, rule.escalation, elapsedSeconds));
  const couldFill = (kinds: readonly SeatKind[]): boolean =>
    fillSeats(kinds, sitters).every((filled, at) => filled >= (kinds[at]?.quorum ?? Infinity));
  return rule.same_person === 'allowed' ? stages.every(couldFill) : couldFill(stages.flat());
}

/** Who has to agree, in words: "1 from security and 1 from data-owners, then 2 from admins". */
export const seatsInWords = (rule: SeatRule): string =>
  stagesOf(rule)
    .map((stage) =>
      seatKinds(stage, [], 0)
        .map(({ groups, quorum }) => `${quorum} from ${groups.join(' or ')}`)
        .join(' and '),
    )
    .join(', then ');

/** How far the open stage of a route is, in words: "1 of 1 security, 0 of 1 data-owners". */
export function progressInWords(stages: readonly StageProgress[]): string {
  const unfinished = stages.findIndex(({ isComplete }) => !isComplete);
  const at = unfinished < 0 ? stages.length - 1 : unfinished;
  const stage = stages[at];
  if (!stage) return '0 of 0';
  const [only] = stage.seats;
  const seats =
    stage.seats.length === 1 && only
      ? `${only.approvals} of ${only.quorum}`
      : stage.seats
          .map((seat) => `${seat.approvals} of ${seat.quorum} ${seat.groups.join(' or ')}`)
          .join(', ');
  if (stages.length === 1) return seats;
  const title = stage.title === null ? '' : ` (${stage.title})`;
  return `stage ${at + 1} of ${stages.length}${title}: ${seats}`;
}
