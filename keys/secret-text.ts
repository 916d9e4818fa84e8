// Secrets in texts: which parts of what we hand out are secret, and what in a text that was found somewhere could be one.
// Both sides spell a secret the same way, so that its keyed digests can be compared.
import { X509Certificate } from 'node:crypto';
import { fromBase64 } from '../domain/bytes.ts';
import type { JsonValue } from '../domain/json.ts';
import type { Vault } from './vault.ts';

/** Members of issued material that say where something is, or what it is called. Any other text in it is secret. */
const PUBLIC_MEMBERS = new Set([
  'kind',
  'host',
  'port',
  'database',
  'username',
  'user',
  'issuer',
  'audience',
  'role',
  'role_arn',
  'region',
  'account',
  'namespace',
  'cluster',
  'name',
  'id',
  'endpoint',
  'server',
  'scope',
  'token_type',
  'spiffe_id',
  'serial',
  'permissions',
  'repositories',
  'issued_at',
  'expires_at',
  'expiration',
  'bundle',
  'trust_bundle',
  'ca',
  'ca_certificate',
  'certificate_authority',
]);

/** Shorter texts are no secrets of ours, and would be found by chance. */
const SECRET_LENGTH_MIN = 16;

/** Keyed digests of a secret, and of what only names it: one is proof that somebody had it, the other is not. */
const SECRET_USE = 'leak/secret';
const NAME_USE = 'leak/name';

/** Keyed digests of every secret in issued material, and of the certificates in it. */
export function fingerprintsOf(vault: Vault, material: JsonValue): string[] {
  const marks = textsIn(material).flatMap((text) => [
    ...spellingsOf(text).map((each) => vault.mark(each, SECRET_USE)),
    ...certificatesIn(text)
      .slice(0, 1)
      .map((each) => vault.mark(each, NAME_USE)),
  ]);
  return [...new Set(marks)];
}

function textsIn(value: JsonValue): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  return Object.entries(value).flatMap(([name, member]) =>
    PUBLIC_MEMBERS.has(name) ? [] : textsIn(member),
  );
}

/** How one secret is spelt: a URL is as secret as the password in it, and a key in PEM is its base64. */
function spellingsOf(text: string): string[] {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.host) return url.password === '' ? [] : longEnough([decoded(url.password)]);
  const keys = pemBodies(text, KEY_LABEL);
  if (keys.length > 0) return longEnough(keys);
  return CERTIFICATE.test(text) || PLAIN.test(text) ? [] : longEnough([text.trim()]);
}

/** Times, names of ours and names of a cloud, under whatever member: many texts hold them. */
const PLAIN = /^(?:\d{4}-\d\d-\d\dT|arn:|cs_[0-9a-z]{26}$|[a-z]{3}_[0-9a-z]{26}$)/;

const longEnough = (texts: readonly string[]): string[] =>
  texts.filter((text) => text.length >= SECRET_LENGTH_MIN);

const CERTIFICATE = /-----BEGIN CERTIFICATE-----/;
const KEY_LABEL = /^(?:[A-Z]+ )*PRIVATE KEY$/;
const PEM = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]{1,20000})-----END \1-----/g;

/** PEM blocks with such labels as base64 in one line; `\n` as JSON and shells write it is a line's end too. */
const pemBodies = (text: string, label: RegExp): string[] =>
  [...text.replaceAll(/(?:\\r)?\\n/g, '\n').matchAll(PEM)]
    .filter(([, found = '']) => label.test(found))
    .map(([, , body = '']) => body.replaceAll(/\s/g, ''));

/** Serial numbers of the certificates in a text, as names of them. */
function certificatesIn(text: string): string[] {
  return pemBodies(text, /^CERTIFICATE$/).flatMap((body) => {
    try {
      return [`x509:${new X509Certificate(Buffer.from(body, 'base64')).serialNumber}`];
    } catch {
      return [];
    }
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What to look for after somebody showed us a text. */
export interface Clues {
  /** Keyed digests of everything in it that could be a secret. */
  secrets: string[];
  /** Keyed digests of what names a credential. */
  names: string[];
  /** Ids of leases that it names, by itself or as logins of ours. */
  leases: string[];
  /** Everything in it that looks like a signed token. */
  tokens: string[];
}

/** More than this in one text is not looked for. */
const SECRETS_MAX = 5_000;
const TOKENS_MAX = 50;

/** Reads a text for clues. What comes out says nothing about it to whoever lacks the key. */
export function cluesIn(vault: Vault, text: string): Clues {
  const texts = [text, ...unwrapped(text)];
  const candidates = new Set(texts.flatMap(candidatesIn).slice(0, SECRETS_MAX));
  const all = (pattern: RegExp): string[] => [
    ...new Set(texts.flatMap((each) => [...each.matchAll(pattern)].map(([found]) => found))),
  ];
  return {
    secrets: [...candidates].map((each) => vault.mark(each, SECRET_USE)),
    names: [...new Set(texts.flatMap(certificatesIn))].map((each) => vault.mark(each, NAME_USE)),
    leases: all(LEASE).map((name) => name.replace(/^cs_/, 'crd_')),
    tokens: all(TOKEN).slice(0, TOKENS_MAX),
  };
}

const LEASE = /(?<![a-z0-9])(?:cs|crd)_[0-7][0-9a-hjkmnp-tv-z]{25}(?![a-z0-9])/g;
const TOKEN =
  /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,12000}\.[A-Za-z0-9_-]{10,1000}/g;

/** Runs that a secret may be: between blanks and quotes, between any punctuation, and without the name before `=`. */
const RUNS = [/[^\s"'`<>]+/g, /[^\s"'`<>,;(){}[\]]+/g, /[\w\-.~+/=]+/g, /[\w-]+/g, /[\w\-.~+/]+/g];

function candidatesIn(text: string): string[] {
  const runs = RUNS.flatMap((run) => [...text.matchAll(run)].map(([found]) => found));
  const pieces = [text.trim(), ...runs].flatMap((piece) => [
    piece,
    withoutEnd(piece),
    piece.replace(/^[\w.-]{1,64}[=:]/, ''),
    ...(/%[0-9A-Fa-f]{2}/.test(piece) ? [decoded(piece)] : []),
  ]);
  const urls = [
    ...text.matchAll(/(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}:\/\/[^\s"'`<>]+/gi),
  ].flatMap(([found]) => spellingsOf(found));
  return longEnough([...new Set([...pieces, ...urls, ...pemBodies(text, KEY_LABEL)])]);
}

/** Without the punctuation of the sentence that it may end; by hand, since a pattern would look at long runs twice. */
function withoutEnd(piece: string): string {
  let end = piece.length;
  while (end > 0 && '.,;:!?'.includes(piece.charAt(end - 1))) end -= 1;
  return piece.slice(0, end);
}

/** Texts inside a text: strings of JSON, and base64 as Kubernetes keeps its secrets. One layer is taken off. */
function unwrapped(text: string): string[] {
  const runs = [...text.matchAll(/[A-Za-z0-9+/]{16,40000}={0,2}/g)].slice(0, 500);
  return [
    ...jsonTexts(text),
    ...runs.flatMap(([found]) => {
      const bytes = fromBase64(found);
      const inner = bytes && Buffer.from(bytes).toString('utf8');
      return inner && /^[\x20-\x7e\s]+$/.test(inner) ? [inner] : [];
    }),
  ];
}

function jsonTexts(text: string): string[] {
  if (!/^\s*[[{"]/.test(text)) return [];
  const found: string[] = [];
  try {
    JSON.parse(text, (_name, value: unknown) => {
      if (typeof value === 'string' && found.length < 1_000) found.push(value);
      return value;
    });
  } catch {
    return [];
  }
  return found;
}
