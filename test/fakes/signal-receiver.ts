// A receiver of security events as a strict one is (RFC 8935, RFC 8417, OpenID SSF 1.0): it finds our keys by itself,
// and takes nothing that is not exactly what it asked for.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify, type JWTPayload } from 'jose';
import type { JsonObject } from '../../domain/json.ts';

/** What it does with the next message instead of judging it. */
export type Mood =
  | { status: number; headers?: Record<string, string>; body?: string }
  | 'silent'
  | 'huge'
  | 'cut';

export interface Heard {
  headers: IncomingHttpHeaders;
  body: string;
  /** The claims, if it took it for a good SET. */
  claims: JWTPayload | null;
  /** Why it would not have it. */
  fault: string | null;
}

export interface FakeReceiver {
  url: string;
  heard: Heard[];
  /** What happens to the next messages, one entry for each. */
  next(...moods: Mood[]): void;
  /** The good SETs, without repetitions. */
  taken(): JWTPayload[];
  close(): Promise<void>;
}

export interface ReceiverRules {
  /** Where the transmitter is. */
  issuer: string;
  transmitter: string;
  audience: string;
  token: string | null;
}

/** Starts one. Its rules can be given later, once the transmitter is known. */
export async function startFakeReceiver(rules: () => ReceiverRules): Promise<FakeReceiver> {
  const heard: Heard[] = [];
  const moods: Mood[] = [];
  const known = new Set<string>();
  const server = createServer((request, response) => {
    void readAll(request).then(async (body) => {
      const judged = await judge(request.headers, body, rules());
      heard.push({ headers: request.headers, body, ...judged });
      const mood = moods.shift();
      if (mood === 'silent') return;
      if (mood === 'cut') return void request.socket.destroy();
      if (mood === 'huge') {
        response.writeHead(202, { 'content-length': String(2 ** 30) });
        return void response.write('x'.repeat(512 * 1024));
      }
      if (mood)
        return void response.writeHead(mood.status, mood.headers ?? {}).end(mood.body ?? '');
      if (judged.fault !== null)
        return void response
          .writeHead(400, { 'content-type': 'application/json' })
          .end(JSON.stringify({ err: 'invalid_request', description: judged.fault }));
      known.add(judged.claims?.jti ?? '');
      response.writeHead(202).end();
    });
  });
  const url = await listen(server);
  return {
    url,
    heard,
    next: (...more) => moods.push(...more),
    taken: () => {
      const byId = new Map(
        heard
          .filter(({ claims }) => claims && known.has(claims.jti ?? ''))
          .map(({ claims }) => [claims?.jti, claims ?? {}]),
      );
      return [...byId.values()];
    },
    close: () => closeServer(server),
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the fake has no port');
  return `http://127.0.0.1:${address.port}`;
}

const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => resolve());
  });

async function judge(
  headers: IncomingHttpHeaders,
  body: string,
  rules: ReceiverRules,
): Promise<Pick<Heard, 'claims' | 'fault'>> {
  try {
    if (headers['content-type'] !== 'application/secevent+jwt') return no('the content type');
    const wanted = rules.token === null ? undefined : `Bearer ${rules.token}`;
    if (headers.authorization !== wanted) return no('the authorization');
    const header = decodeProtectedHeader(body);
    if (header.typ !== 'secevent+jwt' || header.alg !== 'ES256') return no('the header');
    const keys = createRemoteJWKSet(new URL(`${rules.transmitter}/.well-known/jwks.json`));
    const { payload } = await jwtVerify(body, keys, {
      issuer: rules.issuer,
      audience: rules.audience,
      typ: 'secevent+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['iss', 'iat', 'jti', 'aud', 'events', 'sub_id'],
    });
    return { claims: payload, fault: faultOf(payload) };
  } catch (error) {
    return no(error instanceof Error ? error.message : 'unreadable');
  }
}

const no = (fault: string): Pick<Heard, 'claims' | 'fault'> => ({ claims: null, fault });

/** SSF 1.0 §4: no `sub`, no `exp`, one event, a subject in a known format. */
function faultOf(payload: JWTPayload): string | null {
  if ('sub' in payload) return 'a SET carries sub_id, not sub';
  if ('exp' in payload) return 'a SET has no exp';
  if (Math.abs(Date.now() / 1000 - (payload.iat ?? 0)) > 600) return 'iat is not now';
  const events = Object.entries(asObject(payload['events']));
  const [[uri, event] = ['', null]] = events;
  if (events.length !== 1 || !URL.canParse(uri)) return 'not one event';
  if (typeof event !== 'object' || event === null) return 'the event is no object';
  return faultOfSubject(asObject(payload['sub_id']));
}

function faultOfSubject(subject: JsonObject): string | null {
  const { format } = subject;
  if (format === 'uri') return typeof subject['uri'] === 'string' ? null : 'no uri';
  if (format === 'opaque') return typeof subject['id'] === 'string' ? null : 'no id';
  if (format === 'jwt_id') return typeof subject['jti'] === 'string' ? null : 'no jti';
  if (format !== 'complex') return 'an unknown format of subject';
  const { application, session, format: _format, ...rest } = subject;
  if (Object.keys(rest).length > 0) return 'an unknown member of a complex subject';
  return faultOfSubject(asObject(application)) ?? faultOfSubject(asObject(session));
}

/** Claims of a verified SET; what is not there reads as empty. */
const asObject = (value: unknown): JsonObject => (value ?? {}) as JsonObject;
