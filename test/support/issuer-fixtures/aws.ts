// Sessions of an AWS role, ended by a denial in its policy or by time alone.
import { awsIssuer } from '../../../activities/issuers/aws.ts';
import { awsRole, awsTarget } from '../../../commands/access/aws.ts';
import type { TargetRef } from '../../../commands/credentials/issuer.ts';
import { IAM_KEYS, ROLE_ARN, startFakeAws } from '../../fakes/aws.ts';
import { startServer } from '../../fakes/server.ts';
import { text } from '../client.ts';
import { testWorld } from '../issuing.ts';
import { fileKey, tokensOf } from '../signing.ts';
import { anyRole, clockOf, type IssuerKind } from './fixture.ts';

const ISSUER = 'https://countersign.example';
const SUBJECT = 'spiffe://test/agent/bot';

const awsKind = (name: string, more: object): IssuerKind => ({
  name,
  start: async () => {
    const world = testWorld({
      KEY_ID: IAM_KEYS.accessKeyId,
      KEY: IAM_KEYS.secretAccessKey,
      WRONG: 'x'.repeat(40),
    });
    const tokens = await tokensOf([await fileKey('active')]);
    const strangers = await tokensOf([await fileKey('active')]);
    const aws = await startFakeAws({
      issuer: ISSUER,
      audience: 'sts.amazonaws.com',
      jwks: () => ({ keys: tokens.jwks.keys }),
      subjects: [SUBJECT],
      now: () => world.now(),
    });
    const odd = await startServer(() => ({ status: 200, body: '<html>Welcome</html>' }));
    const targetAt = (sts: string, iam: string, key = 'KEY'): TargetRef => ({
      name: 'cloud',
      definition: awsTarget.parse({
        issuer: 'aws',
        region: 'eu-central-1',
        sts_endpoint: sts,
        iam: { endpoint: iam, access_key_id_from: 'KEY_ID', secret_access_key_from: key },
      }),
    });
    const issuer = awsIssuer(world, tokens, ISSUER);
    const nowhere = 'http://127.0.0.1:1/';
    return {
      issuer,
      target: targetAt(aws.stsUrl, aws.iamUrl),
      theirs: null,
      broken: {
        down: { issuer, target: targetAt(nowhere, nowhere) },
        denied: {
          issuer: awsIssuer(world, strangers, ISSUER),
          target: targetAt(aws.stsUrl, aws.iamUrl, 'WRONG'),
        },
        garbled: { issuer, target: targetAt(odd.url, odd.url) },
      },
      role: awsRole.parse({
        ...anyRole,
        issuer: 'aws',
        target: 'cloud',
        role_arn: ROLE_ARN,
        ...more,
      }),
      about: { spiffeId: SUBJECT },
      works: (material) =>
        Promise.resolve(
          aws.call(text(material['session_token']), 's3:GetObject', 'arn:aws:s3:::x') === 'ok',
        ),
      secretsOf: (material) => [
        text(material['secret_access_key']),
        text(material['session_token']),
      ],
      ownSecrets: [IAM_KEYS.secretAccessKey],
      clock: clockOf(world),
      close: async () => {
        await aws.close();
        await odd.close();
      },
    };
  },
});

export const awsKinds: readonly IssuerKind[] = [
  awsKind('aws, ended by a denial', { revoke: { deny_policy: true } }),
  awsKind('aws, ended by time', {}),
];
