// Tokens of a Kubernetes service account.
import { kubernetesIssuer } from '../../../activities/issuers/kubernetes.ts';
import { kubernetesRole, kubernetesTarget } from '../../../commands/access/kubernetes.ts';
import type { TargetRef } from '../../../commands/credentials/issuer.ts';
import { startFakeKubernetes } from '../../fakes/kubernetes.ts';
import { startServer } from '../../fakes/server.ts';
import { text } from '../client.ts';
import { testWorld } from '../issuing.ts';
import { selfSigned } from '../tls.ts';
import { anyRole, clockOf, type IssuerKind } from './fixture.ts';

export const kubernetesKind: IssuerKind = {
  name: 'kubernetes',
  start: async () => {
    const tls = await selfSigned();
    const settings: Record<string, string> = { CA: tls.cert, WRONG: 'wrong-token' };
    const world = testWorld(settings);
    const cluster = await startFakeKubernetes(tls, () => world.now());
    settings['TOKEN'] = cluster.token;
    const odd = await startServer(() => ({ status: 200, body: '<html>Welcome</html>' }), tls);
    const targetWith = (more: object): TargetRef => ({
      name: 'cluster',
      definition: kubernetesTarget.parse({
        issuer: 'kubernetes',
        api: cluster.url,
        namespace: cluster.namespace,
        token_from: 'TOKEN',
        ca_from: 'CA',
        ...more,
      }),
    });
    const issuer = kubernetesIssuer(world, 'ours');
    return {
      issuer,
      target: targetWith({}),
      theirs: kubernetesIssuer(world, 'theirs'),
      broken: {
        down: { issuer, target: targetWith({ api: 'https://127.0.0.1:1' }) },
        denied: { issuer, target: targetWith({ token_from: 'WRONG' }) },
        garbled: { issuer, target: targetWith({ api: odd.url }) },
      },
      role: kubernetesRole.parse({
        ...anyRole,
        issuer: 'kubernetes',
        target: 'cluster',
        service_account: 'orders-reader',
      }),
      works: (material) => cluster.takes(text(material['token'])),
      secretsOf: (material) => [text(material['token'])],
      ownSecrets: [cluster.token],
      clock: clockOf(world),
      close: async () => {
        await cluster.close();
        await odd.close();
      },
    };
  },
};
