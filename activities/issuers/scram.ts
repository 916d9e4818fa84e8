// What a PostgreSQL keeps of a password (RFC 5803), made here so that the password itself never travels to it.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const SCRAM_ITERATIONS = 4096;

/** What the server stores, so that the password reaches neither it nor its log; and its salt, which is no secret. */
export function scramVerifier(password: string): { verifier: string; salt: string } {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, SCRAM_ITERATIONS, 32, 'sha256');
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  const serverKey = hmac('Server Key').toString('base64');
  const text = salt.toString('base64');
  return {
    verifier: `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${text}$${storedKey}:${serverKey}`,
    salt: text,
  };
}
