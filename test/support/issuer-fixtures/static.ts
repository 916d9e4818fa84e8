// Secrets that people put in. Whoever had one knows it for ever.
import { randomBytes } from 'node:crypto';
import { staticIssuer } from '../../../activities/issuers/static.ts';
import { OWN_SECRETS, staticRole } from '../../../commands/access/static.ts';
import { putSecret } from '../../../commands/credentials/static-secrets.ts';
import { transact } from '../../../commands/unit.ts';
import { text } from '../client.ts';
import { anyRole, REAL_CLOCK, type IssuerKind } from './fixture.ts';
import { ownTables } from './own-tables.ts';

export const staticKind: IssuerKind = {
  name: 'static',
  start: async () => {
    const { service, inside, about, prepare, close } = await ownTables();
    const value = randomBytes(24).toString('base64url');
    const call = { principal: { kind: 'service' as const, id: 'test' }, traceId: null };
    await transact(inside.deps, call, (unit) => putSecret(unit, 'legacy-api', value));
    return {
      issuer: staticIssuer(inside.deps),
      target: { name: OWN_SECRETS, definition: null },
      theirs: null,
      broken: null,
      role: staticRole.parse({
        ...anyRole,
        issuer: 'static',
        secret: 'legacy-api',
        concurrent: 100,
      }),
      about,
      prepare,
      works: (material) => Promise.resolve(material['value'] === value),
      secretsOf: (material) => [text(material['value'])],
      ownSecrets: [service.adminToken],
      clock: REAL_CLOCK,
      close,
    };
  },
};
