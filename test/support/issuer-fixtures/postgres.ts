// Logins of the sample PostgreSQL.
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { postgresIssuer } from '../../../activities/issuers/postgres.ts';
import { postgresRole, postgresTarget } from '../../../commands/access/postgres.ts';
import { text } from '../client.ts';
import { freshSample } from '../sample.ts';
import { anyRole, type IssuerKind } from './fixture.ts';

export const postgresKind: IssuerKind = {
  name: 'postgres',
  endedBy: 'target',
  replaces: true,
  refusesLate: true,
  start: async () => {
    const sample = await freshSample();
    const ours = postgresIssuer(() => sample.target, `countersign ${randomUUID()} attempt `);
    const theirs = postgresIssuer(() => sample.target, `countersign ${randomUUID()} attempt `);
    const ownPassword = new URL(sample.target).password;
    const down = postgresIssuer(() => `postgres://a:${ownPassword}@127.0.0.1:1/none`, 'mark ');
    return {
      ours,
      theirs,
      down,
      target: {
        name: 'sample',
        definition: postgresTarget.parse({ issuer: 'postgres', url_from: 'TARGET' }),
      },
      role: postgresRole.parse({
        ...anyRole,
        issuer: 'postgres',
        target: 'sample',
        member_of: ['orders_read'],
      }),
      works: async (material) => {
        const sql = postgres(text(material['url']), { max: 1, connect_timeout: 5 });
        const answer = await sql`select 1 from orders limit 1`.catch(() => null);
        await sql.end({ timeout: 1 });
        return answer !== null;
      },
      secretsOf: (material) => [text(material['password'])],
      ownSecrets: [ownPassword],
      close: async () => {
        await Promise.all([ours, theirs, down].map((issuer) => issuer.close()));
        await sample.close();
      },
    };
  },
};
