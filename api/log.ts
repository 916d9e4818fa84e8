// The log as static files (C2SP tlog-tiles): anonymous, cacheable, and all a verifier needs.
import { asc, eq } from 'drizzle-orm';
import { newestCheckpoint, proofOf, readEntries, readTile } from '../commands/record/log.ts';
import { event } from '../db/schema/index.ts';
import type { Id } from '../domain/id.ts';
import { formatVerifierKey } from '../domain/note.ts';
import { Refusal } from '../domain/refusal.ts';
import { encodeTile, parseTilePath, tileWidth, TILE_WIDTH } from '../domain/tile.ts';
import { defineRoute, type ApiDeps } from './route.ts';

/** Tiles never change once they can be read. */
const IMMUTABLE = 'public, max-age=31536000, immutable';

const text = (body: string): Response =>
  new Response(body, {
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-cache' },
  });

const bytes = (body: Uint8Array): Response =>
  new Response(Buffer.from(body), {
    headers: { 'content-type': 'application/octet-stream', 'cache-control': IMMUTABLE },
  });

const missing = (what: string): Refusal => new Refusal('not_found', `The log has no such ${what}.`);

const checkpoint = defineRoute({
  method: 'get',
  path: '/log/checkpoint',
  tag: 'Log',
  summary: 'The newest signed checkpoint',
  allow: ['anyone'],
  answers: { 200: { description: 'A signed note', contentType: 'text/plain' } },
  refusals: ['not_found'],
  events: [],
  handle: async (_incoming, deps) => {
    const head = await newestCheckpoint(deps.db.query);
    return head ? text(head.checkpoint) : missing('checkpoint');
  },
});

const verifierKey = defineRoute({
  method: 'get',
  path: '/log/vkey',
  tag: 'Log',
  summary: 'The key that verifies checkpoints, as name+hash+key',
  allow: ['anyone'],
  answers: { 200: { description: 'A verifier key', contentType: 'text/plain' } },
  refusals: [],
  events: [],
  handle: (_incoming, deps) =>
    Promise.resolve(
      text(`${formatVerifierKey(deps.installation.logOrigin, deps.keys.log.publicKey)}\n`),
    ),
});

const tile = defineRoute({
  method: 'get',
  path: '/log/tile/{path}',
  tag: 'Log',
  summary: 'A tile of hashes, or a bundle of entries',
  description:
    '`path` is several segments, slashes and all, as c2sp.org/tlog-tiles lays them out: `0/x001/234`, `entries/000.p/17`. A client that writes the slashes as `%2F` finds nothing.',
  allow: ['anyone'],
  answers: { 200: { description: 'The tile', contentType: 'application/octet-stream' } },
  refusals: ['not_found'],
  events: [],
  handle: ({ context }, deps) => serveTile(context.req.path.replace(/^\/log\/tile\//, ''), deps),
});

async function serveTile(path: string, deps: ApiDeps): Promise<Response | Refusal> {
  const name = parseTilePath(path);
  const head = name && (await newestCheckpoint(deps.db.query));
  if (!name || !head) return missing('tile');
  const level = name.level === 'entries' ? 0 : name.level;
  // Only what the published checkpoint covers: nothing that could still turn out otherwise.
  const there = tileWidth(head.size, level, name.index);
  if (name.width > there || name.width > TILE_WIDTH) return missing('tile');
  if (name.level === 'entries') {
    const entries = await readEntries(deps.db.query, name.index, name.width);
    return entries ? bytes(entries) : missing('bundle');
  }
  const hashes = await readTile(deps.db.query, { ...name, level });
  return hashes ? bytes(encodeTile(hashes)) : missing('tile');
}

const proof = defineRoute({
  method: 'get',
  path: '/log/proof/{event}',
  tag: 'Log',
  summary: 'Proof that an event is in the log, as one file to keep',
  allow: ['anyone'],
  answers: { 200: { description: 'c2sp.org/tlog-proof@v1', contentType: 'text/plain' } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const id = (params['event'] ?? '') as Id<'event'>;
    const found = await proofOf(deps.db.query, id);
    return found ? text(found) : missing('event yet: it is indexed within seconds');
  },
});

const leaf = defineRoute({
  method: 'get',
  path: '/log/leaf/{event}',
  tag: 'Log',
  summary: 'The leaf of an event, byte for byte as it was hashed',
  allow: ['anyone'],
  answers: { 200: { description: 'Canonical JSON', contentType: 'application/json' } },
  refusals: ['not_found'],
  events: [],
  handle: async ({ params }, deps) => {
    const id = (params['event'] ?? '') as Id<'event'>;
    const [row] = await deps.db.query
      .select({ leaf: event.leaf })
      .from(event)
      .where(eq(event.id, id))
      .orderBy(asc(event.id));
    if (!row) return missing('event');
    return new Response(row.leaf, {
      headers: { 'content-type': 'application/json', 'cache-control': IMMUTABLE },
    });
  },
});

export const logRoutes = [checkpoint, verifierKey, tile, proof, leaf];
