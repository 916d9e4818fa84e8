// The issuers that the laws of all of them are held against. A new one is a file here and a line below.
import { awsKinds } from './aws.ts';
import type { IssuerKind } from './fixture.ts';
import { githubKind } from './github.ts';
import { jwtKind } from './jwt.ts';
import { kubernetesKind } from './kubernetes.ts';
import { mysqlKind } from './mysql.ts';
import { oauthKinds } from './oauth.ts';
import { postgresKind } from './postgres.ts';
import { redisKind } from './redis.ts';
import { staticKind } from './static.ts';
import { x509Kinds } from './x509.ts';

/** Those whose end is moved where they are. */
export const EXTENDED_KINDS: readonly IssuerKind[] = [postgresKind, mysqlKind, redisKind];

export const ISSUER_KINDS: readonly IssuerKind[] = [
  jwtKind,
  ...x509Kinds,
  postgresKind,
  mysqlKind,
  redisKind,
  ...awsKinds,
  githubKind,
  kubernetesKind,
  ...oauthKinds,
  staticKind,
];
