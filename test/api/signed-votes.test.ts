// Votes that are signed with a passkey: good for one decision in one wording by one person, and for nothing else.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../domain/bytes.ts';
import { canonicalJson, type JsonObject } from '../../domain/json.ts';
import { leafHash } from '../../domain/merkle.ts';
import { formatVerifierKey, signCheckpoint } from '../../domain/note.ts';
import { appendLeaves } from '../../domain/tile.ts';
import { makeEd25519Key, openEd25519Key } from '../../keys/ed25519.ts';
import { BUNDLE_FORMAT } from '../../sdk/verify.ts';
import { audit, sealed } from '../support/audit.ts';
import { addPasskey, signedVote, statementFor } from '../support/authenticator.ts';
import { changePolicy, detailsOf, hold, seen, startCast, type Cast } from '../support/cast.ts';
import {
  admin,
  anyone,
  eventually,
  list,
  object,
  person,
  personIn,
  text,
  vote,
  type Reply,
} from '../support/client.ts';
import type { TestPerson } from '../support/client.ts';
import { activateRoles, withRoles } from '../support/policies.ts';
import type { Passkey, Wrong } from '../support/software-passkey.ts';

let cast: Cast;
let passkey: Passkey;
let second: TestPerson;
let secondPasskey: Passkey;

const OWNERS = '  groups: [data-owners]\n';

beforeAll(async () => {
  cast = await startCast();
  await activateRoles(cast, [
    { name: 'strong', routes: { strong: `${OWNERS}  strength: passkey\n` } },
    {
      name: 'strong-pair',
      routes: { 'strong-pair': `${OWNERS}  strength: passkey\n  quorum: 2\n` },
    },
    { name: 'mixed', routes: { weak: OWNERS, mixed: `${OWNERS}  strength: passkey\n` } },
  ]);
  passkey = (await addPasskey(cast.approver)).passkey;
  second = await person(cast.service, 'Bea', ['data-owners']);
  secondPasskey = (await addPasskey(second)).passkey;
});
afterAll(() => cast.close());

const ask = async (role = 'strong') => (await hold(cast.agent, cast.seal, { role })).request;
const said = (reply: Reply): string => `${reply.status} ${text(reply.body['code'])}`;
const stateOf = async (request: string) => (await seen(cast.service, request))['state'];

const send = (who: TestPerson, request: string, body: JsonObject): Promise<Reply> =>
  who.call('POST', `/v1/requests/${request}/votes`, body);

async function grownOld(who: TestPerson): Promise<void> {
  await cast.service.database.owner.sql`
    update session set created_at = now() - interval '20 minutes' where person = ${who.id}`;
}

describe('a route that wants a passkey', () => {
  it('takes a signed vote, whose proof is in the leaf, and no other', async () => {
    const request = await ask();
    const plain = await vote(cast.approver, request, 'approve');
    expect(said(plain)).toBe('403 stronger_auth_required');
    expect(text(plain.body['detail'])).toContain('passkey');
    const reply = await signedVote(cast.approver, request, passkey, { reason: 'looked at it' });
    expect(reply.status).toBe(201);
    expect(object(reply.body['request'])['state']).toBe('approved');
    const [leaf] = await detailsOf(cast.service, request, 'vote.cast');
    const proof = object(leaf?.['step_up']);
    expect(leaf?.['strength']).toBe('passkey');
    expect(Object.keys(proof).toSorted()).toEqual([
      'authenticator_data',
      'client_data',
      'passkey',
      'public_key',
      'signature',
      'statement',
    ]);
    expect(object(proof['statement'])).toMatchObject({
      request,
      decision: 'approve',
      approver: cast.approver.id,
      limits: null,
    });
    expect(JSON.stringify(leaf)).not.toContain('looked at it');
  });

  it('takes none from a session that was merely opened with a passkey', async () => {
    const request = await ask();
    const { service } = cast;
    const who = await person(service, 'Fay', ['data-owners']);
    const { passkey: key } = await addPasskey(who);
    const ask1 = await anyone(service).call('POST', '/v1/sessions/passkey/challenge', {});
    const opened = await anyone(service).call('POST', '/v1/sessions/passkey', key.sign(ask1.body));
    const strong = personIn(service, who.id, opened);
    expect(said(await vote(strong, request, 'approve'))).toBe('403 stronger_auth_required');
    const asked = await anyone(service).call('POST', '/v1/sessions/passkey/challenge', {});
    const proof = passkey.sign(asked.body);
    // What was signed to sign in is no statement.
    const shown = text((await cast.approver.call('GET', `/v1/requests/${request}`)).body['shown']);
    const reply = await send(cast.approver, request, {
      decision: 'approve',
      shown,
      passkey: proof,
    });
    expect(said(reply)).toBe('403 passkey_refused');
  });

  it('takes a denial too only if it is signed', async () => {
    const request = await ask();
    expect(said(await vote(second, request, 'deny'))).toBe('403 stronger_auth_required');
    const reply = await signedVote(second, request, secondPasskey, {
      decision: 'deny',
      reason: 'not now',
      disposition: 'revise',
    });
    expect(reply.status).toBe(201);
    expect(await stateOf(request)).toBe('denied');
  });

  it('counts signed votes of two people, however old their sessions are', async () => {
    const request = await ask('strong-pair');
    const late = await person(cast.service, 'Cy', ['data-owners']);
    const key = (await addPasskey(late)).passkey;
    await grownOld(late);
    expect((await signedVote(second, request, secondPasskey)).status).toBe(201);
    expect(await stateOf(request)).toBe('pending');
    expect((await signedVote(late, request, key)).status).toBe(201);
    expect(await stateOf(request)).toBe('approved');
  });

  it('counts an unsigned vote on the weaker of two routes only', async () => {
    const request = await ask('mixed');
    expect((await vote(cast.approver, request, 'approve')).status).toBe(201);
    expect(await stateOf(request)).toBe('pending');
    expect((await signedVote(second, request, secondPasskey)).status).toBe(201);
    expect(await stateOf(request)).toBe('approved');
    const [weak, strong] = await detailsOf(cast.service, request, 'vote.cast');
    expect(weak).toMatchObject({ strength: 'fresh', routes: ['weak'], step_up: null });
    expect(strong).toMatchObject({ strength: 'passkey', step_up: { statement: { request } } });
    expect(new Set([strong?.['routes']].flat())).toEqual(new Set(['mixed', 'weak']));
  });
});

describe('a statement', () => {
  const others: [string, JsonObject][] = [
    ['the other decision', { decision: 'deny' }],
    ['another reason', { reason: 'because I say so' }],
    ['no reason', { reason: undefined as never }],
    ['another disposition', { disposition: 'revise' }],
    ['limits that it does not name', { narrow: { ttl_seconds: 60 } }],
  ];
  it.each(others)('is not good for %s', async (_name, change) => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request, { reason: 'all fine' });
    const body = { ...spoken, ...change, passkey: passkey.sign(reply.body) };
    expect(said(await send(cast.approver, request, body))).toBe('403 passkey_refused');
    expect(await stateOf(request)).toBe('pending');
  });

  it('is not good for another card, nor made for one', async () => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request);
    const shown = `sha256:${'0'.repeat(64)}`;
    expect(said((await statementFor(cast.approver, request, { shown })).reply)).toBe(
      '409 shown_mismatch',
    );
    const body = { ...spoken, shown, passkey: passkey.sign(reply.body) };
    expect(said(await send(cast.approver, request, body))).toBe('403 passkey_refused');
  });

  it('is not good for another request', async () => {
    const [one, other] = [await ask(), await ask()];
    const { reply } = await statementFor(cast.approver, one);
    const { spoken } = await statementFor(cast.approver, other);
    const body = { ...spoken, passkey: passkey.sign(reply.body) };
    expect(said(await send(cast.approver, other, body))).toBe('403 passkey_refused');
    expect(await stateOf(other)).toBe('pending');
  });

  it('is not good once the action is another, whatever the tables say its digest is', async () => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request);
    await cast.service.database.owner.sql`
      update request set action = jsonb_set(action, '{parameters,ttl_seconds}', '1') where id = ${request}`;
    const body = { ...spoken, passkey: passkey.sign(reply.body) };
    expect((await send(cast.approver, request, body)).status).not.toBe(201);
    expect(await stateOf(request)).toBe('pending');
  });

  it('is good once, also for two who send it at the same time', async () => {
    const request = await ask('strong-pair');
    const { reply, spoken } = await statementFor(cast.approver, request);
    const body = { ...spoken, passkey: passkey.sign(reply.body) };
    const replies = await Promise.all([1, 2, 3].map(() => send(cast.approver, request, body)));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(said(await send(cast.approver, request, body))).toBe('403 passkey_refused');
  });

  it('of a second tab is too late once the first has voted', async () => {
    const request = await ask('strong-pair');
    const tabs = [
      await statementFor(cast.approver, request),
      await statementFor(cast.approver, request, { decision: 'deny' }),
    ];
    const replies: string[] = [];
    for (const { reply, spoken } of tabs)
      replies.push(
        said(await send(cast.approver, request, { ...spoken, passkey: passkey.sign(reply.body) })),
      );
    expect(replies).toEqual(['201 ', '409 already_voted']);
  });

  it('is used up by an attempt that fails', async () => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request);
    const wrong = { ...spoken, passkey: passkey.sign(reply.body, { flags: 1 }) };
    expect(said(await send(cast.approver, request, wrong))).toBe('403 passkey_refused');
    const right = { ...spoken, passkey: passkey.sign(reply.body) };
    expect(said(await send(cast.approver, request, right))).toBe('403 passkey_refused');
  });

  it('is over after two minutes', async () => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request);
    const left = Date.parse(text(reply.body['expires_at'])) - Date.now();
    expect(left).toBeGreaterThan(100_000);
    expect(left).toBeLessThan(121_000);
    await cast.service.database.owner.sql`
      update passkey_challenge set expires_at = now() - interval '1 second' where request = ${request}`;
    const body = { ...spoken, passkey: passkey.sign(reply.body) };
    expect(said(await send(cast.approver, request, body))).toBe('403 passkey_refused');
  });

  it('of somebody else, or signed by somebody else, is refused', async () => {
    const request = await ask();
    const theirs = await statementFor(second, request);
    const taken = { ...theirs.spoken, passkey: secondPasskey.sign(theirs.reply.body) };
    expect(said(await send(cast.approver, request, taken))).toBe('403 passkey_refused');
    const own = await statementFor(cast.approver, request);
    const signed = { ...own.spoken, passkey: secondPasskey.sign(own.reply.body) };
    expect(said(await send(cast.approver, request, signed))).toBe('403 passkey_refused');
    const again = await statementFor(cast.approver, request);
    const posing = {
      ...again.spoken,
      passkey: { ...secondPasskey.sign(again.reply.body), credential: passkey.credential },
    };
    expect(said(await send(cast.approver, request, posing))).toBe('403 passkey_refused');
    expect(await stateOf(request)).toBe('pending');
  });

  const wrongs: [string, Wrong][] = [
    ['on another origin', { origin: 'https://evil.example' }],
    ['for another site', { site: 'evil.example' }],
    ['within a page of somebody else', { clientData: { crossOrigin: true } }],
    ['without unlocking the authenticator', { flags: 1 }],
    ['with nobody there', { flags: 4 }],
    ['as if it were made, not used', { type: 'webauthn.create' }],
    ['with a counter that went back', { counter: 0 }],
    ['with bytes that nothing announces', { trailing: new Uint8Array(1) }],
  ];
  it.each(wrongs)('signed %s is refused', async (_name, wrong) => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request);
    const body = { ...spoken, passkey: passkey.sign(reply.body, wrong) };
    expect(said(await send(cast.approver, request, body))).toBe('403 passkey_refused');
    const refused = await detailsOf(cast.service, request, 'vote.refused');
    expect(refused.map(({ code }) => code)).toEqual(['passkey_refused']);
    expect(await stateOf(request)).toBe('pending');
  });

  it('I1: with a counter that went back is told in the log, beside the refused vote', async () => {
    const request = await ask();
    const { reply, spoken } = await statementFor(second, request);
    const body = { ...spoken, passkey: secondPasskey.sign(reply.body, { counter: 0 }) };
    expect(said(await send(second, request, body))).toBe('403 passkey_refused');
    const path = '/v1/events?type=person.passkey_regressed&limit=500';
    const events = list((await admin(cast.service).call('GET', path)).body['data']);
    expect(events.filter((event) => event['subject'] === second.id)).toHaveLength(1);
  });

  it('signed by a passkey that was removed in between is refused', async () => {
    const who = await person(cast.service, 'Ren', ['data-owners']);
    const { passkey: key, reply: added } = await addPasskey(who);
    const request = await ask();
    const { reply, spoken } = await statementFor(who, request);
    await who.call('DELETE', `/v1/session/passkeys/${text(added.body['id'])}`);
    const body = { ...spoken, passkey: key.sign(reply.body) };
    expect(said(await send(who, request, body))).toBe('403 passkey_refused');
  });

  it('I4: of whom it was for gets them no vote', async () => {
    const request = await ask();
    const { passkey: key } = await addPasskey(cast.owner);
    expect(said(await signedVote(cast.owner, request, key))).toBe('403 self_approval');
  });

  it('I4: is for people, and not made for agents, the admin token or who only reads', async () => {
    const request = await ask();
    const auditor = await person(cast.service, 'Aud', ['data-owners'], { roles: ['auditor'] });
    for (const caller of [cast.agent, admin(cast.service), auditor]) {
      const body = { decision: 'approve', shown: 'sha256:00' };
      const reply = await caller.call('POST', `/v1/requests/${request}/statement`, body);
      expect(said(reply)).toBe('403 forbidden');
    }
    const { reply, spoken } = await statementFor(cast.approver, request);
    const signed = { ...spoken, passkey: passkey.sign(reply.body) };
    const asAgent = await cast.agent.call('POST', `/v1/requests/${request}/votes`, signed);
    expect(said(asAgent)).toBe('403 human_required');
  });

  it('is not made for who has no passkey, nor for what is decided', async () => {
    const request = await ask();
    const bare = await person(cast.service, 'Bo', ['data-owners']);
    expect(said((await statementFor(bare, request)).reply)).toBe('403 stronger_auth_required');
    await signedVote(cast.approver, request, passkey);
    expect(said((await statementFor(second, request)).reply)).toBe('409 already_decided');
  });

  it('of what is too large, or no base64url, is refused before anything reads it', async () => {
    const request = await ask();
    const { reply, spoken } = await statementFor(cast.approver, request);
    const signed = passkey.sign(reply.body);
    for (const wrong of [
      { signature: 'A'.repeat(5000) },
      { client_data: 'A'.repeat(5000) },
      { authenticator_data: 'A'.repeat(5000) },
      { credential: 'A'.repeat(5000) },
      { signature: `${text(signed['signature'])}=` },
      { extra: true },
    ]) {
      const body = { ...spoken, passkey: { ...signed, ...wrong } };
      expect((await send(cast.approver, request, body)).status).toBe(400);
    }
    expect((await send(cast.approver, request, { ...spoken, passkey: signed })).status).toBe(201);
  });
});

describe('strength by risk', () => {
  it('asks for a passkey for what a rule of that risk holds, and is part of what was frozen', async () => {
    const change = (files: Record<string, string>) => {
      const added = withRoles(files, [
        { name: 'calm', routes: { risky: `${OWNERS}  strength_by_risk: { high: passkey }\n` } },
      ]);
      const rules = `\n@id("wild")\n@approval("risky")\n@risk("high")\npermit (principal is Agent, action == Action::"credential:request", resource == Role::"wild");\n`;
      const role =
        '\n  wild:\n    title: wild\n    issuer: jwt\n    audience: https://wild.example\n';
      return {
        ...added,
        'main.cedar': `${added['main.cedar'] ?? ''}${rules}`,
        'roles.yaml': `${added['roles.yaml'] ?? ''}${role}`,
      };
    };
    expect((await changePolicy(cast.service, cast.approver, change)).status).toBe(202);
    const [calm, wild] = [await ask('calm'), await ask('wild')];
    expect((await vote(second, calm, 'approve')).status).toBe(201);
    expect(said(await vote(second, wild, 'approve'))).toBe('403 stronger_auth_required');
    expect((await signedVote(second, wild, secondPasskey)).status).toBe(201);
    const digests = await Promise.all(
      [calm, wild].map(async (each) => {
        const [opened] = await detailsOf(cast.service, each, 'request.opened');
        return [opened?.['risk'], list(opened?.['routes'])[0]?.['rule_digest']];
      }),
    );
    expect(digests.map(([risk]) => risk)).toEqual([null, 'high']);
    expect(digests[0]?.[1]).not.toBe(digests[1]?.[1]);
  });
});

describe('offline', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'countersign-signed-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('I9: a bundle with signed votes verifies, and with a key swapped in it and signed anew it does not', async () => {
    const { service } = cast;
    await signedVote(cast.approver, await ask(), passkey, { reason: 'for the record' });
    const file = path.join(folder, 'record.bundle');
    const env = { COUNTERSIGN_URL: service.url, COUNTERSIGN_TOKEN: service.adminToken };
    await eventually(async () => {
      if ((await audit(['export', '--out', file], env)).code !== 0) return false;
      return (await readFile(file, 'utf8')).includes('\\"step_up\\":{');
    }, 'a bundle with a signed vote');
    const { code, said } = await audit(['verify', file]);
    expect([code, said]).toEqual([0, expect.stringContaining('signed with a passkey')]);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').slice(0, -1);
    const forged = resigned(lines, (leaf) =>
      leaf.replace(/"signature":"[\w-]{8}/, '"signature":"MEUCIQCA'),
    );
    await writeFile(file, forged);
    const after = await audit(['verify', file]);
    expect([after.code === 0, after.said]).toEqual([
      false,
      expect.stringContaining('the signature on a vote does not hold'),
    ]);
  });

  /** The bundle with its leaves changed, by somebody who holds a key of a log and recomputes everything around them. */
  function resigned(lines: readonly string[], change: (leaf: string) => string): string {
    const leaves = lines.flatMap((line) => {
      const { leaf } = JSON.parse(line) as { leaf?: string };
      return leaf === undefined ? [] : [change(leaf)];
    });
    const key = openEd25519Key(makeEd25519Key());
    const { root } = appendLeaves(
      [],
      0,
      leaves.map((leaf) => leafHash(utf8(leaf))),
    );
    const origin = 'forged.example/log';
    const checkpoint = signCheckpoint(
      { origin, size: leaves.length, root },
      key.publicKey,
      key.sign,
    );
    const vkey = formatVerifierKey(origin, key.publicKey);
    const header = { bundle: { format: BUNDLE_FORMAT, vkey, checkpoint } };
    return sealed([header, ...leaves.map((leaf) => ({ leaf }))].map((line) => canonicalJson(line)));
  }
});
