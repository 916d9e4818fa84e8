// Taking the record away, and checking it where no server of ours can help or hinder.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { canonicalJson, parseJson, type JsonObject, type JsonValue } from '../domain/json.ts';
import { openCheckpoint, parseVerifierKey } from '../domain/note.ts';
import { decodeEntries, tilePath, tileWidth, TILE_WIDTH } from '../domain/tile.ts';
import { object, objects, text } from '../domain/verdict/facts.ts';
import { verifyEd25519 } from '../keys/ed25519.ts';
import { BUNDLE_FORMAT, verifyBundle } from '../sdk/verify.ts';
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
  for await (const leaf of readLeaves(source, checkpoint.size)) lines.push({ leaf });
  const controls = await readControls(source);
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
  return parsed(await source.read(`/v1/controls/${control}/verdict?${query.toString()}`));
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
  const read = (name: string): Promise<string> =>
    readFile(name, 'utf8').catch(() => {
      throw new UsageError(`${name} cannot be read.`);
    });
  const result = verifyBundle(await read(file), {
    key: options.key === undefined ? undefined : await keyFrom(options.key),
    earlier: options.earlier === undefined ? undefined : await read(options.earlier),
  });
  if (!result.ok) return { ok: false, lines: [`does not verify: ${result.problem}`] };
  return {
    ok: true,
    lines: [
      `verifies: ${result.size} entries of ${result.origin}, root ${result.root}`,
      result.keyGiven
        ? 'the key is the one you brought'
        : 'the key is the one in the bundle: compare it with a copy you got elsewhere (--key)',
      ...result.verdicts.map(
        ({ control, verdict, simulated }) =>
          `${control}: ${verdict}${simulated ? ' (simulated)' : ''}, computed again from the leaves`,
      ),
    ],
  };
}

/** A verifier key, or a file that holds one. */
async function keyFrom(given: string): Promise<string> {
  if (parseVerifierKey(given)) return given;
  const content = await readFile(given, 'utf8').catch(() => '');
  if (!parseVerifierKey(content.trim()))
    throw new UsageError('--key is neither a verifier key nor a file with one.');
  return content.trim();
}
