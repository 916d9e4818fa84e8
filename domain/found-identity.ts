// Identities that a target has and nobody registered here: what is risky about one, and who may answer for it. Names
// and comments were written by others; they lead to guesses, and to nothing else.
import { toMs } from './instant.ts';

/** What an identity is to its target. */
export const FOUND_KINDS = [
  'login',
  'role',
  'access_key',
  'app_installation',
  'deploy_key',
  'service_account',
  'service_account_token',
] as const;
export type FoundKind = (typeof FOUND_KINDS)[number];

/** Kinds that are a secret somebody can present; the others are only reached through one. */
const SECRETS: ReadonlySet<FoundKind> = new Set([
  'login',
  'access_key',
  'deploy_key',
  'service_account_token',
]);

/** Why somebody should look at an identity soon. */
export const RISKS = [
  'superuser',
  'makes_roles',
  'no_password',
  'open_trust',
  'outside_trust',
  'any_host',
  'no_expiry',
  'old_secret',
  'unseen_90_days',
  'around_control',
] as const;
export type Risk = (typeof RISKS)[number];

/** Risks that the target alone can tell of, in its own terms. */
type SeenRisk = 'no_password' | 'open_trust' | 'outside_trust' | 'any_host';

/** What a target may refuse to tell of an identity. What is not known is not held to be harmless. */
export const UNKNOWNS = ['privileges', 'password', 'expires_at', 'used_at'] as const;
export type Unknown = (typeof UNKNOWNS)[number];

/** Why somebody is thought to answer for an identity, the strongest reason first. */
export const OWNER_CLUES = [
  'email_in_comment',
  'name_in_comment',
  'login_name',
  'owns_users',
] as const;
export type OwnerClue = (typeof OWNER_CLUES)[number];

/** What a target says of an identity. */
export interface FoundFacts {
  groups: string[];
  /** What else it may do, in the target's own words. */
  permissions: string[];
  /** From where or by whom it may be used, in the target's own words. */
  usableBy: string[];
  /** Roles of the policy whose work it may do without asking anybody. */
  reaches: string[];
  /** It may do everything there, itself or as somebody it may become. */
  isSuperuser: boolean;
  makesRoles: boolean;
  seenRisks: SeenRisk[];
  /** When the target lets it die; null for never. */
  expiresAt: string | null;
  comment: string | null;
  createdAt: string | null;
  /** When the secret that it is was last replaced. */
  secretChangedAt: string | null;
  isEnabled: boolean;
  /** Whether it had a session when we looked. */
  isConnected: boolean;
  /** When it was last used, as the target tells. */
  usedAt: string | null;
  /** How often it was used, where the target counts that. */
  uses: number | null;
  unknown: Unknown[];
  /** What it does for us or, as policy declares, for the data's own application. */
  serves: 'issuer' | 'observer' | 'application' | null;
}

/** An identity of which nothing is known that would be against it; issuers say what they know besides. */
export const PLAIN_FACTS: FoundFacts = {
  groups: [],
  permissions: [],
  usableBy: [],
  reaches: [],
  isSuperuser: false,
  makesRoles: false,
  seenRisks: [],
  expiresAt: null,
  comment: null,
  createdAt: null,
  secretChangedAt: null,
  isEnabled: true,
  isConnected: false,
  usedAt: null,
  uses: null,
  unknown: [],
  serves: null,
};

/** One identity as an issuer finds it. */
export interface Found {
  name: string;
  /** What tells it from another one that is given the same name later. */
  reference: string;
  kind: FoundKind;
  facts: FoundFacts;
}

/** Identities of one kind that a target refused to list. */
export interface Gap {
  kind: FoundKind;
  /** A short, stable word for why. */
  code: string;
}

/** What a target has, as far as it says. */
export interface Census {
  found: Found[];
  /** Identities beyond what one look takes in. */
  leftOut: number;
  gaps: Gap[];
}

/** More in one place than anybody can look through. */
const MEMBERS_MAX = 10_000;

/** One look takes in so many and counts the rest. In one order, so that the same ones are left out each time. */
export function censusOf(found: readonly Found[], gaps: readonly Gap[] = []): Census {
  const all = found.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  return {
    found: namedApart(all.slice(0, MEMBERS_MAX).map(asKept)),
    leftOut: Math.max(0, all.length - MEMBERS_MAX),
    gaps: [...gaps],
  };
}

const asKept = ({ name, reference, kind, facts }: Found): Found => ({
  name: keptWord(name),
  reference: keptWord(reference),
  kind,
  facts: {
    ...facts,
    groups: keptWords(facts.groups),
    permissions: keptWords(facts.permissions),
    usableBy: keptWords(facts.usableBy),
  },
});

/** Names that were cut, or were no text, can have become one. */
function namedApart(found: readonly Found[]): Found[] {
  const times = new Map<string, number>();
  return found.map((each) => {
    const count = (times.get(keyOf(each)) ?? 0) + 1;
    times.set(keyOf(each), count);
    return count === 1 ? each : { ...each, name: `${each.name} (${count})` };
  });
}

/** What tells an identity from every other of its target. */
export const keyOf = ({ kind, name }: Pick<Found, 'kind' | 'name'>): string => `${kind} ${name}`;

const WORDS_MAX = 50;
const WORD_LENGTH_MAX = 200;

/** A word of others as it is kept: not endless, and nothing that a database or JSON could not hold. */
function keptWord(word: string): string {
  const text = word.replaceAll(/[\p{Cs}\0]/gu, '\ufffd');
  if (text.length <= WORD_LENGTH_MAX) return text;
  const letters = Array.from(text).slice(0, WORD_LENGTH_MAX - 1);
  return `${letters.join('')}…`;
}

/** Words of others: sorted, each once, and not without end. */
function keptWords(words: readonly string[]): string[] {
  const all = [...new Set(words.map(keptWord))].toSorted();
  const kept = all.slice(0, WORDS_MAX);
  return all.length > WORDS_MAX ? [...kept, `… and ${all.length - WORDS_MAX} more`] : kept;
}

/** How long nobody may use an identity, or leave its secret as it is, before that is a risk. */
export const UNSEEN_MS = 90 * 86_400_000;

/**
 * What is risky about an identity. One never seen in use counts from when it was made, or first found; one that is
 * switched off is no risk until it is switched on.
 */
export function risksOf(
  { kind, facts }: Pick<Found, 'kind' | 'facts'>,
  about: { usedAt: string | null; firstSeenAt: string; around: readonly string[]; now: string },
): Risk[] {
  if (!facts.isEnabled) return [];
  const isSecret = SECRETS.has(kind);
  const { unknown, secretChangedAt } = facts;
  const isOld = (since: string): boolean => !(toMs(about.now) - toMs(since) < UNSEEN_MS);
  const seen = (risk: SeenRisk): boolean => facts.seenRisks.includes(risk);
  const holds: Record<Risk, boolean> = {
    superuser: facts.isSuperuser,
    makes_roles: facts.makesRoles,
    no_password: seen('no_password'),
    open_trust: seen('open_trust'),
    outside_trust: seen('outside_trust'),
    any_host: seen('any_host'),
    no_expiry: isSecret && facts.expiresAt === null && !unknown.includes('expires_at'),
    old_secret: isSecret && secretChangedAt !== null && isOld(secretChangedAt),
    unseen_90_days:
      !unknown.includes('used_at') && isOld(about.usedAt ?? facts.createdAt ?? about.firstSeenAt),
    around_control: about.around.length > 0,
  };
  return RISKS.filter((risk) => holds[risk]);
}

/** What can be different about an identity from one look to the next. */
export const CHANGES = [
  'groups',
  'permissions',
  'usable_by',
  'superuser',
  'makes_roles',
  'expires_at',
  'comment',
  'secret',
  'enabled',
  'serves',
  'risks',
  'around',
] as const;
export type Change = (typeof CHANGES)[number];

/** An identity as it was judged at one look. */
export interface Judged {
  facts: FoundFacts;
  risks: readonly Risk[];
  around: readonly string[];
}

/** Of what nobody could say then or cannot say now, nobody can say that it changed. */
const HIDDEN_BY: Partial<Record<Change, Unknown>> = {
  groups: 'privileges',
  permissions: 'privileges',
  superuser: 'privileges',
  makes_roles: 'privileges',
  expires_at: 'expires_at',
  secret: 'password',
};

/** What is different about an identity since the last look. */
export function changesOf(before: Judged, now: Judged): Change[] {
  const unknown = [...before.facts.unknown, ...now.facts.unknown];
  const was = toldBy(before);
  const is = toldBy(now);
  return CHANGES.filter((each) => {
    const hidden = HIDDEN_BY[each];
    if (hidden !== undefined && unknown.includes(hidden)) return false;
    return was[each] !== is[each];
  });
}

const toldBy = ({ facts, risks, around }: Judged): Record<Change, string> => ({
  groups: JSON.stringify(facts.groups),
  permissions: JSON.stringify(facts.permissions),
  usable_by: JSON.stringify(facts.usableBy),
  superuser: String(facts.isSuperuser),
  makes_roles: String(facts.makesRoles),
  expires_at: String(facts.expiresAt),
  comment: String(facts.comment),
  secret: String(facts.secretChangedAt),
  enabled: String(facts.isEnabled),
  serves: String(facts.serves),
  risks: risks.join(' '),
  around: around.join(' '),
});

const COMMENT_LENGTH_MAX = 500;
const HIDDEN = '[hidden]';

/** A comment without what looks like a secret in it: people write passwords there, and we keep none. */
export function safeComment(comment: string | null): string | null {
  if (comment === null) return null;
  const text = comment
    .replaceAll(/[\p{Cc}\p{Cs}]+/gu, ' ')
    .replaceAll(/(\w+:\/\/[^\s:@/]*):[^\s@]+@/g, `$1:${HIDDEN}@`)
    .replaceAll(
      /\b(pass(?:word|wd|phrase)?|pwd?|secret|token|(?:api|access)?[ _-]?key)\b(\s*(?:[:=]|\bis\b)\s*|\s+)\S+/giu,
      `$1$2${HIDDEN}`,
    )
    // Nothing that a person reads is one word of letters and digits this long.
    .replaceAll(/(?=\S*\d)(?=\S*[A-Za-z])[A-Za-z0-9+/_=.-]{20,}(?!\S*@)/g, HIDDEN)
    .trim();
  if (text === '') return null;
  const shown = Array.from(text).slice(0, COMMENT_LENGTH_MAX).join('');
  return shown.length < text.length ? `${shown}…` : shown;
}

/** Somebody who could answer for an identity. */
export interface Candidate<P extends string> {
  id: P;
  name: string;
  email: string | null;
}

/** Who most likely answers for an identity, and why. Two who fit equally well are nobody. */
export function guessOwner<P extends string>(
  found: { name: string; comment: string | null },
  people: readonly Candidate<P>[],
  /** Who owns agents that use the same target. */
  neighbours: readonly P[],
): { person: P; because: OwnerClue } | null {
  const comment = fold(found.comment ?? '');
  const said = wordsOf(comment);
  const login = wordsOf(fold(found.name));
  const fits: Record<OwnerClue, (candidate: Candidate<P>) => boolean> = {
    email_in_comment: ({ email }) => email !== null && addressesIn(comment).includes(fold(email)),
    name_in_comment: ({ name }) => isIn(wordsOf(fold(name)), said),
    login_name: ({ name, email }) =>
      isIn(wordsOf(fold(name)), login) || isIn(wordsOf(localPart(email)), login),
    owns_users: ({ id }) => neighbours.includes(id),
  };
  for (const because of OWNER_CLUES) {
    const [one, another] = people.filter(fits[because]);
    if (one && another) return null;
    if (one) return { person: one.id, because };
  }
  return null;
}

const fold = (text: string): string => text.normalize('NFKC').toLowerCase();
const wordsOf = (text: string): string[] => text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
const addressesIn = (text: string): string[] =>
  text
    .split(/[\s<>()[\],;:"']+/u)
    .flatMap((each) => (each.includes('@') ? [each.replace(/\.$/, '')] : []));
const localPart = (email: string | null): string => fold(email ?? '').split('@')[0] ?? '';

/** A name of a letter or two would be in everything. */
const NAME_LENGTH_MIN = 3;

/** Whether all these words follow one another there. */
function isIn(words: readonly string[], text: readonly string[]): boolean {
  if (words.join('').length < NAME_LENGTH_MIN) return false;
  return text.some((_, at) => words.every((word, next) => text[at + next] === word));
}

/** A name for an agent that takes over from a login; null where the login's own suggests none. */
export function agentNameFor(login: string): string | null {
  const name = fold(login)
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replaceAll(/^-+|-+$/g, '');
  return name === '' ? null : name;
}
