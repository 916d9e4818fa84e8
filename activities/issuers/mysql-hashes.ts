// What MySQL and MariaDB store of a password, worked out here, so that the password itself never travels to the server,
// into its logs or its replicas.
import { createHash, createPrivateKey, createPublicKey, randomInt } from 'node:crypto';

/** How a server checks a login's password. */
export type MysqlPlugin = 'mysql_native_password' | 'ed25519' | 'caching_sha2_password';

/** What `plugin` stores for a password. */
export function storedHash(plugin: MysqlPlugin, password: string): string {
  switch (plugin) {
    case 'mysql_native_password':
      return nativeHash(password);
    case 'ed25519':
      return ed25519Hash(password);
    case 'caching_sha2_password':
      return cachingSha2Hash(password, newSalt());
  }
}

const sha1 = (data: Buffer | string): Buffer => createHash('sha1').update(data).digest();

/** Twice SHA-1, without salt: no more than the 192 random bits of our passwords can bear. */
const nativeHash = (password: string): string =>
  `*${sha1(sha1(password)).toString('hex').toUpperCase()}`;

/** The header of a PKCS #8 Ed25519 key (RFC 8410 §7), which its seed follows. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** MariaDB takes the password for the seed of RFC 8032. One of 32 bytes is such a seed as it stands. */
function ed25519Hash(password: string): string {
  if (Buffer.byteLength(password) !== 32) throw new TypeError('the password is no Ed25519 seed');
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, Buffer.from(password)]),
    format: 'der',
    type: 'pkcs8',
  });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return spki.subarray(-32).toString('base64').replace('=', '');
}

const SALT_BYTES = 20;
/** MySQL counts thousands of rounds, in three hexadecimal digits. */
const ROUNDS = 5_000;
const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

const newSalt = (): Buffer =>
  Buffer.from(Array.from({ length: SALT_BYTES }, () => ALPHABET.charCodeAt(randomInt(64))));

/** `caching_sha2_password`: SHA-256 crypt with a salt of 20 bytes, where crypt(3) has at most 16. */
export const cachingSha2Hash = (password: string, salt: Buffer): string =>
  `$A$005$${salt.toString('latin1')}${sha256Crypt(Buffer.from(password), salt)}`;

const sha256 = (...parts: readonly Buffer[]): Buffer =>
  createHash('sha256').update(Buffer.concat(parts)).digest();

/** Drepper's "Unix crypt using SHA-256 and SHA-512", steps 1 to 22. */
function sha256Crypt(password: Buffer, salt: Buffer): string {
  const alternate = sha256(password, salt, password);
  const parts = [password, salt, filledWith(alternate, password.length)];
  for (let bits = password.length; bits > 0; bits >>= 1)
    parts.push((bits & 1) === 1 ? alternate : password);
  let digest = sha256(...parts);
  const p = filledWith(
    sha256(...Array.from({ length: password.length }, () => password)),
    password.length,
  );
  const repeats = 16 + (digest[0] ?? 0);
  const s = filledWith(sha256(...Array.from({ length: repeats }, () => salt)), salt.length);
  for (let round = 0; round < ROUNDS; round += 1) {
    const odd = round % 2 === 1;
    digest = sha256(
      odd ? p : digest,
      ...(round % 3 === 0 ? [] : [s]),
      ...(round % 7 === 0 ? [] : [p]),
      odd ? digest : p,
    );
  }
  return encoded(digest);
}

/** `bytes` again and again, up to a length. */
const filledWith = (bytes: Buffer, length: number): Buffer => Buffer.alloc(length, bytes);

/** Three bytes in four characters, the bytes taken in the order of the same paper. */
function encoded(digest: Buffer): string {
  let text = '';
  let triple = [0, 10, 20];
  for (let step = 0; step < 10; step += 1) {
    text += fourOf(triple.map((at) => digest[at] ?? 0));
    const [a = 0, b = 0, c = 0] = triple;
    triple = [c + 1, a + 1, b + 1];
  }
  return text + fourOf([0, digest[31] ?? 0, digest[30] ?? 0]).slice(0, 3);
}

function fourOf([a = 0, b = 0, c = 0]: readonly number[]): string {
  let word = (a << 16) | (b << 8) | c;
  let text = '';
  for (let at = 0; at < 4; at += 1, word >>= 6) text += ALPHABET[word & 63] ?? '';
  return text;
}
