// Logins of a MariaDB.
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { loginName } from '../../../activities/issuers/login.ts';
import { mysqlIssuer } from '../../../activities/issuers/mysql.ts';
import { mysqlRole, mysqlTarget } from '../../../commands/access/mysql.ts';
import type { TargetRef } from '../../../commands/credentials/issuer.ts';
import { answering } from '../answering.ts';
import { text } from '../client.ts';
import { startMariaDb, type MariaDb } from '../mariadb.ts';
import { anyRole, REAL_CLOCK, type IssuerKind } from './fixture.ts';

/** A MariaDB, what reaches it, and two deployments that share it. */
export interface MysqlBench {
  server: MariaDb;
  ours: ReturnType<typeof mysqlIssuer>;
  theirs: ReturnType<typeof mysqlIssuer>;
  target: TargetRef;
  targetWith: (more: object) => TargetRef;
  /** An issuer of ours that believes its target to be elsewhere. */
  at: (url: string) => ReturnType<typeof mysqlIssuer>;
  close(): Promise<void>;
}

export async function mysqlBench(): Promise<MysqlBench> {
  const server = await startMariaDb();
  const issuers: ReturnType<typeof mysqlIssuer>[] = [];
  const issuer = (url: string, mark: string): ReturnType<typeof mysqlIssuer> => {
    const settings: Record<string, string> = { TARGET: url, CA: server.ca };
    const made = mysqlIssuer((name) => settings[name] ?? null, mark);
    issuers.push(made);
    return made;
  };
  const targetWith = (more: object): TargetRef => ({
    name: 'shop',
    definition: mysqlTarget.parse({ issuer: 'mysql', url_from: 'TARGET', ca_from: 'CA', ...more }),
  });
  return {
    server,
    ours: issuer(server.url, 'ours'),
    theirs: issuer(server.url, 'theirs'),
    target: targetWith({}),
    targetWith,
    at: (url) => issuer(url, 'ours'),
    close: async () => {
      await Promise.all(issuers.map((each) => each.close()));
      await server.close();
    },
  };
}

export const mysqlKind: IssuerKind = {
  name: 'mysql',
  start: async () => {
    const bench = await mysqlBench();
    const { server, target } = bench;
    const odd = await answering('SSH-2.0-OpenSSH_9.2p1\r\n');
    const plain = bench.targetWith({ tls: 'off', ca_from: undefined });
    return {
      issuer: bench.ours,
      target,
      theirs: bench.theirs,
      broken: {
        down: { issuer: bench.at('mysql://a:issuer-password@127.0.0.1:1/none'), target },
        denied: {
          issuer: bench.at(server.url.replace('issuer-password', 'another-password')),
          target,
        },
        garbled: {
          issuer: bench.at(`mysql://a:issuer-password@127.0.0.1:${odd.port}/none`),
          target: plain,
        },
      },
      role: mysqlRole.parse({
        ...anyRole,
        issuer: 'mysql',
        target: 'shop',
        member_of: ['orders_read'],
      }),
      works: async (material) => {
        const connection = await createConnection({
          uri: text(material['url']),
          ssl: { ca: server.ca },
        }).catch(() => null);
        const answer = await connection?.query('SELECT 1 FROM orders').catch(() => null);
        connection?.destroy();
        return Array.isArray(answer);
      },
      secretsOf: (material) => [text(material['password'])],
      ownSecrets: ['issuer-password'],
      clock: REAL_CLOCK,
      endsAt: async (credential) => {
        const [rows] = await server.root.query<RowDataPacket[]>(
          `SELECT DATE_FORMAT(EXECUTE_AT, '%Y-%m-%dT%H:%i:%s.000Z') AS at
           FROM information_schema.EVENTS WHERE EVENT_NAME = ?`,
          [loginName(credential)],
        );
        return rows[0] ? String(rows[0]['at']) : null;
      },
      close: async () => {
        odd.close();
        await bench.close();
      },
    };
  },
};
