// Where a secret could hide: looked for in every table and in every history, in each spelling that bytes may have.
import { Client, Connection } from '@temporalio/client';
import { openKeys } from '../../cli/compose.ts';
import { dataConverter } from '../../cli/temporal.ts';
import type { TestService } from './service.ts';

/** The forms in which bytes could hide: as they are, and as a dump would spell them. */
const spellings = (secret: string): string[] => [
  secret,
  Buffer.from(secret).toString('hex'),
  Buffer.from(secret).toString('base64').replace(/=+$/, ''),
];

/** Which of these secrets, by their names, can be found in a text. */
export function secretsIn(haystack: string, secrets: Record<string, string>): string[] {
  return Object.entries(secrets)
    .filter(
      ([, secret]) => secret === '' || spellings(secret).some((each) => haystack.includes(each)),
    )
    .map(([name]) => name);
}

/** Every row of every table, as text. */
export async function tablesOf(service: TestService): Promise<string> {
  const { sql } = service.database.owner;
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', schemaname, tablename) as name from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema')`;
  if (tables.length <= 15) throw new Error('there are more tables than that');
  const rows = [];
  for (const { name } of tables)
    rows.push(...(await sql.unsafe<{ row: string }[]>(`select t::text as row from ${name} t`)));
  return rows.map(({ row }) => row).join('\n');
}

/** Every string and every byte in a tree, as one text. */
function flatten(value: unknown): string {
  if (typeof value === 'string') return `${value}\n`;
  if (value instanceof Uint8Array) return `${Buffer.from(value).toString('latin1')}\n`;
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(flatten).join('');
}

/** Everything in the histories of all workflows: as Temporal keeps it, and as our codec opens it. */
export async function historiesOf(service: TestService): Promise<{ raw: string; decoded: string }> {
  const { config } = service;
  const connection = await Connection.connect({ address: config.temporalAddress ?? '' });
  const codec = dataConverter(await openKeys(config)).payloadCodecs?.[0];
  const client = new Client({ connection, namespace: config.temporalNamespace });
  let raw = '';
  let decoded = '';
  for await (const { workflowId, runId } of client.workflow.list()) {
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    raw += flatten(history);
    for (const payload of payloadsIn(history))
      decoded += isEncrypted(payload)
        ? flatten(await codec?.decode([payload]))
        : flatten(payload.data);
  }
  await connection.close();
  return { raw, decoded };
}

/** Search attributes are not: they hold the kind, the agent and the state of a workflow. */
const isEncrypted = ({ metadata }: RawPayload): boolean =>
  Buffer.from(metadata['encoding'] ?? []).toString() === 'binary/encrypted';

interface RawPayload {
  metadata: Record<string, Uint8Array>;
  data: Uint8Array;
}

function payloadsIn(value: unknown): RawPayload[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  if (isPayload(value)) return [value];
  return Object.values(value).flatMap(payloadsIn);
}

const isPayload = (value: object): value is RawPayload =>
  'data' in value && value.data instanceof Uint8Array && 'metadata' in value;
