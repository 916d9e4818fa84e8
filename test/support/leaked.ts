// Credentials that leak: given, reported, and looked for afterwards wherever they must not be.
import { vi } from 'vitest';
import type { JsonObject } from '../../domain/json.ts';
import { startCast, startTask, type Cast } from './cast.ts';
import {
  admin,
  admittedAgent,
  askCredential,
  list,
  object,
  opened,
  text,
  type Reply,
  type TestAgent,
} from './client.ts';

export interface Given {
  agent: TestAgent;
  id: string;
  task: string;
  material: JsonObject;
}

export interface LeakStage {
  cast: Cast;
  /** Everything that was ever reported. */
  pasted: string[];
  /** Everything that was ever answered to a report. */
  answers: string[];
  given(role: string, holder?: TestAgent): Promise<Given>;
  newAgent(): Promise<TestAgent>;
  /** The secret of a credential, which is now among what must be nowhere. */
  secretOf(given: Given): string;
  report(body: JsonObject, headers?: Record<string, string>): Promise<Reply>;
  stateOf(credential: string): Promise<JsonObject>;
  eventsOf(type: string, leak: string): Promise<JsonObject[]>;
  /** How often something pasted is found in each place, in any spelling. */
  sweep(): Promise<{ place: string; bytes: number; found: number }[]>;
  close(): Promise<void>;
}

/** Starts a service whose log is listened to. */
export async function startLeakStage(): Promise<LeakStage> {
  const logged: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    logged.push(String(chunk));
    return true;
  });
  const cast = await startCast({ env: { COUNTERSIGN_LOG: 'on' } });
  const { service, approver, owner } = cast;
  const pasted: string[] = [];
  const answers: string[] = [];
  return {
    cast,
    pasted,
    answers,
    given: async (role, holder = cast.agent) => {
      const task = await startTask(holder);
      const reply = await askCredential(holder, task, { role, seal_to: cast.seal.publicJwk });
      const material = await opened(reply.body['sealed'], cast.seal);
      return { agent: holder, id: text(reply.body['id']), task, material };
    },
    newAgent: () => admittedAgent(service, owner.id, approver),
    secretOf: ({ material }) => {
      const secret = text(material['token']) || text(material['password']);
      pasted.push(secret);
      return secret;
    },
    report: async (body, headers = {}) => {
      const whole = { source: 'a test', ...body };
      const reply = await admin(service).call('POST', '/v1/leaks', whole, {
        prefer: 'wait=20',
        ...headers,
      });
      answers.push(reply.text);
      return reply;
    },
    stateOf: async (id) => (await admin(service).call('GET', `/v1/credentials/${id}`)).body,
    eventsOf: async (type, leak) => {
      const reply = await admin(service).call('GET', `/v1/events?type=${type}&limit=500`);
      return list(reply.body['data'])
        .map((event) => object(object(event['data'])['detail']))
        .filter((detail) => detail['leak'] === leak);
    },
    sweep: async () => {
      const places = {
        tables: await dump(cast),
        log: logged.join(''),
        answers: answers.join('\n'),
      };
      const all = pasted.flatMap(spellings);
      return Object.entries(places).map(([place, content]) => ({
        place,
        bytes: content.length,
        found: all.filter((secret) => content.includes(secret)).length,
      }));
    },
    close: async () => {
      await cast.close();
      vi.restoreAllMocks();
    },
  };
}

const spellings = (secret: string): string[] => [
  secret,
  Buffer.from(secret).toString('hex'),
  Buffer.from(secret).toString('base64').slice(0, -4),
];

/** Every row of every table as text. */
async function dump({ service }: Cast): Promise<string> {
  const { owner } = service.database;
  const tables = await owner.sql<{ name: string }[]>`
    select quote_ident(tablename) as name from pg_tables where schemaname = 'public'`;
  const dumps = await Promise.all(
    tables.map(async ({ name }) => {
      const rows = await owner.sql.unsafe(`select t::text as row from ${name} t`);
      return rows.map((row) => String(row['row'])).join('\n');
    }),
  );
  return dumps.join('\n');
}
