// Logins of a Redis.
import { redisIssuer } from '../../../activities/issuers/redis.ts';
import { redisRole, redisTarget } from '../../../commands/access/redis.ts';
import { text } from '../client.ts';
import { startRedis } from '../redis.ts';
import { anyRole, type IssuerKind } from './fixture.ts';

export const redisKind: IssuerKind = {
  name: 'redis',
  endedBy: 'target',
  replaces: true,
  refusesLate: true,
  start: async () => {
    const server = await startRedis({ aclFile: true });
    const secrets = (name: string): string => (name === 'CA' ? server.ca : server.url);
    const nowhere = 'rediss://a:issuer-password@127.0.0.1:1/0';
    return {
      ours: redisIssuer(secrets, 'ours'),
      theirs: redisIssuer(secrets, 'theirs'),
      down: redisIssuer((name) => (name === 'CA' ? server.ca : nowhere), 'ours'),
      target: {
        name: 'cache',
        definition: redisTarget.parse({ issuer: 'redis', url_from: 'TARGET', ca_from: 'CA' }),
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
      close: () => server.close(),
    };
  },
};
