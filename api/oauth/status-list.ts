// Token status lists, signed and for anybody (draft-ietf-oauth-status-list §5 and §8).
import { deflateSync } from 'node:zlib';
import { statusBits, statusListUrl } from '../../commands/credentials/token-status.ts';
import { Refusal } from '../../domain/refusal.ts';
import { STATUS_LIST } from '../../keys/tokens.ts';
import type { ApiDeps, AppContext } from '../route.ts';

/** How long a copy may be used: the longest that a token which was taken back still passes offline. */
export const STATUS_SECONDS = 30;
/** A list says itself when it is too old to be believed at all. */
const LIST_SECONDS = 300;

export const STATUS_LIST_TYPE = 'application/statuslist+jwt';

export async function statusListToken(
  context: AppContext,
  deps: ApiDeps,
  id: string,
): Promise<Response> {
  const list = /^[1-9]\d{0,8}$/.test(id) ? Number(id) : 0;
  const bits = await statusBits(deps.db.query, deps.policies, list);
  if (!bits) throw new Refusal('not_found', 'There is no such status list.');
  const { issuer } = deps.installation;
  const token = await deps.tokens.sign(STATUS_LIST, {
    iss: issuer,
    sub: statusListUrl(issuer, list),
    exp: Math.floor(Date.now() / 1000) + LIST_SECONDS,
    ttl: STATUS_SECONDS,
    status_list: { bits: 1, lst: deflateSync(bits, { level: 9 }).toString('base64url') },
  });
  return context.body(token, 200, {
    'content-type': STATUS_LIST_TYPE,
    'cache-control': `public, max-age=${STATUS_SECONDS}`,
    'access-control-allow-origin': '*',
  });
}
