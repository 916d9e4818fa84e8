// A person's token of an issuer that policy names: their word that an agent acts for them, told from their subject alone.
import { unverifiedClaims, type Claims } from '../../keys/verify.ts';
import type { PersonsWord } from '../policy/federation.ts';
import type { Proof } from './agent-sign-in.ts';
import { claimsBy, once, type NotLetIn, type TokenJudge } from './foreign-tokens.ts';

/** A word that an agent may bring. */
export interface GivenWord {
  word: PersonsWord;
  used: NonNullable<Proof['once']>;
  expiresAt: string;
}

/** Older words are about something else. */
const AGE_SECONDS_MAX = 3_600;
const SKEW_SECONDS = 30;

/** Judges a token as the word of a person to an agent, which is known by its name and the names it has in tokens. */
export async function judgePersonsWord(
  token: string,
  agent: { name: string; ids: readonly string[] },
  judge: Omit<TokenJudge, 'audiences'>,
): Promise<GivenWord | NotLetIn> {
  const { federation, now } = judge;
  const issuer = unverifiedClaims(token)?.['iss'];
  const named = [...federation.issuers].filter(
    ([name, each]) =>
      each.issuer === issuer && federation.people.some((who) => who.issuer === name),
  );
  let says =
    'The subject_token is from no issuer that the policy takes people from, to the letter.';
  for (const [name, definition] of named) {
    const found = await claimsBy(token, name, definition, judge);
    if ('says' in found) {
      says = found.says;
      continue;
    }
    const { claims } = found;
    const unfit = whyNoWord(claims, agent.ids, now);
    if (unfit !== null) return { says: unfit };
    const word = federation.people.find(
      (who) => who.issuer === name && who.subject === claims.sub && who.agents.includes(agent.name),
    );
    says = 'The policy does not let this agent act for whoever this token is of.';
    if (!word) continue;
    const used = once(token, definition.issuer, claims);
    return { word, used, expiresAt: new Date(claims.exp * 1000).toISOString() };
  }
  return { says };
}

/** What makes a genuine token of a person no word to this agent. */
function whyNoWord(claims: Claims, ids: readonly string[], now: Date): string | null {
  const { iat, act, may_act: mayAct, cnf } = claims;
  const age = now.getTime() / 1000 - (typeof iat === 'number' ? iat : NaN);
  if (!(age <= AGE_SECONDS_MAX + SKEW_SECONDS))
    return `The subject_token must say when it was made (iat), at most ${AGE_SECONDS_MAX / 60} minutes ago.`;
  if (act !== undefined)
    return 'The subject_token was already handed on: bring that of the person.';
  // Its key would have to be proved, which is the business of whoever it was made for.
  if (cnf !== undefined) return 'The subject_token is bound to a key, and nobody else may use it.';
  if (mayAct === undefined) return null;
  const isObject = typeof mayAct === 'object' && mayAct !== null && !Array.isArray(mayAct);
  const named = isObject ? mayAct['sub'] : null;
  return typeof named === 'string' && ids.includes(named)
    ? null
    : 'The subject_token says that somebody else may act (may_act).';
}
