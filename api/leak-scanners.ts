// Scanners that report leaks by themselves, each with signatures of its own.
import { z } from 'zod';
import { reportLeak } from '../commands/leaks/leaks.ts';
import {
  addScanner,
  findScanner,
  listScanners,
  openScannerSecret,
  removeScanner,
} from '../commands/leaks/scanners.ts';
import { answerOnce, fingerprintOf, type Answer } from '../commands/once.ts';
import type { Call, Unit } from '../commands/unit.ts';
import type { ScannerRow } from '../db/rows.ts';
import { LEAK_POLICIES, SCANNER_KINDS } from '../db/schema/leaks.ts';
import { JsonError, parseJson, type JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { isScannerKey, verifyGithub, verifyWebhookScanner } from '../keys/scanner-signature.ts';
import { invalid, isUnstorable, readText } from './body.ts';
import { pageOf, readCursor } from './cursor.ts';
import { leakReport } from './leaks.ts';
import { created, defineRoute, noContent, ok, type ApiDeps, type AppContext } from './route.ts';
import * as shape from './schemas.ts';

const publicKey = z.strictObject({
  key_identifier: z.string().regex(/^[A-Za-z0-9_-]{1,128}$/),
  key: z.string().max(2000).refine(isScannerKey, 'it is no public EC key on P-256 in PEM'),
});

const scannerBody = z
  .strictObject({
    name: z.string().trim().min(1).max(200),
    kind: z.enum(SCANNER_KINDS),
    policy: z.enum(LEAK_POLICIES).default('revoke'),
    public_keys: z.array(publicKey).min(1).max(10).optional(),
  })
  .refine(({ kind, public_keys: keys }) => (kind === 'github') === (keys !== undefined), {
    path: ['public_keys'],
    message: 'github needs public_keys, and a webhook has none',
  });

const scannerMembers = {
  id: z.string(),
  name: z.string(),
  kind: z.enum(SCANNER_KINDS),
  policy: z.enum(LEAK_POLICIES),
  key_identifiers: z.array(z.string()),
  url: z.string(),
  created_at: z.string(),
};
/** @public Compared with the SDK’s own type. */
export const scanner = z.object(scannerMembers).meta({ id: 'LeakScanner' });
/** @public Compared with the SDK’s own type. */
export const newScanner = z.object({ ...scannerMembers, secret: z.string().nullable() });

const presentScanner = (row: ScannerRow, deps: ApiDeps): JsonObject => ({
  id: row.id,
  name: row.name,
  kind: row.kind,
  policy: row.policy,
  key_identifiers: Object.keys(row.publicKeys),
  url: `${deps.publicUrl}/v1/leak-scanners/${row.id}/reports`,
  created_at: row.createdAt,
});

const add = defineRoute({
  method: 'post',
  path: '/v1/leak-scanners',
  tag: 'Leaks',
  summary: 'Let a scanner report leaks: GitHub secret scanning, or any signed webhook',
  description:
    'For `github` give the keys of `https://api.github.com/meta/public_keys/secret_scanning`. For `webhook` the answer has the secret, this once, with which the scanner signs as Standard Webhooks says (`v1`).',
  allow: ['admin'],
  body: scannerBody,
  answers: { 201: { description: 'The scanner, and where it reports', schema: newScanner } },
  refusals: [],
  events: ['scanner.added'],
  handle: ({ call, once, body }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      const keys = body.public_keys ?? [];
      const { row, secret } = await addScanner(unit, {
        name: body.name,
        kind: body.kind,
        policy: body.policy,
        publicKeys: Object.fromEntries(keys.map((each) => [each.key_identifier, each.key])),
      });
      return created({ ...presentScanner(row, deps), secret });
    }),
});

const list = defineRoute({
  method: 'get',
  path: '/v1/leak-scanners',
  tag: 'Leaks',
  summary: 'List scanners',
  allow: ['auditor'],
  query: z.strictObject(shape.listQuery),
  answers: { 200: { description: 'A page of scanners', schema: shape.listOf(scanner) } },
  refusals: [],
  events: [],
  handle: async ({ query }, deps) => {
    const after = readCursor(deps.keys.cursors, 'scanners', query.cursor);
    const rows = await listScanners(deps.db.query, after, query.limit + 1);
    const page = pageOf(rows, query.limit, ({ id }) => id, deps.keys.cursors, 'scanners');
    return ok({ data: page.rows.map((row) => presentScanner(row, deps)), next_cursor: page.next });
  },
});

const remove = defineRoute({
  method: 'delete',
  path: '/v1/leak-scanners/{id}',
  tag: 'Leaks',
  summary: 'Hear a scanner no more',
  allow: ['admin'],
  answers: { 204: { description: 'Removed' } },
  refusals: ['not_found'],
  events: ['scanner.removed'],
  handle: ({ call, once, params }, deps) =>
    answerOnce(deps, call, once, async (unit) => {
      await removeScanner(unit, params['id'] ?? '');
      return noContent();
    }),
});

/** GitHub puts every match of a push into one message. */
const BODY_BYTES_MAX = 1024 * 1024;
const REPORTS_MAX = 100;

/** Unknown members are passed over: GitHub adds some when it likes. */
const githubBody = z
  .array(
    z.object({
      token: z.string().min(1).max(65_536),
      type: z.string().max(200),
      url: z.string().max(2000).optional(),
      source: z.string().max(200).optional(),
    }),
  )
  .min(1)
  .max(REPORTS_MAX);

const webhookReport = z.strictObject(leakReport);
const webhookBody = z.union([webhookReport, z.array(webhookReport).min(1).max(REPORTS_MAX)]);

interface Reported {
  secret: string | null;
  hint: string | null;
  where: string | null;
  seenAt: string | null;
  kind: string;
}

async function hear(context: AppContext, deps: ApiDeps, id: string): Promise<Answer | Refusal> {
  const row = await findScanner(deps.db.query, id);
  if (!row) throw new Refusal('not_found', 'There is no such scanner.');
  const body = await readText(context.req, BODY_BYTES_MAX);
  const message = verified(context, deps, row, body);
  const reports = parseReports(row, body);
  const call: Call = {
    principal: { kind: 'scanner', id: row.id },
    traceId: context.get('traceId'),
  };
  // A message that comes again has the same effect and the same answer.
  const once = {
    principal: `scanner:${row.id}`,
    route: 'post /v1/leak-scanners/{id}/reports',
    key: message,
    fingerprint: fingerprintOf(deps.vault.mark(body, 'leak/once')),
  };
  return answerOnce(deps, call, once, (unit) => takeAll(unit, deps, row, reports));
}

/** Verifies before anything is parsed; says what names the message. */
function verified(context: AppContext, deps: ApiDeps, row: ScannerRow, body: string): string {
  const header = (name: string): string | undefined => context.req.header(name);
  if (row.kind === 'webhook') {
    const secret = openScannerSecret(deps.vault, row);
    return verifyWebhookScanner(secret, header, body, Math.floor(Date.now() / 1000));
  }
  verifyGithub(row.publicKeys, header, body);
  return deps.vault.mark(body, 'leak/once');
}

function parseReports(row: ScannerRow, body: string): Reported[] {
  const json = readJsonText(body);
  const parsed = row.kind === 'github' ? githubBody.safeParse(json) : webhookBody.safeParse(json);
  // What was wrong is not said in the body's own words: those may be a secret.
  if (!parsed.success)
    throw invalid('The report is not of the form that this scanner was added with.');
  const items = Array.isArray(parsed.data) ? parsed.data : [parsed.data];
  return items.map((item) =>
    'token' in item
      ? {
          secret: item.token,
          hint: null,
          where: item.url === undefined || item.url === '' ? null : item.url,
          seenAt: null,
          kind: item.source ?? 'unknown',
        }
      : {
          secret: item.secret ?? null,
          hint: item.hint ?? null,
          where: item.where ?? null,
          seenAt: item.seen_at === undefined ? null : new Date(item.seen_at).toISOString(),
          kind: 'webhook',
        },
  );
}

function readJsonText(body: string): unknown {
  try {
    const json = parseJson(body);
    if (isUnstorable(JSON.stringify(json)) || body.includes(String.raw`\u0000`))
      throw invalid('A text holds NUL or half a surrogate pair: leave it out.');
    return json;
  } catch (error) {
    if (error instanceof JsonError) throw invalid('The body is not JSON that we read.');
    throw error;
  }
}

async function takeAll(
  unit: Unit,
  deps: ApiDeps,
  row: ScannerRow,
  reports: readonly Reported[],
): Promise<Answer> {
  const ids: string[] = [];
  for (const report of reports) ids.push(await takeOne(unit, deps, row, report));
  return ok({ received: ids.length, leaks: ids });
}

/** A scanner that names the place by the secret itself is heard all the same, without the place. */
async function takeOne(
  unit: Unit,
  deps: ApiDeps,
  row: ScannerRow,
  { secret, hint, where, seenAt, kind }: Reported,
): Promise<string> {
  const report = {
    secret,
    hint,
    source: `${row.kind} ${row.name}${row.kind === 'github' ? ` (${kind})` : ''}`,
    seenAt,
    policy: row.policy,
    scanner: row.id,
  };
  try {
    return (await reportLeak(unit, deps, { ...report, place: where })).id;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const source = `${row.kind} scanner`;
    return (await reportLeak(unit, deps, { ...report, source, place: null })).id;
  }
}

const reports = defineRoute({
  method: 'post',
  path: '/v1/leak-scanners/{id}/reports',
  tag: 'Leaks',
  summary: 'Where a scanner reports; signed as it was added',
  allow: ['anyone'],
  form: z.array(z.object({ token: z.string(), type: z.string(), url: z.string() })),
  answers: {
    200: {
      description: 'Heard',
      schema: z.object({ received: z.int(), leaks: z.array(z.string()) }),
    },
  },
  refusals: ['not_found', 'bad_signature', 'stale_timestamp', 'too_large', 'idempotency_mismatch'],
  events: [
    'leak.reported',
    'leak.matched',
    'leak.closed',
    'credential.revoke_intended',
    'agent.suspended',
  ],
  handle: ({ context, params }, deps) => hear(context, deps, params['id'] ?? ''),
});

export const leakScannerRoutes = [add, list, remove, reports];
