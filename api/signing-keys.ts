// The keys that sign for us: which there are, and turning them by hand.
import { z } from 'zod';
import { listSigningKeys, makeKey, rotateKeys } from '../commands/credentials/signing-keys.ts';
import { askThenAnswerOnce } from '../commands/once.ts';
import type { SigningKeyRow } from '../db/rows.ts';
import type { JsonObject } from '../domain/json.ts';
import { Refusal } from '../domain/refusal.ts';
import { cacheSeconds } from '../domain/signing-key.ts';
import { invalid } from './body.ts';
import { defineRoute, ok } from './route.ts';
import * as shape from './schemas.ts';

const list = defineRoute({
  method: 'get',
  path: '/v1/keys',
  tag: 'Administration',
  summary:
    'The keys that sign tokens: which signs, which is next, which are kept for what they signed',
  allow: ['auditor'],
  answers: {
    200: { description: 'Newest first', schema: shape.listOf(shape.signingKey) },
  },
  refusals: [],
  events: [],
  handle: async (_incoming, deps) => {
    const rows = await listSigningKeys(deps.db.query);
    return ok({ data: rows.map(presentKey), next_cursor: null });
  },
});

const rotate = defineRoute({
  method: 'post',
  path: '/v1/keys/rotate',
  tag: 'Administration',
  summary: 'Turn to another signing key: published ahead, or at once, or dropping the old ones',
  description:
    'Without more, a new key is published now and signs when every verifier has had time to fetch it; nothing breaks. ' +
    'With `now` it signs at once: verifiers that keep fetched keys refuse new tokens until they fetch again. ' +
    'With `revoke` as well, for a key that leaked, the old keys go at once and with them everything they signed. ' +
    'While a new key waits for its turn, asking again makes no other.',
  allow: ['admin'],
  body: shape.rotateBody,
  answers: {
    200: {
      description: 'The published keys, newest first, and what this means',
      schema: z.object({ data: z.array(shape.signingKey), says: z.string() }),
    },
  },
  refusals: ['reason_required', 'unavailable'],
  events: ['key.published', 'key.activated', 'key.retired'],
  handle: async ({ call, once, body }, deps) => {
    const { use, now = false, revoke = false, reason = null } = body;
    if (revoke && !now)
      throw invalid('To revoke drops the key that signs: send now as well, so that another does.');
    if (revoke && reason === null)
      throw new Refusal('reason_required', 'Say in reason why what was signed has to die.');
    const make = () => makeKey(deps.db.query, deps.keyDriver, use);
    const answer = await askThenAnswerOnce(deps, call, once, make, async (unit, made) => {
      await rotateKeys(unit, made, { now, revoke, reason }, deps.signingKeys);
      const rows = (await listSigningKeys(unit.sql)).filter(
        (row) => row.use === use && row.state !== 'retired',
      );
      const says = saysOf({ now, revoke }, rows, cacheSeconds(deps.signingKeys.aheadSeconds));
      return ok({ data: rows.map(presentKey), says });
    });
    // Whoever asked finds it done, here at once; other replicas are told as it commits.
    await deps.tokens.reload();
    await deps.authorities.reload();
    return answer;
  },
});

function saysOf(
  { now, revoke }: { now: boolean; revoke: boolean },
  rows: readonly SigningKeyRow[],
  seconds: number,
): string {
  const next = rows.find(({ state }) => state === 'published');
  if (!now && next) return `The key ${next.kid} is published, and signs from ${next.activatesAt}.`;
  const caches = `Verifiers keep the keys they fetched for ${seconds} seconds, or longer where they do not heed Cache-Control`;
  return revoke
    ? `Everything signed before is dead: agents sign in again, and issued tokens have to be asked for again. ${caches}: until then they take the old key and refuse the new one.`
    : `The new key signs now. ${caches}: until then they refuse what it signs. What was signed before stays good.`;
}

const presentKey = (row: SigningKeyRow): JsonObject => ({
  kid: row.kid,
  use: row.use,
  algorithm: row.algorithm,
  driver: row.driver,
  state: row.state,
  published_at: row.publishedAt,
  activates_at: row.activatesAt,
  retires_at: row.retiresAt,
  revoked: row.revoked,
});

export const signingKeyRoutes = [list, rotate];
