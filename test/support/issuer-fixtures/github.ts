// Installation tokens of a GitHub App.
import { generateKeyPairSync } from 'node:crypto';
import { githubIssuer } from '../../../activities/issuers/github.ts';
import { githubRole, githubTarget } from '../../../commands/access/github.ts';
import type { TargetRef } from '../../../commands/credentials/issuer.ts';
import { startFakeGithub } from '../../fakes/github.ts';
import { startServer } from '../../fakes/server.ts';
import { text } from '../client.ts';
import { testWorld } from '../issuing.ts';
import { anyRole, clockOf, type IssuerKind } from './fixture.ts';

export const githubKind: IssuerKind = {
  name: 'github',
  start: async () => {
    const { privateKey: other } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    const settings: Record<string, string> = { OTHER: other };
    const world = testWorld(settings);
    const github = await startFakeGithub(() => world.now());
    settings['KEY'] = github.privateKey;
    const odd = await startServer(() => ({ status: 200, body: '<html>Welcome</html>' }));
    const targetWith = (more: object): TargetRef => ({
      name: 'code',
      definition: githubTarget.parse({
        issuer: 'github',
        api: github.url,
        app: github.app,
        installation: github.installation,
        private_key_from: 'KEY',
        ...more,
      }),
    });
    const issuer = githubIssuer(world);
    return {
      issuer,
      target: targetWith({}),
      theirs: null,
      broken: {
        down: { issuer, target: targetWith({ api: 'http://127.0.0.1:1' }) },
        denied: { issuer, target: targetWith({ private_key_from: 'OTHER' }) },
        garbled: { issuer, target: targetWith({ api: odd.url }) },
      },
      role: githubRole.parse({
        ...anyRole,
        issuer: 'github',
        target: 'code',
        repositories: ['orders'],
        permissions: { contents: 'read' },
      }),
      works: (material) => {
        const given = github.tokens.get(text(material['token']));
        return Promise.resolve(given !== undefined && given.expires > world.now());
      },
      secretsOf: (material) => [text(material['token'])],
      ownSecrets: [github.privateKey.split('\n')[3] ?? ''],
      clock: clockOf(world),
      close: async () => {
        await github.close();
        await odd.close();
      },
    };
  },
};
