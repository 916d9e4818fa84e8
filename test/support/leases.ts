// Logins under a lease, as tests hold and break them.
import postgres, { type Sql } from 'postgres';
import { inject } from 'vitest';
import { sweep } from '../../activities/reaper.ts';
import { openService } from '../../cli/compose.ts';
import { targetWorkflow } from '../../commands/agents/tasks.ts';
import type { JsonObject } from '../../domain/json.ts';
import { startTask, type Cast } from './cast.ts';
import {
  admin,
  askCredential,
  list,
  newKey,
  object,
  opened,
  text,
  type TestKey,
} from './client.ts';
import type { TestService } from './service.ts';

export interface Login {
  id: string;
  task: string;
  user: string;
  url: string;
  expiresAt: string;
  key: TestKey;
}

/** A login of the sample database, given plainly. */
export async function giveLogin(
  cast: Pick<Cast, 'agent'>,
  more: JsonObject = {},
  task?: string,
): Promise<Login> {
  const key = await newKey();
  const under = task ?? (await startTask(cast.agent));
  const asked = await askCredential(cast.agent, under, {
    role: 'orders-readonly',
    seal_to: key.publicJwk,
    ...more,
  });
  const { url, username } = await opened(asked.body['sealed'], key);
  return {
    id: text(asked.body['id']),
    task: under,
    user: text(username),
    url: text(url),
    expiresAt: text(asked.body['expires_at']),
    key,
  };
}

/** Whether a login lets anybody in now. */
export async function opensDoor({ url }: Pick<Login, 'url'>): Promise<boolean> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined, connect_timeout: 5 });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The sample target as its superuser. */
export function asSuperuser(service: TestService): Sql {
  const url = new URL(inject('servers').admin);
  url.pathname = `/${service.sample.database}`;
  return postgres(url.href, { max: 1, onnotice: () => undefined });
}

/** Takes our mark off a login, so that ending it is refused, and gives it back. */
export async function unmark(sql: Sql, user: string): Promise<() => Promise<void>> {
  const [row] = await sql<{ said: string }[]>`
    select shobj_description(oid, 'pg_authid') as said from pg_roles where rolname = ${user}`;
  await sql.unsafe(`COMMENT ON ROLE "${user}" IS 'mine now'`);
  return async () => {
    await sql.unsafe(`COMMENT ON ROLE "${user}" IS '${row?.said ?? ''}'`);
  };
}

export const stateOf = async (service: TestService, id: string): Promise<string> =>
  text((await admin(service).call('GET', `/v1/credentials/${id}`)).body['state']);

/** Compares the sample target with the leases now, and not when the next minute is over. */
export async function sweepNow(service: TestService): Promise<void> {
  const opened = await openService(service.config, 'test', 2);
  try {
    const call = {
      principal: { kind: 'workflow' as const, id: targetWorkflow('sample') },
      traceId: null,
    };
    await sweep(opened.deps, call, 'sample');
  } finally {
    await opened.close();
  }
}

/** Public details of the events about one subject, oldest first, by type. */
export async function eventsAbout(
  service: TestService,
  subject: string,
  type: string,
): Promise<JsonObject[]> {
  const reply = await admin(service).call('GET', `/v1/events?type=${type}&limit=500`);
  return list(reply.body['data'])
    .filter((event) => event['subject'] === subject)
    .map((event) => object(object(event['data'])['detail']));
}
