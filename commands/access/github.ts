// Installation tokens of a GitHub App, for some of its repositories and some of its permissions.
import { z } from 'zod';
import type { JsonObject } from '../../domain/json.ts';
import { policyName, roleCommon, targetCommon, variable, type AccessKind } from './kind.ts';
import { readOptions, refusedOption } from './options.ts';

export const githubTarget = z.strictObject({
  issuer: z.literal('github'),
  ...targetCommon,
  /** Where the API is; another for an Enterprise Server of one's own. */
  api: z.url().default('https://api.github.com'),
  /** The app's client id, or its number. */
  app: z.string().regex(/^[A-Za-z0-9.]{1,64}$/, 'a client id or the number of an app'),
  installation: z.number().int().min(1),
  private_key_from: variable,
});
export type GithubTarget = z.infer<typeof githubTarget>;

const LEVELS = ['read', 'write', 'admin'] as const;
type Level = (typeof LEVELS)[number];

const repository = z.string().regex(/^[A-Za-z0-9._-]{1,100}$/, 'a repository, without its owner');
/** GitHub takes no more of them for one token. */
const repositories = z.array(repository).min(1).max(500);
const permissions = z
  .record(z.string().regex(/^[a-z][a-z_]{0,63}$/, 'a permission'), z.enum(LEVELS))
  // Without any, GitHub would give all that the app has.
  .refine((each) => Object.keys(each).length > 0, 'name at least one permission');

export const githubRole = z.strictObject({
  issuer: z.literal('github'),
  target: policyName,
  repositories,
  permissions,
  ...roleCommon,
});
export type GithubRole = z.infer<typeof githubRole>;

const githubOptions = z.strictObject({
  repositories: repositories.optional(),
  permissions: permissions.optional(),
});
type GithubOptions = z.infer<typeof githubOptions>;

export interface GithubScope {
  repositories: string[];
  permissions: Record<string, Level>;
}

/** Whether a level is no more than another. */
const isWithin = (level: string, most: Level | undefined): boolean =>
  most !== undefined &&
  LEVELS.findIndex((each) => each === level) <= LEVELS.indexOf(most) &&
  LEVELS.some((each) => each === level);

/** What a token may be for: what was asked for, which is never more than the role has. */
export function githubScope(role: GithubRole, options: JsonObject): GithubScope {
  const asked = readOptions<GithubOptions>(githubOptions, options);
  const known = new Set(role.repositories.map((name) => name.toLowerCase()));
  for (const name of asked.repositories ?? [])
    if (!known.has(name.toLowerCase()))
      throw refusedOption('repositories', `the role does not have ${name}`);
  for (const [name, level] of Object.entries(asked.permissions ?? {}))
    if (!isWithin(level, ownLevel(role.permissions, name)))
      throw refusedOption('permissions', `the role does not have ${name}: ${level}`);
  return {
    repositories: [...new Set(asked.repositories ?? role.repositories)].toSorted(),
    permissions: asked.permissions ?? role.permissions,
  };
}

const ownLevel = (levels: Record<string, Level>, name: string): Level | undefined =>
  Object.hasOwn(levels, name) ? levels[name] : undefined;

/** Whether a token that GitHub made is for no more than this. Every token may read metadata. */
export function isWithinScope(
  scope: GithubScope,
  given: { repositories: string[] | null; permissions: Record<string, unknown> },
): boolean {
  const known = new Set(scope.repositories.map((name) => name.toLowerCase()));
  return (
    given.repositories !== null &&
    given.repositories.every((name) => known.has(name.toLowerCase())) &&
    Object.entries(given.permissions).every(
      ([name, level]) =>
        typeof level === 'string' &&
        (isWithin(level, ownLevel(scope.permissions, name)) ||
          (name === 'metadata' && level === 'read')),
    )
  );
}

const said = (levels: Record<string, Level>): string[] =>
  Object.entries(levels).map(([name, level]) => `${name}: ${level}`);

const TOKEN_SECONDS = 3600;

export const githubAccess: AccessKind<GithubRole> = {
  target: (role) => role.target,
  destination: (role) => `github:${role.target}`,
  gives: (role) =>
    `a GitHub token for ${role.repositories.join(', ')} with ${said(role.permissions).join(', ')}`,
  reaches: (role) => role.repositories.map((name) => `repository ${name.toLowerCase()}`),
  revocable: () => true,
  // GitHub lets each live an hour, whatever the lease says; ending it is up to us.
  longestSeconds: () => TOKEN_SECONDS,
  backstop: () => true,
  witness: () => 'target',
  attempts: () => 'add',
  listed: false,
  readOptions: (role, options) => {
    if (Object.keys(options).length === 0) return Promise.resolve({});
    const { repositories: names, permissions: levels } = githubScope(role, options);
    return Promise.resolve({ repositories: names, permissions: levels });
  },
  extents: (role, options) => {
    const scope = githubScope(role, options);
    return {
      repositories: { kind: 'some_of', of: scope.repositories },
      permissions: { kind: 'levels', of: scope.permissions, order: [...LEVELS] },
    };
  },
};
