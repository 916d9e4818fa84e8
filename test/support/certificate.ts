// A certificate of its own authority, for servers that tests start on this machine.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  /** The files. */
  key: string;
  cert: string;
  /** What is in the certificate's. */
  pem: string;
}

/** Makes one for 127.0.0.1 and localhost in a folder. */
export async function certificate(folder: string): Promise<Certificate> {
  const key = path.join(folder, 'key.pem');
  const cert = path.join(folder, 'cert.pem');
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', cert, '-days', '2'];
  await promisify(execFile)('openssl', ['req', '-x509', ...curve, ...names, ...files]);
  return { key, cert, pem: await readFile(cert, 'utf8') };
}
