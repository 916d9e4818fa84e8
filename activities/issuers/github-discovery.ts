// The installations of a GitHub App with what each may do, and the deploy keys of repositories that ours can reach. Of a
// deploy key only its number and title are read; a token to read them with lives for the look and is ended after it.
import type { RoleDefinition } from '../../commands/access/kinds.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import {
  censusOf,
  PLAIN_FACTS,
  safeComment,
  type Census,
  type Found,
} from '../../domain/found-identity.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Sent } from '../egress.ts';
import { forEach, gapsIn, isObject, listing, lookClock, membersOf, textOf } from './http.ts';

/** GitHub says a lot about each repository, and a page has to fit into one answer. */
const PAGE = 30;
const PAGES_MAX = 400;

/** The API of one app, as the issuer calls it. */
export interface GithubApp {
  /** The installation that credentials are made for. */
  installation: number;
  now: () => number;
  call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    bearer: string,
    body?: string,
  ): Promise<Sent>;
  /** The app's own word. */
  word(): string;
  /** Why an answer is no good. */
  refusal(answer: Sent): TargetError;
}

export async function discoverApp(
  app: GithubApp,
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<Census> {
  const check = lookClock(app.now);
  const installations = await listing(listInstallations(app, check));
  const keys = await listing(listDeployKeys(app, check, roles));
  const gaps = gapsIn([
    ['app_installation', installations],
    ['deploy_key', keys],
  ]);
  return censusOf([...installations.items, ...keys.items], gaps);
}

/** Every page of a list; each member as JSON. */
async function pagesOf(
  app: GithubApp,
  check: () => void,
  { path, bearer, member }: { path: string; bearer: () => string; member: string | null },
): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  for (let page = 1; page <= PAGES_MAX; page += 1) {
    check();
    const answer = await app.call('GET', `${path}?per_page=${PAGE}&page=${page}`, bearer());
    if (answer.status !== 200) throw app.refusal(answer);
    const list = member === null ? listIn(answer) : membersOf(answer)[member];
    if (!Array.isArray(list)) throw new TargetError('bad_answer');
    items.push(...list.filter(isObject));
    if (list.length < PAGE) return items;
  }
  throw new TargetError('too_many_pages');
}

function listIn({ body }: Sent): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

const timeOf = (members: JsonObject, name: string): string | null => {
  const value = members[name];
  const ms = Date.parse(typeof value === 'string' ? value : '');
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
};

const numberOf = (members: JsonObject, name: string): number => {
  const value = members[name];
  if (typeof value !== 'number') throw new TargetError('bad_answer');
  return value;
};

async function listInstallations(app: GithubApp, check: () => void): Promise<Found[]> {
  const items = await pagesOf(app, check, {
    path: '/app/installations',
    bearer: () => app.word(),
    member: null,
  });
  return items.map((item): Found => {
    const id = numberOf(item, 'id');
    const account = isObject(item['account']) ? item['account'] : {};
    const login = account['login'] ?? account['slug'];
    const permissions = isObject(item['permissions']) ? item['permissions'] : {};
    const isAll = item['repository_selection'] !== 'selected';
    const levels = Object.entries(permissions).map(
      ([name, level]) => `${name}: ${typeof level === 'string' ? level : 'unknown'}`,
    );
    return {
      name: `${typeof login === 'string' ? login : 'unknown'}/installation ${id}`,
      reference: String(id),
      kind: 'app_installation',
      facts: {
        ...PLAIN_FACTS,
        permissions: levels,
        usableBy: [isAll ? 'all repositories' : 'selected repositories'],
        isSuperuser: permissions['administration'] === 'write' && isAll,
        createdAt: timeOf(item, 'created_at'),
        isEnabled: timeOf(item, 'suspended_at') === null,
        // GitHub does not say when an app last worked there.
        unknown: ['used_at'],
        serves: id === app.installation ? 'issuer' : null,
      },
    };
  });
}

/** Read with a token that may do nothing else; where the app may not make one, that is the answer. */
async function listDeployKeys(
  app: GithubApp,
  check: () => void,
  roles: ReadonlyMap<string, RoleDefinition>,
): Promise<Found[]> {
  const tokens = `/app/installations/${app.installation}/access_tokens`;
  const body = JSON.stringify({ permissions: { administration: 'read', metadata: 'read' } });
  const made = await app.call('POST', tokens, app.word(), body);
  if (made.status !== 201) throw app.refusal(made);
  const token = textOf(membersOf(made), 'token');
  try {
    const bearer = () => token;
    const repositories = await pagesOf(app, check, {
      path: '/installation/repositories',
      bearer,
      member: 'repositories',
    });
    const keys = await forEach(repositories, async (repository) => {
      const name = textOf(repository, 'full_name');
      const items = await pagesOf(app, check, {
        path: `/repos/${name}/keys`,
        bearer,
        member: null,
      });
      return items.map((item) => asDeployKey(item, name, roles));
    });
    return keys.flat();
  } finally {
    // It dies within the hour by itself.
    await app.call('DELETE', '/installation/token', token).catch(() => undefined);
  }
}

function asDeployKey(
  item: JsonObject,
  repository: string,
  roles: ReadonlyMap<string, RoleDefinition>,
): Found {
  const id = numberOf(item, 'id');
  const { title, added_by: addedBy } = item;
  const mayWrite = item['read_only'] !== true;
  const createdAt = timeOf(item, 'created_at');
  const said = [
    typeof title === 'string' ? title : '',
    typeof addedBy === 'string' ? `added by ${addedBy}` : '',
  ];
  return {
    name: `${repository}/deploy key ${id}`,
    reference: String(id),
    kind: 'deploy_key',
    facts: {
      ...PLAIN_FACTS,
      permissions: [`contents: ${mayWrite ? 'write' : 'read'}`],
      usableBy: [repository],
      reaches: mayWrite ? rolesFor(repository, roles) : [],
      comment: safeComment(said.filter(Boolean).join(', ')),
      createdAt,
      secretChangedAt: createdAt,
      usedAt: timeOf(item, 'last_used'),
      isEnabled: item['enabled'] !== false,
    },
  };
}

/** Roles that give writing to the same repository. */
const rolesFor = (repository: string, roles: ReadonlyMap<string, RoleDefinition>): string[] => {
  const name = repository.split('/').at(-1)?.toLowerCase() ?? '';
  return [...roles].flatMap(([each, role]) =>
    role.issuer === 'github' &&
    role.permissions['contents'] === 'write' &&
    role.repositories.some((other) => other.toLowerCase() === name)
      ? [each]
      : [],
  );
};
