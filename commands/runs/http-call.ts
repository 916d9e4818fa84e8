// A call as an agent asks for it, as policy has it, as people are shown it, and as it goes out: all of it from one place.
import type { TaskRow } from '../../db/rows.ts';
import type { Action } from '../../domain/action.ts';
import { buildCall, CallError, type BuiltCall, type CallRetry } from '../../domain/http-call.ts';
import { parseJson, sameJson, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { Refusal } from '../../domain/refusal.ts';
import { askedUnder } from '../credentials/credentials.ts';
import type { PolicyBundle } from '../policy/bundle.ts';
import { retryOf, type CallDefinition, type UpstreamDefinition } from '../policy/upstreams.ts';
import type { CallToSend } from './caller.ts';

/** Which call, and what is filled in. */
export interface CallWish {
  upstream: string;
  call: string;
  params: JsonObject;
  query: JsonObject;
  headers: JsonObject;
  body?: JsonValue | undefined;
}

/** A call that policy has. */
export interface PreparedCall {
  wish: CallWish;
  upstream: UpstreamDefinition;
  shape: CallDefinition;
  retry: CallRetry;
  built: BuiltCall;
}

/** Builds what goes out, or refuses with what the policy has instead. */
export function prepareCall(bundle: PolicyBundle, wish: CallWish): PreparedCall {
  const upstream = bundle.upstreams.get(wish.upstream);
  if (!upstream)
    throw new Refusal(
      'upstream_unknown',
      `There is no upstream "${wish.upstream}". There are: ${[...bundle.upstreams.keys()].join(', ') || 'none'}.`,
    );
  const { calls, base, headers, allow_headers: allowed } = upstream;
  const shape = Object.hasOwn(calls, wish.call) ? calls[wish.call] : undefined;
  if (!shape)
    throw new Refusal(
      'call_refused',
      `The upstream ${wish.upstream} has no call "${wish.call}". It has: ${Object.keys(calls).join(', ')}.`,
    );
  try {
    const built = buildCall(base, shape, allowed, wish);
    return {
      wish,
      upstream,
      shape,
      retry: retryOf(shape),
      built: { ...built, headers: { ...headers, ...built.headers } },
    };
  } catch (error) {
    if (error instanceof CallError)
      throw new Refusal(
        'call_refused',
        `The call ${wish.call} of ${wish.upstream} is not one that can be made: ${error.message}.`,
      );
    throw error;
  }
}

/** Everything about a call that people agree to, and its permit is bound to. */
const callParameters = ({ wish, upstream, shape, retry, built }: PreparedCall): JsonObject => ({
  call: wish.call,
  method: shape.method,
  url: built.url,
  params: wish.params,
  query: wish.query,
  headers: built.headers,
  ...(built.body !== null && { body: parseJson(built.body) }),
  effect: shape.effect,
  retry,
  timeout_seconds: upstream.timeout_seconds,
});

/** What an agent does by asking for a call, as policy is asked about it. */
export const callAction = (
  owner: TaskRow,
  prepared: PreparedCall,
  { reason, preview }: { reason: string | null; preview: JsonObject | null },
): Action => ({
  ...askedUnder(owner, reason),
  action: 'http:call',
  resource: { type: 'upstream', id: prepared.wish.upstream },
  parameters: { ...callParameters(prepared), ...(preview !== null && { preview }) },
  data_class: prepared.upstream.data_class,
  destination: new URL(prepared.upstream.base).origin,
});

/** The call that people agreed to; null where policy would now make another one of it, or none. */
export function approvedCall(bundle: PolicyBundle, action: Action): PreparedCall | null {
  const { preview: _preview, ...agreed } = action.parameters;
  const { call, params, query, headers, body } = asCallParameters(agreed);
  const allowed = bundle.upstreams.get(action.resource.id)?.allow_headers ?? [];
  const own = Object.entries(headers).filter(([name]) => allowed.includes(name));
  try {
    const wish = { upstream: action.resource.id, call, params, query, body };
    const prepared = prepareCall(bundle, { ...wish, headers: Object.fromEntries(own) });
    return sameJson(callParameters(prepared), agreed) ? prepared : null;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** Written by `callParameters`, and the permit is bound to the digest of it. */
const asCallParameters = (parameters: JsonObject) =>
  parameters as {
    call: string;
    params: JsonObject;
    query: JsonObject;
    headers: JsonObject;
    body?: JsonValue;
  };

/** Loopback is named by its address in the policy itself. */
const isHere = (base: string): boolean =>
  /^(?:localhost|\[::1\]|127\.[\d.]+)$/.test(new URL(base).hostname);

/** The call as it goes out, but for how we sign in; `key` is the same for every time that it does. */
export const toSend = (
  { upstream, shape, retry, built }: PreparedCall,
  key: string,
): Omit<CallToSend, 'signIn'> => ({
  method: shape.method,
  url: built.url,
  headers: {
    ...built.headers,
    ...(retry === 'idempotency-key' &&
      upstream.idempotency_header !== undefined && { [upstream.idempotency_header]: key }),
  },
  body: built.body,
  timeoutSeconds: upstream.timeout_seconds,
  answerBytesMax: upstream.answer_bytes_max,
  isPrivateAllowed: upstream.private_addresses === 'allowed' || isHere(upstream.base),
  authoritiesFrom: upstream.ca_from ?? null,
});
