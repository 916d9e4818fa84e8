// What the logins that we make in databases of others have in common: a name that says whose they are.
import { bodyOf, isId, type Id } from '../../domain/id.ts';

/** Resolves the name of a setting that holds a secret; the composition root reads the environment. */
export type Secrets = (name: string) => string | null;

const LOGIN_PREFIX = 'cs_';

/** The login's name follows from the lease, so it can be found again whatever was lost. */
export const loginName = (credential: Id<'credential'>): string =>
  `${LOGIN_PREFIX}${bodyOf(credential)}`;

/** Reads a lease's id back from a login's name; null for a login that is not ours. */
export function leaseOfLogin(login: string): Id<'credential'> | null {
  if (!login.startsWith(LOGIN_PREFIX)) return null;
  const id = `crd_${login.slice(LOGIN_PREFIX.length)}`;
  return isId('credential', id) ? id : null;
}

const KIT_PREFIX = 'csk_';

/** The login that lies ready for when we are down. */
export const kitLoginName = (kit: Id<'glassKit'>): string => `${KIT_PREFIX}${bodyOf(kit)}`;

/** Reads a kit's id back from a login's name; null for any other login. */
export function kitOfLogin(login: string): Id<'glassKit'> | null {
  if (!login.startsWith(KIT_PREFIX)) return null;
  const id = `kit_${login.slice(KIT_PREFIX.length)}`;
  return isId('glassKit', id) ? id : null;
}
