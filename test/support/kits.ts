// A login that lies ready for when the service is down, prepared as people do it.
import { joinShares, readShare, type Joined, type KitShare } from '../../domain/glass-kit.ts';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, type Cast } from './cast.ts';
import {
  admin,
  eventually,
  list,
  newKey,
  object,
  opened,
  person,
  text,
  vote,
  type Reply,
  type TestKey,
  type TestPerson,
} from './client.ts';

/** Lets the gate in front of orders go offline, for as many days. */
export const letOffline = (cast: Cast, days = 7, groups = 'on-call'): Promise<Reply> =>
  changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'routes.yaml': (files['routes.yaml'] ?? '')
      .replaceAll(/\n  break_glass: \{[^\n]*/g, '')
      .replace(
        '  title: Write to orders\n',
        `  title: Write to orders\n  break_glass: { groups: [${groups}]${days === 0 ? '' : `, offline: { max_days: ${days} }`} }\n`,
      ),
  }));

export interface Holders {
  first: TestPerson;
  second: TestPerson;
}

let pair = 0;

/** Two people on call who have nothing to do with each other. */
export async function twoHolders(cast: Cast): Promise<Holders> {
  pair += 1;
  const first = await person(cast.service, `Hal ${pair}`, ['on-call']);
  const second = await person(cast.service, `Ida ${pair}`, ['on-call']);
  return { first, second };
}

/** What is asked for. */
export const kitFor = ({ first, second }: Holders, more: JsonObject = {}): JsonObject => ({
  target: 'sample',
  role: 'orders-write',
  holders: [first.id, second.id],
  expires_in: 86_400,
  reason: 'for when nobody can be asked',
  ...more,
});

/** Sessions stay fresh however slow the machine is. */
export const freshen = (cast: Cast): Promise<unknown> =>
  cast.service.database.owner.sql`update session set created_at = now()`;

export const kitShown = async (cast: Cast, id: string): Promise<JsonObject> =>
  (await admin(cast.service).call('GET', `/v1/break-glass/kits/${id}`)).body;

/** A kit that people agreed to, whose holders have not brought their keys. */
export async function agreedKit(
  cast: Cast,
  holders: Holders,
  more: JsonObject = {},
): Promise<string> {
  const asked = await holders.first.call('POST', '/v1/break-glass/kits', kitFor(holders, more));
  const request = text(object(asked.body['request'])['id']);
  if (request === '') throw new Error(`not asked: ${JSON.stringify(asked.body)}`);
  await freshen(cast);
  const voted = await vote(cast.approver, request, 'approve');
  if (voted.status !== 201) throw new Error(`not approved: ${JSON.stringify(voted.body)}`);
  let id = '';
  await eventually(async () => {
    const { body } = await admin(cast.service).call('GET', '/v1/break-glass/kits?limit=200');
    id = text(list(body['data']).find((kit) => kit['request'] === request)?.['id']);
    return id !== '';
  }, 'the kit');
  return id;
}

export interface Kit extends Holders {
  id: string;
  keys: [TestKey, TestKey];
}

/** Has both holders bring a key. */
export async function keyedKit(cast: Cast, holders: Holders, more: JsonObject = {}): Promise<Kit> {
  const id = await agreedKit(cast, holders, more);
  const keys: [TestKey, TestKey] = [await newKey(), await newKey()];
  await freshen(cast);
  for (const [at, who] of [holders.first, holders.second].entries()) {
    const body = { seal_to: keys[at === 0 ? 0 : 1].publicJwk };
    const brought = await who.call('POST', `/v1/break-glass/kits/${id}/key`, body);
    if (brought.status !== 200) throw new Error(`no key: ${JSON.stringify(brought.body)}`);
  }
  return { ...holders, id, keys };
}

/** A login that is there. */
export async function readyKit(cast: Cast, holders?: Holders, more: JsonObject = {}): Promise<Kit> {
  const kit = await keyedKit(cast, holders ?? (await twoHolders(cast)), more);
  await eventually(
    async () => (await kitShown(cast, kit.id))['state'] === 'ready',
    'the login',
    45_000,
  );
  return kit;
}

/** Both halves, opened by their holders. */
export async function halves(cast: Cast, kit: Kit): Promise<[KitShare, KitShare]> {
  await freshen(cast);
  const [one, other] = [
    await half(kit.first, kit.id, kit.keys[0]),
    await half(kit.second, kit.id, kit.keys[1]),
  ];
  return [one, other];
}

async function half(who: TestPerson, id: string, key: TestKey): Promise<KitShare> {
  const reply = await who.call('POST', `/v1/break-glass/kits/${id}/share`, {});
  const share = readShare(await opened(reply.body['sealed'], key));
  if (!share) throw new Error(`no half: ${JSON.stringify(reply.body)}`);
  return share;
}

/** The URL that both halves come to. */
export function urlOf([one, other]: readonly [KitShare, KitShare]): string {
  const joined: Joined = joinShares(one, other, new Date().toISOString());
  if (joined.outcome !== 'opened') throw new Error(joined.says);
  const { host, port, database, username } = joined.facts;
  return `postgres://${username}:${joined.password}@${host}:${port}/${database}`;
}
