// Takes our own secret out of what somebody else answered, however it is commonly written.

const MASK = Buffer.from('[masked]');

/** Everything that gives a secret away, in every way that it is commonly written. */
export function spellingsOf(secret: string): Buffer[] {
  const all = [secret, ...insideBasic(secret)].flatMap(writtenAs);
  // Of a short one parts would be found by chance.
  return [...new Set(all)].filter((text) => text.length >= 6).map((text) => Buffer.from(text));
}

/** What Basic credentials say (RFC 7617): a user and a password, of which the password is secret by itself. */
function insideBasic(secret: string): string[] {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(secret)) return [];
  const said = Buffer.from(secret, 'base64').toString('utf8');
  const at = said.indexOf(':');
  return at < 0 || !/^[\x20-\x7e]+$/.test(said) ? [] : [said, said.slice(at + 1)];
}

/** Ways to write a text that undo each other: as it is, in URLs, in JSON, and in base64 at any of its offsets. */
function writtenAs(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...[0, 1, 2].flatMap((offset) => insideBase64(bytes, offset)),
  ];
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
