// Whether what many callers saw at once can be told as if they had come one after the other (Wing and Gong's search,
// with what Lowe added: what was tried before is not tried again).

/** One call: when it was sent, when it was answered, and with what. */
export interface Happening<Call, Answer> {
  call: Call;
  answer: Answer;
  sentAt: number;
  answeredAt: number;
}

export interface Model<State, Call, Answer> {
  start: State;
  /** The states in which this call may have left things, given what it was answered; none if it cannot have been. */
  next(state: State, happening: Happening<Call, Answer>): State[];
  /** Equal for equal states. */
  key(state: State): string;
}

/** An order that explains everything, or null. */
export function linearize<State, Call, Answer>(
  model: Model<State, Call, Answer>,
  happenings: readonly Happening<Call, Answer>[],
): Happening<Call, Answer>[] | null {
  const all = happenings.toSorted((one, other) => one.sentAt - other.sentAt);
  const tried = new Set<string>();
  const done = all.map(() => false);
  const order: Happening<Call, Answer>[] = [];

  const search = (state: State): boolean => {
    if (order.length === all.length) return true;
    const seen = `${model.key(state)}|${done.map((is) => (is ? '1' : '0')).join('')}`;
    if (tried.has(seen)) return false;
    tried.add(seen);
    // Nothing can come after what was answered before it was sent.
    let firstAnswer = Infinity;
    all.forEach((each, at) => {
      if (!done[at]) firstAnswer = Math.min(firstAnswer, each.answeredAt);
    });
    const first: [number, Happening<Call, Answer>][] = [];
    for (const [at, each] of all.entries()) {
      if (each.sentAt > firstAnswer) break;
      if (!done[at]) first.push([at, each]);
    }
    // What changes nothing and fits now loses nothing by coming now: no other order has to be tried.
    const idle = first.find(([, each]) => {
      const [after, ...others] = model.next(state, each);
      return after !== undefined && others.length === 0 && model.key(after) === model.key(state);
    });
    for (const [at, each] of idle ? [idle] : first) {
      for (const after of model.next(state, each)) {
        done[at] = true;
        order.push(each);
        if (search(after)) return true;
        order.pop();
        done[at] = false;
      }
    }
    return false;
  };
  return search(model.start) ? order : null;
}
