// Glass that is broken while we are down: two people, one half each, seen afterwards and reviewed like any emergency.
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { changePolicy, detailsOf, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  eventually,
  list,
  newKey,
  object,
  person,
  text,
  vote,
  type Caller,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import {
  agreedKit,
  freshen,
  halves,
  keyedKit,
  kitFor,
  kitShown,
  letOffline,
  readyKit,
  twoHolders,
  urlOf,
  type Holders,
} from '../support/kits.ts';

let cast: Cast;
let holders: Holders;

beforeAll(async () => {
  cast = await startCast();
  await letOffline(cast);
});
afterAll(() => cast.close());
beforeEach(async () => {
  holders = await twoHolders(cast);
  await freshen(cast);
});

const outcome = ({ status, body }: Reply): [number, string] => [status, text(body['code'])];
const prepare = (who: Caller, more: JsonObject = {}): Promise<Reply> =>
  who.call('POST', '/v1/break-glass/kits', kitFor(holders, more));
const requestOf = (reply: Reply): string => text(object(reply.body['request'])['id']);
const on = (who: Caller, id: string, step: string, body: JsonObject = {}): Promise<Reply> =>
  who.call('POST', `/v1/break-glass/kits/${id}/${step}`, body);

/** Works at the target as whoever holds this URL, and nowhere else. */
async function work(url: string, ...statements: string[]): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    for (const each of statements) await sql.unsafe(each);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

async function logins(id: string): Promise<number> {
  const rows = await cast.service.database.owner.sql`
    select from pg_roles where rolname = ${`csk_${id.slice(4)}`}`;
  return rows.length;
}

const isOver = (id: string): Promise<void> =>
  eventually(async () => (await kitShown(cast, id))['state'] === 'ended', 'its end', 60_000);

const emergencyOf = async (id: string): Promise<JsonObject | undefined> => {
  const { body } = await admin(cast.service).call('GET', '/v1/break-glass?limit=200');
  return list(body['data']).find(({ kit }) => kit === id);
};

const kitEvents = async (id: string, type: string): Promise<JsonObject[]> =>
  detailsOf(cast.service, text((await kitShown(cast, id))['request']), type);

const reviewed = (who: Caller, emergency: JsonObject | undefined): Promise<Reply> =>
  who.call('POST', `/v1/break-glass/${text(emergency?.['id'])}/review`, {
    findings: 'one stuck order was released',
    disposition: 'justified',
  });

describe('a login that lies ready', () => {
  it('opens with both halves, is seen when it was used, taken away, and reviewed', async () => {
    const kit = await readyKit(cast, holders);
    const url = urlOf(await halves(cast, kit));
    await work(url, `update orders set state = 'released' where id = 1`);
    await eventually(async () => (await emergencyOf(kit.id)) !== undefined, 'its use', 45_000);
    const emergency = await emergencyOf(kit.id);
    expect(emergency).toMatchObject({
      agent: null,
      task: null,
      state: 'review_open',
      gates: ['orders-write'],
      people: [holders.first.id, holders.second.id],
    });
    await isOver(kit.id);
    expect(await logins(kit.id)).toBe(0);
    await expect(work(url, 'select 1')).rejects.toThrow();
    const [used] = await kitEvents(kit.id, 'emergency.offline_used');
    expect(used).toMatchObject({ kit: kit.id, target: 'sample', effects_seen: 1 });
    const seen = await kitEvents(kit.id, 'runtime.observed');
    expect(seen.filter(({ kind }) => kind === 'effect')).toMatchObject([
      { login: 'kit', effect: 'write', outcome: 'ran', controls: ['orders-write'] },
    ]);
    const page = await cast.owner.call('GET', '/agents');
    expect(page.text).toContain('The glass is broken');
    // Nobody else gets past this gate meanwhile, and nothing else lies ready.
    const other = await twoHolders(cast);
    await freshen(cast);
    const again = await other.first.call('POST', '/v1/break-glass/kits', kitFor(other));
    expect(outcome(again)).toEqual([409, 'review_open']);
    for (const holder of [holders.first, holders.second])
      expect(outcome(await reviewed(holder, emergency))).toEqual([403, 'self_approval']);
    const done = await reviewed(cast.approver, emergency);
    expect(done.body).toMatchObject({ state: 'reviewed', effects_seen: 1 });
    await freshen(cast);
    expect((await other.first.call('POST', '/v1/break-glass/kits', kitFor(other))).status).toBe(
      202,
    );
  });
});
