// Every issuer there is, for the laws that hold for all of them. A new one is a file here and a line below.
import type { IssuerName } from '../../../commands/access/kinds.ts';
import type { IssuerKind } from './fixture.ts';
import { jwtKind } from './jwt.ts';
import { mysqlKind } from './mysql.ts';
import { postgresKind } from './postgres.ts';
import { redisKind } from './redis.ts';

export const ISSUER_KINDS: Record<IssuerName, IssuerKind> = {
  jwt: jwtKind,
  mysql: mysqlKind,
  postgres: postgresKind,
  redis: redisKind,
};
