// The service accounts of a namespace, whoever else may do everything in its cluster, and the tokens from before tokens
// expired. Of Secrets only what is written about them is asked for: the tokens in them never travel.
import type { RoleDefinition } from '../../commands/access/kinds.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import { censusOf, PLAIN_FACTS, type Census, type Found } from '../../domain/found-identity.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import type { Sent } from '../egress.ts';
import { gapsIn, isObject, listing, lookClock, membersOf, textOf } from './http.ts';

const PAGE = 50;
const PAGES_MAX = 400;
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
/** About objects, without what is in them. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
const TOKEN_TYPE = 'kubernetes.io/service-account-token';

/** The API server of one target, as the issuer calls it. */
export interface ClusterApi {
  namespace: string;
  /** Our own, which says who we are there. */
  token: string;
  now: () => number;
  /** Below the namespace where the path does not begin with a slash. */
  get(path: string, accept?: string): Promise<Sent>;
  /** Why an answer is no good. */
  refusal(answer: Sent): TargetError;
}

export async function discoverCluster(
  api: ClusterApi,
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<Census> {
  const check = lookClock(api.now);
  const bound = await readBindings(api, check);
  const accounts = await listing(listAccounts(api, check, bound));
  const tokens = await listing(listTokens(api, check, { bound, roles }));
  const gaps = gapsIn([
    ['service_account', accounts],
    ['service_account_token', tokens],
  ]);
  const unbound =
    bound.refused === null
      ? []
      : [{ kind: 'service_account', code: `bindings_${bound.refused}` } as const];
  return censusOf([...accounts.items, ...tokens.items], [...gaps, ...unbound]);
}

/** Every page of a list; each item. */
async function pagesOf(
  api: ClusterApi,
  check: () => void,
  { path, query = '', accept }: { path: string; query?: string; accept?: string },
): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  let next = '';
  for (let page = 0; page < PAGES_MAX; page += 1) {
    check();
    const from = `limit=${PAGE}&continue=${encodeURIComponent(next)}${query}`;
    const answer = await api.get(`${path}?${from}`, accept);
    if (answer.status !== 200) throw api.refusal(answer);
    const { items: some, metadata } = membersOf(answer);
    if (!Array.isArray(some)) throw new TargetError('bad_answer');
    items.push(...some.filter(isObject));
    next = isObject(metadata) ? textIn(metadata, 'continue') : '';
    if (next === '') return items;
  }
  throw new TargetError('too_many_pages');
}

const membersIn = (members: JsonObject, name: string): JsonObject => {
  const value = members[name];
  return isObject(value) ? value : {};
};
const textIn = (members: JsonObject, name: string): string => {
  const value = members[name];
  return typeof value === 'string' ? value : '';
};
const timeIn = (text: string): string | null => {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
};

/** What service accounts are bound to, as far as we may know. */
interface Bound {
  isKnown: boolean;
  /** Why nobody can say who else may do everything; null where that is known. */
  refused: string | null;
  /** What an account is bound to, itself or with all of its kind. */
  rolesOf(namespace: string, name: string): { role: string; everywhere: boolean }[];
  /** Accounts that are named where everything is given, as `namespace/name`. */
  admins: string[];
}

interface Binding {
  role: string;
  /** Where it holds; null for the whole cluster. */
  namespace: string | null;
  subjects: JsonObject[];
}

/** What may do everything, wherever it is bound for the whole cluster. */
const EVERYTHING = 'cluster-admin';

async function readBindings(api: ClusterApi, check: () => void): Promise<Bound> {
  const cluster = await listing(pagesOf(api, check, { path: `${RBAC}/clusterrolebindings` }));
  const path = `${RBAC}/namespaces/${api.namespace}/rolebindings`;
  const local = await listing(pagesOf(api, check, { path }));
  const bindings = [
    ...cluster.items.map((each) => bindingOf(each, null)),
    ...local.items.map((each) => bindingOf(each, api.namespace)),
  ];
  return {
    isKnown: cluster.refused === null && local.refused === null,
    refused: cluster.refused,
    rolesOf: (namespace, name) =>
      bindings
        .filter(({ subjects }) => subjects.some((each) => isMeant(each, namespace, name)))
        .map(({ role, namespace: within }) => ({ role, everywhere: within === null })),
    admins: bindings
      .filter(({ role, namespace }) => role === EVERYTHING && namespace === null)
      .flatMap(({ subjects }) =>
        subjects.flatMap((each) =>
          textIn(each, 'kind') === 'ServiceAccount'
            ? [`${textIn(each, 'namespace')}/${textIn(each, 'name')}`]
            : [],
        ),
      ),
  };
}

function bindingOf(item: JsonObject, namespace: string | null): Binding {
  const subjects: JsonValue | undefined = item['subjects'];
  const reference = membersIn(item, 'roleRef');
  const isOwn = textIn(reference, 'kind') === 'Role';
  return {
    // A role of a namespace may be called like the one that gives everything.
    role: `${isOwn ? 'role ' : ''}${textIn(reference, 'name')}`,
    namespace,
    subjects: Array.isArray(subjects) ? subjects.filter(isObject) : [],
  };
}

function isMeant(subject: JsonObject, namespace: string, name: string): boolean {
  const said = textIn(subject, 'name');
  if (textIn(subject, 'kind') === 'Group')
    return [
      'system:authenticated',
      'system:serviceaccounts',
      `system:serviceaccounts:${namespace}`,
    ].includes(said);
  if (textIn(subject, 'kind') === 'User')
    return said === `system:serviceaccount:${namespace}:${name}`;
  return said === name && textIn(subject, 'namespace') === namespace;
}

const powersOf = (
  bound: Bound,
  namespace: string,
  name: string,
): Pick<Found['facts'], 'groups' | 'isSuperuser'> => {
  const roles = bound.rolesOf(namespace, name);
  return {
    groups: roles.map(({ role, everywhere }) => (everywhere ? role : `${role} in the namespace`)),
    isSuperuser: roles.some(({ role, everywhere }) => everywhere && role === EVERYTHING),
  };
};

async function listAccounts(api: ClusterApi, check: () => void, bound: Bound): Promise<Found[]> {
  const { namespace } = api;
  const self = selfIn(api.token);
  const items = await pagesOf(api, check, { path: 'serviceaccounts', accept: METADATA_ONLY });
  const asFound = (space: string, name: string, about: JsonObject): Found => ({
    name: `${space}/${name}`,
    reference: textIn(about, 'uid') || `${space}/${name}`,
    kind: 'service_account',
    facts: {
      ...PLAIN_FACTS,
      ...powersOf(bound, space, name),
      createdAt: timeIn(textIn(about, 'creationTimestamp')),
      unknown: ['used_at', ...(bound.isKnown ? [] : (['privileges'] as const))],
      serves: self === `system:serviceaccount:${space}:${name}` ? 'issuer' : null,
    },
  });
  const here = items.map((item) => {
    const about = membersIn(item, 'metadata');
    return asFound(namespace, textOf(about, 'name'), about);
  });
  const known = new Set(here.map(({ name }) => name));
  const elsewhere = [...new Set(bound.admins)].filter((each) => !known.has(each));
  return [
    ...here,
    ...elsewhere.flatMap((each) => {
      const [space = '', name = ''] = each.split('/');
      // Named in a binding and not in our namespace: there, nobody told us whether it exists.
      return space === namespace ? [] : [asFound(space, name, {})];
    }),
  ];
}

/** Who a token says it is for. It is our own, so nobody has to check it. */
function selfIn(token: string): string {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    return isObject(claims) ? textIn(claims, 'sub') : '';
  } catch {
    return '';
  }
}

async function listTokens(
  api: ClusterApi,
  check: () => void,
  { bound, roles }: { bound: Bound; roles: ReadonlyMap<string, RoleDefinition> },
): Promise<Found[]> {
  const items = await pagesOf(api, check, {
    path: 'secrets',
    query: `&fieldSelector=${encodeURIComponent(`type=${TOKEN_TYPE}`)}`,
    accept: METADATA_ONLY,
  });
  return items.map((item): Found => {
    const about = membersIn(item, 'metadata');
    const labels = membersIn(about, 'labels');
    const account = textIn(membersIn(about, 'annotations'), 'kubernetes.io/service-account.name');
    const createdAt = timeIn(textIn(about, 'creationTimestamp'));
    const usedAt = timeIn(textIn(labels, 'kubernetes.io/legacy-token-last-used'));
    return {
      name: `${api.namespace}/${textOf(about, 'name')}`,
      reference: textOf(about, 'uid'),
      kind: 'service_account_token',
      facts: {
        ...PLAIN_FACTS,
        ...powersOf(bound, api.namespace, account),
        permissions: [`everything that ${api.namespace}/${account} may`],
        reaches: [...roles].flatMap(([each, role]) =>
          role.issuer === 'kubernetes' && role.service_account === account ? [each] : [],
        ),
        createdAt,
        secretChangedAt: createdAt,
        usedAt,
        isEnabled: labels['kubernetes.io/legacy-token-invalid-since'] === undefined,
        unknown: [
          // Old servers do not write it down.
          ...(usedAt === null ? (['used_at'] as const) : []),
          ...(bound.isKnown ? [] : (['privileges'] as const)),
        ],
      },
    };
  });
}
