import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkDestination, isPrivate, openEgress } from '../../activities/egress.ts';
import { startCast, startTask, type Cast } from '../support/cast.ts';
import { askCredential, text } from '../support/client.ts';

let cast: Cast;
beforeAll(async () => {
  // Reachable from outside, so that its own loopback is no caller's business.
  cast = await startCast({ env: { HOST: '0.0.0.0' } });
});
afterAll(() => cast.close());

const REFUSED = [
  'http://203.0.113.9/hook',
  'http://example.com/hook',
  'https://127.0.0.1/hook',
  'https://localhost/hook',
  'https://0.0.0.0/hook',
  'https://[::1]/hook',
  'https://[::]/hook',
  'https://[::ffff:127.0.0.1]/hook',
  'https://[::ffff:a9fe:a9fe]/hook',
  'https://[64:ff9b::a9fe:a9fe]/hook',
  'https://[2002:7f00:1::]/hook',
  'https://[fe80::1]/hook',
  'https://[fd00::1]/hook',
  'https://169.254.169.254/latest/meta-data',
  'https://2852039166/latest/meta-data',
  'https://0xa9fea9fe/',
  'https://0251.0376.0251.0376/',
  'https://127.1/hook',
  'https://10.0.0.1/hook',
  'https://172.16.0.1/hook',
  'https://192.168.1.1/hook',
  'https://100.64.0.1/hook',
  'https://user:password@example.com/hook',
  'ftp://example.com/hook',
  'file:///etc/passwd',
  'gopher://example.com/',
  'javascript:alert(1)',
  '//example.com/hook',
  'example.com',
  '',
];

describe('SEC-B5: a callback to where it must not go', () => {
  it.each(REFUSED)('%s is refused when it is asked for', async (address) => {
    const { agent, seal } = cast;
    const task = await startTask(agent);
    const reply = await askCredential(agent, task, {
      role: 'orders-write',
      seal_to: seal.publicJwk,
      reason: 'refund',
      callback: { url: address },
    });
    expect(`${reply.status} ${text(reply.body['code'])}`).toBe('422 callback_refused');
  });

  it('is judged by the number its name leads to, before anything is sent', async () => {
    const policy = { allow: [], loopback: false };
    await expect(checkDestination('https://localhost/hook', policy)).rejects.toThrow('private');
    // A name that leads nowhere just now is judged whenever it is called.
    await checkDestination('https://no-such-name.invalid/hook', policy);
    const egress = openEgress(policy);
    const message = { method: 'POST' as const, headers: {}, body: '', timeoutMs: 1_000 };
    await expect(egress('https://localhost/hook', message)).rejects.toThrow('private');
    await expect(egress('https://[::ffff:10.0.0.1]/', message)).rejects.toThrow('private');
  });

  it('knows which addresses are public', () => {
    for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111'])
      expect(isPrivate(address)).toBe(false);
    for (const address of ['198.18.0.1', '224.0.0.1', '255.255.255.255', '2001:db8::1', 'text'])
      expect(isPrivate(address)).toBe(true);
  });
});
