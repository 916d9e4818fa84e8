// The sample policy together with the pack of the AuthZEN fixture, and callers that ask as enforcement points do.
import path from 'node:path';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { readPolicyFolder } from '../../cli/policy-folder.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { changePolicy, startCast, type Cast } from './cast.ts';
import { admittedAgent, type Caller, type Reply, type TestAgent } from './client.ts';
import type { Files } from './policy-files.ts';
import type { TestServiceOptions } from './service.ts';

export interface AccessCast extends Cast {
  /** An agent that policy names as an enforcement point. */
  point: TestAgent;
}

/** The files of the pack that comes with the product. */
export const fixturePack = (): Promise<Files> =>
  readPolicyFolder(path.join(PACKAGE_ROOT, 'policy/packs/authzen-interop'));

/** The sample policy, the fixture, and these enforcement points. */
export async function withFixture(files: Files, points: readonly string[]): Promise<Files> {
  const pack = await fixturePack();
  const [records = ''] = (pack['main.cedar'] ?? '').split('@id("activate-policies")');
  const named = points.map((agent) => `  - { agent: ${agent} }\n`).join('');
  return {
    ...files,
    'schema.cedarschema': pack['schema.cedarschema'] ?? '',
    'entities.yaml': pack['entities.yaml'] ?? '',
    'records.cedar': records,
    'roles.yaml': `${files['roles.yaml'] ?? ''}\nenforcement_points:\n${named}`,
  };
}

/** A service under that policy, with more changed where a test wants that. */
export async function startAccess(
  change: (files: Files) => Files = (files) => files,
  options: TestServiceOptions = {},
): Promise<AccessCast> {
  const cast = await startCast(options);
  const point = await admittedAgent(cast.service, cast.owner.id, cast.approver);
  const fixture = await withFixture({}, []);
  await changePolicy(cast.service, cast.approver, (files) =>
    change({
      ...files,
      ...fixture,
      'roles.yaml': `${files['roles.yaml'] ?? ''}\nenforcement_points:\n  - { agent: ${point.name} }\n`,
    }),
  );
  return { ...cast, point };
}

/** One question in the words of the standard. */
export const tuple = (
  subject: string,
  action: string,
  resource: string,
  more: { subject?: JsonObject; action?: JsonObject; resource?: JsonObject } = {},
): JsonObject => ({
  subject: { type: 'user', id: subject, ...(more.subject && { properties: more.subject }) },
  action: { name: action, ...(more.action && { properties: more.action }) },
  resource: { type: 'record', id: resource, ...(more.resource && { properties: more.resource }) },
});

/** Asks one question. */
export const evaluation = (
  caller: Caller,
  body: JsonValue,
  headers: Record<string, string> = {},
): Promise<Reply> => caller.call('POST', '/access/v1/evaluation', body, headers);

/** The decisions of a call with several questions. */
export const decisionsOf = ({ body }: Reply): JsonValue[] => {
  const { evaluations } = body;
  return Array.isArray(evaluations)
    ? evaluations.map((each) => (each as JsonObject)['decision'] ?? null)
    : [];
};

/** The newest public events of a type. */
export async function newestEvents(
  { service }: AccessCast,
  type: string,
  limit: number,
): Promise<JsonObject[]> {
  const rows = await service.database.owner.sql<{ leaf: string }[]>`
    select leaf from event where type = ${`dev.countersign.${type}.v1`} order by id desc limit ${limit}`;
  return rows.map(({ leaf }) => JSON.parse(leaf) as JsonObject);
}

/** How many events there are of a type. */
export const countEvents = async (cast: AccessCast, type: string): Promise<number> =>
  (await newestEvents(cast, type, 10_000)).length;
