// SPIFFE IDs, parsed once into a value that cannot be invalid. Nothing is normalised (SPIFFE-ID §2).

declare const valid: unique symbol;
export type SpiffeId = string & { readonly [valid]: 'SpiffeId' };
export type TrustDomain = string & { readonly [valid]: 'TrustDomain' };

export class SpiffeIdError extends Error {}

const SCHEME = 'spiffe://';
const BYTES_MAX = 2048;

/** SPIFFE-ID §2.1: lower-case letters, digits, dots, dashes and underscores; no port, no user info. */
export function parseTrustDomain(text: string): TrustDomain {
  if (text === '') throw new SpiffeIdError('the trust domain is empty');
  if (text.length > 255) throw new SpiffeIdError('the trust domain is longer than 255 characters');
  if (!/^[a-z0-9._-]+$/.test(text))
    throw new SpiffeIdError('a trust domain has only a-z, 0-9, dot, dash and underscore');
  return text as TrustDomain;
}

/** SPIFFE-ID §2.2: segments of letters, digits, dot, dash, underscore; none empty, `.` or `..`. */
export function parseSpiffeId(text: string): SpiffeId {
  if (!text.startsWith(SCHEME)) throw new SpiffeIdError('a SPIFFE ID begins with spiffe://');
  if (text.length > BYTES_MAX)
    throw new SpiffeIdError(`a SPIFFE ID has at most ${BYTES_MAX} bytes`);
  const [domain = '', ...segments] = text.slice(SCHEME.length).split('/');
  parseTrustDomain(domain);
  for (const segment of segments) refuseSegment(segment);
  return text as SpiffeId;
}

/** The trust domain that a SPIFFE ID is of: a text that is none has none, which no domain is called. */
export const trustDomainOf = (id: string): string =>
  id.startsWith(SCHEME) ? (id.slice(SCHEME.length).split('/')[0] ?? '') : '';

/** The identity of an agent: its name under the trust domain. */
export function agentSpiffeId(domain: TrustDomain, name: string): SpiffeId {
  return parseSpiffeId(`${SCHEME}${domain}/agent/${name}`);
}

/** The identity of the service itself, which no agent's can be: theirs begin with `agent`. */
export const serverSpiffeId = (domain: TrustDomain): SpiffeId =>
  parseSpiffeId(`${SCHEME}${domain}/countersign/server`);

/**
 * What a certificate given under a role says: another identity than the agent's own, so that whoever lets in the role
 * lets in nobody who was not given it.
 */
export const roleSpiffeId = (agent: string, role: string): SpiffeId =>
  parseSpiffeId(`${agent}/role/${role}`);

function refuseSegment(segment: string): void {
  if (segment === '') throw new SpiffeIdError('a path segment is empty');
  if (segment === '.' || segment === '..') throw new SpiffeIdError('a path segment is . or ..');
  if (!/^[A-Za-z0-9._-]+$/.test(segment))
    throw new SpiffeIdError('a path segment has only letters, digits, dot, dash and underscore');
}
