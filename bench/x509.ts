// How fast certificates are signed and judged on one core: the mint alone, without HTTP and database. A measurement
// to look at, not a test: other work on the machine shows in it.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { authorityCertificate, leafCertificate } from '../keys/x509/build.ts';
import { verifyX509Svid } from '../keys/x509/path.ts';

const SECONDS = Number(process.argv[2] ?? 3);
const HOUR_MS = 3_600_000;

const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spkiOf = (key: typeof leaf): Buffer => key.publicKey.export({ format: 'der', type: 'spki' });
const signer = (bytes: Uint8Array): Promise<Uint8Array> =>
  Promise.resolve(sign('sha256', bytes, { key: authority.privateKey, dsaEncoding: 'ieee-p1363' }));
const now = Date.now();
const validity = { notBefore: new Date(now - 30_000), notAfter: new Date(now + HOUR_MS) };
const certificate = await authorityCertificate(signer, {
  serial: randomBytes(16),
  spki: spkiOf(authority),
  trustDomain: 'bench.example',
  name: 'bench',
  ...validity,
});
const mint = (): Promise<Buffer> =>
  leafCertificate(
    { certificate, sign: signer },
    {
      serial: randomBytes(16),
      spki: spkiOf(leaf),
      spiffeId: 'spiffe://bench.example/agent/orders-bot',
      crlUrl: 'https://bench.example/spiffe/crl/bench',
      ...validity,
    },
  );
const minted = await mint();
const rules = { authorities: [certificate], trustDomain: 'bench.example', now: new Date() };

console.log(`sign    ${await perSecond(async () => void (await mint()))}`);
console.log(`verify  ${await perSecond(async () => void verifyX509Svid([minted], rules))}`);

/** By the clock on the wall, and by the processor's, which other work on the machine does not slow down. */
async function perSecond(work: () => Promise<void>): Promise<string> {
  const began = process.cpuUsage();
  const until = performance.now() + SECONDS * 1000;
  let count = 0;
  for (; performance.now() < until; count += 1) await work();
  const { user, system } = process.cpuUsage(began);
  const perCpuSecond = Math.round((count * 1e6) / (user + system));
  return `${Math.round(count / SECONDS)} a second, ${perCpuSecond} a second of one core`;
}
