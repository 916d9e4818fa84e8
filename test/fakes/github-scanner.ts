// GitHub's secret scanning as its partners see it: a list of keys, and messages signed by one of them over the raw body.
import { createSign, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';

/** One match, as GitHub words it. */
export interface ScannerMatch {
  token: string;
  type: string;
  url: string;
  source: string;
}

export interface SignedReport {
  body: string;
  headers: Record<string, string>;
}

export interface FakeGithubScanner {
  /** As `GET /meta/public_keys/secret_scanning` lists them. */
  publicKeys: { key_identifier: string; key: string }[];
  sign(matches: readonly ScannerMatch[]): SignedReport;
}

/** Makes a scanner with a key of its own. */
export function fakeGithubScanner(): FakeGithubScanner {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const identifier = randomBytes(32).toString('hex');
  return {
    publicKeys: [
      {
        key_identifier: identifier,
        key: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      },
    ],
    sign: (matches) => signed(privateKey, identifier, JSON.stringify(matches)),
  };
}

function signed(key: KeyObject, identifier: string, body: string): SignedReport {
  return {
    body,
    headers: {
      'content-type': 'application/json',
      'github-public-key-identifier': identifier,
      'github-public-key-signature': createSign('SHA256').update(body).sign(key, 'base64'),
    },
  };
}
