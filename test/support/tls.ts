// A certificate for servers of tests on the loopback, made by openssl and trusted by nobody else.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export interface TlsPair {
  key: string;
  cert: string;
}

/** A key and a certificate of its own for 127.0.0.1. */
export async function selfSigned(): Promise<TlsPair> {
  const folder = await mkdtemp(path.join(tmpdir(), 'countersign-tls-'));
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const named = ['-days', '2', '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'];
  try {
    await promisify(execFile)('openssl', [...made, ...named, '-keyout', key, '-out', cert]);
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  } catch (cause) {
    throw new Error('openssl made no certificate: install it (Debian: openssl)', { cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
