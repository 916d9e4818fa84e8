// Identifiers: a prefix that names the noun, and a UUIDv7 (RFC 9562 §5.7) in 26 lower-case Crockford digits.

const PREFIXES = {
  agent: 'agt',
  task: 'tsk',
  credential: 'crd',
  request: 'req',
  vote: 'vot',
  question: 'qst',
  evaluation: 'evl',
  event: 'evt',
  person: 'psn',
  key: 'key',
  joinToken: 'jnt',
  permit: 'prm',
  grant: 'grn',
  breakGlass: 'bkg',
  glassKit: 'kit',
  redemption: 'rdm',
  review: 'rvw',
  reviewLine: 'rvl',
  session: 'ses',
  receiver: 'rcv',
  signal: 'sig',
  notice: 'ntc',
  scanner: 'scn',
  leak: 'lek',
  placement: 'plc',
  triggerSource: 'trs',
  revocation: 'rvk',
  stop: 'stp',
  run: 'run',
  foundIdentity: 'fnd',
  passkey: 'pky',
  absence: 'abs',
} as const;

export type Noun = keyof typeof PREFIXES;
export type Id<N extends Noun = Noun> = `${(typeof PREFIXES)[N]}_${string}`;

const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
/** 26 digits hold 130 bits, so the first one is below 8; version 7 and the variant 0b10 have fixed places. */
const BODY =
  /^[0-7][0-9a-hjkmnp-tv-z]{9}[ef][0-9a-hjkmnp-tv-z]{2}[89abrstv][0-9a-hjkmnp-tv-z]{12}$/;
const TIME_MS_MAX = 2 ** 48 - 1;

/** The ten digits of an id that carry its millisecond, which is also how events are partitioned. */
export function timeDigits(atMs: number): string {
  let text = '';
  for (let rest = atMs, place = 0; place < 10; place += 1, rest = Math.floor(rest / 32))
    text = DIGITS.charAt(rest % 32) + text;
  return text;
}

/** Builds an id from the time and ten random bytes; the caller brings both, so this stays pure. */
export function makeId<N extends Noun>(noun: N, atMs: number, random: Uint8Array): Id<N> {
  if (random.length !== 10) throw new RangeError('an id takes ten random bytes');
  if (!Number.isSafeInteger(atMs) || atMs < 0 || atMs > TIME_MS_MAX)
    throw new RangeError('an id takes a time of 48 bits');
  let low = 0n;
  for (const byte of random) low = (low << 8n) | BigInt(byte);
  // The low 80 bits: version 7 in the top four, the variant 0b10 sixteen bits further down.
  low = (low & ~(0xfn << 76n)) | (0x7n << 76n);
  low = (low & ~(0x3n << 62n)) | (0x2n << 62n);
  let text = '';
  for (let place = 0; place < 16; place += 1, low >>= 5n)
    text = DIGITS.charAt(Number(low & 31n)) + text;
  return `${PREFIXES[noun]}_${timeDigits(atMs)}${text}`;
}

/** Whether a text is an id of this noun. Nothing is normalised: another spelling is another text. */
export function isId<N extends Noun>(noun: N, text: string): text is Id<N> {
  const prefix = `${PREFIXES[noun]}_`;
  return text.startsWith(prefix) && BODY.test(text.slice(prefix.length));
}

/** Whether a text, known to be one of our ids, names this kind of thing. */
export const isNoun = (noun: Noun, id: string): boolean => id.startsWith(`${PREFIXES[noun]}_`);

/** The 26 digits without the prefix: what names derived from an id are made of. */
export const bodyOf = (id: Id): string => id.slice(id.indexOf('_') + 1);
