// Tokens of a Kubernetes service account, each bound to an object of ours whose deletion ends it.
import { z } from 'zod';
import { policyName, roleCommon, targetCommon, variable, type AccessKind } from './kind.ts';
import { noOptions } from './options.ts';

/** RFC 1123 labels, as Kubernetes names namespaces. */
const label = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a name of lower-case letters, digits and dashes');
const subdomain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'a name of lower-case letters, digits, dashes, dots');

export const kubernetesTarget = z.strictObject({
  issuer: z.literal('kubernetes'),
  ...targetCommon,
  api: z.url(),
  /** Where our objects are made, and where the service accounts of the roles are. */
  namespace: label,
  token_from: variable,
  /** The cluster's own authority, in PEM; the public ones if this is not said. */
  ca_from: variable.optional(),
});
export type KubernetesTarget = z.infer<typeof kubernetesTarget>;

export const kubernetesRole = z.strictObject({
  issuer: z.literal('kubernetes'),
  target: policyName,
  service_account: subdomain,
  /** Who the token is for; the API server itself if none is named. */
  audiences: z.array(z.string().min(1).max(255)).max(10).default([]),
  ...roleCommon,
});
type KubernetesRole = z.infer<typeof kubernetesRole>;

/** The API server makes none that last shorter. */
export const TOKEN_SECONDS_MIN = 600;

export const kubernetesAccess: AccessKind<KubernetesRole> = {
  target: (role) => role.target,
  destination: (role) => `kubernetes:${role.target}/${role.service_account}`,
  gives: (role) =>
    `a token of the service account ${role.service_account}` +
    (role.audiences.length > 0 ? ` for ${role.audiences.join(', ')}` : ''),
  reaches: (role) => [`service account ${role.service_account}`],
  // For whoever asks the API server. Who checks such a token alone takes it until it expires.
  revocable: () => true,
  longestSeconds: () => TOKEN_SECONDS_MIN,
  backstop: () => true,
  witness: () => 'target',
  attempts: () => 'replace',
  listed: true,
  readOptions: (_role, options) => noOptions(options),
};
