// Who may assume a role of AWS, as its trust policy says it.
import type { FoundFacts } from '../../domain/found-identity.ts';
import type { JsonObject } from '../../domain/json.ts';
import { isObject } from './http.ts';

/** What a trust policy lets in. */
export interface Trust {
  /** Each in the words of AWS. */
  principals: string[];
  risks: FoundFacts['seenRisks'];
  /** Whether anybody but this provider is let in. */
  lets: (otherThan: string) => boolean;
}

interface Allowed {
  /** `AWS`, `Service`, `Federated`; or `*` for everybody. */
  kind: string;
  name: string;
  condition: JsonObject | null;
}

const GITHUB = /:oidc-provider\/token\.actions\.githubusercontent\.com$/;

/** Reads a trust policy; what cannot be read lets in we do not know whom, and is said to be open. */
export function trustIn(document: unknown, account: string): Trust {
  const allowed = allowedIn(document);
  if (allowed === null)
    return { principals: ['unreadable'], risks: ['open_trust'], lets: () => true };
  const isOpen = allowed.some(opensToAll);
  const isOutside = allowed.some((each) => isFromOutside(each, account));
  return {
    principals: allowed.map(wordsFor),
    risks: [
      ...(isOpen ? (['open_trust'] as const) : []),
      ...(isOutside ? (['outside_trust'] as const) : []),
    ],
    lets: (provider) =>
      allowed.some(
        ({ kind, name }) => kind !== 'Federated' || !name.endsWith(`:oidc-provider/${provider}`),
      ),
  };
}

function allowedIn(document: unknown): Allowed[] | null {
  if (!isObject(document)) return null;
  const statements = [document['Statement']].flat();
  if (!statements.every(isObject)) return null;
  return statements.flatMap((statement) => {
    if (statement['Effect'] !== 'Allow' || !assumes(statement['Action'])) return [];
    const condition = isObject(statement['Condition']) ? statement['Condition'] : null;
    // All but some is nearly everybody.
    if (statement['Principal'] === undefined) return [{ kind: '*', name: '*', condition }];
    return principalsIn(statement['Principal']).map((each) => ({ ...each, condition }));
  });
}

/** An action that is left out or not read is taken for one that assumes. */
const assumes = (action: unknown): boolean => {
  const actions = textsIn(action);
  return (
    actions.length === 0 || actions.some((each) => /^(\*|sts:(\*|Assume|A\*|As\*))/i.test(each))
  );
};

function principalsIn(principal: unknown): { kind: string; name: string }[] {
  if (!isObject(principal)) return [{ kind: '*', name: '*' }];
  return Object.entries(principal).flatMap(([kind, names]) =>
    textsIn(names).map((name) => ({ kind: name === '*' ? '*' : kind, name })),
  );
}

const textsIn = (value: unknown): string[] =>
  [value].flat().filter((each) => typeof each === 'string');

const wordsFor = ({ kind, name, condition }: Allowed): string => {
  const who = kind === '*' ? 'everybody' : kind === 'AWS' ? name : `${kind.toLowerCase()} ${name}`;
  return condition === null ? who : `${who}, on conditions`;
};

/** Everybody, or every workflow of everybody at a provider that serves the whole world. */
function opensToAll({ kind, name, condition }: Allowed): boolean {
  if (kind === '*') return condition === null;
  if (kind !== 'Federated') return false;
  if (condition === null) return true;
  return GITHUB.test(name) && !namesSubject(condition);
}

const namesSubject = (condition: JsonObject): boolean =>
  Object.values(condition).some(
    (keys) =>
      isObject(keys) &&
      Object.entries(keys).some(
        ([key, values]) =>
          /:(sub|repository|repository_id|repository_owner|repository_owner_id)$/i.test(key) &&
          textsIn(values).length > 0 &&
          textsIn(values).every((value) => !/^(\*|repo:\*)/.test(value)),
      ),
  );

/** Another account; or everybody, within conditions that we do not judge. */
function isFromOutside({ kind, name, condition }: Allowed, account: string): boolean {
  if (kind === '*') return condition !== null;
  if (kind !== 'AWS') return false;
  const [, theirs = name] = /^arn:[^:]*:[^:]*:[^:]*:(\d{12}):/.exec(name) ?? [];
  // Of a principal that was deleted AWS keeps a number alone, which lets nobody in.
  return /^\d{12}$/.test(theirs) && theirs !== account;
}
