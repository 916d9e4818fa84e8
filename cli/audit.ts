// Taking the record away, and checking it where no server of ours can help or hinder.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { canonicalJson, parseJson, type JsonObject, type JsonValue } from '../domain/json.ts';
import { openCheckpoint, parseVerifierKey } from '../domain/note.ts';
import { decodeEntries, tilePath, tileWidth, TILE_WIDTH } from '../domain/tile.ts';
import { controlsIn, object, objects, text, type Leaf } from '../domain/verdict/facts.ts';
import { verifyEd25519 } from '../keys/ed25519.ts';
import { BUNDLE_FORMAT, verifyBundle, type BundleVerdict } from '../sdk/verify.ts';
import { UsageError } from './exit.ts';

/** How the exporter reaches the server. */
export interface Source {
  /** Bytes at a path of the server; throws with a sentence when it cannot be had. */
  read(path: string): Promise<Buffer>;
}

export interface ExportOptions {
  out: string;
  from?: string | undefined;
  to?: string | undefined;
}

/** Writes everything up to the newest checkpoint into one file, with the verdict on every control. */
export async function exportBundle(
  source: Source,
  options: ExportOptions,
): Promise<{ size: number; controls: string[] }> {
  const vkey = (await source.read('/log/vkey')).toString('utf8').trim();
  const note = (await source.read('/log/checkpoint')).toString('utf8');
  const key = parseVerifierKey(vkey);
  const checkpoint = key && openCheckpoint(note, key, verifyEd25519);
  if (!checkpoint)
    throw new UsageError('the server’s checkpoint does not verify with its own key.');
  const lines: JsonValue[] = [{ bundle: { format: BUNDLE_FORMAT, vkey, checkpoint: note } }];
  const leaves: Leaf[] = [];
  for await (const leaf of readLeaves(source, checkpoint.size)) {
    leaves.push({ index: leaves.length, event: object(parseJson(leaf)) });
    lines.push({ leaf });
  }
  // Also what policy knows no more: a control that was renamed keeps its history.
  const controls = [
    ...new Set([...(await readControls(source)), ...controlsIn(leaves)]),
  ].toSorted();
  for (const control of controls)
    lines.push({ verdict: await readVerdict(source, control, checkpoint.size, options) });
  const body = lines.map((line) => `${canonicalJson(line)}\n`).join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  await writeOut(options.out, `${body}${canonicalJson({ sha256 })}\n`);
  return { size: checkpoint.size, controls };
}

/** A place that cannot be written to is a slip of whoever named it. */
const writeOut = (file: string, content: string): Promise<void> =>
  writeFile(file, content).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new UsageError(
      `${file} cannot be written (${code}): name a file in a folder that is there.`,
    );
  });

async function* readLeaves(source: Source, size: number): AsyncGenerator<string> {
  for (let index = 0; index * TILE_WIDTH < size; index += 1) {
    const width = tileWidth(size, 0, index);
    const entries = decodeEntries(await source.read(`/log/${tilePath('entries', index, width)}`));
    if (entries?.length !== width)
      throw new UsageError(`the server’s entries ${index} are not what the checkpoint says.`);
    for (const entry of entries) yield Buffer.from(entry).toString('utf8');
  }
}

async function readControls(source: Source): Promise<string[]> {
  const { data } = parsed(await source.read('/v1/controls'));
  return objects(data).flatMap((control) => text(control['id']) ?? []);
}

async function readVerdict(
  source: Source,
  control: string,
  size: number,
  { from, to }: ExportOptions,
): Promise<JsonObject> {
  const query = new URLSearchParams({
    size: String(size),
    ...(from && { from }),
    ...(to && { to }),
  });
  return parsed(
    await source.read(`/v1/controls/${encodeURIComponent(control)}/verdict?${query.toString()}`),
  );
}

const parsed = (body: Buffer): JsonObject => object(parseJson(body.toString('utf8')));

export interface VerifyOptions {
  key?: string | undefined;
  earlier?: string | undefined;
}

/** Checks a bundle and says what holds, line by line; the first line says whether it verifies. */
export async function verifyFile(
  file: string,
  options: VerifyOptions,
): Promise<{ ok: boolean; lines: string[] }> {
  const read = (name: string): Promise<Buffer> =>
    readFile(name).catch(() => {
      throw new UsageError(`${name} cannot be read.`);
    });
  const bundle = textOf(await read(file));
  if (bundle === null) return { ok: false, lines: ['does not verify: it is not UTF-8'] };
  const result = verifyBundle(bundle, {
    key: options.key === undefined ? undefined : await keyFrom(options.key),
    earlier:
      options.earlier === undefined ? undefined : (textOf(await read(options.earlier)) ?? ''),
  });
  if (!result.ok) return { ok: false, lines: [`does not verify: ${result.problem}`] };
  return {
    ok: true,
    lines: [
      `verifies: ${result.size} entries of ${result.origin}, root ${result.root}`,
      result.keyGiven
        ? 'the key is the one you brought'
        : 'the key is the one in the bundle: compare it with a copy you got elsewhere (--key)',
      ...signedLines(result.signedVotes),
      ...result.verdicts.flatMap(verdictLines),
    ],
  };
}

const signedLines = (votes: number): string[] =>
  votes === 0
    ? []
    : [`${votes} vote${votes === 1 ? '' : 's'} signed with a passkey, each verified again`];

function verdictLines({
  control,
  verdict,
  simulated,
  period,
  throughout,
}: BundleVerdict): string[] {
  const played = simulated ? ' (simulated)' : '';
  return [
    `${control}: ${verdict}${played}, computed again from the leaves of ${period.from} to ${period.to}`,
    ...(throughout === verdict ? [] : [`${control}: ${throughout} over the whole log`]),
  ];
}

/** Bytes that are not UTF-8 are no text: read as U+FFFD, a changed byte could pass for the one that was there. */
function textOf(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** A verifier key, or a file that holds one. */
async function keyFrom(given: string): Promise<string> {
  if (parseVerifierKey(given)) return given;
  const content = await readFile(given, 'utf8').catch(() => '');
  if (!parseVerifierKey(content.trim()))
    throw new UsageError('--key is neither a verifier key nor a file with one.');
  return content.trim();
}
