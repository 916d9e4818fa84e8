// Asking for credentials, and giving them back.
import type { JsonObject } from '../domain/json.ts';
import { CountersignError } from './error.ts';
import { generateKey, publicKeyOf, type PrivateJwk } from './keys.ts';
import type { ListOptions } from './lists.ts';
import { path } from './path.ts';
import { openSealed } from './seal.ts';
import type { Placement } from './signal-types.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { AccessRequest, Credential, Evaluation, HeldAction, Material, Page } from './types.ts';

/** A role to be given under a task. */
export interface CredentialOrder {
  role: string;
  /** Some roles are given only with one; people see it. */
  reason?: string | undefined;
  /** The role's default if it is not said. */
  ttlSeconds?: number | undefined;
  /** What the role lets you choose, such as the repositories of a token. */
  options?: JsonObject | undefined;
  /** From when on it is wanted; only for what waits for people. */
  notBefore?: string | undefined;
  /** Binds a token to the key of this thumbprint (RFC 7638), instead of to the one of `sealKey`. */
  dpopThumbprint?: string | undefined;
  /** Called when a held request is decided; see `verifyWebhook`. */
  callbackUrl?: string | undefined;
  /** What the credential is sealed to; a fresh key if none is given. Keep it to collect from another process. */
  sealKey?: PrivateJwk | undefined;
}

/** How long a credential should go on, and the key it was sealed to. */
export interface RenewalOrder {
  /** From now; the role's default if it is not said. */
  ttlSeconds?: number | undefined;
  sealKey?: PrivateJwk | undefined;
}

/** Given at once. */
export interface Issued {
  outcome: 'issued';
  credential: Credential;
  material: Material;
  /** What rules that are being tried out would have done. */
  warnings: string[];
}

/** Waiting for people. Collect it with this key once they have agreed. */
export interface Held {
  outcome: 'held';
  request: AccessRequest;
  reasons: string[];
  warnings: string[];
  sealKey: PrivateJwk;
}

/** Policy says no, and no person can change that. */
export interface Denied {
  outcome: 'denied';
  detail: string;
  evaluation: Evaluation;
}

/** What asking for a credential comes to; told apart by `outcome`. */
export type CredentialOutcome = Issued | Held | Denied;

/** As the server sends it: with the secret sealed, or with the request that waits. */
type SealedCredential = Credential & { sealed: string; warnings?: string[] };
type Reply = SealedCredential | HeldAction;

export const credentialCalls = (transport: Transport) => ({
  /** Asks for a role under a task: given at once, held until people agree, or denied. */
  request: async (
    task: string,
    order: CredentialOrder,
    options?: CallOptions,
  ): Promise<CredentialOutcome> => {
    const sealKey = order.sealKey ?? (await generateKey());
    const reply = await ask(transport, task, order, sealKey, options).catch(asDenied);
    if ('outcome' in reply) return reply;
    const { warnings = [] } = reply;
    if ('sealed' in reply)
      return { outcome: 'issued', ...(await opened(reply, sealKey)), warnings };
    const { request, denial } = reply;
    return { outcome: 'held', request, reasons: denial.reasons, warnings, sealKey };
  },

  get: (id: string, options?: CallOptions) =>
    transport.get<Credential>(path`/v1/credentials/${id}`, options),

  /** What was given under a task. */
  list: (task: string, { limit, cursor }: ListOptions = {}) =>
    transport.get<Page<Credential>>(path`/v1/tasks/${task}/credentials`, {
      query: { limit, cursor },
    }),

  /** Says where you put a secret, so that sensors on the host can watch it. */
  delivered: (
    id: string,
    { kind, path: where, host }: Pick<Placement, 'kind' | 'path'> & { host?: string | undefined },
    options?: CallOptions,
  ) =>
    transport.post<Placement>(path`/v1/credentials/${id}/deliveries`, {
      ...options,
      body: { kind, path: where, host },
    }),

  /** Where a secret was put, as its agent said. */
  deliveries: (id: string, options?: CallOptions) =>
    transport.get<Page<Placement>>(path`/v1/credentials/${id}/deliveries`, options),
  /**
   * Lets a live credential end later, as far as its role lets it. Where that makes it anew, as for a token, the key it
   * was sealed to has to be given, and the answer carries the new one.
   */
  renew: async (
    id: string,
    { ttlSeconds, sealKey }: RenewalOrder = {},
    options?: CallOptions,
  ): Promise<{ credential: Credential; material: Material | null }> => {
    const { sealed, ...credential } = await transport.post<Credential & { sealed?: string }>(
      path`/v1/credentials/${id}/renew`,
      {
        ...options,
        body: {
          ttl_seconds: ttlSeconds,
          seal_to: sealKey === undefined ? undefined : { ...publicKeyOf(sealKey) },
        },
      },
    );
    const isOpenable = sealed !== undefined && sealKey !== undefined;
    return { credential, material: isOpenable ? await openSealed(sealed, sealKey) : null };
  },

  /** Gives a credential up before its time and ends its sessions. */
  revoke: (id: string, reason?: string, options?: CallOptions) =>
    transport.post<Credential>(path`/v1/credentials/${id}/revoke`, {
      ...options,
      body: { reason },
    }),
});

function ask(
  transport: Transport,
  task: string,
  order: CredentialOrder,
  sealKey: PrivateJwk,
  options: CallOptions | undefined,
): Promise<Reply> {
  return transport.post<Reply>(path`/v1/tasks/${task}/credentials`, {
    ...options,
    body: {
      role: order.role,
      seal_to: { ...publicKeyOf(sealKey) },
      ttl_seconds: order.ttlSeconds,
      dpop_jkt: order.dpopThumbprint,
      reason: order.reason,
      options: order.options,
      not_before: order.notBefore,
      callback: order.callbackUrl === undefined ? undefined : { url: order.callbackUrl },
    },
  });
}

/** A denial by policy is an outcome; every other refusal stays an error. */
export function asDenied(error: unknown): Denied {
  if (!(error instanceof CountersignError) || error.code !== 'denied') throw error;
  return {
    outcome: 'denied',
    detail: error.detail,
    evaluation: asEvaluation(error.members['evaluation']),
  };
}

/** The problem document of the code `denied` always carries the evaluation. */
const asEvaluation = (member: unknown): Evaluation => member as Evaluation;

/** Takes the secret out of an answer and opens it. */
export async function opened(
  { sealed, warnings: _warnings, ...credential }: SealedCredential,
  sealKey: PrivateJwk,
): Promise<{ credential: Credential; material: Material }> {
  return { credential, material: await openSealed(sealed, sealKey) };
}
