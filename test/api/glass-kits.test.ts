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
} from '../support/client.ts';
import {
  agreedKit,
  freshen,
  halves,
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
    await expect(work(url, 'select 1')).rejects.toThrow(/authentication failed/);
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

describe('preparing one', () => {
  it('I4: waits for the people of the gate, of whom no holder is one, nor whoever asked', async () => {
    const both = await person(cast.service, 'Bo', ['on-call', 'data-owners']);
    const asker = await person(cast.service, 'Asa', ['data-owners']);
    await freshen(cast);
    const reply = await prepare(asker, { holders: [both.id, holders.second.id] });
    expect(reply.status).toBe(202);
    const request = requestOf(reply);
    const stranger = await person(cast.service, 'Stan', ['on-call']);
    const codes = [];
    for (const voter of [both, asker, holders.second, stranger, admin(cast.service), cast.agent])
      codes.push((await vote(voter, request, 'approve')).body['code']);
    expect(codes).toEqual([
      'self_approval',
      'self_approval',
      'self_approval',
      'not_eligible',
      'human_required',
      'human_required',
    ]);
    await cast.approver.call('GET', `/v1/requests/${request}`);
    expect((await vote(cast.approver, request, 'deny', { reason: 'no' })).status).toBe(201);
    expect(await kitEvents(request, 'emergency.kit_approved')).toEqual([]);
  });

  it('is refused for one person twice, for strangers, and for people who are gone', async () => {
    const { first, second } = holders;
    const gone = await person(cast.service, 'Gil', ['on-call']);
    await admin(cast.service).call('PATCH', `/v1/people/${gone.id}`, { state: 'deactivated' });
    const wrong: [string, string][] = [
      [first.id, first.id],
      [first.id, cast.approver.id],
      [first.id, gone.id],
      [second.id, 'psn_00000000000000000000000000'],
    ];
    const codes = [];
    for (const pair of wrong) codes.push(outcome(await prepare(first, { holders: pair })));
    expect(codes).toEqual([
      [403, 'break_glass_refused'],
      [403, 'not_eligible'],
      [403, 'not_eligible'],
      [403, 'not_eligible'],
    ]);
  });

  it('I4: is refused for two of whom one let the other in, who could be one human', async () => {
    const boss = await person(cast.service, 'Boss', ['on-call'], { roles: ['approver', 'admin'] });
    await boss.call('POST', `/v1/people/${holders.first.id}/links`, {});
    await freshen(cast);
    const reply = await prepare(holders.second, { holders: [boss.id, holders.first.id] });
    expect(outcome(reply)).toEqual([403, 'not_eligible']);
  });

  it.each<[string, JsonObject, [number, string]]>([
    ['for longer than its route says', { expires_in: 8 * 86_400 }, [403, 'break_glass_refused']],
    ['for a role whose gate does not go offline', { role: 'payouts-write' }, [403, 'denied']],
    ['for a role that nobody is asked about', { role: 'orders-readonly' }, [403, 'denied']],
    ['for a token', { role: 'reports-api', target: 'jwt' }, [403, 'break_glass_refused']],
    ['for another target', { target: 'elsewhere' }, [403, 'break_glass_refused']],
    ['for a role that is none', { role: 'nothing' }, [400, 'role_unknown']],
  ])('is refused %s', async (_what, more, expected) => {
    const [status, code] = outcome(await prepare(holders.first, more));
    expect([code, status >= 400]).toEqual([expected[1], true]);
  });

  it('asked for twice at once is one request', async () => {
    const [one, other] = await Promise.all([prepare(holders.first), prepare(holders.first)]);
    expect(requestOf(one)).toBe(requestOf(other));
  });
});

describe('its halves', () => {
  it('are sealed to keys that the holders bring themselves, each another, with a fresh session', async () => {
    const id = await agreedKit(cast, holders);
    await freshen(cast);
    const key = await newKey();
    const body = { seal_to: key.publicJwk };
    expect(outcome(await on(cast.approver, id, 'key', body))).toEqual([403, 'forbidden']);
    expect(outcome(await on(holders.first, id, 'key', { seal_to: key.privateJwk }))[1]).toBe(
      'seal_key_invalid',
    );
    expect((await on(holders.first, id, 'key', body)).status).toBe(200);
    expect(outcome(await on(holders.second, id, 'key', body))[1]).toBe('seal_key_invalid');
    await cast.service.database.owner
      .sql`update session set created_at = now() - interval '20 minutes'`;
    const stale = await on(holders.second, id, 'key', { seal_to: (await newKey()).publicJwk });
    expect(outcome(stale)).toEqual([403, 'stronger_auth_required']);
    expect(await logins(id)).toBe(0);
    await freshen(cast);
    expect(outcome(await on(holders.first, id, 'share'))).toEqual([409, 'wrong_state']);
    await on(cast.approver, id, 'end');
  });

  it('are each collected once, by their own holder, in person, and then kept nowhere', async () => {
    const kit = await readyKit(cast, holders);
    await freshen(cast);
    expect(outcome(await on(cast.approver, kit.id, 'share'))).toEqual([403, 'forbidden']);
    await cast.service.database.owner
      .sql`update session set created_at = now() - interval '20 minutes'`;
    const stale = await on(kit.first, kit.id, 'share');
    expect(outcome(stale)).toEqual([403, 'stronger_auth_required']);
    await freshen(cast);
    const at = { 'idempotency-key': 'once-more' };
    const path = `/v1/break-glass/kits/${kit.id}/share`;
    const [one, again] = [
      await kit.first.call('POST', path, {}, at),
      await kit.first.call('POST', path, {}, at),
    ];
    expect([one.status, again.body['sealed']]).toEqual([201, one.body['sealed']]);
    const many = await Promise.all([1, 2, 3, 4].map(() => on(kit.second, kit.id, 'share')));
    expect(many.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(outcome(await on(kit.first, kit.id, 'share'))).toEqual([409, 'already_collected']);
    const [row] = await cast.service.database.owner.sql<{ seats: string }[]>`
      select seats::text from glass_kit where id = ${kit.id}`;
    expect(row?.seats).not.toContain('eyJ');
    expect(await kitEvents(kit.id, 'emergency.share_collected')).toHaveLength(2);
    await on(cast.approver, kit.id, 'end');
  });

  it('I5: the password is in no table, no event and not in the log of the target', async () => {
    const kit = await readyKit(cast, holders);
    const url = urlOf(await halves(cast, kit));
    const { password } = new URL(url);
    expect(password).toHaveLength(43);
    const { sql } = cast.service.database.owner;
    const tables = await sql<{ name: string }[]>`
      select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'public' and c.relkind = 'r'`;
    for (const { name } of tables) {
      const rows = await sql.unsafe(
        `select from ${name} t where position('${password}' in to_jsonb(t)::text) > 0`,
      );
      expect([name, rows.length]).toEqual([name, 0]);
    }
    const [stored] = await sql<{ verifier: string }[]>`
      select rolpassword as verifier from pg_authid where rolname = ${`csk_${kit.id.slice(4)}`}`;
    expect(stored?.verifier).toMatch(/^SCRAM-SHA-256\$/);
    await on(cast.approver, kit.id, 'end');
  });
});

describe('it ends', () => {
  const ended = async (id: string): Promise<JsonObject> => {
    await isOver(id);
    expect(await logins(id)).toBe(0);
    return kitShown(cast, id);
  };

  it('when its time is over, and people are told before that', async () => {
    const kit = await readyKit(cast, holders);
    const { sql } = cast.service.database.owner;
    await sql`update glass_kit set created_at = now() - interval '23 hours', expires_at = now() + interval '1 hour' where id = ${kit.id}`;
    await eventually(
      async () => (await kitEvents(kit.id, 'emergency.kit_expiring')).length === 1,
      'the warning',
      45_000,
    );
    await sql`update glass_kit set expires_at = now() where id = ${kit.id}`;
    expect(await ended(kit.id)).toMatchObject({ because: 'expired' });
  }, 120_000);

  it('when a holder is deactivated, or leaves the group', async () => {
    const kit = await readyKit(cast, holders);
    const others = await twoHolders(cast);
    const other = await readyKit(cast, others);
    const people = admin(cast.service);
    await people.call('PATCH', `/v1/people/${holders.first.id}`, { state: 'deactivated' });
    await people.call('PATCH', `/v1/people/${others.second.id}`, { groups: ['engineering'] });
    await freshen(cast);
    for (const id of [kit.id, other.id])
      expect(await ended(id)).toMatchObject({ because: 'holder_left' });
    expect(outcome(await on(others.first, other.id, 'share'))).toEqual([409, 'wrong_state']);
  });

  it('when somebody who may ends it, and for nobody else', async () => {
    const kit = await readyKit(cast, holders);
    const stranger = await person(cast.service, 'Stu', ['on-call']);
    expect(outcome(await on(stranger, kit.id, 'end'))).toEqual([403, 'forbidden']);
    expect((await on(holders.first, kit.id, 'end')).body).toMatchObject({ state: 'ending' });
    expect(await ended(kit.id)).toMatchObject({ because: 'by_person' });
  });

  it('when policy does not allow it any more, and not when something else changes', async () => {
    const kit = await readyKit(cast, holders);
    const waiting = await agreedKit(cast, await twoHolders(cast));
    await changePolicy(cast.service, cast.approver, (files) => ({
      ...files,
      'routes.yaml': `${files['routes.yaml'] ?? ''}\nspare:\n  title: Spare\n  groups: [admins]\n`,
    }));
    const looked = await on(cast.approver, kit.id, 'check');
    expect(looked.body).toMatchObject({ state: 'ready', checked: 'good' });
    await letOffline(cast, 0);
    expect(await ended(kit.id)).toMatchObject({ because: 'policy_changed' });
    expect(await ended(waiting)).toMatchObject({ because: 'policy_changed' });
    await letOffline(cast);
  });
});

describe('a look at it', () => {
  const asSuperuser = (statement: string): Promise<unknown> =>
    cast.service.database.owner.sql.unsafe(statement);
  const loginOf = (id: string): string => `csk_${id.slice(4)}`;

  it.each<[string, (login: string) => string, string]>([
    ['another password', (login) => `ALTER ROLE ${login} PASSWORD 'mine'`, 'altered'],
    ['another end', (login) => `ALTER ROLE ${login} VALID UNTIL 'infinity'`, 'altered'],
    ['more sessions', (login) => `ALTER ROLE ${login} CONNECTION LIMIT 50`, 'altered'],
    ['more rights', (login) => `GRANT payouts_write TO ${login}`, 'altered'],
    ['rights that are above rights', (login) => `ALTER ROLE ${login} CREATEROLE`, 'altered'],
    [
      'nothing there',
      (login) =>
        `REASSIGN OWNED BY ${login} TO CURRENT_USER; DROP OWNED BY ${login}; DROP ROLE ${login}`,
      'missing',
    ],
  ])('finds %s, and ends what is no kit of its holders any more', async (_what, change, found) => {
    const kit = await readyKit(cast, holders);
    const good = await on(cast.owner, kit.id, 'check');
    expect(good.body).toMatchObject({ state: 'ready', checked: 'good' });
    await asSuperuser(change(loginOf(kit.id)));
    const looked = await on(cast.owner, kit.id, 'check');
    expect(looked.body).toMatchObject({ checked: found, because: found, state: 'ending' });
    await isOver(kit.id);
    expect(await logins(kit.id)).toBe(0);
    expect(await emergencyOf(kit.id)).toBeUndefined();
  });
});
