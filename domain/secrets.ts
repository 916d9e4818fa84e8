// Secrets in text that somebody wrote: tokens by their form and their own checksums, values that are called a secret,
// and strings that are too random to be words. What is found is where it stands, never what it is.
import { fromBase64url } from './bytes.ts';

/** A stretch of a text that looks like a secret. */
export interface FoundSecret {
  /** What it looks like: `github_token`, `password`, … */
  kind: string;
  start: number;
  end: number;
}

/** More than this of one text is not looked through: what is beyond counts as one secret. */
const SEARCHED_MAX = 64_000;

/** Every secret in a text, in order, none overlapping another; where it may be one of our own digests, nothing that is only random. */
export function findSecrets(text: string, among: 'words' | 'digests' = 'words'): FoundSecret[] {
  const searched = text.slice(0, SEARCHED_MAX);
  const found = [
    ...byForm(searched),
    ...byName(searched),
    ...(among === 'words' ? byRandomness(searched) : []),
  ];
  const inOrder = found.toSorted((a, b) => a.start - b.start || b.end - a.end);
  const kept: FoundSecret[] = [];
  for (const each of inOrder) {
    const last = kept.at(-1);
    if (!last || each.start >= last.end) kept.push(each);
    else if (each.end > last.end) last.end = each.end;
  }
  if (text.length > SEARCHED_MAX)
    kept.push({ kind: 'unsearched', start: SEARCHED_MAX, end: text.length });
  return kept;
}

/** The same text with every secret replaced by the word for it. */
export function withoutSecrets(
  text: string,
  write: (found: FoundSecret) => string,
  among: 'words' | 'digests' = 'words',
): string {
  const parts: string[] = [];
  let at = 0;
  for (const found of findSecrets(text, among)) {
    parts.push(text.slice(at, found.start), write(found));
    at = found.end;
  }
  return parts.join('') + text.slice(at);
}

interface Form {
  kind: string;
  pattern: RegExp;
  /** What the form alone does not tell. */
  holds?: (token: string) => boolean;
}

/** How other services write their keys. Prefixes are theirs; lengths are what they give out today. */
const FORMS: readonly Form[] = [
  {
    kind: 'private_key',
    pattern:
      /-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----[^]*?(?:-----END [A-Z0-9 ]{0,40}-----|$)/g,
  },
  { kind: 'age_key', pattern: /\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b/g },
  { kind: 'jwt', pattern: /\beyJ[\w-]{6,600}\.eyJ[\w-]{4,4000}\.[\w-]{16,}/g, holds: isJwt },
  { kind: 'jwe', pattern: /\beyJ[\w-]{6,600}(?:\.[\w-]{0,8000}){4}(?![\w.-])/g, holds: isJwt },
  { kind: 'github_token', pattern: /\bgh[pousr]_[0-9A-Za-z]{36}\b/g, holds: endsInCrc },
  { kind: 'github_token', pattern: /\bgithub_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}\b/g },
  { kind: 'npm_token', pattern: /\bnpm_[0-9A-Za-z]{36}\b/g, holds: endsInCrc },
  { kind: 'gitlab_token', pattern: /\bgl(?:pat|ptt|rt|cbt|dt|soat|ft)-[\w-]{20,}/g },
  { kind: 'slack_token', pattern: /\b(?:xox[abeoprs]-|xapp-)[\w-]{10,}/g },
  { kind: 'slack_webhook', pattern: /hooks\.slack\.com\/(?:services|workflows)\/[\w/]{20,}/g },
  { kind: 'stripe_key', pattern: /\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}/g },
  { kind: 'webhook_secret', pattern: /\bwhsec_[0-9A-Za-z+/=]{24,}/g },
  { kind: 'google_key', pattern: /\bAIza[\w-]{35}\b/g },
  { kind: 'google_token', pattern: /\bya29\.[\w-]{20,}/g },
  { kind: 'google_secret', pattern: /\bGOCSPX-[\w-]{28}\b/g },
  { kind: 'anthropic_key', pattern: /\bsk-ant-[\w-]{20,}/g },
  { kind: 'openai_key', pattern: /\bsk-(?:proj-|svcacct-)?[\w-]*T3BlbkFJ[\w-]{8,}/g },
  { kind: 'huggingface_token', pattern: /\bhf_[A-Za-z]{34}\b/g },
  { kind: 'vault_token', pattern: /\bhv[sbr]\.[\w-]{24,}/g },
  { kind: 'pypi_token', pattern: /\bpypi-AgEIcHlwaS5vcmc[\w-]{50,}/g },
  { kind: 'sendgrid_key', pattern: /\bSG\.[\w-]{22}\.[\w-]{43}\b/g },
  { kind: 'shopify_token', pattern: /\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b/g },
  { kind: 'digitalocean_token', pattern: /\bdo[opr]_v1_[0-9a-f]{64}\b/g },
  { kind: 'azure_key', pattern: /\b(?:AccountKey|SharedAccessKey)=[\w+/]{40,}={0,2}/g },
  { kind: 'azure_signature', pattern: /[?&]sig=[\w%]{40,}/g },
  {
    kind: 'aws_secret_key',
    pattern: /(?<![\w+/=-])[A-Za-z0-9+/]{40}(?![\w+/=-])/g,
    holds: (token) => /[A-Z]/.test(token) && /[a-z]/.test(token) && entropyOf(token) > 4.25,
  },
  { kind: 'aws_session_token', pattern: /\b(?:IQoJ|FwoG)[\w+/]{200,}={0,2}/g },
];

const byForm = (text: string): FoundSecret[] =>
  FORMS.flatMap(({ kind, pattern, holds }) =>
    [...text.matchAll(pattern)]
      .filter(([token]) => holds?.(token) ?? true)
      .map(({ 0: token, index }) => ({ kind, start: index, end: index + token.length })),
  );

/** Whether the first part is the header of a signed or encrypted token, and not only letters in that place. */
function isJwt(token: string): boolean {
  const [header = ''] = token.split('.');
  try {
    const bytes = fromBase64url(header);
    const parsed: unknown = bytes && JSON.parse(String.fromCharCode(...bytes));
    return typeof parsed === 'object' && parsed !== null && 'alg' in parsed;
  } catch {
    return false;
  }
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** The last six letters are the CRC-32 of those after the prefix: what is only made up to look like one has another. */
function endsInCrc(token: string): boolean {
  const body = token.slice(token.indexOf('_') + 1, -6);
  let rest = crc32(body);
  let written = '';
  for (let digit = 0; digit < 6; digit += 1) {
    written = (BASE62[rest % 62] ?? '') + written;
    rest = Math.floor(rest / 62);
  }
  return token.endsWith(written);
}

function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let at = 0; at < text.length; at += 1) {
    crc ^= text.charCodeAt(at);
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Words after which a secret stands. */
const NAMES =
  'pass(?:word|wd|phrase|code)?|pwd|secret|client[_-]?secret|(?:api|access|secret|private|signing|encryption|account)[_ -]?key(?:[_ -]?id)?|(?:access|auth|bearer|refresh|session|api|bot|id)?[_-]?token|authorization|cookie';

interface Place {
  kind: string;
  /** With the value as its last group. */
  pattern: RegExp;
}

/** Between a name and its value. */
const GIVES = '["\'`]?\\s{0,3}(?:=>|:=|[:=])\\s{0,3}';
/** A value as programs and files write it. */
const VALUE =
  '("(?:[^"\\\\]|\\\\.){1,500}"|\'(?:[^\'\\\\]|\\\\.){1,500}\'|[^\\s"\'`,;&)\\]}]{3,200})';

const PLACES: readonly Place[] = [
  // scheme://user:password@host
  {
    kind: 'url_password',
    pattern: /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/?#]{0,200}:([^\s@/]{1,200})@/gi,
  },
  { kind: 'authorization', pattern: /\b(?:Bearer|Basic|Bot|Token)\s+([\w+/=.~-]{16,})/gi },
  // PASSWORD 'x' and IDENTIFIED BY 'x', as databases have it
  {
    kind: 'password',
    pattern:
      /\b(?:PASSWORD|IDENTIFIED\s{1,9}(?:WITH\s{1,9}\S{1,60}\s{1,9})?BY)\s{1,9}('(?:[^'\\]|''|\\.){1,500}'|"[^"]{1,500}")/gi,
  },
  // --password x
  { kind: 'password', pattern: new RegExp(`(?:^|\\s)--?(?:${NAMES})[ =](\\S{3,200})`, 'gi') },
  // "password": "x", password=x, PASSWORD: x, DB_PASSWORD=x
  { kind: 'password', pattern: new RegExp(`(?<![A-Za-z])(?:${NAMES})${GIVES}${VALUE}`, 'gi') },
  // dbPassword: 'x'
  {
    kind: 'password',
    pattern: new RegExp(
      `[a-z0-9](?:Pass(?:word|wd|phrase|code)?|Secret|Token|(?:Api|Access|Private|Secret|Signing|Encryption)Key)${GIVES}${VALUE}`,
      'g',
    ),
  },
  // the password is hunter2
  {
    kind: 'password',
    pattern: new RegExp(
      `\\b(?:${NAMES})\\s+(?:is|was|will be)\\s+["'\`]?([^\\s"'\`]{4,200})`,
      'gi',
    ),
  },
];

const byName = (text: string): FoundSecret[] =>
  PLACES.flatMap(({ kind, pattern }) =>
    [...text.matchAll(pattern)].flatMap((match) => {
      const value = match.at(-1) ?? '';
      const start = match.index + match[0].lastIndexOf(value);
      const before = text.slice(match.index, start);
      const isSaid = / (?:is|was|will be)\s+["'`]?$/i.test(before);
      // A scope or an action, and no value: secret:read.
      const isLabel = before.endsWith(':') && /^[a-z_*-]+$/.test(value);
      return isValue(value, isSaid) && !isLabel ? [{ kind, start, end: start + value.length }] : [];
    }),
  );

/** What stands in the place of a secret where none is written. */
const PLACEHOLDER =
  /^(?:[*•.x_-]{3,}|<[^>]*>|\[[^\]]*\]|\$\{?[\w.:-]+\}?|\{\{?[^}]*\}?\}|%[\w({].*|@\w+|null|nil|none|undefined|true|false|yes|no|redacted|hidden|masked|required|optional|string|text|varchar.*|number|boolean|bytes|uuid|unknown|empty|todo|tbd|n\/a|your[_-]?\w*|my[_-]?(?:password|secret|token|key)|(?:process\.)?env[.[].*|os\.environ.*|\w+\(.*|(?:secret|vault|env|file|ref|arn|sealed)[:/].*|(?:\.{0,2}\/)[\w./-]+)$/i;

function isValue(written: string, isSaid: boolean): boolean {
  const value = written.replace(/^(["'`])([^]*)\1$/, '$2').replace(/[.,;:!?]+$/, '');
  if (value.length < 3 || PLACEHOLDER.test(value)) return false;
  // In a sentence most words are words: "the token is invalid".
  return !isSaid || /\d/.test(value) || /[^\p{L}\d'’-]/u.test(value);
}

const RANDOM_MIN = 24;

/** Long runs of letters and digits that no word, name, path or identifier of ours is. */
const byRandomness = (text: string): FoundSecret[] =>
  [...text.matchAll(/(?<![\w+/=-])[\w+/-]{24,512}={0,2}(?![\w+/-])/g)]
    .filter(([token]) => isRandom(token))
    .map(({ 0: token, index }) => ({
      kind: 'random_text',
      start: index,
      end: index + token.length,
    }));

/** Ids and digests are random and no secret: a UUID, one of our own, hexadecimal digits, a number. */
const NO_SECRET =
  /^(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[a-z]{2,6}_[0-9a-hjkmnp-tv-z]{26}|cs_[0-9a-z]{26}|(?:sha\d+-)?[0-9a-f]+|[0-9A-F]+|\d[\d-]*|[0-7][0-9A-HJKMNP-TV-Z]{25})$/;

function isRandom(token: string): boolean {
  if (token.length < RANDOM_MIN || NO_SECRET.test(token)) return false;
  if (!/\d/.test(token) || !/[a-z]/.test(token) || !/[A-Z]/.test(token)) return false;
  // Words strung together change from one kind of letter to another where one ends; noise does all the time.
  return changesOf(token) / token.length > 0.28 && entropyOf(token) > 3.8;
}

/** How often one kind of letter follows another; a capital that begins a word counts once. */
function changesOf(token: string): number {
  const kinds = Array.from(token, (letter) => {
    if (/\d/.test(letter)) return 'd';
    if (/[a-z]/.test(letter)) return 'l';
    return /[A-Z]/.test(letter) ? 'u' : 's';
  });
  return kinds.filter(
    (kind, at) => at > 0 && kind !== kinds[at - 1] && !(kind === 'l' && kinds[at - 1] === 'u'),
  ).length;
}

/** Bits for each letter, by how often each comes (Shannon). */
function entropyOf(token: string): number {
  const counts = new Map<string, number>();
  for (const letter of token) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values())
    bits -= (count / token.length) * Math.log2(count / token.length);
  return bits;
}
