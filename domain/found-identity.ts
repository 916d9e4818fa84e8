// Identities that a target has and nobody registered here: what is risky about one, and who may answer for it. Names
// and comments were written by others; they lead to guesses, and to nothing else.
import { toMs } from './instant.ts';

/** What an identity is to its target. */
export const FOUND_KINDS = ['login'] as const;

/** Why somebody should look at an identity soon. */
export const RISKS = [
  'superuser',
  'makes_roles',
  'no_expiry',
  'unseen_90_days',
  'around_control',
] as const;
export type Risk = (typeof RISKS)[number];

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
  /** Roles of the policy whose tables it may write without asking anybody. */
  reaches: string[];
  /** It may do everything there, itself or as somebody it may become. */
  isSuperuser: boolean;
  makesRoles: boolean;
  /** When the target lets it die; null for never. */
  expiresAt: string | null;
  comment: string | null;
  /** Whether it had a session when we looked. */
  isConnected: boolean;
  /** What it does for us or, as policy declares, for the data's own application. */
  serves: 'issuer' | 'observer' | 'application' | null;
}

/** One identity as an issuer finds it. */
export interface Found {
  name: string;
  /** What tells it from another one that is given the same name later. */
  reference: string;
  kind: (typeof FOUND_KINDS)[number];
  facts: FoundFacts;
}

/** How long nobody may use an identity before that is a risk. */
export const UNSEEN_MS = 90 * 86_400_000;

/** What is risky about an identity. One never seen in use counts from when it was first found. */
export function risksOf(
  facts: Pick<FoundFacts, 'isSuperuser' | 'makesRoles' | 'expiresAt'>,
  about: { usedAt: string | null; firstSeenAt: string; around: readonly string[]; now: string },
): Risk[] {
  const quietMs = toMs(about.now) - toMs(about.usedAt ?? about.firstSeenAt);
  const holds: Record<Risk, boolean> = {
    superuser: facts.isSuperuser,
    makes_roles: facts.makesRoles,
    no_expiry: facts.expiresAt === null,
    unseen_90_days: !(quietMs < UNSEEN_MS),
    around_control: about.around.length > 0,
  };
  return RISKS.filter((risk) => holds[risk]);
}

const COMMENT_LENGTH_MAX = 500;
const HIDDEN = '[hidden]';

/** A comment without what looks like a secret in it: people write passwords there, and we keep none. */
export function safeComment(comment: string | null): string | null {
  if (comment === null) return null;
  const text = comment
    .replaceAll(/\p{Cc}+/gu, ' ')
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
