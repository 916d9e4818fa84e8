// Checks an exported bundle with nothing but the bundle: no server, no network, no database. What it says can be
// believed as far as the verifier key can, so bring your own copy of that where it matters.
import { base64, sha256, utf8, hex } from '../domain/bytes.ts';
import { addMs, fromMs, toMs } from '../domain/instant.ts';
import {
  canonicalJson,
  JsonError,
  parseJson,
  type JsonObject,
  type JsonValue,
} from '../domain/json.ts';
import { leafHash } from '../domain/merkle.ts';
import {
  openCheckpoint,
  parseVerifierKey,
  type Checkpoint,
  type VerifierKey,
} from '../domain/note.ts';
import { checkSignedVotes, type LoggedLeaf } from '../domain/signed-votes.ts';
import { appendLeaves, type Edge } from '../domain/tile.ts';
import { controlsIn, object, text, type Leaf } from '../domain/verdict/facts.ts';
import { judge, verdictJson } from '../domain/verdict/judge.ts';
import { verifyEd25519 } from '../keys/ed25519.ts';
import { verifyPasskey } from '../keys/passkey.ts';

export const BUNDLE_FORMAT = 'countersign/bundle/v1';

interface Period {
  from: string;
  to: string;
}

export interface BundleVerdict {
  control: string;
  verdict: string;
  simulated: boolean;
  period: Period;
  /** The verdict over the whole log, which the choice of a period cannot better. */
  throughout: string;
}

export type BundleCheck =
  | {
      ok: true;
      origin: string;
      size: number;
      root: string;
      /** Whether the key came from outside; if not, the bundle vouches for itself. */
      keyGiven: boolean;
      /** Votes that a passkey signed, each of which was verified again. */
      signedVotes: number;
      verdicts: BundleVerdict[];
    }
  | { ok: false; problem: string };

export interface CheckOptions {
  /** The verifier key as the auditor knows it; without it, the bundle's own is used. */
  key?: string | undefined;
  /** A checkpoint seen earlier: the log must still begin with what it covered. */
  earlier?: string | undefined;
}

class BundleError extends Error {}

/**
 * Verifies a whole bundle: every byte of it is either signed, hashed, or computed again. Only the period of a verdict
 * is the asker's own word, and is therefore printed beside what the whole log says.
 */
export function verifyBundle(bundle: string, options: CheckOptions = {}): BundleCheck {
  try {
    return check(bundle, options);
  } catch (error) {
    if (error instanceof BundleError || error instanceof JsonError)
      return { ok: false, problem: error.message };
    // Whoever wrote the bundle may have written it so that we stumble: that is no reason to trust it.
    const problem = error instanceof Error ? error.message : String(error);
    return { ok: false, problem: `it cannot be evaluated: ${problem}` };
  }
}

function check(bundle: string, options: CheckOptions): BundleCheck {
  const lines = readLines(bundle);
  const header = member(lines[0], 'bundle');
  if (header['format'] !== BUNDLE_FORMAT || !hasOnly(header, ['format', 'vkey', 'checkpoint']))
    throw new BundleError('this is not a bundle of a known format');
  const key = trustedKey(text(header['vkey']) ?? '', options.key);
  const checkpoint = opened(text(header['checkpoint']) ?? '', key, 'the checkpoint');
  const leafLines = lines.filter((line) => Object.hasOwn(line, 'leaf'));
  const verdictLines = lines.slice(1 + leafLines.length);
  const leaves = readLeaves(lines.slice(1, 1 + leafLines.length));
  checkRoot(leaves, checkpoint, 'the leaves do not add up to the signed root');
  const votes = checkSignedVotes(leaves, verifyPasskey);
  if (votes.problem !== null) throw new BundleError(votes.problem);
  if (options.earlier !== undefined)
    checkEarlier(leaves, opened(options.earlier, key, 'the earlier checkpoint'));
  const verdicts = verdictLines.map((line) =>
    checkVerdict(member(line, 'verdict'), leaves, checkpoint),
  );
  const missing = controlsIn(leaves).find(
    (control) => !verdicts.some((each) => each.control === control),
  );
  if (missing !== undefined)
    throw new BundleError(
      `the bundle leaves out the verdict on "${missing}", which its leaves speak of`,
    );
  return {
    ok: true,
    origin: checkpoint.origin,
    size: checkpoint.size,
    root: base64(checkpoint.root),
    keyGiven: options.key !== undefined,
    signedVotes: votes.signed,
    verdicts,
  };
}

/** Canonical lines, the last of which is the digest of all before it. */
function readLines(bundle: string): JsonObject[] {
  const end = bundle.lastIndexOf('\n', bundle.length - 2);
  const body = bundle.slice(0, end + 1);
  const last = bundle.slice(end + 1);
  const digest = hex(sha256(utf8(body)));
  if (last !== `${canonicalJson({ sha256: digest })}\n`)
    throw new BundleError('the bundle is not the one that was written: its digest does not fit');
  return body
    .slice(0, -1)
    .split('\n')
    .map((line, at) => {
      const value = parseJson(line);
      if (canonicalJson(value) !== line)
        throw new BundleError(`line ${at + 1} is not in canonical form`);
      return object(value);
    });
}

function member(line: JsonObject | undefined, name: string): JsonObject {
  if (line === undefined || !hasOnly(line, [name]))
    throw new BundleError(`where "${name}" should be there is something else`);
  return object(line[name]);
}

/** What is not checked must not be there: a reader would take it for checked. */
const hasOnly = (object: JsonObject, names: readonly string[]): boolean =>
  Object.keys(object).length === names.length && names.every((name) => Object.hasOwn(object, name));

function trustedKey(own: string, given: string | undefined): VerifierKey {
  if (given !== undefined && given.trim() !== own)
    throw new BundleError('the bundle was signed with another key than the one you brought');
  const key = parseVerifierKey(own);
  if (!key) throw new BundleError('the verifier key in the bundle is not one');
  return key;
}

function opened(note: string, key: VerifierKey, what: string): Checkpoint {
  const checkpoint = openCheckpoint(note, key, verifyEd25519);
  if (!checkpoint) throw new BundleError(`${what} does not verify`);
  return checkpoint;
}

function readLeaves(lines: readonly JsonObject[]): LoggedLeaf[] {
  return lines.map((line, index) => {
    const leaf = text(line['leaf']);
    if (leaf === null || !hasOnly(line, ['leaf']))
      throw new BundleError(`the line of leaf ${index} holds something else`);
    const event: JsonValue = parseJson(leaf);
    if (canonicalJson(event) !== leaf)
      throw new BundleError(`leaf ${index} is not in canonical form`);
    return { index, text: leaf, event: object(event) };
  });
}

function rootOf(leaves: readonly LoggedLeaf[]): string {
  const edge: Edge = [];
  return base64(
    appendLeaves(
      edge,
      0,
      leaves.map((leaf) => leafHash(utf8(leaf.text))),
    ).root,
  );
}

function checkRoot(leaves: readonly LoggedLeaf[], checkpoint: Checkpoint, problem: string): void {
  if (leaves.length !== checkpoint.size || rootOf(leaves) !== base64(checkpoint.root))
    throw new BundleError(problem);
}

/** The bundle carries every leaf, so an earlier tree is simply computed again. */
function checkEarlier(leaves: readonly LoggedLeaf[], earlier: Checkpoint): void {
  if (earlier.size > leaves.length)
    throw new BundleError(
      `the log was seen with ${earlier.size} entries and has ${leaves.length} here: it was rolled back`,
    );
  checkRoot(
    leaves.slice(0, earlier.size),
    earlier,
    'the log no longer begins with what the earlier checkpoint covered: it was forked',
  );
}

function checkVerdict(
  served: JsonObject,
  leaves: readonly LoggedLeaf[],
  checkpoint: Checkpoint,
): BundleVerdict {
  const control = text(served['control']) ?? '';
  const period = object(served['period']);
  for (const time of [text(period['from']), text(period['to'])])
    if (time === null || fromMs(toMs(time)) !== time)
      throw new BundleError(`the period of the verdict on "${control}" is not one`);
  const asked = {
    control,
    period: { from: text(period['from']) ?? '', to: text(period['to']) ?? '' },
    log: { size: checkpoint.size, root: base64(checkpoint.root) },
  };
  const again = judge(leaves, asked);
  if (canonicalJson(verdictJson(again)) !== canonicalJson(served))
    throw new BundleError(`the verdict on "${control}" is not what the leaves say`);
  return {
    control,
    verdict: again.verdict,
    simulated: again.simulated,
    period: asked.period,
    throughout: judge(leaves, { ...asked, period: wholeOf(leaves) }).verdict,
  };
}

/** From the first leaf to just after the last. */
function wholeOf(leaves: readonly Leaf[]): Period {
  const times = leaves.map(({ event }) => text(event['time']) ?? '').toSorted();
  const [first] = times;
  const last = times.at(-1);
  if (first === undefined || last === undefined) throw new BundleError('the log is empty');
  return { from: first, to: addMs(last, 1) };
}
