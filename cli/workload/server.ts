// The SPIFFE Workload API on a Unix socket. Whoever may open the socket is the workload: the permissions of its folder
// are the only attestation there is, for Node cannot ask the kernel who calls.
import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type handleServerStreamingCall as HandleStream,
  type handleUnaryCall as HandleUnary,
  type MethodDefinition,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { claimedTrustDomain, verifyJwtSvid, type SpiffeBundle } from '../../keys/spiffe-bundle.ts';
import { CountersignError } from '../../sdk/index.ts';
import type { Identity, Standing } from './identity.ts';
import {
  jwtBundlesResponse,
  jwtSvidResponse,
  MessageError,
  readJwtSvidRequest,
  readValidateJwtSvidRequest,
  validateJwtSvidResponse,
  x509BundlesResponse,
  x509SvidResponse,
  type Bundles,
} from './messages.ts';

type Ready = Extract<Standing, { kind: 'ready' }>;

/** A refusal as gRPC says it (SPIFFE Workload Endpoint §6). */
class CallError extends Error {
  readonly code: status;
  readonly details: string;
  readonly metadata = new Metadata();
  constructor(code: status, details: string, options?: ErrorOptions) {
    super(details, options);
    this.code = code;
    this.details = details;
  }
}

/** Serves the API on a socket that is there and nobody listens on yet; what is returned ends it. */
export async function serveWorkloadApi(identity: Identity, socket: string): Promise<() => void> {
  const server = new Server();
  const stream = (message: (ready: Ready) => Buffer): HandleStream<Buffer, Buffer> =>
    streaming(identity, message);
  server.addService(SERVICE, {
    fetchX509Svid: stream(x509Svids),
    fetchX509Bundles: stream(({ revoked, bundles }) =>
      x509BundlesResponse(revoked.lists, x509Bundles(bundles)),
    ),
    fetchJwtBundles: stream(({ bundles }) => jwtBundlesResponse(jwtBundles(bundles))),
    fetchJwtSvid: unary((request) => fetchJwtSvid(identity, request)),
    validateJwtSvid: unary(async (request) => validateJwtSvid(identity, request)),
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  return () => server.forceShutdown();
}

const method = (name: string, responseStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/SpiffeWorkloadAPI/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
});

const SERVICE = {
  fetchX509Svid: method('FetchX509SVID', true),
  fetchX509Bundles: method('FetchX509Bundles', true),
  fetchJwtBundles: method('FetchJWTBundles', true),
  fetchJwtSvid: method('FetchJWTSVID', false),
  validateJwtSvid: method('ValidateJWTSVID', false),
};

/** SPIFFE Workload Endpoint §3: a browser or a proxy tricked into calling cannot send this. */
function refuseUnmarked(metadata: Metadata): void {
  const values = metadata.get('workload.spiffe.io');
  if (values.length !== 1 || values[0] !== 'true')
    throw new CallError(
      status.INVALID_ARGUMENT,
      'the metadata workload.spiffe.io: true is missing',
    );
}

function readyOf(standing: Standing): Ready {
  if (standing.kind === 'denied')
    throw new CallError(status.PERMISSION_DENIED, 'this agent has no identity now');
  if (standing.kind === 'unavailable')
    throw new CallError(status.UNAVAILABLE, 'the identity of this agent cannot be had just now');
  return standing;
}

/** The message of now at once, and again on every change, until the caller goes or the agent stops. */
const streaming =
  (identity: Identity, message: (ready: Ready) => Buffer): HandleStream<Buffer, Buffer> =>
  (call) => {
    let last: Buffer | null = null;
    const tell = (standing: Standing): void => {
      try {
        refuseUnmarked(call.metadata);
        const next = message(readyOf(standing));
        // A change elsewhere is none here: workloads may reload at every message.
        if (last?.equals(next)) return;
        last = next;
        call.write(next);
      } catch (error) {
        end(call, error);
      }
    };
    const unsubscribe = identity.subscribe(tell);
    call.once('cancelled', unsubscribe);
    call.once('close', unsubscribe);
    call.once('error', unsubscribe);
    tell(identity.standing());
  };

/** Ends a stream with a status: emitting the error is how grpc-js says one. */
function end(call: ServerWritableStream<Buffer, Buffer>, error: unknown): void {
  call.emit('error', asCallError(error));
}

const unary =
  (answer: (request: Buffer) => Promise<Buffer>): HandleUnary<Buffer, Buffer> =>
  (call, callback) => {
    const work = async (): Promise<void> => {
      const outcome = await answered(call.metadata, () => answer(call.request));
      if (outcome instanceof CallError) callback(outcome);
      else callback(null, outcome);
    };
    void work();
  };

async function answered(
  metadata: Metadata,
  answer: () => Promise<Buffer>,
): Promise<Buffer | CallError> {
  try {
    refuseUnmarked(metadata);
    return await answer();
  } catch (error) {
    return asCallError(error);
  }
}

function asCallError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof MessageError) return new CallError(status.INVALID_ARGUMENT, error.message);
  if (error instanceof CountersignError)
    return new CallError(
      error.code === 'agent_not_active' || error.code === 'invalid_client'
        ? status.PERMISSION_DENIED
        : error.code === 'invalid_request'
          ? status.INVALID_ARGUMENT
          : status.UNAVAILABLE,
      error.detail,
    );
  return new CallError(status.INTERNAL, 'something went wrong here', { cause: error });
}

function x509Svids({ held, trustDomain, bundles, revoked }: Ready): Buffer {
  const all = x509Bundles(bundles);
  const own = `spiffe://${trustDomain}`;
  const federated = new Map([...all].filter(([domain]) => domain !== own));
  return x509SvidResponse(
    {
      spiffeId: held.spiffeId,
      chain: Buffer.concat([...held.chain]),
      privateKey: held.privateKey.export({ format: 'der', type: 'pkcs8' }),
      bundle: all.get(own) ?? new Uint8Array(),
    },
    revoked.lists,
    federated,
  );
}

const byDomain = (
  bundles: ReadonlyMap<string, SpiffeBundle>,
  write: (bundle: SpiffeBundle) => Uint8Array,
): Bundles =>
  new Map([...bundles].map(([domain, bundle]) => [`spiffe://${domain}`, write(bundle)]));

const x509Bundles = (bundles: ReadonlyMap<string, SpiffeBundle>): Bundles =>
  byDomain(bundles, ({ x509Authorities }) => Buffer.concat([...x509Authorities]));

const jwtBundles = (bundles: ReadonlyMap<string, SpiffeBundle>): Bundles =>
  byDomain(bundles, ({ jwtKeys }) => Buffer.from(JSON.stringify({ keys: jwtKeys })));

async function fetchJwtSvid(identity: Identity, request: Buffer): Promise<Buffer> {
  const { audience, spiffeId } = readJwtSvidRequest(request);
  if (audience.length === 0 || audience.includes(''))
    throw new CallError(status.INVALID_ARGUMENT, 'audience is missing');
  const { held } = readyOf(identity.standing());
  if (spiffeId !== '' && spiffeId !== held.spiffeId)
    throw new CallError(status.PERMISSION_DENIED, 'this workload has another identity');
  const svid = await identity.jwtSvid(audience);
  return jwtSvidResponse({ spiffeId: svid.spiffe_id, token: svid.svid });
}

/** Judged here, against the bundles of here: no secret and no SVID of anybody goes to the server for it. */
function validateJwtSvid(identity: Identity, request: Buffer): Buffer {
  const { audience, svid } = readValidateJwtSvidRequest(request);
  if (audience === '' || svid === '')
    throw new CallError(status.INVALID_ARGUMENT, 'audience and svid have to be there');
  const { bundles } = readyOf(identity.standing());
  const trustDomain = claimedTrustDomain(svid) ?? '';
  const verdict = verifyJwtSvid(svid, {
    jwtKeys: bundles.get(trustDomain)?.jwtKeys ?? [],
    trustDomain,
    audience,
    now: new Date(),
  });
  if (verdict.fault !== null)
    throw new CallError(status.INVALID_ARGUMENT, `the JWT-SVID is not valid: ${verdict.fault}`);
  return validateJwtSvidResponse(verdict);
}
