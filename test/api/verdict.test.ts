import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportBundle, verifyFile } from '../../cli/audit.ts';
import { canonicalJson } from '../../domain/json.ts';
import type { VerdictTest } from '../../domain/verdict/types.ts';
import { verifyBundle } from '../../sdk/verify.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  eventually,
  list,
  newKey,
  object,
  opened,
  person,
  text,
  vote,
  type TestAgent,
  type TestPerson,
} from '../support/client.ts';
import { startService, type TestService } from '../support/service.ts';

let service: TestService;
let approver: TestPerson;
let agent: TestAgent;
let folder: string;

beforeAll(async () => {
  service = await startService();
  folder = await mkdtemp(path.join(tmpdir(), 'countersign-audit-'));
  approver = await person(service, 'Ada', ['admins', 'data-owners', 'payout-approvers']);
  const owner = await person(service, 'Olga', ['engineering']);
  agent = await admittedAgent(service, owner.id, approver);
  await eventually(async () => {
    const seen = await admin(service).call('GET', '/v1/events?type=runtime.observed&limit=1');
    return list(seen.body['data']).length > 0;
  }, 'the observer at work');
});
afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true, force: true });
});

/** Works through a held role as an agent should, and runs a statement with it. */
async function approvedWork(role: string, statement: string): Promise<string> {
  const started = await agent.call('POST', '/v1/tasks', { purpose: 'support', ttl_seconds: 600 });
  const task = text(started.body['id']);
  const seal = await newKey();
  const held = await askCredential(agent, task, {
    role,
    seal_to: seal.publicJwk,
    reason: statement,
  });
  const request = text(object(held.body['request'])['id']);
  await vote(approver, request, 'approve');
  const collected = await agent.call('POST', `/v1/requests/${request}/collect`, {});
  const material = await opened(collected.body['sealed'], seal);
  await run(text(material['url']), statement);
  await agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: 'wait=20' });
  return request;
}

async function run(url: string, statement: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  await sql.unsafe(statement);
  await sql.end();
}

async function testOf(control: string, id: string): Promise<VerdictTest> {
  const reply = await admin(service).call('GET', `/v1/controls/${control}/verdict`);
  const { operation } = object(reply.body['layers']);
  const found = list(object(operation)['tests']).find((test) => test['id'] === id);
  return found as unknown as VerdictTest;
}

const verdictOn = async (control: string): Promise<string> => {
  const reply = await admin(service).call('GET', `/v1/controls/${control}/verdict`);
  return text(reply.body['verdict']);
};

describe('the verdict as served', () => {
  it('joins what the target’s own log saw to the approval it was done under', async () => {
    const request = await approvedWork(
      'orders-write',
      `update orders set state = 'seen' where id = 1`,
    );
    await eventually(
      async () => (await testOf('orders-write', 'completeness')).population === 1,
      'the effect',
    );
    const completeness = await testOf('orders-write', 'completeness');
    expect(completeness.exceptions).toBe(0);
    const events = await admin(service).call(
      'GET',
      `/v1/events?request=${request}&type=runtime.observed`,
    );
    expect(list(events.body['data']).length).toBeGreaterThan(0);
    expect(await verdictOn('orders-write')).toBe('insufficient_evidence');
  });

  it('sees a bypass by a raw login, and calls it decorative once it repeats', async () => {
    const { legacy } = service.sample;
    await run(legacy, `update payouts set state = 'paid' where id = 1`);
    await eventually(
      async () => (await testOf('payouts-write', 'completeness')).exceptions === 1,
      'the bypass',
    );
    expect(await verdictOn('payouts-write')).toBe('insufficient_evidence');
    await run(
      legacy,
      `with x as (update payouts set state = 'paid' where id = 2 returning 1) select * from x`,
    );
    await eventually(
      async () => (await verdictOn('payouts-write')) === 'decorative',
      'the verdict',
    );
    expect(await verdictOn('orders-write')).toBe('insufficient_evidence');
  });

  it('does not count what the target refused or did not carry out', async () => {
    const { legacy } = service.sample;
    const before = await testOf('payouts-write', 'completeness');
    await run(legacy, 'delete from payouts where id = 3').catch(() => undefined);
    await run(legacy, `update payouts set cents = 'x' where id = 3`).catch(() => undefined);
    await run(legacy, `update payouts set state = 'paid' where id = 3`);
    await eventually(
      async () => (await testOf('payouts-write', 'completeness')).population > before.population,
      'the effect',
    );
    expect((await testOf('payouts-write', 'completeness')).population).toBe(before.population + 1);
  });

  it('notes when a credential was last used, from the target itself', async () => {
    const lines = await admin(service).call('GET', '/v1/agents');
    const seen = list(lines.body['data']).find((each) => each['id'] === agent.id);
    expect(seen?.['last_used_at']).not.toBeNull();
  });

  it('is refused for a control that is not there, and for a period that is empty', async () => {
    const none = await admin(service).call('GET', '/v1/controls/none/verdict');
    expect([none.status, none.body['code']]).toEqual([404, 'not_found']);
    const empty = await admin(service).call(
      'GET',
      '/v1/controls/orders-write/verdict?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z',
    );
    expect([empty.status, empty.body['code']]).toEqual([400, 'invalid_request']);
  });
});

describe('I9 an exported bundle', () => {
  let file: string;
  let bundle: string;

  beforeAll(async () => {
    file = path.join(folder, 'record.bundle');
    await exportBundle(source(), { out: file });
    bundle = await readFile(file, 'utf8');
  });

  const source = () => ({
    read: async (at: string): Promise<Buffer> => {
      const response = await fetch(service.url + at, {
        headers: { authorization: `Bearer ${service.adminToken}` },
      });
      expect(response.status).toBe(200);
      return Buffer.from(await response.arrayBuffer());
    },
  });

  it('verifies offline, and its verdicts come out of the leaves byte for byte', async () => {
    const { ok, lines } = await verifyFile(file, {});
    expect([ok, lines.join('\n')]).toEqual([
      true,
      expect.stringContaining('payouts-write: decorative'),
    ]);
  });

  it('does not verify after any single byte was changed', async () => {
    const bytes = Buffer.from(bundle);
    for (let tries = 0; tries < 200; tries += 1) {
      const at = Math.floor((tries / 200) * bytes.length);
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect([at, verifyBundle(changed.toString('utf8')).ok]).toEqual([at, false]);
    }
  });

  it('does not verify when somebody changes it and mends its digest', async () => {
    const lines = bundle.trimEnd().split('\n').slice(0, -1);
    const mended = (changed: string[]): string => {
      const body = changed.map((line) => `${line}\n`).join('');
      const sha256 = createHash('sha256').update(body).digest('hex');
      return `${body}${canonicalJson({ sha256 })}\n`;
    };
    expect(verifyBundle(mended(lines)).ok).toBe(true);
    const tampered = [
      lines.map((line) => line.replace('"verdict":"decorative"', '"verdict":"real"')),
      lines.map((line) => line.replace('vote.refused', 'vote.cast')),
      lines.filter((_line, at) => at !== 5),
      [...lines.slice(0, 3), lines[4] ?? '', lines[3] ?? '', ...lines.slice(5)],
      [...lines.slice(0, 4), lines[3] ?? '', ...lines.slice(4)],
      lines.filter((line) => !line.includes('"verdict":"decorative"')),
    ].filter((changed) => changed.join() !== lines.join());
    expect(tampered.length).toBeGreaterThan(3);
    for (const changed of tampered) expect(verifyBundle(mended(changed)).ok).toBe(false);
  });

  it('does not verify with another key, nor against an earlier checkpoint of another history', async () => {
    const other = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
    expect(verifyBundle(bundle, { key: other }).ok).toBe(false);
    const own = (await (await fetch(`${service.url}/log/vkey`)).text()).trim();
    const earlier = await (await fetch(`${service.url}/log/checkpoint`)).text();
    expect(verifyBundle(bundle, { key: own }).ok).toBe(true);
    await admin(service).call('GET', '/v1/reports/lifecycle');
    await eventually(async () => {
      const newer = await (await fetch(`${service.url}/log/checkpoint`)).text();
      return newer !== earlier;
    });
    const again = path.join(folder, 'again.bundle');
    await exportBundle(source(), { out: again });
    expect(verifyBundle(await readFile(again, 'utf8'), { earlier }).ok).toBe(true);
    const newest = await (await fetch(`${service.url}/log/checkpoint`)).text();
    const rolledBack = verifyBundle(bundle, { earlier: newest });
    expect(rolledBack.ok).toBe(false);
  });

  it('says what the whole log comes to, whatever period it was written for', async () => {
    const clean = path.join(folder, 'clean.bundle');
    await exportBundle(source(), {
      out: clean,
      from: new Date().toISOString(),
      to: '2999-01-01T00:00:00Z',
    });
    const { ok, lines } = await verifyFile(clean, {});
    expect(ok).toBe(true);
    const said = lines.filter((line) => line.startsWith('payouts-write: '));
    expect(said[0]).toMatch(/^payouts-write: insufficient_evidence, .* leaves of 20/);
    expect(said[1]).toBe('payouts-write: decorative over the whole log');
  });

  it('carries no secret and no private value', async () => {
    for (const secret of ['update orders', 'legacy_batch', 'Ada', 'support'])
      expect([secret, bundle.includes(secret)]).toEqual([secret, false]);
    await writeFile(path.join(folder, 'kept'), bundle);
  });
});
