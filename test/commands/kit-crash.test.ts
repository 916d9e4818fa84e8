// A process that makes or ends a login that lies ready dies at every point there is, and the service is away while one is
// used: nothing usable is ever off the record, and what was done is seen once we are back.
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { careForKits, sweepKits } from '../../activities/kits.ts';
import { openObserver } from '../../activities/observer/observe.ts';
import { openService, type Service } from '../../cli/compose.ts';
import { TargetError } from '../../commands/credentials/issuer.ts';
import type { Deps } from '../../commands/deps.ts';
import type { Call } from '../../commands/unit.ts';
import { startCast, type Cast } from '../support/cast.ts';
import { admin, list, newKey, text } from '../support/client.ts';
import {
  agreedKit,
  freshen,
  halves,
  kitShown,
  letOffline,
  twoHolders,
  urlOf,
  type Kit,
} from '../support/kits.ts';

const POINTS = ['kit:intended', 'kit:made', 'kit:settled'];
const call: Call = { principal: { kind: 'workflow', id: 'test' }, traceId: null };

let cast: Cast;
let own: Service;
const agreed: Kit[] = [];
const everyKit = new Set<string>();

/** Everything that takes a workflow comes first; after that nobody but this test carries anything out. */
beforeAll(async () => {
  cast = await startCast();
  await letOffline(cast);
  for (let made = 0; made < POINTS.length + 7; made += 1) {
    const holders = await twoHolders(cast);
    await freshen(cast);
    const id = await agreedKit(cast, holders);
    everyKit.add(id);
    agreed.push({ ...holders, id, keys: [await newKey(), await newKey()] });
  }
  await cast.service.stopWorker();
  await cast.service.database.owner.sql`update worker set seen_at = now() + interval '1 hour'`;
  own = await openService(cast.service.config, 'test', 4);
});
afterAll(async () => {
  await own.close();
  await cast.close();
});
beforeEach(async () => {
  await cast.service.database.owner.sql`update log_pending set at = now()`;
  await freshen(cast);
});

const dyingAt = (point: string): Deps => ({
  ...own.deps,
  crashPoint: (name) => {
    if (name === point) throw new Error(`died at ${point}`);
  },
});

const care = (deps: Deps = own.deps): Promise<void> => careForKits(deps, call, 'sample');

/** The next kit that people agreed to, with both keys brought. */
async function nextKit(): Promise<Kit> {
  const kit = agreed.shift();
  if (!kit) throw new Error('not enough were agreed to');
  for (const [at, who] of [kit.first, kit.second].entries()) {
    const body = { seal_to: kit.keys[at === 0 ? 0 : 1].publicJwk };
    await who.call('POST', `/v1/break-glass/kits/${kit.id}/key`, body);
  }
  return kit;
}

/** Logins of ours at the target: other tests may have some of theirs on the same server. */
async function loginsAt(): Promise<string[]> {
  const found = await Promise.all(
    [...everyKit].map(async (id) => ((await isThere(id)) ? [id] : [])),
  );
  return found.flat();
}

const isThere = async (id: string): Promise<boolean> => {
  const rows = await cast.service.database.owner.sql`
    select from pg_roles where rolname = ${`csk_${id.slice(4)}`}`;
  return rows.length > 0;
};

/** Every login there is stands on record as one that is being made, lies ready or is being ended. */
async function expectRecorded(): Promise<void> {
  for (const id of await loginsAt())
    expect(['making', 'ready', 'ending']).toContain((await kitShown(cast, id))['state']);
}

async function signsIn(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

describe('a process that dies while it makes one', () => {
  it.each(POINTS)(
    'at %s leaves nothing usable off the record, and the next one goes on',
    async (point) => {
      const kit = await nextKit();
      await expect(care(dyingAt(point))).rejects.toThrow(`died at ${point}`);
      await expectRecorded();
      expect(await isThere(kit.id)).toBe(point !== 'kit:intended');
      expect((await loginsAt()).includes(kit.id)).toBe(point !== 'kit:intended');
      const before = await kitShown(cast, kit.id);
      expect(before['state']).toBe(point === 'kit:settled' ? 'ready' : 'making');
      await care();
      expect(await kitShown(cast, kit.id)).toMatchObject({ state: 'ready', checked: 'good' });
      expect(await signsIn(urlOf(await halves(cast, kit)))).toBe(true);
      await expectRecorded();
    },
  );

  it('and is ended instead takes away what it left', async () => {
    const kit = await nextKit();
    await expect(care(dyingAt('kit:made'))).rejects.toThrow('died at kit:made');
    expect(await isThere(kit.id)).toBe(true);
    await kit.first.call('POST', `/v1/break-glass/kits/${kit.id}/end`, {});
    await expect(care(dyingAt('kit:removed'))).rejects.toThrow('died at kit:removed');
    expect((await kitShown(cast, kit.id))['state']).toBe('ending');
    await care();
    expect((await kitShown(cast, kit.id))['state']).toBe('ended');
    expect(await isThere(kit.id)).toBe(false);
  });

  it('and was only slow cannot replace what a later one made, nor have its halves handed out', async () => {
    const kit = await nextKit();
    const hands = own.deps.issuers.postgres.kits;
    if (!hands) throw new Error('logins of a PostgreSQL can lie ready');
    const overtaken: Deps = {
      ...own.deps,
      issuers: {
        ...own.deps.issuers,
        postgres: {
          ...own.deps.issuers.postgres,
          kits: {
            ...hands,
            make: async (login) => {
              if (login.kit === kit.id && login.attempt === 1) await care();
              return hands.make(login);
            },
          },
        },
      },
    };
    await care(overtaken);
    // The target refuses an earlier attempt, which is noted; the later one stands, and opens.
    expect((await kitShown(cast, kit.id))['state']).toBe('ready');
    expect(await signsIn(urlOf(await halves(cast, kit)))).toBe(true);
  });

  it('a target that is away makes nothing, says so, and is asked again', async () => {
    const kit = await nextKit();
    const hands = own.deps.issuers.postgres.kits;
    if (!hands) throw new Error('logins of a PostgreSQL can lie ready');
    const away: Deps = {
      ...own.deps,
      issuers: {
        ...own.deps.issuers,
        postgres: {
          ...own.deps.issuers.postgres,
          kits: { ...hands, make: () => Promise.reject(new TargetError('unreachable')) },
        },
      },
    };
    await care(away);
    expect(await kitShown(cast, kit.id)).toMatchObject({ state: 'making', failure: 'unreachable' });
    await cast.service.database.owner.sql`update glass_kit set next_try_at = now()`;
    await care();
    expect(await kitShown(cast, kit.id)).toMatchObject({ state: 'ready', failure: null });
  });

  it('a login of ours that nothing on record stands for is taken away', async () => {
    const kit = await nextKit();
    await care();
    expect(await isThere(kit.id)).toBe(true);
    const { sql } = cast.service.database.owner;
    await sql`update glass_kit set state = 'ended' where id = ${kit.id}`;
    await sweepKits(own.deps, call, 'sample');
    expect(await isThere(kit.id)).toBe(false);
  });
});

describe('used while we are down', () => {
  const emergencyOf = async (id: string) => {
    const { body } = await admin(cast.service).call('GET', '/v1/break-glass?limit=200');
    return list(body['data']).find(({ kit }) => kit === id);
  };

  async function comeBack(): Promise<void> {
    await sleep(1_500);
    const observer = openObserver(own.deps, cast.service.config.secret, { witnessSettleMs: 0 });
    try {
      for (let looks = 0; looks < 20 && (await observer.look()); looks += 1);
    } finally {
      await observer.close();
    }
  }

  /** Somebody works with it, and nobody of ours looks. */
  async function used(kit: Kit): Promise<void> {
    const sql = postgres(urlOf(await halves(cast, kit)), { max: 1, onnotice: () => undefined });
    await sql`update orders set state = 'offline' where id = 1`;
    await sql.end({ timeout: 1 });
    expect(await emergencyOf(kit.id)).toBeUndefined();
  }

  it('is seen once we are back, though its login was gone by then, and what else lay ready for that gate ends', async () => {
    const there = await nextKit();
    const gone = await nextKit();
    const unused = await nextKit();
    await care();
    const before = new Date().toISOString();
    await used(there);
    await used(gone);
    const { sql } = cast.service.database.owner;
    await sql`update glass_kit set expires_at = now() where id = ${gone.id}`;
    await care();
    expect(await isThere(gone.id)).toBe(false);
    await comeBack();
    for (const { id } of [there, gone]) {
      expect(await emergencyOf(id)).toMatchObject({ state: 'review_open', agent: null });
      const kit = await kitShown(cast, id);
      expect(kit['effects_seen']).toBe(1);
      expect(text(kit['first_seen_at']) >= before).toBe(true);
    }
    await care();
    expect(await kitShown(cast, there.id)).toMatchObject({ state: 'ended', because: 'used' });
    expect(await kitShown(cast, gone.id)).toMatchObject({ state: 'ended', because: 'expired' });
    expect(await kitShown(cast, unused.id)).toMatchObject({
      state: 'ended',
      because: 'review_open',
    });
    expect(await Promise.all([there, gone, unused].map(({ id }) => isThere(id)))).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('a login that is only named like one opens no emergency', async () => {
    const name = 'csk_00000000000000000000000000';
    const { sql } = cast.service.database.owner;
    await sql.unsafe(`CREATE ROLE ${name} LOGIN PASSWORD 'x' IN ROLE orders_write`);
    const count = async (): Promise<number> =>
      list((await admin(cast.service).call('GET', '/v1/break-glass?limit=200')).body['data'])
        .length;
    const had = await count();
    const url = new URL(cast.service.sample.target);
    url.username = name;
    url.password = 'x';
    await sql.unsafe(`GRANT CONNECT ON DATABASE ${cast.service.sample.database} TO ${name}`);
    expect(await signsIn(url.href)).toBe(true);
    await comeBack();
    expect(await count()).toBe(had);
    await sql.unsafe(`REVOKE CONNECT ON DATABASE ${cast.service.sample.database} FROM ${name}`);
    await sql.unsafe(`DROP ROLE ${name}`);
  });
});
