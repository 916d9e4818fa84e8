// Proof of possession (RFC 9449): a key of this client alone, without which its tokens are of no use to anybody.
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** What proves, for one call after another, that this client holds its key. */
export interface Prover {
  /** The headers that send a token, bound where this proves anything. */
  headers(method: string, url: URL, token: string | null): Promise<Record<string, string>>;
  /** Takes over the nonce of an answer; true if it is another than before. */
  learn(headers: Headers): boolean;
}

/** Sends tokens as they are. */
export const asBearer: Prover = {
  headers: (_method, _url, token) =>
    Promise.resolve(token === null ? {} : { authorization: `Bearer ${token}` }),
  learn: () => false,
};

/** Makes a key that never leaves this process, and binds everything to it. */
export function openProver(): Prover {
  const made = makeKey();
  // Reported where it is used, if that ever comes.
  made.catch(() => undefined);
  let nonce: string | null = null;
  return {
    headers: async (method, url, token) => {
      const { privateKey, jwk } = await made;
      const proof = await new SignJWT({
        jti: crypto.randomUUID(),
        htm: method,
        htu: url.origin + url.pathname,
        ...(nonce !== null && { nonce }),
        ...(token !== null && { ath: await sha256(token) }),
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .setIssuedAt()
        .sign(privateKey);
      return { dpop: proof, ...(token !== null && { authorization: `DPoP ${token}` }) };
    },
    learn: (headers) => {
      const given = headers.get('dpop-nonce');
      const isNew = given !== null && given !== nonce;
      nonce = given ?? nonce;
      return isNew;
    },
  };
}

async function makeKey() {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const { kty = '', crv = '', x = '', y = '' } = await exportJWK(publicKey);
  return { privateKey, jwk: { kty, crv, x, y } };
}

async function sha256(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return btoa(String.fromCodePoint(...new Uint8Array(hash)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
