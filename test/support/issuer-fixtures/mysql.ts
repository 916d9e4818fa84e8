// Logins of a MariaDB.
import { createConnection } from 'mysql2/promise';
import { mysqlIssuer } from '../../../activities/issuers/mysql.ts';
import { mysqlRole, mysqlTarget } from '../../../commands/access/mysql.ts';
import { text } from '../client.ts';
import { startMariaDb } from '../mariadb.ts';
import { anyRole, type IssuerKind } from './fixture.ts';

export const mysqlKind: IssuerKind = {
  name: 'mysql',
  endedBy: 'target',
  replaces: true,
  refusesLate: true,
  start: async () => {
    const server = await startMariaDb();
    const secrets = (name: string): string => (name === 'CA' ? server.ca : server.url);
    const ours = mysqlIssuer(secrets, 'ours');
    const theirs = mysqlIssuer(secrets, 'theirs');
    const nowhere = 'mysql://a:issuer-password@127.0.0.1:1/none';
    const down = mysqlIssuer((name) => (name === 'CA' ? server.ca : nowhere), 'ours');
    return {
      ours,
      theirs,
      down,
      target: {
        name: 'shop',
        definition: mysqlTarget.parse({ issuer: 'mysql', url_from: 'TARGET', ca_from: 'CA' }),
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
      close: async () => {
        await Promise.all([ours, theirs, down].map((issuer) => issuer.close()));
        await server.close();
      },
    };
  },
};
