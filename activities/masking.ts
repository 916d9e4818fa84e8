// Takes our own secret out of what somebody else answered, however it is commonly written.

const MASK = Buffer.from('[masked]');

/** Ways to write a text that undo each other: as it is, in URLs, in JSON, and in base64 at any of its offsets. */
export function spellingsOf(secret: string): Buffer[] {
  const bytes = Buffer.from(secret, 'utf8');
  const texts = [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...[0, 1, 2].flatMap((offset) => insideBase64(bytes, offset)),
  ];
  // Of a short secret a part of its base64 would be found by chance.
  return [...new Set(texts)].filter((text) => text.length >= 6).map((text) => Buffer.from(text));
}

/** The part of a longer text's base64 that the secret alone decides, in both alphabets. */
function insideBase64(secret: Buffer, offset: number): string[] {
  const whole = Buffer.concat([Buffer.alloc(offset), secret])
    .toString('base64')
    .replace(/=+$/, '');
  const end = (offset + secret.length) % 3 === 0 ? whole.length : whole.length - 1;
  const sure = whole.slice(offset === 0 ? 0 : offset + 1, end);
  return [sure, sure.replaceAll('+', '-').replaceAll('/', '_')];
}

/** How far beyond its limit an answer has to be read, so that no secret is cut in two unseen. */
export const longestOf = (spellings: readonly Buffer[]): number =>
  Math.max(0, ...spellings.map(({ length }) => length));

/** The first `limit` bytes, without any secret that begins in them. */
export function mask(
  bytes: Buffer,
  spellings: readonly Buffer[],
  limit: number,
): { bytes: Buffer; isMasked: boolean } {
  const parts: Buffer[] = [];
  let at = 0;
  let isMasked = false;
  while (at < limit) {
    const found = firstOf(bytes, spellings, at);
    if (found === null || found.start >= limit) break;
    parts.push(bytes.subarray(at, found.start), MASK);
    at = found.end;
    isMasked = true;
  }
  if (at < limit) parts.push(bytes.subarray(at, limit));
  return { bytes: Buffer.concat(parts), isMasked };
}

function firstOf(
  bytes: Buffer,
  spellings: readonly Buffer[],
  from: number,
): { start: number; end: number } | null {
  const found = spellings
    .map((each) => ({ start: bytes.indexOf(each, from), length: each.length }))
    .filter(({ start }) => start >= 0)
    .toSorted((a, b) => a.start - b.start || b.length - a.length);
  const [first] = found;
  return first ? { start: first.start, end: first.start + first.length } : null;
}
