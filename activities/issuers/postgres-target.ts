// A PostgreSQL of somebody else's, as the issuer reaches it: connections, blocks of statements, and what went wrong.
import { setTimeout as sleep } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { TargetError } from '../../commands/credentials/issuer.ts';
import { Sessions } from '../../db/sessions.ts';
import { patientSockets } from '../../db/sockets.ts';

/** The target is given this long for one statement of ours. */
const STATEMENT_TIMEOUT_MS = 5_000;
export const CONNECTIONS_MAX = 4;

/** A target as it is configured now. */
export interface Target {
  /** For single statements. */
  sql: Sql;
  /** For transactions. */
  sessions: Sessions;
  url: URL;
}

export type Connection = Omit<Target, 'url'>;

/** Opens a target; nothing is sent before it is used. */
export function connectTarget(url: string, connectionsMax: number): Connection {
  const settings = {
    // The client would take what stands in the URL as it stands there.
    database: databaseIn(new URL(url)),
    connect_timeout: 3,
    onnotice: () => undefined,
    connection: {
      application_name: 'countersign issuer',
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: STATEMENT_TIMEOUT_MS,
      // A login half made by a process that hangs is nobody's to wait for.
      idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    },
  };
  return {
    sql: postgres(url, {
      ...settings,
      ...patientSockets(url, connectionsMax),
      max: connectionsMax,
      idle_timeout: 20,
    }),
    sessions: new Sessions(url, connectionsMax, settings),
  };
}

/** Closes what `connectTarget` opened. */
export const disconnect = ({ sql, sessions }: Connection, seconds: number): Promise<unknown> =>
  Promise.all([sql.end({ timeout: seconds }), sessions.close()]);

/** The database that a URL names. */
export const databaseIn = (url: URL): string => decodeURIComponent(url.pathname.slice(1));

/** Values reach the blocks below as settings of this transaction, never as text of a statement. */
async function setParameters(
  tx: Pick<Sessions, 'unsafe'>,
  parameters: Record<string, string>,
): Promise<void> {
  const all = Object.entries(parameters).flatMap(([name, value]) => [`countersign.${name}`, value]);
  const calls = Array.from(
    { length: all.length / 2 },
    (_, at) => `set_config($${2 * at + 1}, $${2 * at + 2}, true)`,
  );
  await tx.unsafe(`select ${calls.join(', ')}`, all);
}

/** Two of us changed one role at the same moment: `tuple concurrently updated`, its name just taken, a deadlock. */
const DISTURBED = ['XX000', '23505', '42710', '40P01'];
const TRIES_MAX = 10;

/** Runs again what another of our own calls got in the way of; each leaves the role whole, whoever is last. */
export async function unlessDisturbed(run: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1)
    try {
      return await run();
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (tries >= TRIES_MAX || typeof code !== 'string' || !DISTURBED.includes(code)) throw error;
      await sleep(20 * tries);
    }
}

/** Runs blocks in one transaction, with these values beside them. */
export async function runBlock(
  sessions: Sessions,
  parameters: Record<string, string>,
  ...blocks: readonly string[]
): Promise<void> {
  await sessions.begin(async (tx) => {
    await setParameters(tx, parameters);
    for (const block of blocks) await tx.unsafe(block);
  });
}

const OWN_CODES: Record<string, string> = {
  CS001: 'too_late',
  CS002: 'name_not_ours',
  CS003: 'superseded',
  CS004: 'gone',
};

/** A short, stable word for what went wrong; the message itself could carry a secret. */
export function errorCode(error: unknown): string {
  if (error instanceof TargetError) return error.code;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return OWN_CODES[error.code] ?? error.code.toLowerCase();
  return 'unreachable';
}
