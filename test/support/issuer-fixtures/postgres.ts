// Logins of the sample PostgreSQL.
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { loginName } from '../../../activities/issuers/login.ts';
import { postgresIssuer } from '../../../activities/issuers/postgres.ts';
import { postgresRole, postgresTarget } from '../../../commands/access/postgres.ts';
import { answering } from '../answering.ts';
import { text } from '../client.ts';
import { freshSample } from '../sample.ts';
import { anyRole, REAL_CLOCK, type IssuerKind } from './fixture.ts';

export const postgresKind: IssuerKind = {
  name: 'postgres',
  start: async () => {
    const sample = await freshSample();
    const odd = await answering('SSH-2.0-OpenSSH_9.2p1\r\n');
    const ownPassword = new URL(sample.target).password;
    const target = {
      name: 'sample',
      definition: postgresTarget.parse({ issuer: 'postgres', url_from: 'TARGET' }),
    };
    const mark = `countersign ${randomUUID()} attempt `;
    const at = (url: string) => postgresIssuer(() => url, mark);
    const ours = at(sample.target);
    const theirs = postgresIssuer(() => sample.target, `countersign ${randomUUID()} attempt `);
    const wrong = new URL(sample.target);
    wrong.password = 'another-password';
    const broken = {
      down: at(`postgres://a:${ownPassword}@127.0.0.1:1/none`),
      denied: at(wrong.href),
      garbled: at(`postgres://a:${ownPassword}@127.0.0.1:${odd.port}/none`),
    };
    return {
      issuer: ours,
      target,
      theirs,
      broken: {
        down: { issuer: broken.down, target },
        denied: { issuer: broken.denied, target },
        garbled: { issuer: broken.garbled, target },
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
      clock: REAL_CLOCK,
      endsAt: async (credential) => {
        const sql = postgres(sample.target, { max: 1 });
        const [row] = await sql<{ at: Date }[]>`
          select rolvaliduntil as at from pg_roles where rolname = ${loginName(credential)}`;
        await sql.end({ timeout: 1 });
        return row?.at.toISOString() ?? null;
      },
      close: async () => {
        const all = [ours, theirs, ...Object.values(broken)];
        await Promise.all(all.map((issuer) => issuer.close()));
        odd.close();
        await sample.close();
      },
    };
  },
};
