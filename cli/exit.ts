// How a command ends: its exit code, and the one sentence on standard error when it failed.
import { CommanderError } from 'commander';
import { faultFields } from '../commands/log-line.ts';
import { visible } from '../domain/card.ts';
import { canonicalJson, type JsonValue } from '../domain/json.ts';
import type { RequestState } from '../domain/lifecycle.ts';
import type { Judgement } from '../domain/verdict/types.ts';
import { CountersignError, type ErrorCode } from '../sdk/error.ts';
import { StartError } from './embedded/process.ts';

/** Documented in docs/cli.md; a code never changes its meaning. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  insufficientEvidence: 3,
  decorative: 4,
  requestDenied: 5,
  requestExpired: 6,
  requestCancelled: 7,
  requestFailed: 8,
  requestPending: 9,
  requestSuperseded: 10,
} as const;

export const EXIT_OF_VERDICT: Record<Judgement, number> = {
  real: EXIT.ok,
  insufficient_evidence: EXIT.insufficientEvidence,
  decorative: EXIT.decorative,
};

export const EXIT_OF_REQUEST: Record<RequestState, number> = {
  approved: EXIT.ok,
  consumed: EXIT.ok,
  denied: EXIT.requestDenied,
  expired: EXIT.requestExpired,
  cancelled: EXIT.requestCancelled,
  superseded: EXIT.requestSuperseded,
  failed: EXIT.requestFailed,
  pending: EXIT.requestPending,
};

/** A command that was typed wrong, or lacks something the environment should say. */
export class UsageError extends Error {}

export interface Ending {
  exitCode: number;
  /** Null when it was already said. */
  line: string | null;
}

export function endingOf(error: unknown): Ending {
  if (error instanceof CommanderError)
    return { exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage, line: null };
  if (error instanceof UsageError) return { exitCode: EXIT.usage, line: error.message };
  if (error instanceof CountersignError) return { exitCode: EXIT.failed, line: sentenceOf(error) };
  if (error instanceof StartError) return { exitCode: EXIT.failed, line: error.message };
  return { exitCode: EXIT.failed, line: JSON.stringify(faultFields(error)) };
}

/** What to do, where the server cannot know it. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'Set COUNTERSIGN_TOKEN to the admin token of this server.',
  unreachable: 'Set COUNTERSIGN_URL, or start a server with npm start.',
  idempotency_in_progress: 'Try again in a moment.',
};

function sentenceOf(error: CountersignError): string {
  const said = [error.detail, ADVICE[error.code], `[${error.code}]`];
  const places = problemsOf(error).map((problem) => `\n  ${problem}`);
  return visible(said.filter((part) => part !== undefined).join(' ')) + places.join('');
}

/** The single mistakes that a refusal of a body or a policy lists. */
function problemsOf({ members }: CountersignError): string[] {
  const { errors } = members;
  return Array.isArray(errors) ? errors.map((each) => visible(problemText(each))) : [];
}

function problemText(each: JsonValue): string {
  if (typeof each !== 'object' || each === null || Array.isArray(each)) return canonicalJson(each);
  const { pointer, detail } = each;
  return typeof pointer === 'string' && typeof detail === 'string'
    ? `${pointer}: ${detail}`
    : canonicalJson(each);
}
