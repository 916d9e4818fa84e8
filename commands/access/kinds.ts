// Every kind of access there is. A new one is a file here, one under activities/issuers/, and a line in each table.
import { z } from 'zod';
import { awsAccess, awsRole, awsTarget } from './aws.ts';
import { githubAccess, githubRole, githubTarget } from './github.ts';
import { jwtAccess, jwtRole, OWN_TOKENS } from './jwt.ts';
import type { AccessKind } from './kind.ts';
import { kubernetesAccess, kubernetesRole, kubernetesTarget } from './kubernetes.ts';
import { mysqlAccess, mysqlRole, mysqlTarget } from './mysql.ts';
import { oauthAccess, oauthRole, oauthTarget } from './oauth.ts';
import { postgresAccess, postgresRole, postgresTarget } from './postgres.ts';
import { redisAccess, redisRole, redisTarget } from './redis.ts';
import { OWN_SECRETS, staticAccess, staticRole } from './static.ts';
import { OWN_CERTIFICATES, x509Access, x509Role } from './x509.ts';

export const roleSchema = z.discriminatedUnion('issuer', [
  postgresRole,
  awsRole,
  githubRole,
  kubernetesRole,
  oauthRole,
  staticRole,
  mysqlRole,
  redisRole,
  jwtRole,
  x509Role,
]);
export const targetSchema = z.discriminatedUnion('issuer', [
  postgresTarget,
  awsTarget,
  githubTarget,
  kubernetesTarget,
  oauthTarget,
  mysqlTarget,
  redisTarget,
]);

export type RoleDefinition = z.infer<typeof roleSchema>;
export type TargetDefinition = z.infer<typeof targetSchema>;
export type IssuerName = RoleDefinition['issuer'];

const KINDS: { [K in IssuerName]: AccessKind<Extract<RoleDefinition, { issuer: K }>> } = {
  aws: awsAccess,
  github: githubAccess,
  jwt: jwtAccess,
  kubernetes: kubernetesAccess,
  oauth: oauthAccess,
  static: staticAccess,
  mysql: mysqlAccess,
  postgres: postgresAccess,
  redis: redisAccess,
  x509: x509Access,
};

/** Targets that no policy defines: there we issue on our own authority. */
export const OWN_TARGETS: ReadonlyMap<string, IssuerName> = new Map([
  [OWN_TOKENS, 'jwt'],
  [OWN_SECRETS, 'static'],
  [OWN_CERTIFICATES, 'x509'],
]);

export const isIssuerName = (name: string): name is IssuerName => Object.hasOwn(KINDS, name);

/** What is true of a role's kind of access. */
export const accessOf = (role: RoleDefinition): AccessKind<RoleDefinition> =>
  asAnyKind(KINDS[role.issuer]);

/** Sound because a kind is looked up by the issuer of the very role that it is then asked about. */
const asAnyKind = (kind: unknown): AccessKind<RoleDefinition> => kind as AccessKind<RoleDefinition>;

export const targetOf = (role: RoleDefinition): string => accessOf(role).target(role);
