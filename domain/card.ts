// What an approver is shown: every member of the action that will run, in a fixed order, nothing left out.
import { ACCESS_ACTION, tupleOf } from './access-tuple.ts';
import { asJson, type Action } from './action.ts';
import type { FrozenRoute } from './approval.ts';
import { BREAK_GLASS } from './break-glass.ts';
import { digestOf, type Digest } from './digest.ts';
import { PREPARE_KIT } from './glass-kit.ts';
import { OPEN_GRANT } from './grant.ts';
import { canonicalJson, sameJson, type JsonObject, type JsonValue } from './json.ts';
import { lookalikes } from './lookalikes.ts';
import { limitsInWords, type Limits } from './narrowing.ts';
import type { Addressee, Question } from './question.ts';

export interface CardLine {
  label: string;
  text: string;
  /** Whether the text came from the requester and so is only a claim. */
  claimed: boolean;
}

export interface Card {
  request: string;
  title: string;
  lines: CardLine[];
  /** The action itself, so that what is shown covers what runs, byte for byte. */
  action: JsonObject;
  digest: Digest;
  routes: string[];
  expires_at: string;
  /** Characters in the requester's text that a reader could not see or could misread. */
  warnings: string[];
}

/** Names at the time the request was opened, so that the card cannot change under its readers. */
export interface CardNames {
  agent: string | null;
  owner: string | null;
  team: string | null;
  requester: string;
  triggeredBy: string | null;
  /** The agents on whose behalf, from the one that handed on last; null where nothing was handed on. */
  actingFor: string | null;
}

export interface CardSource {
  request: string;
  action: Action;
  digest: Digest;
  routes: readonly FrozenRoute[];
  names: CardNames;
  whyHeld: readonly string[];
  /** How much is at stake, as the policy says; null where it does not say. */
  risk: string | null;
  expiresAt: string;
  /** What was asked for and who took away from it, where the action above is what they left. */
  narrowed?: { asked: Action; by: readonly { name: string; limits: Limits }[] } | undefined;
  questions?: readonly Question[] | undefined;
}

export function cardFor(source: CardSource): Card {
  const { action, names } = source;
  const lines = [
    told('Agent', names.agent),
    told('Owner', names.owner),
    told('Team', names.team),
    told('Asked by', names.requester),
    told('Acting for', names.actingFor),
    told('On behalf of', names.triggeredBy),
    ...wants(action),
    told('At', action.destination),
    told('Data', action.data_class),
    ...members('Parameter', action.parameters, action.action === ACCESS_ACTION),
    ...members('Context', action.context, true),
    ...narrowings(source),
    ...(source.questions ?? []).flatMap(askedAndAnswered),
    told('Risk', source.risk),
    told('Held because', source.whyHeld.join('; ')),
  ].filter((line) => line !== null);
  return {
    request: source.request,
    title: titleOf(action, names),
    lines: lines.map((line) => ({
      label: oneLine(line.label),
      text: visible(line.text),
      claimed: line.claimed,
    })),
    action: asJson(action),
    digest: source.digest,
    routes: source.routes.map((route) => route.name),
    expires_at: source.expiresAt,
    warnings: warningsAbout(lines),
  };
}

function warningsAbout(lines: readonly CardLine[]): string[] {
  const textOf = (some: readonly CardLine[]): string =>
    some.map(({ label, text }) => `${label}\n${text}`).join('\n');
  // The policy's own words may be in any alphabet: only what came from outside can be meant to mislead.
  const fromOutside = lines.filter(({ label }) => !OWN_LABELS.includes(label));
  return [
    ...hiddenCharacters(textOf(lines)),
    ...lookalikes(textOf(fromOutside)).map((warning) => visible(warning)),
  ];
}

/** Lines that the policy wrote. */
const OWN_LABELS = ['Held because', 'Risk'];

/** The digest a vote carries to say which card its voter was looking at. */
export function shownDigest(card: Card): Digest {
  return digestOf('countersign/card/v1', {
    ...card,
    lines: card.lines.map(({ label, text, claimed }) => ({ label, text, claimed })),
  });
}

/** Whether the card shows all of the action whose digest it carries. */
export const coversAction = (card: Card, action: Action): boolean =>
  canonicalJson(card.action) === canonicalJson(asJson(action));

function titleOf(action: Action, names: CardNames): string {
  const who = oneLine(names.agent ?? names.requester);
  const what = oneLine(action.resource.id);
  if (action.action === BREAK_GLASS) return `BREAK-GLASS: ${what} for ${who}, now`;
  if (action.action === PREPARE_KIT) return `OFFLINE BREAK-GLASS: a login lies ready for ${what}`;
  if (action.action === OPEN_GRANT) return `STANDING: ${who} asks for ${what}, more than once`;
  if (action.action === 'credential:request') return `${who} asks for ${what}`;
  if (action.action === 'statement:run') return `${who} asks to run a statement as ${what}`;
  if (action.action === 'http:call')
    return `${who} asks to call ${plainWord(action.parameters['call'])} of ${what}`;
  if (action.action === ACCESS_ACTION) return accessTitle(action, names);
  if (action.action === 'agent:admit') return `Admit the agent ${who}`;
  if (action.action === 'agent:add_key') return `Give ${who} another key`;
  if (action.action === 'agent:change_owner') return `Give ${who} another owner`;
  if (action.action === 'kill:lift') return 'Lift the stop of everything';
  if (action.action === 'policy:activate') return 'Activate a policy';
  return `${who}: ${oneLine(action.action)} ${what}`;
}

/** Of an enforcement point's question, whom and what it is about: ours is only that it was asked. */
function wants(action: Action): (CardLine | null)[] {
  if (action.action !== ACCESS_ACTION)
    return [told('Wants', `${action.action} ${action.resource.type} ${action.resource.id}`)];
  const { subject, action: does, resource } = tupleOf(action);
  return [
    told('Who', `${subject.type} ${subject.id}`),
    told('Wants', `${does.name} ${resource.type} ${resource.id}`),
  ].map((line) => line && { ...line, claimed: true });
}

function accessTitle(action: Action, names: CardNames): string {
  const { subject, action: does, resource } = tupleOf(action);
  const who = subject.type === 'Agent' && names.agent !== null ? names.agent : subject.id;
  return `${oneLine(who)} asks to ${oneLine(does.name)} ${oneLine(`${resource.type} ${resource.id}`)}`;
}

const plainWord = (word: JsonValue | undefined): string =>
  typeof word === 'string' ? oneLine(word) : '';

const told = (label: string, text: string | null): CardLine | null =>
  text === null || text === '' ? null : { label, text: withoutBreaks(text), claimed: false };

/** A parameter that is null is shown: "no limit" is something to decide on. Of the context it means "not said". */
function members(group: string, object: JsonObject, claimed: boolean): CardLine[] {
  return Object.entries(object)
    .filter(([, value]) => value !== null || !claimed)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ({ label: `${group} ${name}`, text: plain(value), claimed }));
}

/** Who took away what, and how each parameter was asked for that is not so any more. */
function narrowings({ action, narrowed }: CardSource): CardLine[] {
  if (!narrowed) return [];
  const { asked, by } = narrowed;
  const changed = Object.entries(action.parameters)
    .filter(([name, value]) => !sameJson(value, asked.parameters[name] ?? null))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...changed.map(([name]) => ({
      label: `Asked for ${name}`,
      text: plain(asked.parameters[name] ?? 'all of it'),
      claimed: false,
    })),
    ...by.map(({ name, limits }) => ({
      label: 'Narrowed',
      text: withoutBreaks(`${name}: ${limitsInWords(limits)}`),
      claimed: false,
    })),
  ];
}

const ASKED: Record<Addressee, string> = {
  agent: 'the agent',
  owner: 'the owner',
  triggerer: 'whoever set it off',
};

/** A question and what came of it. What is answered is a claim, whoever says it. */
function askedAndAnswered(question: Question, index: number): CardLine[] {
  const { by, to, text, state, answer } = question;
  const asked = {
    label: `Question ${index + 1}, ${by.name} to ${ASKED[to]}`,
    text,
    claimed: false,
  };
  const label = `Answer ${index + 1}`;
  if (answer)
    return [asked, { label: `${label}, ${answer.name}`, text: answer.text, claimed: true }];
  const none = state === 'open' ? 'none yet' : 'none came';
  return [asked, { label, text: none, claimed: false }];
}

const plain = (value: JsonValue): string =>
  typeof value === 'string' ? value : canonicalJson(value);

/**
 * Characters that are invisible, reorder text, or end a line: they could make a card read as
 * something else (Trojan Source). Ordinary line breaks in a reason are kept by the pages.
 */
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** The same text with every hidden character written in another way. */
export const replaceHidden = (text: string, write: (hidden: string) => string): string =>
  text.replaceAll(HIDDEN, write);

/** The same text with every hidden character written out, so that it can be seen. */
export const visible = (text: string): string =>
  replaceHidden(text, (found) => `⟨${codePoint(found)}⟩`);

/** For a text that has one line on the card: in it a line break is written out, too. */
const oneLine = (text: string): string => visible(withoutBreaks(text));

const withoutBreaks = (text: string): string => text.replaceAll('\n', `⟨${codePoint('\n')}⟩`);

export function hiddenCharacters(text: string): string[] {
  const found = [...new Set(text.match(HIDDEN) ?? [])];
  return found.map(
    (character) => `hidden character ${codePoint(character)} in the requester's text`,
  );
}

const codePoint = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
