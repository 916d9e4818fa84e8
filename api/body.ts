// Reads a request body once: bounded, in one encoding, and without room for two readers to disagree.
import { JsonError, parseJson, type JsonValue } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';

/** Larger bodies are refused before they are read to the end. */
const BODY_BYTES_MAX = 256 * 1024;

/** As much of a request as reading its body takes. */
export interface IncomingBody {
  header(name: string): string | undefined;
  raw: { body: ReadableStream<Uint8Array> | null };
}

/** The raw bytes, as text. Bytes that are not UTF-8 are refused, not replaced. */
export async function readText(request: IncomingBody, most = BODY_BYTES_MAX): Promise<string> {
  const announced = Number(request.header('content-length') ?? 0);
  if (announced > most) throw tooLarge(most);
  const body: AsyncIterable<Uint8Array> | null = request.raw.body;
  if (!body) return '';
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let length = 0;
  let text = '';
  try {
    for await (const chunk of body) {
      length += chunk.length;
      if (length > most) throw tooLarge(most);
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) throw invalid('The body is not UTF-8.');
    throw error;
  }
}

const tooLarge = (most: number): Refusal =>
  new Refusal(
    'too_large',
    `The body may have at most ${most} bytes: send less, or in several calls.`,
  );

export const invalid = (
  detail: string,
  errors: { pointer: string; detail: string }[] = [],
): Refusal => new Refusal('invalid_request', detail, errors.length > 0 ? { errors } : {});

/** A JSON body. An empty one, with no content type, stands for `{}`. */
export async function readJson(request: IncomingBody): Promise<JsonValue> {
  const text = await readText(request);
  const type = request.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (text === '' && type === undefined) return {};
  if (type !== 'application/json') throw invalid('Send the body as application/json.');
  try {
    const body = parseJson(text);
    refuseUnstorable(body);
    return body;
  } catch (error) {
    if (error instanceof JsonError)
      throw invalid(`The body is not JSON that we read: ${error.message}.`);
    throw error;
  }
}

/** Text that has no UTF-8 form, or that a database cuts short: half a surrogate pair, or NUL. */
export const isUnstorable = (text: string): boolean => /\p{Surrogate}|\0/u.test(text);

function refuseUnstorable(value: JsonValue): void {
  if (typeof value === 'string') refuseUnstorableText(value);
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    refuseUnstorableText(name);
    refuseUnstorable(member);
  }
}

/** Refuses text that could not be kept as it came, from wherever in a request it came. */
export function refuseUnstorableText(text: string): void {
  if (isUnstorable(text)) throw invalid('A text holds NUL or half a surrogate pair: leave it out.');
}

/** A form body, as OAuth and Slack send it. A field that is there twice is refused. */
export function parseForm(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (fields.has(name)) throw invalid(`The field ${name} appears twice.`);
    refuseUnstorableText(name);
    refuseUnstorableText(value);
    fields.set(name, value);
  }
  return fields;
}

export async function readForm(request: IncomingBody): Promise<Map<string, string>> {
  const type = request.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded')
    throw invalid('Send the body as application/x-www-form-urlencoded.');
  return parseForm(await readText(request));
}
