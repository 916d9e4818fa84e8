// Certificates of our own authority for what relying parties let in by a SPIFFE ID of the role.
import { z } from 'zod';
import { readSigningRequest } from '../../keys/x509/csr.ts';
import { roleCommon, type AccessKind } from './kind.ts';
import { readOptions, refusedOption } from './options.ts';

/** Where credentials live that exist only as certificates of ours. */
export const OWN_CERTIFICATES = 'certificates';

export const x509Role = z.strictObject({
  issuer: z.literal('x509'),
  /** What lets its holder in, as approvers read it: a host, a mesh, an API. */
  accepted_by: z.string().min(1).max(200),
  /**
   * Whether everybody who accepts it asks for revocations (our list, or the state of a serial) before they do. Where
   * they do not, revoking cannot end it, and the lease says so until the certificate is over.
   */
  relying_parties: z.enum(['check_revocation', 'wait_for_expiry']).default('wait_for_expiry'),
  ...roleCommon,
});
type X509Role = z.infer<typeof x509Role>;

const optionsSchema = z.strictObject({ csr: z.string().max(16_384).optional() });

const isChecked = (role: X509Role): boolean => role.relying_parties === 'check_revocation';

export const x509Access: AccessKind<X509Role> = {
  target: () => OWN_CERTIFICATES,
  destination: (role) => role.accepted_by,
  gives: (role) => `a certificate accepted by ${role.accepted_by}`,
  reaches: (role) => [`accepted by ${role.accepted_by}`],
  revocable: isChecked,
  longestSeconds: () => 0,
  backstop: () => true,
  witness: (role) => (isChecked(role) ? 'target' : 'clock'),
  attempts: (role) => (isChecked(role) ? 'replace' : 'share'),
  listed: false,
  renewal: 'fresh',
  // The request is read down to its key: what people approve names the key, and nothing else of it counts.
  readOptions: async (_role, options) => {
    const { csr } = readOptions(optionsSchema, options);
    if (csr === undefined) return {};
    const { jwk } = await readSigningRequest(csr).catch((error: unknown) => {
      throw refusedOption('csr', error instanceof Error ? error.message : 'is refused');
    });
    return { key: jwk };
  },
};
