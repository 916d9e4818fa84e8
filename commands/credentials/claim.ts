// Handing over what was issued to somebody who sent no key: in the open, once, for the code that stands for the key.
import { randomBytes } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { credential } from '../../db/schema/index.ts';
import type { Id } from '../../domain/id.ts';
import type { JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { openWithCode, publicKeyOfCode } from '../../keys/claim-code.ts';
import { readPublicKey, type PublicKey } from '../../keys/public-key.ts';
import type { Vault } from '../../keys/vault.ts';
import { aboutCredential } from '../agents/tasks.ts';
import type { OnceKey } from '../once.ts';
import type { Unit } from '../unit.ts';
import { lockLease } from './leases.ts';

interface ClaimCode {
  code: string;
  sealTo: PublicKey;
}

/** A new code. The same call again has the same one: after a crash, what was begun is sealed to its key already. */
export async function makeClaimCode(vault: Vault, once: OnceKey | null): Promise<ClaimCode> {
  const code = once
    ? vault.mark(`${once.principal}/${once.route}/${once.key}/${once.fingerprint}`, 'claim-code')
    : randomBytes(32).toString('base64url');
  return { code, sealTo: await sealKeyOf(code) };
}

/** The key that a code stands for. */
export const sealKeyOf = (code: string): Promise<PublicKey> =>
  readPublicKey(publicKeyOfCode(code), 'seal_key_invalid');

/** Opens a credential for its code. Whoever comes second is told, and should take it for somebody else's doing. */
export async function claimCredential(
  unit: Unit,
  id: Id<'credential'>,
  code: string,
): Promise<JsonValue> {
  const { thumbprint } = await sealKeyOf(code);
  const lease = await lockLease(unit, id);
  if (lease.sealThumbprint !== thumbprint)
    throw new Refusal(
      'claim_refused',
      'This is not the code of this credential: send the one that its request was answered with.',
    );
  if (lease.claimedAt !== null)
    throw new Refusal(
      'already_claimed',
      `This was claimed at ${lease.claimedAt}. Repeat that call with its Idempotency-Key; if it was not yours, revoke the credential.`,
    );
  if (
    lease.state !== 'active' ||
    lease.sealed === null ||
    !((await unit.readClock()) < lease.expiresAt)
  )
    throw new Refusal(
      'wrong_state',
      `This credential is ${lease.state}: there is nothing to claim, so ask for another.`,
      {
        state: lease.state,
      },
    );
  if (lease.request !== null && lease.collectedAt === null)
    throw new Refusal('wrong_state', 'People approved this: collect it first, and then claim it.', {
      state: lease.state,
    });
  const material = await openWithCode(code, lease.sealed);
  await unit.sql.update(credential).set({ claimedAt: unit.at }).where(eq(credential.id, lease.id));
  unit.emit('credential.claimed', {
    ...aboutCredential(lease),
    detail: { credential: lease.id },
    private: {},
  });
  return material;
}
