// Tokens of our own. No target is asked: what ends them is our lease, from which introspection answers.
import { jwtIssuer } from '../../../activities/issuers/jwt.ts';
import { jwtRole, OWN_TOKENS } from '../../../commands/access/jwt.ts';
import { ACCESS_TOKEN } from '../../../keys/tokens.ts';
import { text } from '../client.ts';
import { fileKey, tokensOf } from '../signing.ts';
import { anyRole, type IssuerKind } from './fixture.ts';

const ISSUER = 'https://issuer.example';
const AUDIENCE = 'https://api.example';

export const jwtKind: IssuerKind = {
  name: 'jwt',
  endedBy: 'lease',
  replaces: false,
  refusesLate: false,
  start: async () => {
    const filed = await fileKey('active');
    const keys = await tokensOf([filed]);
    return {
      ours: jwtIssuer(keys, ISSUER),
      theirs: null,
      down: null,
      target: { name: OWN_TOKENS, definition: null },
      role: jwtRole.parse({ ...anyRole, issuer: 'jwt', audience: AUDIENCE }),
      works: async (material) =>
        (await keys.verify(text(material['token']), ACCESS_TOKEN, ISSUER, AUDIENCE)) !== null,
      secretsOf: (material) => [text(material['token'])],
      ownSecrets: [filed.privateKey.export({ format: 'jwk' }).d ?? ''],
      close: () => Promise.resolve(),
    };
  },
};
