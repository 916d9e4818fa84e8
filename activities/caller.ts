// Makes calls of the APIs that policy names: the secret is put in here, and taken out of the answer here.
import { TargetError } from '../commands/credentials/issuer.ts';
import type { Answered, Caller, CallToSend } from '../commands/runs/caller.ts';
import { isHeaderValue } from '../domain/http-call.ts';
import { EgressError } from './egress.ts';
import type { Exchange, Exchanged } from './exchange.ts';
import type { Secrets } from './issuers/login.ts';
import { longestOf, mask, spellingsOf } from './masking.ts';

/** Headers of an answer that callers can use. Cookies are ours, and the rest is about the connection. */
const TOLD =
  /^(?:content-(?:type|language|range)|etag|last-modified|link|location|retry-after|x-request-id|(?:x-)?ratelimit-[a-z-]{1,40})$/;

export function upstreamCaller(exchange: Exchange, secrets: Secrets): Caller {
  return {
    send: async (call, beforeSend) => {
      const { secret, prefix, header } = call.signIn;
      const value = 'token' in secret ? secret.token : secrets(secret.from);
      const authorities = call.authoritiesFrom === null ? null : secrets(call.authoritiesFrom);
      const isReady = call.authoritiesFrom === null || authorities !== null;
      // Shorter ones could not be told from other text of an answer.
      if (value === null || value.length < 8 || !isHeaderValue(`${prefix}${value}`) || !isReady)
        throw new TargetError('upstream_not_configured');
      const spellings = spellingsOf(value);
      let own: { thrown: unknown } | null = null;
      try {
        const answer = await exchange(
          call.url,
          {
            method: call.method,
            headers: headersOf(call, header, `${prefix}${value}`),
            body: call.body,
            timeoutMs: call.timeoutSeconds * 1000,
            bytesMax: call.answerBytesMax + longestOf(spellings),
            trusted: call.isPrivateAllowed,
            authorities,
          },
          () =>
            beforeSend().catch((thrown: unknown) => {
              own = { thrown };
              throw thrown;
            }),
        );
        return answered(answer, spellings, call.answerBytesMax);
      } catch (error) {
        throw asFailure(error, own);
      }
    },
  };
}

/** What was thrown before anything was sent is whoever's who threw it. */
function asFailure(error: unknown, own: { thrown: unknown } | null): unknown {
  if (own !== null) return own.thrown;
  return new TargetError(error instanceof EgressError ? error.code : 'unreachable', {
    cause: error,
  });
}

const headersOf = (
  { headers, body }: CallToSend,
  header: string,
  value: string,
): Record<string, string> => ({
  'user-agent': 'countersign',
  // What is packed cannot be looked through.
  'accept-encoding': 'identity',
  ...headers,
  ...(body !== null && { 'content-type': 'application/json' }),
  [header]: value,
});

function answered(answer: Exchanged, spellings: readonly Buffer[], limit: number): Answered {
  const { status, headers } = answer;
  const told = Object.entries(headers)
    .filter(([name]) => TOLD.test(name))
    .map(([name, value]) => {
      const bytes = Buffer.from(value, 'utf8');
      return { name, ...mask(bytes, spellings, bytes.length) };
    });
  // Packed although we asked for it as it is: what is in it cannot be seen, and so is not handed on.
  const isPacked = !['', 'identity'].includes((headers['content-encoding'] ?? '').toLowerCase());
  const seen = isPacked ? Buffer.alloc(0) : answer.bytes;
  const body = mask(seen, spellings, Math.min(limit, seen.length));
  return {
    status,
    headers: Object.fromEntries(told.map(({ name, bytes }) => [name, bytes.toString('utf8')])),
    ...written(body.bytes, answer.isCut || answer.bytes.length > limit),
    bytes: Math.min(answer.bytes.length, limit),
    isCut: answer.isCut || answer.bytes.length > limit || (isPacked && answer.bytes.length > 0),
    isMasked: body.isMasked || told.some(({ isMasked }) => isMasked),
  };
}

/** A character that was cut in two at the end is left out, and makes no text of bytes. */
function written(bytes: Buffer, isCut: boolean): Pick<Answered, 'body' | 'encoding'> {
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return { body: decoder.decode(bytes, { stream: isCut }), encoding: 'utf8' };
  } catch {
    return { body: bytes.toString('base64'), encoding: 'base64' };
  }
}
