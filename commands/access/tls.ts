// How we, and those to whom we give logins, reach a target that is no web server.
import { z } from 'zod';
import { variable } from './kind.ts';

export const tlsSettings = {
  /** Without TLS whoever is on the way reads what logins read; `off` is for a target on the same machine. */
  tls: z.enum(['required', 'off']).default('required'),
  /** The certificate authority (PEM) that the target's certificate is from, where it is none of the public ones. */
  ca_from: variable.optional(),
};
