// upstreams.yaml: APIs that are called for agents, each call by name. What is not listed cannot be called.
import { z } from 'zod';
import {
  CALL_EFFECTS,
  CALL_METHODS,
  CALL_RETRIES,
  isHeaderValue,
  paramsIn,
  pathMistake,
  type CallRetry,
  type CallShape,
} from '../../domain/http-call.ts';
import { policyName, seconds, variable, resourceOwner } from '../access/kind.ts';
import type { RoleDefinition } from '../access/kinds.ts';
import { placeOf, readYaml, type PolicyProblem } from './yaml.ts';

export const UPSTREAMS_FILE = 'upstreams.yaml';

const MIB = 1024 * 1024;

/** Headers that say who calls, where a message ends, or that it is another one than it looks. */
const OWN_HEADERS =
  /^(?:authorization|cookie2?|host|content-(?:length|encoding)|accept-encoding|transfer-encoding|te|trailer|connection|keep-alive|upgrade|expect|forwarded|via|x-forwarded-.*|x-real-ip|x-original-.*|x-rewrite-.*|x-http-method.*|x-method-override|proxy-.*|sec-.*)$/;

const headerName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'the name of a header, in lower case');
const ourHeader = headerName.refine(
  (name) => !OWN_HEADERS.test(name),
  'this header is ours to set',
);
const queryName = z.string().regex(/^[A-Za-z0-9._~$[\]-]{1,100}$/, 'the name of a query parameter');

const isLoopbackName = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127\.[\d.]+$/.test(host);

function baseMistake(text: string): string | null {
  if (!URL.canParse(text)) return 'an https URL';
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopbackName(url.hostname)))
    return 'an https URL; http only on this machine';
  if (url.username !== '' || url.password !== '') return 'without a user and a password';
  if (url.search !== '' || url.hash !== '') return 'without a query and a fragment';
  const written = url.pathname === '/' ? url.origin : url.href;
  return written === text && !text.endsWith('/') && !/%/.test(text)
    ? null
    : `in its plain form, without a slash at its end: ${written.replace(/\/$/, '')}`;
}

const callSchema = z
  .strictObject({
    method: z.enum(CALL_METHODS),
    path: z.string().max(2_000),
    query: z.array(queryName).max(30).default([]),
    body: z.enum(['json', 'none']).default('none'),
    effect: z.enum(CALL_EFFECTS),
    retry: z.enum(CALL_RETRIES).optional(),
    /** A call that only reads, made first: people see what it answers. */
    preview: policyName.optional(),
  })
  .superRefine(({ method, path, body, effect, preview }, context) => {
    const complain = (member: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [member], message });
    const mistake = pathMistake(path);
    if (mistake !== null) complain('path', mistake);
    if (body === 'json' && (method === 'GET' || method === 'HEAD'))
      complain('body', `a ${method} has none`);
    if (effect === 'read' && preview !== undefined)
      complain('preview', 'is for calls that change something');
  });

const authenticationSchema = z
  .strictObject({
    secret_from: variable.optional(),
    role: policyName.optional(),
    header: headerName.default('authorization'),
    prefix: z.string().max(40).optional(),
  })
  .superRefine(({ secret_from, role, prefix }, context) => {
    if ((secret_from === undefined) === (role === undefined))
      context.addIssue({ code: 'custom', message: 'say one of secret_from and role' });
    if (prefix !== undefined && prefix !== '' && !isHeaderValue(prefix.trimEnd()))
      context.addIssue({ code: 'custom', path: ['prefix'], message: 'visible ASCII characters' });
  });

const upstreamSchema = z
  .strictObject({
    title: z.string().min(1).max(100),
    owner: resourceOwner,
    base: z.string().superRefine((text, context) => {
      const mistake = baseMistake(text);
      if (mistake !== null) context.addIssue({ code: 'custom', message: mistake });
    }),
    authentication: authenticationSchema,
    /** Sent with every call. */
    headers: z.record(ourHeader, z.string().refine(isHeaderValue, 'visible ASCII')).default({}),
    /** What callers may add. */
    allow_headers: z.array(ourHeader).max(10).default([]),
    idempotency_header: ourHeader.optional(),
    data_class: z.string().min(1).max(40).default('internal'),
    reason: z.enum(['required', 'optional']).default('optional'),
    timeout_seconds: seconds(60).default(10),
    answer_bytes_max: z.number().int().min(1_000).max(MIB).default(MIB),
    private_addresses: z.enum(['allowed', 'refused']).default('refused'),
    ca_from: variable.optional(),
    calls: z
      .record(policyName, callSchema)
      .refine((calls) => Object.keys(calls).length > 0, 'list at least one call'),
  })
  .superRefine((upstream, context) => {
    for (const [name, call] of Object.entries(upstream.calls)) {
      const complain = (member: string, message: string): void =>
        context.addIssue({ code: 'custom', path: ['calls', name, member], message });
      if (call.retry === 'idempotency-key' && upstream.idempotency_header === undefined)
        complain('retry', 'needs the idempotency_header of the upstream');
      const mistake =
        call.preview === undefined ? null : previewMistake(call.preview, call.path, upstream.calls);
      if (mistake !== null) complain('preview', mistake);
    }
    const { headers, authentication, allow_headers: allowed, idempotency_header: key } = upstream;
    const ours = [
      authentication.header,
      ...Object.keys(headers),
      ...(key === undefined ? [] : [key]),
    ];
    const twice = [...ours, ...allowed].find((name, at, all) => all.indexOf(name) < at);
    if (twice !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['allow_headers'],
        message: `the header ${twice} would be set twice`,
      });
  });

function previewMistake(
  preview: string,
  path: string,
  calls: Record<string, z.infer<typeof callSchema>>,
): string | null {
  const call = Object.hasOwn(calls, preview) ? calls[preview] : undefined;
  if (!call) return `there is no call "${preview}"; there are: ${Object.keys(calls).join(', ')}`;
  if (call.method !== 'GET' || call.effect !== 'read') return 'must be a GET that only reads';
  const known = paramsIn(path);
  const other = paramsIn(call.path).find((name) => !known.includes(name));
  return other === undefined ? null : `takes {${other}}, which this call does not have`;
}

export type UpstreamDefinition = z.infer<typeof upstreamSchema>;
export type CallDefinition = CallShape & z.infer<typeof callSchema>;

/** Reads upstreams.yaml, which a bundle may leave out. */
export function readUpstreams(
  files: Record<string, string>,
  problems: PolicyProblem[],
): Map<string, UpstreamDefinition> {
  if (files[UPSTREAMS_FILE] === undefined) return new Map();
  const read = readYaml(UPSTREAMS_FILE, files, z.record(policyName, upstreamSchema), problems);
  return new Map(Object.entries(read ?? {}));
}

/** Reading may be done again; whatever else does it has to say so. */
export const retryOf = ({ method, effect, retry }: CallDefinition): CallRetry =>
  retry ?? (effect === 'read' && (method === 'GET' || method === 'HEAD') ? 'safe' : 'never');

/** What is wrong between upstreams and the roles beside them. */
export function upstreamProblems(
  upstreams: ReadonlyMap<string, UpstreamDefinition>,
  roles: ReadonlyMap<string, RoleDefinition>,
  files: Record<string, string>,
): PolicyProblem[] {
  return [...upstreams].flatMap(([name, { authentication }]) => {
    const place = placeOf({ [UPSTREAMS_FILE]: files[UPSTREAMS_FILE] ?? '' }, `${name}:`);
    const problem = (message: string): PolicyProblem[] => [
      { ...place, message: `${name}: ${message}` },
    ];
    // A task that was handed on with some names has those and no others, whichever of the two they are.
    if (roles.has(name)) return problem('a role has this name, too');
    const { role } = authentication;
    if (role === undefined) return [];
    const definition = roles.get(role);
    if (!definition)
      return problem(
        `there is no role "${role}"; there are: ${[...roles.keys()].join(', ') || 'none'}`,
      );
    return isBearer(definition)
      ? []
      : problem(
          `the role "${role}" gives no bearer token: use one of oauth, github, or jwt without binding`,
        );
  });
}

const isBearer = (role: RoleDefinition): boolean =>
  role.issuer === 'oauth' ||
  role.issuer === 'github' ||
  (role.issuer === 'jwt' && role.binding === 'none');
