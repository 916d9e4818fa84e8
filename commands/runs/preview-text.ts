// What of an answer may stand on a card: text, without what is named like a secret, and short enough to be read.
import { canonicalJson, parseJson, type JsonValue } from '../../domain/json.ts';
import { withoutSecrets } from '../../domain/secrets.ts';
import type { Answered } from './caller.ts';

/** More than this nobody reads on a card. */
const TEXT_MAX = 2_000;

const SECRET_NAME =
  /pass(?:word|wd|phrase)?$|secret|token|api[_-]?key|private[_-]?key|authorization|cookie|credential|session|otp$|pin$|cvv|iban|card[_-]?number/i;
/** Null where the answer is no text. What was left out is said, and so is a cut. */
export function previewText({ body, encoding }: Answered): string | null {
  if (encoding !== 'utf8') return null;
  // What is shown is kept, and no database keeps a NUL.
  const text = withoutSecrets(redacted(body), () => '[redacted]', 'digests').replaceAll(
    '\0',
    '\uFFFD',
  );
  if (text.length <= TEXT_MAX) return text;
  const shown = text.slice(0, TEXT_MAX).replace(/[\uD800-\uDBFF]$/, '');
  return `${shown}… [cut: ${text.length - shown.length} more characters]`;
}

/** JSON in canonical form, so that the same answer always looks the same. */
function redacted(body: string): string {
  try {
    return canonicalJson(without(parseJson(body)));
  } catch {
    return body;
  }
}

function without(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(without);
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      SECRET_NAME.test(name) && member !== null ? '[redacted]' : without(member),
    ]),
  );
}
