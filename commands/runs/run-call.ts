// Asking for one call of a configured API: what goes out is what was judged and agreed to, and whoever asked never sees
// what it signs in with.
import type { CredentialRow, RunRow } from '../../db/rows.ts';
import { actionDigest } from '../../domain/action.ts';
import { paramsIn } from '../../domain/http-call.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { recordEvaluation } from '../approvals/requests.ts';
import type { Deps } from '../deps.ts';
import { evaluateAction } from '../policy/questions.ts';
import { transact, type Call, type Unit } from '../unit.ts';
import { intendToken, mayGoAgain, ofCall } from './call-runs.ts';
import { callAction, prepareCall, type CallWish, type PreparedCall } from './http-call.ts';
import { performCall, type CallPerformed } from './perform-call.ts';
import { giveUpRun, resolveRun } from './perform-run.ts';
import { previewText } from './preview-text.ts';
import {
  standingFor,
  type Ask,
  type Door,
  type Judged,
  type Preview,
  type Standing,
} from './run-door.ts';
import { notReachable } from './run-statement.ts';
import { endRunLease, findRun, intendRun, lockRun, retakeRun } from './runs.ts';

export interface CallAsk extends Ask {
  wish: CallWish;
}

interface JudgedCall extends Judged {
  prepared: PreparedCall;
}

/** A call that was asked for. */
export const callDoor = (deps: Deps, call: Call, ask: CallAsk): Door<JudgedCall> => {
  const door: Opened = { deps, call, ask };
  return {
    ask,
    judge: (unit, preview) => judge(unit, deps, ask, preview),
    preview: (unit, judged) => previewOf(unit, door, judged),
    begin: async (unit, judged, evaluation) => {
      const { run, lease } = await begin(unit, ask, judged, evaluation);
      return { run, perform: () => carryOut(door, { run, lease, prepared: judged.prepared }) };
    },
    resume: (run) => resume(door, run),
  };
};

interface Opened {
  deps: Deps;
  call: Call;
  ask: CallAsk;
}

interface BegunCall {
  run: RunRow;
  lease: CredentialRow | null;
  prepared: PreparedCall;
}

const send = ({ deps, call, ask }: Opened, begun: BegunCall): Promise<CallPerformed> =>
  performCall(deps, call, { ...begun, sealKey: ask.sealTo.jwk });

async function carryOut(door: Opened, begun: BegunCall): Promise<RunRow> {
  const performed = await send(door, begun);
  if (performed.kind === 'ended') return performed.run;
  const { deps, call } = door;
  return giveUpRun(deps, call, { run: begun.run, code: performed.code });
}

/** Everything that has to hold for a call to be made, and what policy says of it today. */
async function judge(
  unit: Unit,
  deps: Deps,
  ask: CallAsk,
  preview: JsonObject | null,
): Promise<JudgedCall> {
  const standing = await standingFor(unit, deps, ask, ask.wish.upstream);
  const prepared = prepareCall(standing.bundle, ask.wish);
  if (prepared.upstream.reason === 'required' && (ask.reason ?? '').trim() === '')
    throw new Refusal(
      'reason_required',
      `The upstream ${ask.wish.upstream} is called only with a reason: say in reason what the call is for.`,
    );
  return judged(unit, standing, { prepared, reason: ask.reason, preview });
}

async function judged(
  unit: Unit,
  standing: Standing,
  about: { prepared: PreparedCall; reason: string | null; preview: JsonObject | null },
): Promise<JudgedCall> {
  const { prepared } = about;
  const action = callAction(standing.owner, prepared, about);
  const evaluation = await evaluateAction(unit.sql, standing.bundle, action);
  return { ...standing, prepared, action, evaluation };
}

async function begin(
  unit: Unit,
  ask: CallAsk,
  { owner, bundle, prepared, action }: JudgedCall,
  evaluation: Id<'evaluation'>,
): Promise<BegunCall> {
  const about = {
    owner,
    prepared,
    control: null,
    evaluation,
    request: null,
    permit: null,
    sealThumbprint: ask.sealTo.thumbprint,
  };
  const lease = await intendToken(unit, bundle, { ...about, until: owner.deadlineAt });
  const run = await intendRun(unit, ofCall({ ...about, lease, digest: actionDigest(action) }));
  return { run, lease, prepared };
}

/** What came of a call whose sender was not heard of again: it goes out once more only where that does no harm. */
async function resume(door: Opened, seen: RunRow): Promise<RunRow> {
  const { deps, call } = door;
  const resolved = await resolveRun(deps, call, seen.id);
  if (resolved.kind === 'ended') return resolved.run;
  const run = (await findRun(deps.db.query, seen.id)) ?? seen;
  if (resolved.code === 'in_progress') return run;
  const again =
    resolved.code === 'no_answer' && mayGoAgain(run)
      ? await transact(deps, call, (unit) => retake(unit, door, run))
      : null;
  return again ? carryOut(door, again) : giveUpRun(deps, call, { run, code: resolved.code });
}

/** Another attempt at it, while policy still plainly permits the very same; null where it does not. */
async function retake(unit: Unit, { deps, ask }: Opened, seen: RunRow): Promise<BegunCall | null> {
  let today: JudgedCall;
  try {
    today = await judge(unit, deps, ask, null);
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
  const { evaluation, action, owner, bundle, prepared } = today;
  if (evaluation.decision !== 'permit' || actionDigest(action) !== seen.digest) return null;
  const before = await lockRun(unit, seen.id);
  if (before.state !== 'running' || before.attempt !== seen.attempt) return null;
  if (before.credential !== null) await endRunLease(unit, before.credential);
  const lease = await intendToken(unit, bundle, {
    owner,
    prepared,
    control: null,
    request: null,
    permit: null,
    sealThumbprint: ask.sealTo.thumbprint,
    until: owner.deadlineAt,
  });
  const { timeout_seconds: seconds } = prepared.upstream;
  return { run: await retakeRun(unit, before, lease?.id ?? null, seconds), lease, prepared };
}

/**
 * The call that shows what this one would change. It is made like any other call of this agent, and only where policy
 * plainly lets the agent make it: a preview opens nothing.
 */
async function previewOf(
  unit: Unit,
  door: Opened,
  judgedCall: JudgedCall,
): Promise<Preview | null> {
  const { shape, wish, upstream } = judgedCall.prepared;
  const look = shape.preview === undefined ? undefined : upstream.calls[shape.preview];
  if (!look || shape.preview === undefined) return null;
  const names = paramsIn(look.path);
  const params = Object.entries(wish.params).filter(([name]) => names.includes(name));
  const prepared = prepareCall(judgedCall.bundle, {
    upstream: wish.upstream,
    call: shape.preview,
    params: Object.fromEntries(params),
    query: {},
    headers: {},
  });
  const about = { prepared, reason: door.ask.reason, preview: null };
  const looking = await judged(unit, judgedCall, about);
  if (looking.evaluation.decision !== 'permit') return null;
  const recorded = recordEvaluation(unit, looking.action, looking.evaluation);
  const begun = await begin(unit, door.ask, looking, recorded.id);
  return {
    resource: `preview ${begun.run.id}`,
    make: () => makePreview(door, begun),
    end: () => Promise.resolve(),
  };
}

async function makePreview(door: Opened, begun: BegunCall): Promise<JsonObject | Refusal> {
  const { deps, call, ask } = door;
  const performed = await send(door, begun);
  if (performed.kind === 'later') {
    await giveUpRun(deps, call, { run: begun.run, code: performed.code });
    return notReachable(ask.wish.upstream, performed.code);
  }
  const { run, answered } = performed;
  if (!answered) return notReachable(ask.wish.upstream, run.code ?? 'unreachable');
  return {
    call: begun.prepared.wish.call,
    url: begun.prepared.built.url,
    status: answered.status,
    bytes: answered.bytes,
    is_cut: answered.isCut,
    digest: run.resultDigest,
    text: previewText(answered),
  };
}
