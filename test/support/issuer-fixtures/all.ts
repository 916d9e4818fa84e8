// The issuers that the laws of all of them are held against. A new one is a file here and a line below. Certificates are
// not among them: their issuer works on the rows of leases, so it is tried through the service.
import type { IssuerKind } from './fixture.ts';
import { jwtKind } from './jwt.ts';
import { mysqlKind } from './mysql.ts';
import { postgresKind } from './postgres.ts';
import { redisKind } from './redis.ts';

export const ISSUER_KINDS: readonly IssuerKind[] = [jwtKind, postgresKind, mysqlKind, redisKind];
