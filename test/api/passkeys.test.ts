// Passkeys: who may add one, what signing in with one gives, and that each is good for its person alone.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { addPasskey } from '../support/authenticator.ts';
import {
  admin,
  anyone,
  list,
  object,
  person,
  personIn,
  text,
  type Caller,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';
import { Passkey, type Wrong } from '../support/software-passkey.ts';

let service: TestService;
let names = 0;

beforeAll(async () => {
  service = await startService({ worker: false });
});
afterAll(() => service.close());

const someone = (): Promise<TestPerson> => {
  names += 1;
  return person(service, `Person ${names}`, ['data-owners']);
};

async function grownOld(who: TestPerson): Promise<void> {
  await service.database.owner.sql`
    update session set created_at = now() - interval '20 minutes' where person = ${who.id}`;
}

const ownKeys = async (who: Caller): Promise<JsonObject[]> =>
  list((await who.call('GET', '/v1/session/passkeys')).body['data']);

async function eventsOf(type: string, subject: string): Promise<JsonObject[]> {
  const reply = await admin(service).call('GET', `/v1/events?type=${type}&limit=500`);
  return list(reply.body['data'])
    .filter((event) => event['subject'] === subject)
    .map((event) => object(object(event['data'])['detail']));
}

async function signInWith(passkey: Passkey, wrong: Wrong = {}, as: Caller = anyone(service)) {
  const asked = await as.call('POST', '/v1/sessions/passkey/challenge', {});
  return as.call('POST', '/v1/sessions/passkey', passkey.sign(asked.body, wrong));
}

const said = (reply: Reply): string => `${reply.status} ${text(reply.body['code'])}`;

describe('adding a passkey', () => {
  it.each(['ES256', 'EdDSA', 'RS256'] as const)(
    'right after signing in by link works with an %s key, and is an event that names no name',
    async (kind) => {
      const who = await someone();
      const { reply } = await addPasskey(who, { kind });
      expect(reply.status).toBe(201);
      expect(await ownKeys(who)).toEqual([reply.body]);
      const [added] = await eventsOf('person.passkey_added', who.id);
      expect(added).toMatchObject({
        passkey: reply.body['id'],
        site: 'localhost',
        origin: service.publicUrl,
        signed_in_by: 'link',
        synced: false,
      });
      expect(JSON.stringify(added)).not.toContain('Phone');
    },
  );

  it('takes a sign-in within five minutes: a stolen session adds none', async () => {
    const who = await someone();
    await grownOld(who);
    const { reply } = await addPasskey(who);
    expect(said(reply)).toBe('403 stronger_auth_required');
    expect(await ownKeys(who)).toEqual([]);
  });

  it('that was begun in time and finished too late is refused', async () => {
    const who = await someone();
    const asked = await who.call('POST', '/v1/session/passkeys/challenge', {});
    await grownOld(who);
    const made = new Passkey().make(asked.body);
    const reply = await who.call('POST', '/v1/session/passkeys', { name: 'Late', ...made });
    expect(said(reply)).toBe('403 stronger_auth_required');
  });

  it('takes a sign-in by passkey from the second on: whoever makes a link adds none beside it', async () => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    const link = await admin(service).call('POST', `/v1/people/${who.id}/links`, {});
    const token = text(link.body['sign_in_url']).split('/').at(-1) ?? '';
    const linked = personIn(
      service,
      who.id,
      await anyone(service).call('POST', '/v1/sessions', { token }),
    );
    const refused = await addPasskey(linked);
    expect(said(refused.reply)).toBe('403 stronger_auth_required');
    const strong = personIn(service, who.id, await signInWith(passkey));
    const { reply } = await addPasskey(strong);
    expect(reply.status).toBe(201);
    const added = await eventsOf('person.passkey_added', who.id);
    expect(added.map((each) => each['signed_in_by'])).toEqual(['link', 'passkey']);
  });

  it('of two first ones that are added at once, one is', async () => {
    const who = await someone();
    const asked = await Promise.all(
      [1, 2].map(() => who.call('POST', '/v1/session/passkeys/challenge', {})),
    );
    const replies = await Promise.all(
      asked.map(({ body }) =>
        who.call('POST', '/v1/session/passkeys', { name: 'A', ...new Passkey().make(body) }),
      ),
    );
    expect(replies.map(said).toSorted()).toEqual(['201 ', '403 stronger_auth_required']);
  });

  const wrongs: [string, Wrong][] = [
    ['signed on another origin', { origin: 'https://localhost.evil.example' }],
    ['signed on another port', { origin: 'http://localhost:1' }],
    ['made for another site', { site: 'evil.example' }],
    ['of which nobody unlocked the authenticator', { flags: 1 }],
    ['at which nobody was', { flags: 4 }],
    ['for something else', { type: 'webauthn.get' }],
    ['for a challenge that is not ours', { challenge: 'A'.repeat(43) }],
    ['within a page of somebody else', { clientData: { crossOrigin: true } }],
    ['under a page of somebody else', { clientData: { topOrigin: 'https://evil.example' } }],
    ['that is a copy of what cannot be copied', { flags: 5 | 16 }],
    ['with bytes that nothing announces', { trailing: new Uint8Array(3) }],
  ];
  it.each(wrongs)('%s is refused', async (_name, wrong) => {
    const who = await someone();
    const { reply } = await addPasskey(who, { wrong });
    expect(said(reply)).toBe('403 passkey_refused');
    expect(await ownKeys(who)).toEqual([]);
  });

  it('with the challenge of another person, of another session or used before is refused', async () => {
    const [who, other] = [await someone(), await someone()];
    const asked = await other.call('POST', '/v1/session/passkeys/challenge', {});
    const made = new Passkey().make(asked.body);
    const body = { name: 'A', ...made };
    expect(said(await who.call('POST', '/v1/session/passkeys', body))).toBe('403 passkey_refused');
    const own = await who.call('POST', '/v1/session/passkeys/challenge', {});
    const first = { name: 'A', ...new Passkey().make(own.body) };
    expect(said(await who.call('POST', '/v1/session/passkeys', first))).toBe('201 ');
    const strong = personIn(service, who.id, await signInWith((await addPasskey(other)).passkey));
    expect(said(await strong.call('POST', '/v1/session/passkeys', first))).toBe(
      '403 passkey_refused',
    );
  });

  it('that is or was known is refused, also for somebody else', async () => {
    const [who, other] = [await someone(), await someone()];
    const { passkey, reply } = await addPasskey(who);
    await who.call('DELETE', `/v1/session/passkeys/${text(reply.body['id'])}`);
    const asked = await other.call('POST', '/v1/session/passkeys/challenge', {});
    const again = await other.call('POST', '/v1/session/passkeys', {
      name: 'Mine now',
      ...passkey.make(asked.body),
    });
    expect(said(again)).toBe('409 passkey_taken');
  });

  it('is limited to ten, and to twenty attempts at a time', async () => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    const strong = personIn(service, who.id, await signInWith(passkey));
    for (let at = 1; at < 10; at += 1) expect((await addPasskey(strong)).reply.status).toBe(201);
    expect(said((await addPasskey(strong)).reply)).toBe('409 passkeys_full');
    const busy = await someone();
    for (let at = 0; at < 20; at += 1)
      expect((await busy.call('POST', '/v1/session/passkeys/challenge', {})).status).toBe(201);
    expect(said(await busy.call('POST', '/v1/session/passkeys/challenge', {}))).toBe(
      '429 too_soon',
    );
  });

  it('of what is too large or no base64url is refused before anything reads it', async () => {
    const who = await someone();
    const asked = await who.call('POST', '/v1/session/passkeys/challenge', {});
    const made = new Passkey().make(asked.body);
    for (const wrong of [
      { attestation: 'A'.repeat(30_000) },
      { client_data: 'A'.repeat(30_000) },
      { attestation: `${made.attestation}=` },
      { attestation: '*' },
      { name: '' },
      { transports: ['<script>'] },
    ]) {
      const body = { name: 'A', ...made, ...wrong };
      expect((await who.call('POST', '/v1/session/passkeys', body)).status).toBe(400);
    }
  });
});

describe('removing a passkey', () => {
  it('of one’s own takes a fresh sign-in, and it signs nobody in any more', async () => {
    const who = await someone();
    const { passkey, reply } = await addPasskey(who);
    const path = `/v1/session/passkeys/${text(reply.body['id'])}`;
    await grownOld(who);
    expect(said(await who.call('DELETE', path))).toBe('403 stronger_auth_required');
    const strong = personIn(service, who.id, await signInWith(passkey));
    expect((await strong.call('DELETE', path)).status).toBe(204);
    expect(said(await strong.call('DELETE', path))).toBe('404 not_found');
    expect(said(await signInWith(passkey))).toBe('403 passkey_refused');
    const [removed] = await eventsOf('person.passkey_removed', who.id);
    expect(removed).toMatchObject({ by: { type: 'person', id: who.id } });
  });

  it('of somebody else is for administrators, and an event that says so', async () => {
    const [who, other] = [await someone(), await someone()];
    const { reply } = await addPasskey(who);
    const id = text(reply.body['id']);
    expect((await other.call('DELETE', `/v1/session/passkeys/${id}`)).status).toBe(404);
    expect((await other.call('DELETE', `/v1/people/${who.id}/passkeys/${id}`)).status).toBe(403);
    expect(
      (await admin(service).call('DELETE', `/v1/people/${other.id}/passkeys/${id}`)).status,
    ).toBe(404);
    const listed = await admin(service).call('GET', `/v1/people/${who.id}/passkeys`);
    expect(list(listed.body['data'])).toHaveLength(1);
    expect(
      (await admin(service).call('DELETE', `/v1/people/${who.id}/passkeys/${id}`)).status,
    ).toBe(204);
    const [removed] = await eventsOf('person.passkey_removed', who.id);
    expect(removed).toMatchObject({ by: { type: 'service', id: 'admin-token' } });
  });
});

describe('signing in with a passkey', () => {
  it('opens a session of its person, fresh again, and ends the one they came with', async () => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    const reply = await signInWith(passkey, {}, who);
    expect(reply.status).toBe(201);
    expect(object(reply.body['person'])['id']).toBe(who.id);
    expect((await personIn(service, who.id, reply).call('GET', '/v1/session')).status).toBe(200);
    expect((await who.call('GET', '/v1/session')).status).toBe(401);
    const signedIn = await eventsOf('person.signed_in', who.id);
    expect(signedIn.map((each) => each['method'])).toEqual(['link', 'passkey']);
  });

  const wrongs: [string, Wrong][] = [
    ['on another origin', { origin: 'https://evil.example' }],
    ['for another site', { site: 'evil.example' }],
    ['without unlocking the authenticator', { flags: 1 }],
    ['with nobody there', { flags: 4 }],
    ['as if it were made, not used', { type: 'webauthn.create' }],
    ['with a challenge of its own', { challenge: 'B'.repeat(75) }],
    ['as a passkey that may be copied, which it was not', { flags: 5 | 8 }],
    ['with bytes that nothing announces', { trailing: new Uint8Array(1) }],
  ];
  it.each(wrongs)('%s is refused', async (_name, wrong) => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    expect(said(await signInWith(passkey, wrong))).toBe('403 passkey_refused');
  });

  it('works once for each challenge, however often its answer is sent', async () => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    const asked = await anyone(service).call('POST', '/v1/sessions/passkey/challenge', {});
    const answers = [passkey.sign(asked.body), passkey.sign(asked.body), passkey.sign(asked.body)];
    const replies = await Promise.all(
      answers.map((answer) => anyone(service).call('POST', '/v1/sessions/passkey', answer)),
    );
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
  });

  it('I8: with an Idempotency-Key a repeat gets the same session', async () => {
    const { passkey } = await addPasskey(await someone());
    const asked = await anyone(service).call('POST', '/v1/sessions/passkey/challenge', {});
    const answer = passkey.sign(asked.body);
    const headers = { 'idempotency-key': 'once-for-this-sign-in' };
    const [first, second] = [
      await anyone(service).call('POST', '/v1/sessions/passkey', answer, headers),
      await anyone(service).call('POST', '/v1/sessions/passkey', answer, headers),
    ];
    expect(second.headers.get('set-cookie')).toBe(first.headers.get('set-cookie'));
  });

  it('with a counter that went back is refused, and an event, though nothing else comes of it', async () => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    expect((await signInWith(passkey, { counter: 7 })).status).toBe(201);
    for (const counter of [7, 6, 0])
      expect(said(await signInWith(passkey, { counter }))).toBe('403 passkey_refused');
    const regressed = await eventsOf('person.passkey_regressed', who.id);
    expect(regressed.map(({ kept, said: counted }) => [kept, counted])).toEqual([
      [7, 7],
      [7, 6],
      [7, 0],
    ]);
    expect((await signInWith(passkey, { counter: 8 })).status).toBe(201);
  });

  it('works for those authenticators that do not count', async () => {
    const { passkey } = await addPasskey(await someone());
    for (let times = 0; times < 2; times += 1)
      expect((await signInWith(passkey, { counter: 0 })).status).toBe(201);
  });

  it('lets in nobody who was deactivated', async () => {
    const who = await someone();
    const { passkey } = await addPasskey(who);
    await admin(service).call('PATCH', `/v1/people/${who.id}`, { state: 'deactivated' });
    expect(said(await signInWith(passkey))).toBe('403 forbidden');
  });

  it('is by the key that was added, and not by another under its name', async () => {
    const { passkey } = await addPasskey(await someone());
    const asked = await anyone(service).call('POST', '/v1/sessions/passkey/challenge', {});
    const forged = { ...new Passkey().sign(asked.body), credential: passkey.credential };
    const reply = await anyone(service).call('POST', '/v1/sessions/passkey', forged);
    expect(said(reply)).toBe('403 passkey_refused');
  });
});
