// PEM, the text form of DER (RFC 7468).

/** The bytes as a block of this label. */
export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]*?)-----END \1-----/g;

/** The blocks of these labels, in order; anything between blocks is a comment. */
export function fromPem(text: string, ...labels: string[]): Buffer[] {
  return [...text.matchAll(BLOCK)]
    .filter(([, label = '']) => labels.includes(label))
    .map(([, , body = '']) => Buffer.from(body.replaceAll(/\s/g, ''), 'base64'));
}
