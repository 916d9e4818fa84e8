// What travels between browsers with authenticators and us. Bytes are base64url.
import { z } from 'zod';
import { CLIENT_DATA_BYTES_MAX, CREDENTIAL_ID_BYTES_MAX } from '../domain/webauthn.ts';
import { emptyBody as empty, listOf } from './schemas.ts';

export const emptyBody = empty;

const anyJson = z.record(z.string(), z.unknown());

/** Base64url of at most so many bytes. */
const bytes = (max: number) =>
  z
    .string()
    .min(1)
    .max(Math.ceil((max * 4) / 3));

export const usedPasskey = z
  .strictObject({
    credential: bytes(CREDENTIAL_ID_BYTES_MAX),
    authenticator_data: bytes(512),
    client_data: bytes(CLIENT_DATA_BYTES_MAX),
    signature: bytes(1024),
  })
  .meta({ id: 'UsedPasskey' });

export const addBody = z.strictObject({
  name: z.string().trim().min(1).max(60),
  attestation: bytes(16_384),
  client_data: bytes(CLIENT_DATA_BYTES_MAX),
  transports: z
    .array(z.string().regex(/^[a-z-]{1,20}$/, 'a transport as browsers name it'))
    .max(8)
    .optional(),
});

export const passkey = z
  .object({
    id: z.string(),
    name: z.string(),
    synced: z.boolean(),
    created_at: z.string(),
    last_used_at: z.string().nullable(),
  })
  .meta({ id: 'Passkey' });

export const passkeys = listOf(passkey);

const offered = { origin: z.string(), expires_at: z.string() };

export const creation = z.object({ options: anyJson, ...offered });

export const signing = z.object({ options: anyJson, ...offered });

export const statement = z
  .object({
    statement: anyJson,
    /** What the statement only commits to. */
    opens: z.object({
      salt: z.string(),
      reason: z.string().nullable(),
      limits: anyJson.nullable(),
    }),
    options: anyJson,
    ...offered,
  })
  .meta({ id: 'ApprovalStatement' });
