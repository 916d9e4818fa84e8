// Secrets that people bring. They come in here and leave only sealed to a requester's key, under a lease: no route
// shows one.
import { z } from 'zod';
import { policyName } from '../commands/access/kind.ts';
import {
  custodyOf,
  listSecrets,
  putSecret,
  removeSecret,
  type CustodyPlace,
} from '../commands/credentials/static-secrets.ts';
import { transact } from '../commands/unit.ts';
import type { SecretCustodyRow, StaticSecretRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { invalid } from './body.ts';
import { pageOf, readCursor } from './cursor.ts';
import { defineRoute, noContent, ok } from './route.ts';
import * as shape from './schemas.ts';

const instant = z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' });

/** Long enough for a private key with its chain; longer things belong elsewhere. */
const SECRET_CHARACTERS_MAX = 16_384;

const secretBody = z.strictObject({ value: z.string().min(1).max(SECRET_CHARACTERS_MAX) });
const secretShape = z
  .object({
    name: z.string(),
    version: z.int(),
    put_by: z.string(),
    put_at: instant,
    tainted_at: instant.nullable(),
  })
  .meta({ id: 'StaticSecret' });
const loanShape = z
  .object({
    credential: z.string(),
    version: z.int(),
    agent: z.string(),
    task: z.string(),
    given_at: instant,
    ended_at: instant.nullable(),
  })
  .meta({ id: 'SecretCustody' });

const presentSecret = (row: StaticSecretRow): JsonObject => ({
  name: row.name,
  version: row.version,
  put_by: row.putBy,
  put_at: row.putAt,
  tainted_at: row.taintedAt,
});

const presentCustody = (row: SecretCustodyRow): JsonObject => ({
  credential: row.credential,
  version: row.version,
  agent: row.agent,
  task: row.task,
  given_at: row.givenAt,
  ended_at: row.endedAt,
});

function nameIn(params: Record<string, string>): string {
  const { data } = policyName.safeParse(params['name']);
  if (data === undefined)
    throw invalid('The name of a secret is of lower-case letters, digits and dashes.');
  return data;
}

const put = defineRoute({
  method: 'put',
  path: '/v1/static-secrets/{name}',
  tag: 'Administration',
  summary: 'Put a secret in, or a new version in its place; it is sealed and never shown again',
  description:
    'Putting the value that is there already changes nothing, so the call can be repeated. Another value is a ' +
    'new version, and the one before it is forgotten. Only leases on roles of the issuer `static` give it out, ' +
    "sealed to their holders' keys.",
  allow: ['admin'],
  body: secretBody,
  answers: { 200: { description: 'What is known of it', schema: secretShape } },
  refusals: [],
  events: ['secret.put', 'secret.rotated'],
  // Not under an idempotency key: those keep a digest of the body, from which a short secret could be guessed.
  handle: async ({ call, params, body }, deps) => {
    const name = nameIn(params);
    const { row } = await transact(deps, call, (unit) => putSecret(unit, name, body.value));
    return ok(presentSecret(row));
  },
});

const remove = defineRoute({
  method: 'delete',
  path: '/v1/static-secrets/{name}',
  tag: 'Administration',
  summary: 'Forget a secret; who had it stays on record',
  allow: ['admin'],
  answers: { 204: { description: 'Forgotten' } },
  refusals: ['not_found'],
  events: ['secret.removed'],
  handle: async ({ call, params }, deps) => {
    await transact(deps, call, (unit) => removeSecret(unit, nameIn(params)));
    return noContent();
  },
});

/** Where cursors of secrets and of their custody belong. */
export const CUSTODY_PLACE = 'static-secrets';

const list = defineRoute({
  method: 'get',
  path: '/v1/static-secrets',
  tag: 'Administration',
  summary: 'List stored secrets: their versions, never their values',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of them', schema: shape.listOf(secretShape) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, CUSTODY_PLACE, query.cursor);
    const rows = await listSecrets(deps.db.query, after, query.limit + 1);
    const page = pageOf(rows, query.limit, (row) => row.name, deps.keys.cursors, CUSTODY_PLACE);
    return ok({ data: page.rows.map(presentSecret), next_cursor: page.next });
  },
});

const custody = defineRoute({
  method: 'get',
  path: '/v1/static-secrets/{name}/custody',
  tag: 'Administration',
  summary: 'The chain of custody: who was given which version when, the latest first',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of loans', schema: shape.listOf(loanShape) } },
  refusals: [],
  events: [],
  handle: async ({ params, query }, deps) => {
    const name = nameIn(params);
    const place = `${CUSTODY_PLACE}/${name}`;
    const before = readCursor(deps.keys.cursors, place, query.cursor);
    const rows = await custodyOf(deps.db.query, name, placeIn(before), query.limit + 1);
    const page = pageOf(rows, query.limit, custodyCursor, deps.keys.cursors, place);
    return ok({ data: page.rows.map(presentCustody), next_cursor: page.next });
  },
});

/** Where a loan stands in the chain of custody. */
export const custodyCursor = ({ credential, version }: SecretCustodyRow): string =>
  `${credential}/${version}`;

/** The place that a cursor names. */
export function placeIn(cursor: string | null): CustodyPlace | null {
  if (cursor === null) return null;
  const [credential = '', version = ''] = cursor.split('/');
  return { credential, version: Number(version) };
}

export const staticSecretRoutes = [put, remove, list, custody];
