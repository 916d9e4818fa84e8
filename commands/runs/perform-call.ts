// One attempt at a call, step by step; each step can be the last before a crash, and the next one to come goes by what
// was counted: what never went out can, what may have gone out does only where that does no harm.
import { setTimeout as pause } from 'node:timers/promises';
import type { CredentialRow, RunRow } from '../../db/rows.ts';
import { digestOf } from '../../domain/digest.ts';
import type { JsonObject } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { sealTo, type PublicKey } from '../../keys/public-key.ts';
import { TargetError } from '../credentials/issuer.ts';
import type { Deps } from '../deps.ts';
import { transact, type Call } from '../unit.ts';
import { endUnanswered, mayGoAgain, recordBeforeSend } from './call-runs.ts';
import type { Answered, SignIn } from './caller.ts';
import { toSend, type PreparedCall } from './http-call.ts';
import { openLogin } from './own-login.ts';
import { findRun, finishRun, type Performed } from './runs.ts';

export interface CallAttempt {
  run: RunRow;
  /** What was written down for the token that the call signs in with; null where it is a secret of ours. */
  lease: CredentialRow | null;
  prepared: PreparedCall;
  sealKey: PublicKey['jwk'];
}

export type CallPerformed =
  | (Extract<Performed, { kind: 'ended' }> & { answered: Answered | null })
  | Extract<Performed, { kind: 'later' }>;

/** Before a call goes out again, and how long after its beginning it does so at once: whoever asked is waiting. */
const PAUSE_MS = 500;
const PATIENCE_MS = 30_000;

/** Signs in, makes the call while everything it stands on holds, and writes down what was answered. */
export async function performCall(
  deps: Deps,
  call: Call,
  attempt: CallAttempt,
): Promise<CallPerformed> {
  const { run, prepared } = attempt;
  deps.crashPoint('run:intended');
  const signIn = await signInFor(deps, call, attempt);
  if ('code' in signIn) return { kind: 'later', code: signIn.code };
  deps.crashPoint('run:login');
  // The same at every time it goes out, whoever sends it.
  const message = { ...toSend(prepared, run.id), signIn };
  const started = Date.now();
  for (;;) {
    const sent = await sendOnce(deps, call, run, message);
    if ('answered' in sent) {
      deps.crashPoint('run:answered');
      const row = await keepAnswer(deps, call, attempt, sent.answered);
      deps.crashPoint('run:kept');
      return { kind: 'ended', run: row, answered: sent.answered };
    }
    const ended = await whenUnanswered(deps, call, run, sent);
    if (ended) return ended;
    if (Date.now() - started > PATIENCE_MS) return { kind: 'later', code: 'no_answer' };
    await pause(PAUSE_MS);
  }
}

/** The header that says who we are there: by our own secret, or by a token that is made for this call. */
async function signInFor(
  deps: Deps,
  call: Call,
  { lease, prepared }: CallAttempt,
): Promise<SignIn | { code: string }> {
  const { header, prefix, secret_from: from } = prepared.upstream.authentication;
  const how = { header, prefix: prefix ?? (header === 'authorization' ? 'Bearer ' : '') };
  if (from !== undefined) return { ...how, secret: { from } };
  if (!lease) throw new Error('this call signs in with a token, and no lease was written for one');
  const opened = await openLogin(deps, call, lease);
  if ('code' in opened) return opened;
  const token = tokenIn(opened.login);
  return token === null ? { code: 'no_token' } : { ...how, secret: { token } };
}

/** Where each kind of access that gives a bearer token has it. */
function tokenIn({ token, access_token: access }: JsonObject): string | null {
  const found = token ?? access;
  return typeof found === 'string' ? found : null;
}

type Unanswered = { error: unknown; isSent: boolean };

async function sendOnce(
  deps: Deps,
  call: Call,
  run: RunRow,
  message: Parameters<Deps['caller']['send']>[0],
): Promise<{ answered: Answered } | Unanswered> {
  let isSent = false;
  try {
    const answered = await deps.caller.send(message, async () => {
      await transact(deps, call, (unit) => recordBeforeSend(unit, run, message.timeoutSeconds));
      isSent = true;
      deps.crashPoint('run:sent');
    });
    return { answered };
  } catch (error) {
    return { error, isSent };
  }
}

/** How it ends without an answer; null where it may go out again now. */
async function whenUnanswered(
  deps: Deps,
  call: Call,
  run: RunRow,
  { error, isSent }: Unanswered,
): Promise<CallPerformed | null> {
  const isOurs = error instanceof Refusal;
  if (!isOurs && !(error instanceof TargetError)) throw error;
  if (isOurs && error.code === 'wrong_state') return { kind: 'later', code: 'superseded' };
  const row = await findRun(deps.db.query, run.id);
  if (!row) throw new Error('the run that was just sent is gone');
  if (!isOurs) {
    // Nothing went out, and whether it can later is for whoever asked.
    if (!isSent) return { kind: 'later', code: error.code };
    if (mayGoAgain(row) && row.attempt === run.attempt) return null;
  }
  const code = isOurs ? endedBy(error) : error.code;
  const ended = await transact(deps, call, (unit) => endUnanswered(unit, run, code));
  return { kind: 'ended', run: ended, answered: null };
}

/** Whatever a call stood on that no longer holds, its task is what the agent has to start anew. */
const endedBy = ({ code }: Refusal): string =>
  code === 'approval_lapsed' ? code : 'task_not_running';

async function keepAnswer(
  deps: Deps,
  call: Call,
  { run, sealKey }: CallAttempt,
  answered: Answered,
): Promise<RunRow> {
  const { status, headers, body, encoding, bytes, isCut, isMasked } = answered;
  const result: JsonObject = {
    kind: 'answer',
    status,
    headers,
    body,
    encoding,
    bytes,
    is_cut: isCut,
    is_masked: isMasked,
  };
  const answer = {
    status,
    bytes,
    isCut,
    isMasked,
    resultDigest: digestOf('countersign/result/v1', result),
    sealed: await sealTo(sealKey, result),
  };
  const end = { state: 'done', outcome: 'answered', code: null } as const;
  return transact(deps, call, (unit) =>
    finishRun(unit, run.id, { ...end, answer, attempt: run.attempt }),
  );
}
