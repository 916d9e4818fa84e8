// Logins of a Redis.
import { redisIssuer } from '../../../activities/issuers/redis.ts';
import { redisRole, redisTarget } from '../../../commands/access/redis.ts';
import type { Issuer, TargetRef } from '../../../commands/credentials/issuer.ts';
import { answering } from '../answering.ts';
import { text } from '../client.ts';
import { startRedis, type Redis } from '../redis.ts';
import { anyRole, REAL_CLOCK, type IssuerKind } from './fixture.ts';

/** A Redis, what reaches it, and two deployments that share it. */
export interface RedisBench {
  server: Redis;
  ours: Issuer;
  theirs: Issuer;
  target: TargetRef;
  /** The same target as it is reached without TLS. */
  plain: TargetRef;
  targetWith: (more: object) => TargetRef;
  /** An issuer of ours that believes its target to be elsewhere. */
  at: (url: string) => Issuer;
}

export async function redisBench(): Promise<RedisBench> {
  const server = await startRedis({ aclFile: true });
  const issuer = (url: string, mark: string): Issuer => {
    const settings: Record<string, string> = { TARGET: url, CA: server.ca };
    return redisIssuer((name) => settings[name] ?? null, mark);
  };
  const targetWith = (more: object): TargetRef => ({
    name: 'cache',
    definition: redisTarget.parse({ issuer: 'redis', url_from: 'TARGET', ca_from: 'CA', ...more }),
  });
  return {
    server,
    ours: issuer(server.url, 'ours'),
    theirs: issuer(server.url, 'theirs'),
    target: targetWith({}),
    plain: targetWith({ tls: 'off', ca_from: undefined }),
    targetWith,
    at: (url) => issuer(url, 'ours'),
  };
}

export const redisKind: IssuerKind = {
  name: 'redis',
  start: async () => {
    const { server, ours, theirs, target, plain, at } = await redisBench();
    const odd = await answering('SSH-2.0-OpenSSH_9.2p1\r\n');
    return {
      issuer: ours,
      target,
      theirs,
      broken: {
        down: { issuer: at('rediss://a:issuer-password@127.0.0.1:1/0'), target },
        denied: { issuer: at(server.url.replace('issuer-password', 'another-password')), target },
        garbled: {
          issuer: at(`redis://a:issuer-password@127.0.0.1:${odd.port}/0`),
          target: plain,
        },
      },
      role: redisRole.parse({
        ...anyRole,
        issuer: 'redis',
        target: 'cache',
        keys: ['orders:*'],
        commands: ['get'],
        backstop: 'none',
      }),
      works: async (material) => {
        const who = { username: text(material['username']), password: text(material['password']) };
        return (await server.cli(['PING'], who)) === 'PONG';
      },
      secretsOf: (material) => [text(material['password'])],
      ownSecrets: ['issuer-password'],
      clock: REAL_CLOCK,
      close: async () => {
        odd.close();
        await server.close();
      },
    };
  },
};
