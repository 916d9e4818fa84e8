// Certificates under roles: what people approve, what comes out, and when it is over, said as it is.
import {
  generateKeyPairSync,
  X509Certificate,
  createPrivateKey,
  createPublicKey,
} from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endCredentials } from '../../activities/ending.ts';
import { x509Issuer } from '../../activities/issuers/x509.ts';
import { openService, type Service } from '../../cli/compose.ts';
import type { LeaseToEnd } from '../../commands/credentials/issuer.ts';
import { asCredentialId } from '../../commands/credentials/leases.ts';
import type { JsonValue } from '../../domain/json.ts';
import { readCertificate } from '../../keys/x509/certificate.ts';
import { fromPem } from '../../keys/x509/pem.ts';
import { changePolicy, startCast, startTask, type Cast } from '../support/cast.ts';
import { signingRequest } from '../support/certificates.ts';
import { admin, askCredential, newKey, object, opened, text, vote } from '../support/client.ts';

let cast: Cast;
let inside: Service;

const rule = (role: string, approval = ''): string => `
@id("take-${role}")
${approval}
permit (principal is Agent, action == Action::"credential:request", resource == Role::"${role}");
`;
const role = (name: string, more: string): string => `
  ${name}:
    title: ${name}
    issuer: x509
    accepted_by: orders.example
${more}`;

beforeAll(async () => {
  cast = await startCast();
  inside = await openService(cast.service.config, 'test', 2);
  await changePolicy(cast.service, cast.approver, (files) => ({
    ...files,
    'main.cedar': `${files['main.cedar'] ?? ''}${rule('mesh')}${rule('checked')}${rule('held', '@approval("orders-write")')}`,
    'roles.yaml': `${files['roles.yaml'] ?? ''}${role('mesh', '')}${role('checked', '    relying_parties: check_revocation\n')}${role('held', '    relying_parties: check_revocation\n')}`,
  }));
});
afterAll(async () => {
  await inside.close();
  await cast.close();
});

async function issued(name: string, options?: Record<string, string>) {
  const task = await startTask(cast.agent);
  const key = await newKey();
  const reply = await askCredential(cast.agent, task, {
    role: name,
    seal_to: key.publicJwk,
    ttl_seconds: 600,
    ...(options && { options }),
  });
  expect(reply.status).toBe(201);
  return {
    task,
    id: text(reply.body['id']),
    reply,
    material: await opened(reply.body['sealed'], key),
  };
}

const stateOf = async (serial: JsonValue | undefined): Promise<unknown> =>
  (await admin(cast.service).call('GET', `/v1/certificates/${text(serial)}`)).body['state'];

describe('a certificate under a role', () => {
  it('I5: is sealed with its key, and says the role beside the agent: the agent’s own SVID does not open it', async () => {
    const { material, reply } = await issued('checked');
    const leaf = new X509Certificate(text(material['certificate']));
    const { spiffe_id: agentId } = (
      await admin(cast.service).call('GET', `/v1/agents/${cast.agent.id}`)
    ).body;
    expect(material['spiffe_id']).toBe(`${text(agentId)}/role/checked`);
    expect(leaf.subjectAltName).toBe(`URI:${text(material['spiffe_id'])}`);
    expect(
      leaf.publicKey.equals(createPublicKey(createPrivateKey(text(material['private_key'])))),
    ).toBe(true);
    expect(reply.body['revocable']).toBe(true);
    expect(Date.parse(leaf.validTo)).toBeLessThanOrEqual(
      Date.parse(text(reply.body['expires_at'])),
    );
    expect(await stateOf(material['serial'])).toBe('good');
  });

  it('is made for the key of a signing request, whose private part we never see', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { material } = await issued('checked', { csr: signingRequest(privateKey) });
    const leaf = new X509Certificate(text(material['certificate']));
    expect(leaf.publicKey.equals(publicKey)).toBe(true);
    expect(material['private_key']).toBeUndefined();
  });

  it('I2: what people approve names the key, and not the text that brought it', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const task = await startTask(cast.agent);
    const seal = await newKey();
    const ask = (csr: string) =>
      askCredential(cast.agent, task, { role: 'held', seal_to: seal.publicJwk, options: { csr } });
    const first = await ask(signingRequest(privateKey));
    const { x, y } = publicKey.export({ format: 'jwk' });
    const request = object(first.body['request']);
    const options = object(object(object(request['action'])['parameters'])['options']);
    expect(options).toEqual({ key: { kty: 'EC', crv: 'P-256', x, y } });
    // Another text about the same key is the same action, another key is another one.
    const again = object(
      (await ask(signingRequest(privateKey, { commonName: 'x' }))).body['request'],
    );
    expect(again['id']).toBe(request['id']);
    const { privateKey: another } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const other = object((await ask(signingRequest(another))).body['request']);
    expect(other['id']).not.toBe(request['id']);
    await vote(cast.approver, text(request['id']), 'approve');
    const collected = await cast.agent.call(
      'POST',
      `/v1/requests/${text(request['id'])}/collect`,
      {},
    );
    const material = await opened(collected.body['sealed'], seal);
    const leaf = new X509Certificate(text(material['certificate']));
    expect(leaf.publicKey.equals(publicKey)).toBe(true);
  });

  it.each([
    ['a request that proves nothing', { csr: 'hello' }],
    ['an option that there is not', { dns: 'orders.example' }],
  ])('is refused with %s', async (_name, options) => {
    const task = await startTask(cast.agent);
    const seal = await newKey();
    const reply = await askCredential(cast.agent, task, {
      ...{ role: 'checked', seal_to: seal.publicJwk, options },
    });
    expect([reply.status, reply.body['code']]).toEqual([422, 'option_refused']);
  });
});

describe('I3: when its task ends', () => {
  const complete = (task: string, wait: number) =>
    cast.agent.call('POST', `/v1/tasks/${task}/complete`, {}, { prefer: `wait=${wait}` });

  it('is on the list and gone, where those who accept it look', async () => {
    const { task, material } = await issued('checked');
    const done = await complete(task, 30);
    expect([done.status, done.body['alive']]).toEqual([200, 0]);
    expect(await stateOf(material['serial'])).toBe('revoked');
    const authority = readCertificate(
      fromPem(text(material['certificate']), 'CERTIFICATE')[0] ?? Buffer.alloc(0),
    );
    expect(authority.serial).toBe(material['serial']);
  });

  it('stays in sight until it is over, where nobody looks: revoking it ends nothing', async () => {
    const { task, id, reply, material } = await issued('mesh');
    expect(reply.body['revocable']).toBe(false);
    const done = await complete(task, 3);
    expect([done.status, done.body['alive']]).toEqual([202, 1]);
    const lease = (await cast.agent.call('GET', `/v1/credentials/${id}`)).body;
    expect(lease['state']).toBe('revoke_failed');
    // Tried again once it is over everywhere, and not every few seconds until then.
    const until = Date.parse(text(reply.body['expires_at'])) + 30_000;
    expect(Date.parse(text(lease['next_try_at']))).toBeGreaterThanOrEqual(until - 1000);
    // Whoever does look is told the truth all the same.
    expect(await stateOf(material['serial'])).toBe('revoked');
    const issuer = x509Issuer({
      unit: inside.deps,
      authorities: inside.deps.authorities,
      now: () => until,
    });
    const ended = await endCredentials(issuer, { name: 'certificates', definition: null }, [
      leaseToEnd(id, text(reply.body['expires_at'])),
    ]);
    expect(ended[0]).toMatchObject({ isOver: true, death: 'gone' });
  });
});

const leaseToEnd = (id: string, diesAt: string): LeaseToEnd => ({
  credential: asCredentialId(id),
  handles: [],
  unheard: false,
  diesAt,
});
