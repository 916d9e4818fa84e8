// Where the server is and what automation proves itself with, as the environment says it.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { readSecret, type Environment } from './config.ts';
import { UsageError } from './exit.ts';

export interface Endpoint {
  url: string;
  /** The admin token; null when none is known. */
  token: string | null;
}

/** What `start` leaves in its state folder. */
interface EndpointFile {
  url: string;
  token_file: string | null;
}

/** `COUNTERSIGN_URL`, else the server that this state folder belongs to, else `PORT` on this machine. */
export async function findServer(env: Environment): Promise<Endpoint> {
  const local = await readEndpointFile(env['COUNTERSIGN_STATE'] || '.countersign');
  const url = env['COUNTERSIGN_URL'] || local?.url || `http://localhost:${env['PORT'] || '8080'}`;
  const token = readSecret(env, 'COUNTERSIGN_TOKEN') ?? (await localToken(url, local));
  return { url, token };
}

async function readEndpointFile(state: string): Promise<EndpointFile | null> {
  const file = path.resolve(state, 'endpoint.json');
  const text = await readFile(file, 'utf8').catch(() => null);
  if (text === null) return null;
  const parsed = asEndpoint(text);
  if (!parsed) throw new UsageError(`${file} is not what start writes: remove it, or start again.`);
  return parsed;
}

function asEndpoint(text: string): EndpointFile | null {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || !('url' in parsed)) return null;
    if (typeof parsed.url !== 'string') return null;
    const tokenFile = 'token_file' in parsed ? parsed.token_file : null;
    return { url: parsed.url, token_file: typeof tokenFile === 'string' ? tokenFile : null };
  } catch {
    return null;
  }
}

/** The token of the local server, and only for that server: elsewhere it would be given away. */
async function localToken(url: string, local: EndpointFile | null): Promise<string | null> {
  if (!local?.token_file || !isSameOrigin(url, local.url)) return null;
  const text = await readFile(local.token_file, 'utf8').catch(() => '');
  return text.trim() || null;
}

const isSameOrigin = (a: string, b: string): boolean =>
  URL.canParse(a) && URL.canParse(b) && new URL(a).origin === new URL(b).origin;
