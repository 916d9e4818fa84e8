// Requests told by e-mail: to whoever decides, in one thread each, not too many at once, and nothing in it decides.
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startFakeSmtp, valueOf, type FakeSmtp, type TakenMail } from '../fakes/smtp.ts';
import { changePolicy, hold, seen, startCast, startTask, type Cast } from '../support/cast.ts';
import {
  admin,
  askCredential,
  eventually,
  list,
  object,
  person,
  text,
  vote,
  type Reply,
  type TestPerson,
} from '../support/client.ts';
import { withRoles } from '../support/policies.ts';
import { selfSigned, type TlsPair } from '../support/tls.ts';

let cast: Cast;
let pair: TlsPair;
let smtp: FakeSmtp;
let dana: TestPerson;

const PASSWORD = 'mail-password-9f2c';

beforeAll(async () => {
  cast = await startCast();
  pair = await selfSigned();
  dana = await person(cast.service, 'Dana', ['mailed'], { email: 'dana@example.com' });
  await person(cast.service, 'Noah', ['mailed']);
  await person(cast.service, 'Eve', ['engineering'], { email: 'eve@example.com' });
  await changePolicy(cast.service, cast.approver, (files) =>
    withRoles(files, [
      { name: 'told', routes: { told: '  groups: [mailed]\n  email: { approvers: true }\n' } },
      {
        name: 'wide',
        routes: {
          wide: '  groups: [data-owners]\n  email: { approvers: true }\n  escalation: [{ after_seconds: 1, groups: [mailed] }]\n',
        },
      },
    ]),
  );
  smtp = await startFakeSmtp({
    ...{ key: pair.key, certificate: pair.cert, user: 'cs', password: PASSWORD },
  });
});
afterAll(async () => {
  await cast.close();
  await smtp.close();
});
beforeEach(async () => {
  await connect();
  await owner().execute(sql`delete from notice`);
  smtp.mails.length = 0;
  smtp.faults.length = 0;
});

const owner = () => cast.service.database.owner.query;

const connect = (more: JsonObject = {}): Promise<Reply> =>
  admin(cast.service).call('PUT', '/v1/integrations/email', {
    ...{ host: '127.0.0.1', port: smtp.port, user: 'cs', password: PASSWORD },
    ...{ from: 'countersign@example.com', authorities: pair.cert },
    ...more,
  });

const ask = async (role = 'told', reason?: string): Promise<string> =>
  (await hold(cast.agent, cast.seal, { role, ...(reason !== undefined && { reason }) })).request;

const about = (id: string): TakenMail[] =>
  smtp.mails.filter(({ parts }) => parts['text/plain']?.includes(id));

const mailed = async (id: string, number: number): Promise<TakenMail[]> => {
  await eventually(() => Promise.resolve(about(id).length >= number), `${number} mails of ${id}`);
  return about(id);
};

async function standing(): Promise<JsonObject> {
  const { body } = await admin(cast.service).call('GET', '/v1/integrations/channels');
  return list(body['data']).find((each) => each['name'] === 'email') ?? {};
}

describe('a request on a route that tells by e-mail', () => {
  it('goes to those who may decide and have an address, to each alone, under TLS', async () => {
    const id = await ask();
    const [mail] = await mailed(id, 1);
    expect(mail).toMatchObject({ to: ['dana@example.com'], wasEncrypted: true, user: 'cs' });
    expect(valueOf(mail?.headers ?? [], 'auto-submitted')).toBe('auto-generated');
    expect(mail?.parts['text/plain']).toContain(`${cast.service.publicUrl}/requests/${id}`);
    expect(smtp.mails.flatMap(({ to }) => to)).not.toContain('eve@example.com');
    expect(smtp.faults).toEqual([]);
    expect(smtp.inClear.join('\n')).not.toContain(Buffer.from(PASSWORD).toString('base64'));
    expect(smtp.inClear.filter((line) => !/^(EHLO|STARTTLS|QUIT)/.test(line))).toEqual([]);
  });

  it('has one thread: what comes later refers to the first, and the end is told', async () => {
    const id = await ask();
    await mailed(id, 1);
    expect((await vote(dana, id, 'deny')).status).toBe(201);
    const [first, last] = await mailed(id, 2);
    const name = valueOf(first?.headers ?? [], 'message-id');
    expect(name).toContain(id);
    expect(valueOf(last?.headers ?? [], 'references')).toBe(name);
    expect(valueOf(last?.headers ?? [], 'subject')).toBe(valueOf(first?.headers ?? [], 'subject'));
    expect(last?.parts['text/plain']).toContain('This is closed');
  });

  it('those who may decide only later are told then', async () => {
    const id = await ask('wide');
    const [mail] = await mailed(id, 1);
    expect(mail?.to).toEqual(['dana@example.com']);
  });

  it('nothing in a mail decides: its address is read, again and again, by whoever scans it', async () => {
    const id = await ask();
    const [mail] = await mailed(id, 1);
    const links = [...(mail?.parts['text/html'] ?? '').matchAll(/href="([^"]+)"/g)].map(
      ([, to]) => to ?? '',
    );
    expect(links).toEqual([`${cast.service.publicUrl}/requests/${id}`]);
    const path = new URL(links[0] ?? '').pathname;
    for (const method of ['GET', 'HEAD', 'GET'] as const) {
      const answer = await fetch(`${cast.service.url}${path}`, { method, redirect: 'manual' });
      // Nobody who is not signed in reads it, either.
      expect(await answer.text()).not.toContain('orders-bot');
      expect([302, 303, 401, 403]).toContain(answer.status);
    }
    const forged = `${cast.service.url}${path}?decision=approve`;
    await fetch(forged, { method: 'GET', redirect: 'manual' });
    await fetch(forged, { method: 'POST', redirect: 'manual' });
    const row = await seen(cast.service, id);
    expect(row['state']).toBe('pending');
    expect(row['votes']).toEqual([]);
  });

  it('many at once come in one mail; nobody gets more than five in five minutes', async () => {
    const task = await startTask(cast.agent);
    for (let at = 0; at < 12; at += 1)
      await askCredential(cast.agent, task, {
        ...{ role: 'told', seal_to: cast.seal.publicJwk, reason: `number ${at}` },
      });
    const told = (): string[] =>
      smtp.mails.flatMap(({ parts }) => parts['text/plain']?.match(/\/requests\/req_\w+/g) ?? []);
    await eventually(() => Promise.resolve(new Set(told()).size >= 5), 'mails');
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(smtp.mails.length).toBeLessThanOrEqual(5);
    expect(Number((await standing())['waiting'])).toBeGreaterThan(0);
    await owner().execute(sql`update notice set ended_at = ended_at - interval '6 minutes'`);
    await owner().execute(sql`update notice set next_try_at = now() where state = 'pending'`);
    await eventually(() => Promise.resolve(new Set(told()).size === 12), 'all of them');
    expect(smtp.mails.length).toBeLessThanOrEqual(10);
    expect(smtp.mails.some(({ headers }) => /\d+ requests/.test(valueOf(headers, 'subject')))).toBe(
      true,
    );
  });
});

describe('a mail server that does not take it', () => {
  it('is tried again on a 4xx, under the same name; and seen to fail meanwhile', async () => {
    smtp.next({ at: 'RCPT', answer: '451 4.7.1 Greylisted for SECRET-OF-THEIRS' });
    const id = await ask();
    await eventually(async () => (await standing())['last_code'] === 'smtp_451', 'a code');
    expect(await standing()).toMatchObject({ state: 'enabled', waiting: 1 });
    await owner().execute(sql`update notice set next_try_at = now() where state = 'pending'`);
    await mailed(id, 1);
    await eventually(async () => (await standing())['failing_since'] === null, 'it to be well');
    const { body } = await admin(cast.service).call('GET', '/v1/integrations/channels');
    expect(JSON.stringify(body)).not.toContain('SECRET-OF-THEIRS');
  });

  it('a mailbox that is refused is given up at once, on record; others still get theirs', async () => {
    smtp.next({ at: 'RCPT', answer: '550 5.1.1 No such user' });
    await ask();
    await eventually(async () => {
      const { body } = await admin(cast.service).call('GET', '/v1/events?type=notice.undelivered');
      const details = list(body['data']).map((each) => object(object(each['data'])['detail']));
      return details.some((each) => text(each['code']) === 'smtp_550');
    }, 'a record');
    const id = await ask();
    expect(await mailed(id, 1)).toHaveLength(1);
  });

  it('gets no password and no mail without TLS, nor with a certificate of somebody else', async () => {
    const plain = await startFakeSmtp({
      ...{
        key: pair.key,
        certificate: pair.cert,
        user: 'cs',
        password: PASSWORD,
        offersTls: false,
      },
    });
    await connect({ port: plain.port });
    await ask();
    await eventually(async () => (await standing())['failing_since'] !== null, 'a failure');
    expect(plain.mails).toEqual([]);
    expect(plain.inClear.filter((line) => /^(AUTH|MAIL)/i.test(line))).toEqual([]);
    await plain.close();
    const other = await selfSigned();
    await connect({ authorities: other.cert });
    const before = smtp.mails.length;
    await ask();
    await eventually(async () => (await standing())['failing_since'] !== null, 'a failure');
    expect(smtp.mails.length).toBe(before);
  });

  it('is not reached without TLS unless it is on this machine', async () => {
    const reply = await connect({ host: 'mail.example.com', tls: 'none' });
    expect(reply.status).toBe(400);
    expect((await connect({ from: 'a@example.com\r\nBcc: b@example.com' })).status).toBe(400);
    expect((await connect({ host: 'mail.example.com\r\nX' })).status).toBe(400);
    expect((await cast.owner.call('PUT', '/v1/integrations/email', {})).status).toBe(403);
  });

  it('has its password nowhere in clear', async () => {
    const rows = await owner().execute(
      sql`select row_to_json(c)::text as t from channel c union all select leaf from event`,
    );
    expect(JSON.stringify(rows)).not.toContain(PASSWORD);
  });
});
